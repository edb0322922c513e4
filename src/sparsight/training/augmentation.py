"""Augmentation of a batch on its device, with parameters of its own for every image.

torchvision's transforms draw one set of parameters for a batch, in worker processes that copy each
image to the device; packed images lie on the device already. The changes of colour are those of
torchvision, and are tested against them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.io.errors import InputError
from sparsight.registration import checked_parameters

#: parts of a recipe's `augment` with the defaults of their parameters
AUGMENT: dict[str, Any] = {
    "random_resized_crop": {"scale": [0.08, 1.0], "ratio": [3 / 4, 4 / 3]},
    "flip": False,
    "colour_jitter": {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
}
_ALLOWED = {
    "random_resized_crop": {"scale": "(0, 1]", "ratio": "(0, inf)"},
    "colour_jitter": {
        **dict.fromkeys(("brightness", "contrast", "saturation"), "[0, 1]"),
        "hue": "[0, 0.5]",
    },
}


def checked_augmentation(given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's `augment` with all parameters of its parts; a part that is left out is not done.

    `given` is `{random_resized_crop: {scale, ratio}, flip: true, colour_jitter: {brightness,
    contrast, saturation, hue}}`. An `InputError` for anything else.
    """
    checked_parameters("augment", AUGMENT, given, _ALLOWED)
    parts = {
        part: {**AUGMENT[part], **value} if isinstance(value, Mapping) else value
        for part, value in given.items()
    }
    for key, bounds in parts.get("random_resized_crop", {}).items():
        if len(bounds) != 2 or bounds[0] > bounds[1]:
            raise InputError(
                f"augment.random_resized_crop.{key} is {list(bounds)}, but must be two numbers, "
                "the smaller first"
            )
    return parts


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


#: how often torchvision tries a crop before it takes the middle
ATTEMPTS = 10


@dataclass(frozen=True)
class Boxes:
    """A crop of every image: float [N] whole numbers of pixels."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def draw_boxes(
    count: int,
    size: tuple[int, int],
    scale: Sequence[float],
    ratio: Sequence[float],
    draw: torch.Generator,
) -> Boxes:
    """Random crops as torchvision's RandomResizedCrop draws them, for images of `size` (H, W).

    The share of the area is uniform over `scale`, the ratio of width to height log-uniform over
    `ratio`; ten attempts to fit into the image, then the largest crop in the middle.
    """
    device = draw.device
    height, width = size

    def uniform(least: float, most: float, *shape: int) -> Tensor:
        return least + (most - least) * torch.rand(shape, generator=draw, device=device)

    area = uniform(scale[0], scale[1], count, ATTEMPTS) * (height * width)
    shape = uniform(math.log(ratio[0]), math.log(ratio[1]), count, ATTEMPTS).exp()
    widths, heights = (area * shape).sqrt().round(), (area / shape).sqrt().round()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    # the first attempt that fits: argmax gives the first of equal values
    first = fits.int().argmax(1, keepdim=True)
    middle_width = min(width, round(height * min(max(width / height, ratio[0]), ratio[1])))
    middle_height = min(height, round(width / min(max(width / height, ratio[0]), ratio[1])))
    some = fits.any(1)
    wide = torch.where(some, widths.gather(1, first).squeeze(1), float(middle_width))
    high = torch.where(some, heights.gather(1, first).squeeze(1), float(middle_height))
    top, left = uniform(0, 1, count), uniform(0, 1, count)
    return Boxes(
        torch.where(some, (top * (height - high + 1)).floor(), ((height - high) / 2).floor()),
        torch.where(some, (left * (width - wide + 1)).floor(), ((width - wide) / 2).floor()),
        high,
        wide,
    )


def crop_and_flip(images: Tensor, boxes: Boxes | None, flipped: Tensor | None) -> Tensor:
    """Crop every image and enlarge the crop bilinearly to the image's size; then mirror some.

    `images` are float32 [N, C, H, W], `boxes` their crops (None: whole images), `flipped` (bool [N]
    or None) those that are mirrored left to right. Crops are never larger than their result, so
    antialiasing would change nothing. Like torchvision, and unlike `grid_sample` by itself, no
    pixel outside a crop takes part.
    """
    if boxes is None:
        if flipped is None:
            return images
        return torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)
    height, width = images.shape[2:]
    rows = _positions(boxes.top, boxes.height, height)
    columns = _positions(boxes.left, boxes.width, width)
    if flipped is not None:
        columns = torch.where(flipped.view(-1, 1), columns.flip(1), columns)
    grid = torch.stack(
        (
            columns[:, None, :].expand(-1, height, -1),
            rows[:, :, None].expand(-1, -1, width),
        ),
        dim=3,
    )
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def _positions(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where `size` results are sampled along an axis, -1 to 1 over the image [N, size]."""
    steps = (torch.arange(size, device=start.device, dtype=torch.float32) + 0.5) / size
    start, length = start.view(-1, 1), length.view(-1, 1)
    inside = steps * length - 0.5
    # the crop's own border is repeated where a result lies beyond its outermost pixels' centres
    pixels = start + torch.minimum(inside.clamp(min=0), length - 1)
    return (2 * pixels + 1) / size - 1


def jitter(images: Tensor, strengths: Mapping[str, float], draw: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and hue at random, in this order.

    The factor of each image is uniform within 1 ± strength; the hue turns by up to ± strength.
    torchvision draws the order too; here it is fixed, so that a batch can be treated as a whole.
    Grey images have no saturation or hue to change (`InputError`).
    """
    if images.shape[1] != 3 and (strengths["saturation"] or strengths["hue"]):
        raise InputError(
            "augment: colour_jitter changes saturation and hue of images with three channels only; "
            "set both to 0"
        )
    operations = {
        "brightness": adjust_brightness,
        "contrast": adjust_contrast,
        "saturation": adjust_saturation,
        "hue": adjust_hue,
    }
    for name, operation in operations.items():
        if strengths[name]:
            spread = 2 * torch.rand(len(images), generator=draw, device=draw.device) - 1
            factors = strengths[name] * spread
            images = operation(images, factors if name == "hue" else 1 + factors)
    return images


def augment(images: Tensor, settings: Mapping[str, Any], draw: torch.Generator) -> Tensor:
    """Crop, mirror and recolour a batch at random, in this order; float32 [N, C, H, W] in [0, 1].

    `settings` are a recipe's `augment`, `draw` a generator on the images' device.
    """
    parts = checked_augmentation(settings)
    count, size = len(images), (images.shape[2], images.shape[3])
    boxes = flipped = None
    if "random_resized_crop" in parts:
        crop = parts["random_resized_crop"]
        boxes = draw_boxes(count, size, crop["scale"], crop["ratio"], draw)
    if parts.get("flip"):
        flipped = torch.rand(count, generator=draw, device=draw.device) < 0.5
    images = crop_and_flip(images, boxes, flipped)
    return jitter(images, parts["colour_jitter"], draw) if "colour_jitter" in parts else images
