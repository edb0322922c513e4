"""What faithfulness metrics do to images: which pixels go first, and what stands in for them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.io.errors import InputError
from sparsight.metrics.base import per_image
from sparsight.metrics.randomness import image_generators
from sparsight.rounding import is_constant

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
    """Which maps [N, H, W] rank no pixel above another, bool [N]: constant ones and NaN.

    Constant up to rounding, see `is_constant`.
    """
    flat = per_image(attributions)
    return is_constant(flat, 1) | flat.amax(dim=1).isnan()


def tie_order(images: Tensor) -> Tensor:
    """The order in which an image's pixels go where its map does not tell them apart.

    A class activation map is zero on most of its pixels. In reading order these would go from the
    top of the image to its bottom; here they go as those of a random map do. One order belongs to
    an image: for every network, explainer and metric the same, and from either end of the map.

    Parameters
    ----------
    images : float32 [N, C, H, W] in [0, 1], the images as they were explained.

    Returns
    -------
    int64 [N, H * W] on the images' device: places in the flattened image, each of them once.
    """
    pixels = images.shape[2] * images.shape[3]
    drawn = [torch.randperm(pixels, generator=one) for one in image_generators(images, "ties")]
    order = torch.stack(drawn) if drawn else torch.zeros((0, pixels), dtype=torch.int64)
    return order.to(images.device)


def descending_ranks(values: Tensor, order: Tensor) -> Tensor:
    """Place of each value in the descending order of its row, int64 [N, n] from 0.

    Of values that are alike the one comes first that comes first in `order`, int64 [N, n], which
    holds each place of the row once.
    """
    sorting = values.gather(1, order).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order.gather(1, sorting), places)


def pixel_ranks(attributions: Tensor, images: Tensor) -> Tensor:
    """Place of each pixel in the descending order of its map, int64 [N, H, W] from 0.

    Pixels that are alike go in the `tie_order` of the image.

    Parameters
    ----------
    attributions : float32 [N, H, W].
    images : float32 [N, C, H, W] in [0, 1], to which the order of ties belongs.
    """
    return descending_ranks(per_image(attributions), tie_order(images)).view_as(attributions)


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
