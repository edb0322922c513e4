"""Complexity: over how many pixels an explanation spreads its attribution."""

import torch
from torch import Tensor, nn

from sparsight.metrics.base import Explain, Metric, per_image


def gini(magnitudes: Tensor) -> Tensor:
    """Gini index of non-negative values: Σ(2i - n - 1)·a₍ᵢ₎ / (n·Σa), a ascending, i from 1.

    Parameters
    ----------
    magnitudes : float [N, n], non-negative.

    Returns
    -------
    float64 [N] in [0, 1 - 1/n]: 0 when all values are equal, 1 - 1/n when one value holds all.
    NaN where all values are 0 or one is NaN. Computed in float64: the terms have both signs.
    """
    ordered = magnitudes.sort(dim=1).values.to(torch.float64)
    count = ordered.shape[1]
    weights = 2 * torch.arange(1, count + 1, device=ordered.device, dtype=torch.float64) - count - 1
    return (ordered * weights).sum(dim=1) / (count * ordered.sum(dim=1))


class GiniSparseness(Metric):
    """Gini index of the absolute attributions.

    It is taken at image size, as all metrics are: a class activation map after interpolation. An
    interpolated map is smoother than at its layer's resolution, so its index differs from that of
    the native map; compare maps of one layer only. quantus.Sparseness agrees to about 1e-5; it adds
    1e-7 to each value of the map (divided by its maximum), which gives 0 to an all-zero map where
    this is NaN.
    """

    name = "gini_sparseness"
    reference = "Chalasani et al., ICML 2020, arXiv:1810.06583"
    category = "complexity"
    direction = "higher"
    unit = "Gini index, 0 to 1"
    needs = ()
    treatment = "absolute"
    normalisation = "none"
    mask_rule = "none"

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score` and `gini`."""
        return gini(per_image(attributions)).to(torch.float32)
