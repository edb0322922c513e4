"""Localisation: how well an explanation coincides with the object's mask.

The thesis (Lukkien) scores heatmaps as they are (`soft_iou`), suspects that blurrier ones fit
better, and asks for other fits: `area_matched_iou`, `otsu_iou` and `affine_iou`.

Unless they say otherwise, the functions take heatmaps float32 [N, H, W] and masks bool [N, H, W],
and give float32 [N] in [0, 1]; NaN where the mask is empty or the heatmap holds NaN.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.metrics.base import (
    MapBatch,
    Metric,
    ascending,
    equal_where_zero,
    per_image,
    zeros_and_ones,
)
from sparsight.rounding import ROUNDING, is_constant


def map_scale(values: Tensor) -> Tensor:
    """Scale of each row [N, n] by which `ROUNDING` says what is tied: range or magnitude, [N, 1].

    Interpolating a plateau in float32 leaves differences of about 1e-7 of its height, which must
    decide no order. The larger of the two: a map far from 0 is rounded at the scale of its
    distance.
    """
    highest, lowest = values.amax(dim=1, keepdim=True), values.amin(dim=1, keepdim=True)
    return (highest - lowest).maximum(highest.abs()).maximum(lowest.abs())


class Localisation(Metric):
    """Base of the metrics that compare attribution, by default the positive, with the mask."""

    category = "localisation"
    direction = "higher"
    unit = "share, 0 to 1"
    needs = ("mask",)
    treatment = "positive"
    mask_rule = "binary"

    @staticmethod
    @abstractmethod
    def fit(heatmaps: Tensor, masks: Tensor, /) -> Tensor:
        """Score float32 [N] of heatmaps and masks [N, H, W]."""

    def score(self, batch: MapBatch) -> Tensor:
        return self.fit(batch.attributions, batch.object_masks)


def soft_iou(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Σ min(A, B) / Σ max(A, B) per image, both float32 in [0, 1]; a heatmap of zeros scores 0."""
    a, b = per_image(heatmaps), per_image(masks)
    value = torch.minimum(a, b).sum(dim=1) / torch.maximum(a, b).sum(dim=1)
    return value.masked_fill(b.sum(dim=1) == 0, torch.nan)


class SoftIou(Localisation):
    """Overlap Σ min(A, B) / Σ max(A, B) of the heatmap A in [0, 1] with a soft mask B.

    The mask is the noiseless image for MNIST. The first of four fits of a heatmap to a mask: as it
    is. `otsu_iou`, `area_matched_iou` and `affine_iou` leave out parts of its scale and spread.

    Equation 2.7 of the thesis is printed upside down; this is 2.8. Negative attributions count as
    0: after min-max over a signed map, pixels without any attribution would stand in mid-range.
    """

    name = "soft_iou"
    label = "soft IoU"
    reference = (
        "Lukkien, The effect of unstructured pruning on the explanatory quality of heatmaps, "
        "equation 2.8"
    )
    normalisation = "min_max"
    mask_rule = "soft"
    fit = staticmethod(soft_iou)


def expected_hits(heatmaps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the heatmap's k highest pixels lie in the mask, and k, its area: float32 [N].

    Of t pixels tied at the k-th value for r places, each belongs to the set by r/t: the number
    expected when ties are broken at random. NaN where the heatmap holds NaN (it compares as false
    with everything: no pixel is chosen, and 0 times infinity remains).
    """
    values, inside = per_image(heatmaps), zeros_and_ones(per_image(masks))
    area = inside.sum(dim=1)
    place = (values.shape[1] - area.clamp_min(1)).long()[:, None]
    threshold, tolerance = ascending(values).gather(1, place), ROUNDING * map_scale(values)
    above = zeros_and_ones(values > threshold + tolerance)
    tied = zeros_and_ones((values - threshold).abs() <= tolerance)
    share = (area - above.sum(dim=1)) / tied.sum(dim=1)
    return (above * inside).sum(dim=1) + share * (tied * inside).sum(dim=1), area


def area_matched_iou(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """h / (2k - h), with h of the k highest pixels in the mask, k its area (`expected_hits`)."""
    intersection, area = expected_hits(heatmaps, masks)
    value = intersection / (2 * area - intersection)
    return value.masked_fill(area == 0, torch.nan)


class AreaMatchedIou(Localisation):
    """Intersection over union of the mask with as many of the highest pixels as it has.

    Free of the heatmap's scale and spread. A constant map scores what k random of n pixels score,
    (k/n) / (2 - k/n).
    """

    name = "area_matched_iou"
    label = "area-matched IoU"
    reference = (
        "Lukkien, The effect of unstructured pruning on the explanatory quality of heatmaps, "
        "equation 2.8 on binary sets; threshold by the ground truth's own area"
    )
    fit = staticmethod(area_matched_iou)


def pointing_game(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Whether the heatmap's maximum lies inside the mask; of tied maxima, the share inside."""
    values, inside = per_image(heatmaps), zeros_and_ones(per_image(masks))
    highest = values.amax(dim=1, keepdim=True)
    maxima = zeros_and_ones(values >= highest - ROUNDING * map_scale(values))
    value = (maxima * inside).sum(dim=1) / maxima.sum(dim=1)
    return value.masked_fill(inside.sum(dim=1) == 0, torch.nan)


class PointingGame(Localisation):
    """Whether the maximum lies in the mask, without the original's tolerance of 15 pixels.

    Of tied maxima it is the share inside, the chance of a hit when one is drawn at random
    (quantus.PointingGame gives 1 when any of them hits). A constant map scores the mask's share of
    the image: chance level.
    """

    name = "pointing_game"
    reference = "Zhang et al., IJCV 126 (2018), doi:10.1007/s11263-017-1059-x"
    paper_treatment = (
        "takes gradients by their magnitude, which is `saliency`; a signed map points where it is "
        "most for the class"
    )
    unit = "share of hits, 0 to 1"
    fit = staticmethod(pointing_game)


def relevance_mass_accuracy(relevances: Tensor, masks: Tensor) -> Tensor:
    """Σ_{p in mask} R_p / Σ_p R_p, R not negative; where R is 0 throughout, as for equal ones."""
    values, inside = equal_where_zero(per_image(relevances)), zeros_and_ones(per_image(masks))
    # By the maximum first: sums of very small or large relevances must not leave float32.
    values = values / values.amax(dim=1, keepdim=True)
    value = (values * inside).sum(dim=1) / values.sum(dim=1)
    return value.masked_fill(inside.sum(dim=1) == 0, torch.nan)


class RelevanceMassAccuracy(Localisation):
    """Share of the positive attribution that falls inside the binary mask.

    The paper pools relevances over channels to be non-negative; here negative attributions count
    as 0 (its pooling "sum,pos"). The same number is known as the energy-based pointing game. It
    depends on the area of the mask: an empty or constant map scores the mask's share of the image,
    chance level.
    """

    name = "relevance_mass_accuracy"
    version = 2
    reference = "Arras et al., Information Fusion 81 (2022), arXiv:2003.07258"
    paper_treatment = (
        "pools colour channels in several ways, most of them without a sign; ours is its sum of "
        "channels with negative sums as 0, which leaves out evidence against the class"
    )
    fit = staticmethod(relevance_mass_accuracy)


class BackgroundShare(Localisation):
    """Share of the positive attribution that falls outside the binary mask.

    One minus `relevance_mass_accuracy`, under the name of the claim that it grows as networks are
    pruned. It depends on the area of the mask: an empty or constant map scores the background's
    share of the image, chance level.
    """

    name = "background_share"
    label = "share on the background"
    version = 2
    reference = (
        "Ghosh and Batmanghelich 2023, arXiv:2307.13698; one minus "
        "Arras et al., Information Fusion 81 (2022), arXiv:2003.07258"
    )
    direction = "lower"

    @staticmethod
    def fit(heatmaps: Tensor, masks: Tensor, /) -> Tensor:
        return 1 - relevance_mass_accuracy(heatmaps, masks)


def relevance_rank_accuracy(relevances: Tensor, masks: Tensor) -> Tensor:
    """|top k in the mask| / k, k the mask's area; tied pixels share places (`expected_hits`)."""
    hits, area = expected_hits(relevances, masks)
    return (hits / area).masked_fill(area == 0, torch.nan)


class RelevanceRankAccuracy(Localisation):
    """Share of the mask among as many of the most relevant pixels as it has.

    It is a rising function of `area_matched_iou` x, 2x / (1 + x), given under the name and on the
    scale that the literature uses. A constant map scores the mask's share of the image: chance.
    """

    name = "relevance_rank_accuracy"
    reference = "Arras et al., Information Fusion 81 (2022), arXiv:2003.07258"
    paper_treatment = (
        "pools colour channels in several ways, most of them without a sign; ours is its sum of "
        "channels with negative sums as 0, as in `relevance_mass_accuracy`"
    )
    fit = staticmethod(relevance_rank_accuracy)


def pixel_roc_auc(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """P(in > out) + P(in = out) / 2 of a random pixel inside the mask and one outside.

    NaN also where the mask is the whole image.
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


class PixelRocAuc(Localisation):
    """ROC AUC of the attribution's magnitude for "this pixel lies in the mask".

    It is the chance that a random pixel inside the mask is higher than one outside (Mann and
    Whitney), 0.5 by chance whatever the mask's area; free of the heatmap's scale and spread.
    Absolute by default, as SPADE defines it (arXiv:2310.04519): a pixel that speaks against the
    class matters too. With `treatment: positive` negative attributions count as 0, so that half of
    a signed map is tied at the bottom; maps without a sign score the same under both.

    Pixels count as tied when they differ by less than a millionth of the map's scale. Libraries
    compare exactly, and let rounding order the plateaus that interpolation leaves at the border of
    a map; they differ there by some 1e-3 on 28x28 pixels. A constant map scores 0.5.
    """

    name = "pixel_roc_auc"
    label = "pixel ROC-AUC"
    version = 2
    reference = (
        "Fawcett, Pattern Recognition Letters 27 (2006), doi:10.1016/j.patrec.2005.10.010; of "
        "|attribution|: Soltani Moakhar et al., ICML 2024, arXiv:2310.04519"
    )
    unit = "area, 0 to 1; chance 0.5"
    treatment = "absolute"
    parameters: ClassVar[dict[str, Any]] = {"treatment": "absolute"}
    allowed: ClassVar[dict[str, Any]] = {"treatment": ("absolute", "positive")}
    fit = staticmethod(pixel_roc_auc)


OTSU_BINS = 256


def otsu_threshold(values: Tensor) -> Tensor:
    """Otsu's threshold of each row [N, n] of values in [0, 1] that begin at 0 and end at 1.

    With w₀, w₁ the numbers of values in the bins up to and above a bin, and μ₀, μ₁ their means, it
    is the centre of the first bin at which w₀ w₁ (μ₀ - μ₁)² is greatest; 256 bins over [0, 1].
    Equal to `skimage.filters.threshold_otsu`, whose bins span the map's range. As there, the pixels
    of that bin itself fall to both sides of its centre. 0 for a row of zeros, NaN for one with NaN.
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
    """Intersection over union of the mask with the pixels of a min-max heatmap above Otsu's."""
    values, inside = per_image(heatmaps), zeros_and_ones(per_image(masks))
    threshold = otsu_threshold(values)[:, None]
    chosen = zeros_and_ones(values > threshold)
    intersection = (chosen * inside).sum(dim=1)
    value = intersection / (chosen.sum(dim=1) + inside.sum(dim=1) - intersection)
    undefined = (inside.sum(dim=1) == 0) | threshold[:, 0].isnan()
    return value.masked_fill(undefined, torch.nan)


class OtsuIou(Localisation):
    """Overlap of the mask with the heatmap binarised by its own Otsu threshold.

    The threshold knows nothing of the mask. Where area-matched IoU asks for the order of pixels
    only, this one also asks that the heatmap separate the object from the rest. A constant map has
    no pixel above its threshold and scores 0.
    """

    name = "otsu_iou"
    label = "Otsu IoU"
    reference = (
        "Otsu 1979, doi:10.1109/TSMC.1979.4310076; Lukkien, The effect of unstructured pruning on "
        "the explanatory quality of heatmaps, equation 2.8 on binary sets"
    )
    normalisation = "min_max"
    fit = staticmethod(otsu_iou)


def affine_iou(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """`soft_iou` of the mask B with clip(a·A + b, 0, 1), the heatmap A scaled to it.

    a = max(cov(A, B) / var(A), 0) and b = mean(B) - a·mean(A): least squares of B on A under
    a >= 0. A heatmap that runs against the mask, or is constant, becomes the constant mean(B).
    """
    a, b = per_image(heatmaps), per_image(masks)
    average = b.mean(dim=1, keepdim=True)
    centred = a - a.mean(dim=1, keepdim=True)
    spread = centred.square().sum(dim=1, keepdim=True)
    slope = (centred * (b - average)).sum(dim=1, keepdim=True) / spread
    # Without spread the slope is 0/0. Rounding of the mean keeps that from being exact zeros.
    slope = slope.masked_fill(is_constant(a, 1, keepdim=True), 0).clamp_min(0)
    return soft_iou((slope * centred + average).clamp(0, 1), b)


class AffineIou(Localisation):
    """Overlap of the soft mask with the heatmap under its best linear scaling to that mask.

    An oracle's fit: slope (0 or more) and offset are taken from the mask itself, so it is no
    measure of how well a heatmap does on its own. It says what is left of a difference in
    `soft_iou` once the mean and spread of the heatmap no longer matter. Least squares is not the
    best IoU: a fit can score below the heatmap as it was. A constant map scores like an image of
    the mask's mean grey.
    """

    name = "affine_iou"
    label = "affine IoU"
    reference = (
        "Lukkien, The effect of unstructured pruning on the explanatory quality of heatmaps, "
        "equation 2.8; least squares of the mask on the heatmap"
    )
    normalisation = "min_max"
    mask_rule = "soft"
    fit = staticmethod(affine_iou)
