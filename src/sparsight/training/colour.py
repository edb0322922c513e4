"""Changes of colour with a factor of its own for every image of a batch.

torchvision's functions take one factor for all images: a batch would need a loop. These do the same
and are tested against them.
"""

import torch
from torch import Tensor

#: ITU-R 601-2 luma, as torchvision and Pillow have it
LUMA = (0.2989, 0.587, 0.114)


def grey(images: Tensor) -> Tensor:
    """Brightness [N, 1, H, W] of images [N, 3, H, W] or, unchanged, [N, 1, H, W]."""
    if images.shape[1] == 1:
        return images
    weights = images.new_tensor(LUMA).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _blend(images: Tensor, other: Tensor, factors: Tensor) -> Tensor:
    factors = factors.view(-1, 1, 1, 1)
    return (factors * images + (1 - factors) * other).clamp(0, 1)


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Images [N, C, H, W] in [0, 1] times factors [N], cut off at 1."""
    return _blend(images, torch.zeros_like(images[:, :1]), factors)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Distances from each image's mean brightness times factors [N]."""
    return _blend(images, grey(images).mean((1, 2, 3), keepdim=True), factors)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Distances from each pixel's brightness times factors [N]; needs three channels."""
    return _blend(images, grey(images), factors)


def adjust_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Hues turned by shifts [N] (1 is a full turn); needs three channels.

    By way of hue, saturation and value; a channel is then value - chroma * clamp(min(k, 4 - k)),
    where k is the hue's distance in sixths of a turn from the channel's own corner.
    """
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    red, green, blue = images.unbind(1)
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixths = sixths + 6 * shifts.view(-1, 1, 1)
    channels = []
    for corner in (5, 3, 1):
        distance = (corner + sixths) % 6
        channels.append(value - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1))
    return torch.stack(channels, 1)
