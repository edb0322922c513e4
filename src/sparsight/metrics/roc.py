"""ROC of pixels: how well an explanation tells pixels of the object from the others."""

import torch
from torch import Tensor, nn

from sparsight.metrics.base import Explain, Metric, per_image, require_masks
from sparsight.metrics.localisation import map_scale
from sparsight.metrics.ordering import ascending, zeros_and_ones
from sparsight.rounding import ROUNDING


def pixel_roc_auc(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Area under the ROC curve of the heatmap as a score for "pixel inside the mask".

    It is the chance that a random pixel inside the mask is higher than one outside,
    P(in > out) + P(in = out) / 2 (Mann and Whitney): tied pixels get average ranks. Pixels count as
    tied when they differ by less than `ROUNDING` of the map's scale (`map_scale`). Libraries
    compare exactly, and let rounding order the plateaus that interpolation leaves at the border of
    a map; they differ there by some 1e-3 on 28x28 pixels. A constant map scores 0.5.

    Parameters
    ----------
    heatmaps : float32 [N, H, W].
    masks : bool [N, H, W].

    Returns
    -------
    float32 [N] in [0, 1]; NaN where the mask is empty or the whole image, or the heatmap holds NaN.
    """
    values, inside = per_image(heatmaps), per_image(masks)
    scale = map_scale(values)
    lowest = values.amin(dim=1, keepdim=True)
    scaled = (values - lowest) / torch.where(scale == 0, torch.ones_like(scale), scale)
    area = zeros_and_ones(inside).sum(dim=1).double()
    others = values.shape[1] - area
    # Pairs with in >= out, and those with in <= out: in both are the tied.
    at_least, at_most = _not_below(scaled, inside, area), _not_below(scaled, ~inside, others)
    pairs = area * others
    value = (at_least + pairs - at_most) / (2 * pairs)
    return value.masked_fill(scale[:, 0].isnan(), torch.nan).float()


def _not_below(scaled: Tensor, chosen: Tensor, count: Tensor) -> Tensor:
    """Number of pairs of a chosen pixel and another that is not higher than it, float64 [N].

    `scaled` float32 [N, n] in [0, 1]; `chosen` bool [N, n], `count` of them float64 [N]. Chosen
    pixels are raised by `ROUNDING` and marked in their lowest bit, which is worth a tenth of that;
    then all are sorted as integers (numbers that are not negative have the order of their bits).
    The places of the marked ones count who stands before them.
    """
    mark = chosen.view(torch.uint8)
    bits = torch.add(scaled, mark, alpha=ROUNDING).view(torch.int32)
    marked = ascending((bits & ~1) | mark) & 1
    places = torch.arange(scaled.shape[1], dtype=torch.float64, device=scaled.device)
    return marked.double() @ places - count * (count - 1) / 2


class PixelRocAuc(Metric):
    """ROC AUC of the positive attribution for "this pixel lies in the mask".

    Free of the heatmap's scale and spread, and of the mask's area: 0.5 is chance whatever the area.
    With |saliency| and a sticker as the mask it is the measure of SPADE
    (arXiv:2310.04519).
    """

    name = "pixel_roc_auc"
    reference = "Fawcett, Pattern Recognition Letters 27 (2006), doi:10.1016/j.patrec.2005.10.010"
    category = "localisation"
    direction = "higher"
    unit = "area, 0 to 1; chance 0.5"
    needs = ("mask",)
    treatment = "positive"
    normalisation = "none"
    mask_rule = "binary"

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score` and `pixel_roc_auc`."""
        return pixel_roc_auc(attributions, require_masks(self, masks))
