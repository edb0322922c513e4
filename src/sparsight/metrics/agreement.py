"""Agreement of two networks' maps for the same images and classes: in order and in structure.

The functions `spearman`, `top_k_iou` and `ssim` compare maps float32 [N, h, w] and give float32
[N], NaN where one of the two maps is constant or holds NaN.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch, Metric, per_image, row_correlation, shows_nothing
from sparsight.metrics.localisation import map_scale
from sparsight.rounding import ROUNDING


class Agreement(Metric):
    """Base of the metrics that compare maps at the resolution at which they are stored.

    The parameter `treatment` says what of signed maps is compared.
    """

    category = "agreement"
    direction = "higher"
    needs = ("reference",)
    resolution = "native"
    parameters: ClassVar[dict[str, Any]] = {"treatment": "signed"}
    allowed: ClassVar[dict[str, Any]] = {"treatment": ("signed", "absolute", "positive")}


def mean_ranks(values: Tensor) -> Tensor:
    """Ranks float64 of each row [N, n] without NaN, from 1 up; equal values share their mean.

    Neighbours in the order are equal where they differ by no more than rounding, `ROUNDING` of
    their own magnitude: the last bits of a plateau rank no place above another.
    """
    ordered, order = values.sort(dim=1)
    last = values.shape[1] - 1
    place = torch.arange(last + 1, device=values.device)
    # Of each place in the order, where the run of values equal to it begins and ends.
    size = ordered[:, 1:].abs().maximum(ordered[:, :-1].abs())
    breaks = ordered[:, 1:] - ordered[:, :-1] > ROUNDING * size
    begins = functional.pad(torch.where(breaks, place[1:], 0), (1, 0)).cummax(dim=1).values
    ends = functional.pad(torch.where(breaks, place[:-1], last), (0, 1), value=last)
    ends = ends.flip(1).cummin(dim=1).values.flip(1)
    ranks = (begins + ends).to(torch.float64) / 2 + 1
    return torch.empty_like(ranks).scatter_(1, order, ranks)


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Spearman rank correlation over the places of each pair of maps, as scipy.stats.spearmanr.

    Pearson's r of the mean ranks: ties count as they should also where most of a map is 0.
    """
    ranks = (mean_ranks(per_image(maps)) for maps in (first, second))
    undefined = shows_nothing(first) | shows_nothing(second)
    return row_correlation(*ranks).masked_fill(undefined, torch.nan).to(torch.float32)


class Spearman(Agreement):
    """Rank correlation of two maps at the resolution at which they are stored.

    Interpolating a map of a layer to image size would add places that carry no rank of their own.
    Signed by default: an explainer that says "for" and "against" disagrees with itself when the two
    are swapped, which absolute values hide. Adebayo et al. report both; `treatment: absolute` gives
    the other. Maps without negative values are not affected.
    """

    name = "spearman"
    label = "Spearman correlation"
    reference = "Adebayo et al., NeurIPS 2018, arXiv:1810.03292"
    unit = "rank correlation, -1 to 1"

    def score(self, batch: MapBatch) -> Tensor:
        return spearman(batch.attributions, batch.reference_maps)


def top_membership(values: Tensor, count: int) -> Tensor:
    """How much each place belongs to the `count` highest of its row, [N, n] in [0, 1].

    Of t places tied at the last value for r, each belongs by r/t (values within `ROUNDING` of
    `map_scale` are tied). Places at the row's lowest value never belong: two maps that each light
    up one place, and not the same, would else agree by the share of the empty rest that fills both
    sets. Such a set is smaller than `count`. All 0 where a row is constant or holds NaN.
    """
    lowest = values.amin(dim=1, keepdim=True)
    threshold = values.topk(count, dim=1).values[:, -1:]
    tolerance = ROUNDING * map_scale(values)
    above = values > threshold + tolerance
    tied = (values > lowest + tolerance) & ((values - threshold).abs() <= tolerance)
    # Counts are sums of float32, which are many times faster than sums of bool.
    left = count - above.float().sum(dim=1, keepdim=True)
    share = (left / tied.float().sum(dim=1, keepdim=True)).clamp_max(1)
    return torch.where(tied, share, above.float())


def top_k_iou(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Intersection over union of the highest places of two maps: Σ min / Σ max of memberships.

    `share` is that of the places, in (0, 1]; k is the nearest whole number, and at least 1.
    """
    count = max(1, math.floor(share * per_image(first).shape[1] + 0.5))
    a, b = (top_membership(per_image(maps), count) for maps in (first, second))
    value = torch.minimum(a, b).sum(dim=1) / torch.maximum(a, b).sum(dim=1)
    return value.masked_fill(shows_nothing(first) | shows_nothing(second), torch.nan)


class TopKIou(Agreement):
    """Overlap of the places that two maps attribute most to, at the maps' stored resolution.

    Absolute by default: the places that matter most, in either direction, as in the top-k
    intersection of Ghorbani et al.; `treatment: positive` keeps to evidence for the class. Two
    random maps agree by about share / (2 - share): 0.05 at the default share of 0.1.
    """

    name = "top_k_iou"
    label = "top-k IoU"
    reference = "after Ghorbani et al., AAAI 2019, arXiv:1710.10547 (top-k intersection)"
    unit = "share, 0 to 1"
    treatment = "absolute"
    parameters: ClassVar[dict[str, Any]] = {"treatment": "absolute", "share": 0.1}
    allowed: ClassVar[dict[str, Any]] = {
        "treatment": ("signed", "absolute", "positive"),
        "share": "(0, 1]",
    }

    def score(self, batch: MapBatch) -> Tensor:
        share = float(self.settings["share"])
        return top_k_iou(batch.attributions, batch.reference_maps, share)


# As in Wang et al. and skimage.metrics.structural_similarity with its defaults.
WINDOW = 7
K1, K2 = 0.01, 0.03


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean structural similarity over all windows of 7 × 7 that lie inside maps in [0, 1].

    (2 μ₁ μ₂ + C₁)(2 σ₁₂ + C₂) / ((μ₁² + μ₂² + C₁)(σ₁² + σ₂² + C₂)), C₁ = 0.01², C₂ = 0.03², uniform
    window, sample (co)variances: equation 13 of the reference, and what skimage computes with
    `win_size=7, data_range=1`. In float64: a variance is the small difference of two larger means.
    InputError when the maps are smaller than a window.
    """
    if min(first.shape[1:]) < WINDOW:
        raise InputError(
            f"ssim needs images of at least {WINDOW} x {WINDOW} pixels, not "
            f"{first.shape[1]} x {first.shape[2]}; take it out of `agreement` for this data set"
        )
    a, b = first.to(torch.float64), second.to(torch.float64)
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = map(window_means, (a, b, a * a, b * b, a * b))
    sample = WINDOW**2 / (WINDOW**2 - 1)
    variances = sample * (mean_aa - mean_a.square() + mean_bb - mean_b.square())
    covariance = sample * (mean_ab - mean_a * mean_b)
    means = mean_a.square() + mean_b.square()
    above = (2 * mean_a * mean_b + K1**2) * (2 * covariance + K2**2)
    value = (above / ((means + K1**2) * (variances + K2**2))).mean(dim=(1, 2))
    undefined = shows_nothing(first) | shows_nothing(second)
    return value.masked_fill(undefined, torch.nan).to(torch.float32)


def window_means(values: Tensor) -> Tensor:
    """Means over all windows of 7 × 7 inside [N, H, W]: [N, H - 6, W - 6].

    Sums along rows, then columns: several times faster than `avg_pool2d`, which adds all 49.
    """
    along_rows = values.unfold(2, WINDOW, 1).sum(dim=-1)
    return along_rows.unfold(1, WINDOW, 1).sum(dim=-1) / WINDOW**2


class Ssim(Agreement):
    """Structural similarity of two maps at image size, each scaled to [0, 1] by its own range.

    It sees what a reader of two heatmaps sees: scale and offset of a map are gone, place and shape
    are left. Signed by default, so that evidence for and against stay apart; where a signed map's 0
    lies in [0, 1] then depends on its extremes, which `treatment: absolute` avoids at the price of
    the sign. Maps without negative values are not affected. Large empty regions count as alike, so
    read it next to the rank correlation and the floors.
    """

    name = "ssim"
    label = "SSIM"
    reference = (
        "Wang et al., IEEE Trans. Image Process. 13 (2004), doi:10.1109/TIP.2003.819861; for "
        "explanations Adebayo et al., NeurIPS 2018, arXiv:1810.03292"
    )
    unit = "structural similarity, -1 to 1"
    resolution = "image"
    normalisation = "min_max"

    def score(self, batch: MapBatch) -> Tensor:
        return ssim(batch.attributions, batch.reference_maps)
