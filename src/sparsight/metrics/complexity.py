"""Complexity: over how many pixels an explanation spreads its attribution; and heatmaps described.

`heatmap_mean` and `heatmap_spread` describe the heatmap apart from any mask: neither direction is
better. The thesis (Lukkien) gives mean .179 and standard deviation .218 at iteration 0, .236 and
.252 at iteration 10, and suspects that they, rather than a better localisation, raise the IoU.
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


class Complexity(Metric):
    """Base of the metrics of a map's values alone, in whatever order."""

    category = "complexity"
    direction = "lower"
    treatment = "absolute"

    @abstractmethod
    def measure(self, values: Tensor, /) -> Tensor:
        """One number [N] for each row of values float32 [N, n]."""

    def score(self, batch: MapBatch) -> Tensor:
        return self.measure(per_image(batch.attributions)).to(torch.float32)


def gini(magnitudes: Tensor) -> Tensor:
    """Gini index float64 [N] of each row [N, n] of values that are not negative.

    Σ(2i - n - 1)·a₍ᵢ₎ / (n·Σa), a ascending, i from 1; from 0 (all equal) to 1 - 1/n (one value
    holds all). Zeros throughout are all equal. NaN where a value is. In float64: terms have both
    signs.
    """
    ordered = ascending(equal_where_zero(magnitudes)).to(torch.float64)
    count = ordered.shape[1]
    weights = 2 * torch.arange(1, count + 1, device=ordered.device, dtype=torch.float64) - count - 1
    return (ordered * weights).sum(dim=1) / (count * ordered.sum(dim=1))


class GiniSparseness(Complexity):
    """Gini index of the absolute attributions: Σ(2i - n - 1)·a₍ᵢ₎ / (n·Σa), a ascending.

    It is taken at image size, as all metrics are: an interpolated class activation map is smoother
    than at its layer's resolution, so compare maps of one layer only. quantus.Sparseness agrees to
    about 1e-5; it adds 1e-7 to each value of the map (divided by its maximum). An empty map scores
    0, as a constant one does: nothing stands out.
    """

    name = "gini_sparseness"
    label = "Gini sparseness"
    version = 2
    reference = "Chalasani et al., ICML 2020, arXiv:1810.06583"
    direction = "higher"
    unit = "Gini index, 0 to 1"
    measure = staticmethod(gini)


def entropy(magnitudes: Tensor) -> Tensor:
    """Shannon entropy float64 [N], in nats, of the shares of values in their row [N, n].

    -Σ pᵢ ln pᵢ, pᵢ = aᵢ / Σa, no value negative; from 0 (one value holds all) to ln n (all
    equal). Zeros throughout are all equal. NaN where a value is.
    """
    magnitudes = equal_where_zero(magnitudes)
    # -Σ p ln p = ln S - (Σ a ln a) / S; by the maximum first, so that S is between 1 and n.
    scaled = magnitudes / magnitudes.amax(dim=1, keepdim=True)
    total = scaled.sum(dim=1, dtype=torch.float64)
    # 0 ln 0 is 0, and so is 0 times the logarithm of the smallest number.
    terms = scaled * scaled.clamp_min(torch.finfo(scaled.dtype).tiny).log()
    return total.log() - terms.sum(dim=1, dtype=torch.float64) / total


class Entropy(Complexity):
    """Entropy of how the absolute attribution is shared by the pixels: -Σ p ln p, p = |a| / Σ|a|.

    The paper's "complexity" of an explanation. Its upper end depends on the size of the image,
    ln(H·W), which an empty map scores as a constant one does. quantus.Complexity agrees to about
    1e-6: it adds 1e-12 in the logarithm.
    """

    name = "entropy"
    version = 2
    reference = "Bhatt et al., IJCAI 2020, arXiv:2005.00631"
    unit = "nats, 0 to ln(pixels)"
    measure = staticmethod(entropy)


def effective_complexity(magnitudes: Tensor, threshold: float) -> Tensor:
    """Number of values above `threshold` times the greatest of their row: #{i : aᵢ > t · max a}.

    float32 [N], from 1 to n, of values [N, n] that are not negative and a threshold from 0 to below
    1. Zeros throughout are all equal: n. NaN where a value is.
    """
    magnitudes = equal_where_zero(magnitudes)
    highest = magnitudes.amax(dim=1, keepdim=True)
    counted = zeros_and_ones(magnitudes > threshold * highest).sum(dim=1)
    return torch.where(highest[:, 0] > 0, counted, torch.nan)


class EffectiveComplexity(Complexity):
    """Number of pixels whose absolute attribution exceeds `threshold` times the map's maximum.

    This is quantus' reading. The paper counts how many of the most attributed features must stay
    for the expected loss to be below a tolerance, which needs the network. quantus compares with
    the number `eps` (1e-5) what it has divided by the maximum over the *batch*; here it is each
    map's own maximum: equal where a map comes alone. An all-zero map scores as a constant one,
    all pixels, and there 0, the best value of all.

    At the default the count is hardly more than that of non-zero pixels. An interpolated class
    activation map is rarely zero: choose a threshold that a heatmap shows, such as 0.1.
    """

    name = "effective_complexity"
    version = 2
    reference = "Nguyen and Martinez 2020, arXiv:2007.07584; as in quantus.EffectiveComplexity"
    unit = "pixels"
    parameters: ClassVar[dict[str, Any]] = {"threshold": 1e-5}
    allowed: ClassVar[dict[str, Any]] = {"threshold": "[0, 1)"}

    def measure(self, values: Tensor, /) -> Tensor:
        return effective_complexity(values, self.settings["threshold"])


class Descriptive(Complexity):
    """Base of what describes the heatmap in [0, 1]: negative attributions count as 0."""

    category = "descriptive"
    direction = ""
    reference = "Lukkien, The effect of unstructured pruning on the explanatory quality of heatmaps"
    treatment = "positive"
    normalisation = "min_max"


def heatmap_mean(heatmaps: Tensor) -> Tensor:
    """Mean over the pixels, float32 [N], of heatmaps float32 [N, H, W]; NaN where they hold NaN."""
    return per_image(heatmaps).mean(dim=1)


def heatmap_spread(heatmaps: Tensor) -> Tensor:
    """Standard deviation over the pixels, divisor n, float32 [N], of heatmaps float32 [N, H, W]."""
    values = per_image(heatmaps)
    # torch's own `std` is some twenty times slower on many short rows.
    return (values - values.mean(dim=1, keepdim=True)).square().mean(dim=1).sqrt()


class HeatmapMean(Descriptive):
    """Mean of the heatmap in [0, 1]: how much of the image is highlighted, on average.

    Negative attributions count as 0. A constant map shows nothing: it is 0 after min-max, and so is
    its mean.
    """

    name = "heatmap_mean"
    unit = "grey level, 0 to 1"
    measure = staticmethod(heatmap_mean)


class HeatmapSpread(Descriptive):
    """Standard deviation of the heatmap in [0, 1] over its pixels (divisor n).

    Negative attributions count as 0. A constant map scores 0.
    """

    name = "heatmap_spread"
    unit = "grey level, 0 to 0.5"
    measure = staticmethod(heatmap_spread)
