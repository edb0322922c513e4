"""Agreement in structure: do two maps look alike, window by window?"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.metrics.agreement.base import AgreementMetric, shows_nothing

# As in Wang et al. and skimage.metrics.structural_similarity with its defaults.
WINDOW = 7
K1, K2 = 0.01, 0.03


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean structural similarity over all windows of 7 × 7 that lie inside the image.

    (2 μ₁ μ₂ + C₁)(2 σ₁₂ + C₂) / ((μ₁² + μ₂² + C₁)(σ₁² + σ₂² + C₂)), C₁ = 0.01², C₂ = 0.03², uniform
    window, sample (co)variances: equation 13 of the reference, and what skimage computes with
    `win_size=7, data_range=1`. In float64: a variance is the small difference of two larger means.

    Parameters
    ----------
    first, second : float32 [N, H, W] in [0, 1].

    Returns
    -------
    float32 [N] in [-1, 1]; NaN where one of the maps is constant or holds NaN.

    Raises
    ------
    InputError
        When the maps are smaller than a window.
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


class Ssim(AgreementMetric):
    """Structural similarity of two maps at image size, each scaled to [0, 1] by its own range.

    It sees what a reader of two heatmaps sees: scale and offset of a map are gone, place and shape
    are left. Signed by default, so that evidence for and against stay apart; where a signed map's 0
    lies in [0, 1] then depends on its extremes, which `treatment: absolute` avoids at the price of
    the sign. Maps without negative values are not affected. Large empty regions count as alike, so
    read it beside the rank correlation and the floors.
    """

    name = "ssim"
    reference = (
        "Wang et al., IEEE Trans. Image Process. 13 (2004), doi:10.1109/TIP.2003.819861; for "
        "explanations Adebayo et al., NeurIPS 2018, arXiv:1810.03292"
    )
    category = "agreement"
    direction = "higher"
    unit = "structural similarity, -1 to 1"
    treatment = "signed"
    normalisation = "min_max"
    resolution = "image"
    parameters: ClassVar[dict[str, Any]] = {"treatment": "signed"}

    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """float32 [N]; see `AgreementMetric.compare` and `ssim`."""
        return ssim(first, second)
