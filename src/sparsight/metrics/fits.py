"""IoU of a mask with a heatmap that was fitted to it, by Otsu's threshold or by least squares.

The thesis (Lukkien) scores heatmaps as they are (`soft_iou`), suspects that blurrier ones fit
better, and asks for other fits. Together with `area_matched_iou` these are they.
"""

import torch
from torch import Tensor, nn

from sparsight.metrics.base import Explain, Metric, per_image, require_masks
from sparsight.metrics.localisation import soft_iou
from sparsight.metrics.ordering import zeros_and_ones
from sparsight.rounding import is_constant

OTSU_BINS = 256


def otsu_threshold(values: Tensor) -> Tensor:
    """Otsu's threshold of each row of values in [0, 1] that begin at 0 and end at 1.

    With w₀, w₁ the numbers of values in the bins up to and above a bin, and μ₀, μ₁ their means, it
    is the centre of the first bin at which w₀ w₁ (μ₀ - μ₁)² is greatest; 256 bins over [0, 1].
    Equal to `skimage.filters.threshold_otsu`, whose bins span the map's range. As there, the pixels
    of that bin itself fall to both sides, below and above its centre.

    Parameters
    ----------
    values : float32 [N, n] in [0, 1], the lowest 0 and the highest 1 unless all are equal.

    Returns
    -------
    float32 [N]; 0 for a row of zeros, NaN for one that holds NaN.
    """
    # Edges and centres of 256 bins are exact in float32, so no value falls into a wrong bin.
    bins = (values.nan_to_num() * OTSU_BINS).long().clamp_max(OTSU_BINS - 1)
    counts = values.new_zeros(len(values), OTSU_BINS).scatter_add_(1, bins, torch.ones_like(values))
    centres = (torch.arange(OTSU_BINS, device=values.device) + 0.5).double() / OTSU_BINS
    counts = counts.double()
    weight, mass = counts.cumsum(dim=1), (counts * centres).cumsum(dim=1)
    below, total = weight[:, :-1], weight[:, -1:]
    # w₀ w₁ (μ₀ - μ₁)² = (m₀ w - m w₀)² / (w₀ w₁), m₀ the sum up to the bin and m the sum of all
    between = (mass[:, :-1] * total - mass[:, -1:] * below).square() / (below * (total - below))
    # 0/0 only where all values lie in one bin: of others the first and the last bin hold some.
    threshold = centres[between.argmax(dim=1)]
    highest = values.amax(dim=1)
    return torch.where(highest > 0, threshold.float(), highest)


def otsu_iou(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Intersection over union of the mask with the heatmap's pixels above Otsu's threshold.

    Parameters
    ----------
    heatmaps : float32 [N, H, W], min-max normalised.
    masks : bool [N, H, W].

    Returns
    -------
    float32 [N] in [0, 1]; NaN where the mask is empty or the heatmap holds NaN. A heatmap of zeros
    has no pixel above its threshold and scores 0.
    """
    values, inside = per_image(heatmaps), zeros_and_ones(per_image(masks))
    threshold = otsu_threshold(values)[:, None]
    chosen = zeros_and_ones(values > threshold)
    intersection = (chosen * inside).sum(dim=1)
    value = intersection / (chosen.sum(dim=1) + inside.sum(dim=1) - intersection)
    undefined = (inside.sum(dim=1) == 0) | threshold[:, 0].isnan()
    return value.masked_fill(undefined, torch.nan)


def affine_iou(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Equation 2.8 of the soft mask B with the heatmap A scaled to it: clip(a·A + b, 0, 1).

    a = max(cov(A, B) / var(A), 0) and b = mean(B) - a·mean(A): least squares of B on A under
    a >= 0. A heatmap that runs against the mask is thus fitted by the constant mean(B), and so is
    a constant heatmap.

    Parameters
    ----------
    heatmaps, masks : float32 [N, H, W] in [0, 1].

    Returns
    -------
    float32 [N] in [0, 1]; NaN where the mask is empty or the heatmap holds NaN.
    """
    a, b = per_image(heatmaps), per_image(masks)
    average = b.mean(dim=1, keepdim=True)
    centred = a - a.mean(dim=1, keepdim=True)
    spread = centred.square().sum(dim=1, keepdim=True)
    slope = (centred * (b - average)).sum(dim=1, keepdim=True) / spread
    # Without spread the slope is 0/0. Rounding of the mean keeps that from being exact zeros.
    constant = is_constant(a, 1, keepdim=True)
    slope = slope.masked_fill(constant, 0).clamp_min(0)
    fitted = (slope * centred + average).clamp(0, 1)
    return soft_iou(fitted, b)


class OtsuIou(Metric):
    """Overlap of the mask with the heatmap binarised by its own Otsu threshold.

    The threshold knows nothing of the mask. Where area-matched IoU asks for the order of pixels
    only, this one also asks that the heatmap separate the object from the rest.
    """

    name = "otsu_iou"
    reference = "Otsu 1979, doi:10.1109/TSMC.1979.4310076; Lukkien, equation 2.8 on binary sets"
    category = "localisation"
    direction = "higher"
    unit = "share, 0 to 1"
    needs = ("mask",)
    treatment = "positive"
    normalisation = "min_max"
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
        """float32 [N]; see `Metric.score` and `otsu_iou`."""
        return otsu_iou(attributions, require_masks(self, masks))


class AffineIou(Metric):
    """Overlap of the soft mask with the heatmap under its best linear scaling to that mask.

    An oracle's fit: slope and offset are taken from the mask itself, so it is no measure of how
    well a heatmap does on its own. It says what is left of a difference in `soft_iou` once the mean
    and spread of the heatmap no longer matter. Least squares is not the best IoU: a fit can score
    below the heatmap as it was. A constant map scores like an image of the mask's mean grey.
    """

    name = "affine_iou"
    reference = "Lukkien, equation 2.8; least squares of the mask on the heatmap"
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
        """float32 [N]; see `Metric.score` and `affine_iou`."""
        return affine_iou(attributions, require_masks(self, masks))
