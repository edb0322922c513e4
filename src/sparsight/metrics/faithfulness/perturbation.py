"""What faithfulness metrics do to images: which pixels go first, and what stands in for them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.io.errors import InputError
from sparsight.metrics.base import per_image

BASELINES = ("zero", "mean", "blur", "inverted")
VALUES = ("logit", "probability")
# The authors' blur of the canvas for insertion (github.com/eclique/RISE, Evaluation.ipynb).
BLUR_SIDE = 11
BLUR_SIGMA = 5.0


def check_choice(
    metric: str, settings: Mapping[str, Any], key: str, known: tuple[str, ...]
) -> None:
    """Raise an `InputError` where `settings[key]` is none of `known`."""
    if settings[key] not in known:
        raise InputError(
            f"metric {metric}: parameter '{key}' is '{settings[key]}', it must be one of "
            f"{', '.join(known)}"
        )


def check_positive(metric: str, settings: Mapping[str, Any], key: str) -> None:
    """Raise an `InputError` where `settings[key]` is not 1 or more."""
    if settings[key] < 1:
        raise InputError(
            f"metric {metric}: parameter '{key}' is {settings[key]}, it must be 1 or more"
        )


def without_order(attributions: Tensor) -> Tensor:
    """Which maps [N, H, W] rank no pixel above another, bool [N]: constant ones and NaN."""
    flat = per_image(attributions)
    return ~(flat.amax(dim=1) > flat.amin(dim=1))


def pixel_ranks(attributions: Tensor) -> Tensor:
    """Place of each pixel in the descending order of its map, int64 [N, H, W] from 0.

    Of pixels that are alike, the one nearer to the upper left comes first (in reading order), so
    that a rank depends on the map alone.
    """
    flat = per_image(attributions)
    order = flat.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(flat.shape[1], device=flat.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view_as(attributions)


def stand_ins(images: Tensor, baseline: str) -> Tensor:
    """What stands in for each pixel once it is removed.

    Parameters
    ----------
    images : float32 [N, C, H, W] in [0, 1].
    baseline : "zero" (black); "mean" (the mean colour of the image itself); "blur" (the image under
        a Gaussian of standard deviation 5, cut off at 11x11 pixels); "inverted" (1 - x).

    Returns
    -------
    float32 [N, C, H, W] in [0, 1].
    """
    if baseline == "zero":
        return torch.zeros_like(images)
    if baseline == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    if baseline == "inverted":
        return 1 - images
    return _blurred(images)


def _blurred(images: Tensor) -> Tensor:
    """Edge pixels are repeated; the authors pad with zeros, which darkens the border."""
    channels = images.shape[1]
    offsets = torch.arange(BLUR_SIDE, device=images.device) - BLUR_SIDE // 2
    weights = torch.exp(-(offsets / BLUR_SIGMA).square() / 2)
    weights = (weights / weights.sum()).expand(channels, 1, 1, -1)
    padded = functional.pad(images, [BLUR_SIDE // 2] * 4, mode="replicate")
    rows = functional.conv2d(padded, weights, groups=channels)
    return functional.conv2d(rows, weights.transpose(2, 3), groups=channels)


def replaced(images: Tensor, others: Tensor, where: Tensor) -> Tensor:
    """`images` with the pixels `where` (bool [N, H, W]) taken from `others`; [N, C, H, W]."""
    return torch.where(where.unsqueeze(1), others, images)
