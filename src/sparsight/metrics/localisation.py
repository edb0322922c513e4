"""Localisation: how well an explanation coincides with the object's mask."""

import torch
from torch import Tensor, nn

from sparsight.metrics.base import Explain, Metric, per_image, require_masks
from sparsight.metrics.ordering import ascending, zeros_and_ones
from sparsight.rounding import ROUNDING


def map_scale(values: Tensor) -> Tensor:
    """Of what `ROUNDING` is taken to say which pixels of a map are tied: range or magnitude.

    Interpolating a plateau in float32 leaves differences in it of about 1e-7 of its height, by
    which no order should be decided. The larger of the two: a map far from 0 is rounded at the
    scale of its distance.

    Parameters
    ----------
    values : float32 [N, n].

    Returns
    -------
    float32 [N, 1], 0 for a map of zeros.
    """
    highest, lowest = values.amax(dim=1, keepdim=True), values.amin(dim=1, keepdim=True)
    return (highest - lowest).maximum(highest.abs()).maximum(lowest.abs())


def soft_iou(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Σ min(A, B) / Σ max(A, B) per image (Lukkien, equation 2.8).

    Parameters
    ----------
    heatmaps, masks : float32 [N, H, W] in [0, 1].

    Returns
    -------
    float32 [N] in [0, 1]; NaN where the mask is empty. A heatmap of zeros scores 0.
    """
    a, b = per_image(heatmaps), per_image(masks)
    value = torch.minimum(a, b).sum(dim=1) / torch.maximum(a, b).sum(dim=1)
    return value.masked_fill(b.sum(dim=1) == 0, torch.nan)


def expected_hits(heatmaps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the heatmap's k highest pixels lie in the mask, k being the mask's area.

    Pixels tied at the k-th value share the places that are left: of t tied pixels for r places,
    each belongs to the set by r/t. That is the number expected when ties are broken at random, and
    no order of pixels in memory matters.

    Parameters
    ----------
    heatmaps : float32 [N, H, W].
    masks : bool [N, H, W].

    Returns
    -------
    hits : float32 [N]; NaN where the heatmap holds NaN (it compares as false with everything: no
        pixel is chosen, and 0 times infinity remains). Without meaning where the mask is empty.
    area : float32 [N], k.
    """
    values, inside = per_image(heatmaps), zeros_and_ones(per_image(masks))
    area = inside.sum(dim=1)
    ordered = ascending(values)
    place = (values.shape[1] - area.clamp_min(1)).long()[:, None]
    threshold, tolerance = ordered.gather(1, place), ROUNDING * map_scale(values)
    above = zeros_and_ones(values > threshold + tolerance)
    tied = zeros_and_ones((values - threshold).abs() <= tolerance)
    share = (area - above.sum(dim=1)) / tied.sum(dim=1)
    return (above * inside).sum(dim=1) + share * (tied * inside).sum(dim=1), area


def area_matched_iou(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Intersection over union of the mask with the heatmap's k highest pixels, k the mask's area.

    With h expected hits (see `expected_hits`) it is h / (2k - h): equation 2.8 on that fractional
    set. A constant map scores what k random pixels score, (k/n) / (2 - k/n).

    Parameters
    ----------
    heatmaps : float32 [N, H, W].
    masks : bool [N, H, W].

    Returns
    -------
    float32 [N] in [0, 1]; NaN where the mask is empty or the heatmap holds NaN.
    """
    intersection, area = expected_hits(heatmaps, masks)
    value = intersection / (2 * area - intersection)
    return value.masked_fill(area == 0, torch.nan)


def pointing_game(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Whether the heatmap's maximum lies inside the mask; of tied maxima, the share inside.

    The share is the chance of a hit when one of the tied maxima is drawn at random. A constant map
    has all pixels tied and scores the mask's share of the image: chance level.

    Parameters
    ----------
    heatmaps : float32 [N, H, W].
    masks : bool [N, H, W].

    Returns
    -------
    float32 [N] in [0, 1]; NaN where the mask is empty or the heatmap holds NaN (it
    compares as false with everything: no pixel is chosen, and 0/0 remains).
    """
    values, inside = per_image(heatmaps), zeros_and_ones(per_image(masks))
    highest = values.amax(dim=1, keepdim=True)
    maxima = zeros_and_ones(values >= highest - ROUNDING * map_scale(values))
    value = (maxima * inside).sum(dim=1) / maxima.sum(dim=1)
    return value.masked_fill(inside.sum(dim=1) == 0, torch.nan)


class SoftIou(Metric):
    """Overlap of the heatmap in [0, 1] with a soft mask (the noiseless image for MNIST).

    The first of four fits of a heatmap to a mask: as it is. `otsu_iou`, `area_matched_iou` and
    `affine_iou` differ in what of the heatmap's scale and spread they leave out.

    Equation 2.7 of the thesis is printed upside down; this is 2.8. Negative attributions count as
    0: after min-max over a signed map, pixels without any attribution would stand in mid-range.
    """

    name = "soft_iou"
    reference = (
        "Lukkien, The effect of unstructured pruning on the explanatory quality of heatmaps, "
        "equation 2.8"
    )
    category = "localisation"
    direction = "higher"
    unit = "share, 0 to 1"
    needs = ("mask",)
    treatment = "positive"
    normalisation = "min_max"
    mask_rule = "soft"

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score` and `soft_iou`."""
        return soft_iou(attributions, require_masks(self, masks))


class AreaMatchedIou(Metric):
    """Binary overlap at the mask's own area, free of the heatmap's scale and spread."""

    name = "area_matched_iou"
    reference = "Lukkien, eq. 2.8 on binary sets; threshold by the ground truth's own area"
    category = "localisation"
    direction = "higher"
    unit = "share, 0 to 1"
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
        """float32 [N]; see `Metric.score` and `area_matched_iou`."""
        return area_matched_iou(attributions, require_masks(self, masks))


class PointingGame(Metric):
    """Hit of the maximum in the mask, without the original's tolerance of 15 pixels.

    quantus.PointingGame gives 1 when any of several tied maxima hits; here it is their share.
    """

    name = "pointing_game"
    reference = "Zhang et al., IJCV 126 (2018), doi:10.1007/s11263-017-1059-x"
    category = "localisation"
    direction = "higher"
    unit = "share of hits, 0 to 1"
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
        """float32 [N]; see `Metric.score` and `pointing_game`."""
        return pointing_game(attributions, require_masks(self, masks))
