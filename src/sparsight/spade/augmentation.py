"""Augmented copies of single images: the sample that a network is pruned for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparsight.explain.randomness import image_generator
from sparsight.io.errors import InputError
from sparsight.training.augmentation import (
    Boxes,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    crop_and_flip,
    draw_boxes,
)
from sparsight.training.options import checked_augmentation

#: augmentation of the paper (arXiv 2310.04519), in the words of a recipe's `augment`
PUBLISHED: dict[str, Any] = {
    "random_resized_crop": {"scale": [0.2, 1.0], "ratio": [3 / 4, 4 / 3]},
    "flip": True,
    "colour_jitter": {"brightness": 0.5, "hue": 0.3},
}
#: copies that are made at once, so that memory beside the result does not grow with their number
CHUNK = 256
#: parts of `colour_jitter` in the order in which they are applied
_COLOURS = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}
#: parts of `colour_jitter` that a grey image has no use for
_NEEDS_COLOUR = ("saturation", "hue")


@dataclass(frozen=True)
class Draws:
    """What was drawn for the copies of some images, on the images' device.

    Attributes
    ----------
    boxes : crops of [M] copies, or None where nothing is cropped.
    flipped : bool [M], or None.
    factors : part of `colour_jitter` to float32 [M].
    """

    boxes: Boxes | None
    flipped: Tensor | None
    factors: Mapping[str, Tensor]

    def each(self, change: Callable[[Tensor], Tensor]) -> "Draws":
        """The same with every tensor changed: a part of the copies, or another device."""
        boxes = self.boxes
        if boxes is not None:
            sides = (boxes.top, boxes.left, boxes.height, boxes.width)
            boxes = Boxes(*(change(side) for side in sides))
        flipped = None if self.flipped is None else change(self.flipped)
        return Draws(boxes, flipped, {name: change(each) for name, each in self.factors.items()})


def draw_copies(
    shape: tuple[int, int, int],
    count: int,
    image_id: int,
    seed_name: str,
    settings: Mapping[str, Any] = PUBLISHED,
) -> Draws:
    """Draw the parameters of `count` copies of one image, on the CPU.

    They depend on the arguments alone: not on the batch that the image is in, nor on the device.
    The copies of a smaller count are not the first ones of a larger.

    Parameters
    ----------
    shape : (C, H, W) of the image. Where C is not 3, hue and saturation stay as they are.
    count : number of copies.
    image_id : of the image in its data set.
    seed_name : names the use, such as the configured sample pruner.
    settings : in the words of a recipe's `augment`; what is left out is not done.

    Raises
    ------
    InputError
        When the settings cannot be used.
    """
    parts = checked_augmentation(settings)
    draw = image_generator(image_id, seed_name)
    boxes = flipped = None
    if "random_resized_crop" in parts:
        crop = parts["random_resized_crop"]
        boxes = draw_boxes(count, shape[1:], crop["scale"], crop["ratio"], draw)
    if parts.get("flip"):
        flipped = torch.rand(count, generator=draw) < 0.5
    factors = {}
    for name in _COLOURS:
        strength = parts.get("colour_jitter", {}).get(name, 0.0)
        if strength and (shape[0] == 3 or name not in _NEEDS_COLOUR):
            spread = strength * (2 * torch.rand(count, generator=draw) - 1)
            factors[name] = spread if name == "hue" else 1 + spread
    return Draws(boxes, flipped, factors)


def apply_draws(images: Tensor, draws: Draws) -> Tensor:
    """Crop, mirror and recolour each image as drawn for it.

    Parameters
    ----------
    images : float32 [M, C, H, W] in [0, 1].
    draws : of M copies, on the same device.

    Returns
    -------
    float32 [M, C, H, W] in [0, 1].
    """
    images = crop_and_flip(images, draws.boxes, draws.flipped)
    for name, factors in draws.factors.items():
        images = _COLOURS[name](images, factors)
    return images


def copy_batches(
    images: Tensor,
    count: int,
    image_ids: Tensor,
    seed_name: str,
    settings: Mapping[str, Any] = PUBLISHED,
    batch_size: int = CHUNK,
) -> Iterator[tuple[slice, slice, Tensor]]:
    """The copies that `augmented` makes, at most `batch_size` at a time.

    A batch holds all copies of some images, or some copies of one: how an image's copies are
    divided depends on `count` and `batch_size`, not on the images beside it.

    Parameters
    ----------
    batch_size : most copies at once, at least 1. For the others see `augmented`.

    Yields
    ------
    The places of the images in the batch, of the copies in each image, and these copies, float32
    [images, copies, C, H, W] in [0, 1].

    Raises
    ------
    InputError
        When the settings, the count or the size of a batch cannot be used.
    """
    for key, value in (("augmentations", count), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"'{key}' is {value}; it must be at least 1")
    shape = (images.shape[1], images.shape[2], images.shape[3])
    together = max(1, batch_size // count)
    step = min(batch_size, count)
    for first in range(0, len(images), together):
        some = slice(first, min(first + together, len(images)))
        draws = [
            draw_copies(shape, count, image_id, seed_name, settings).each(
                lambda drawn: drawn.to(images.device)
            )
            for image_id in image_ids[some].tolist()
        ]
        for start in range(0, count, step):
            part = slice(start, min(start + step, count))
            copies = [
                apply_draws(
                    image.expand(part.stop - start, -1, -1, -1),
                    draw.each(lambda drawn, part=part: drawn[part]),  # type: ignore[misc]
                )
                for image, draw in zip(images[some], draws, strict=True)
            ]
            yield some, part, torch.stack(copies)


def augmented(
    images: Tensor,
    count: int,
    image_ids: Tensor,
    seed_name: str,
    settings: Mapping[str, Any] = PUBLISHED,
) -> Tensor:
    """Augmented copies of a batch of images, each with a draw of its own.

    torchvision draws also the order of the changes of colour; here it is fixed, so that a batch can
    be treated as a whole.

    Parameters
    ----------
    images : float32 [B, C, H, W] in [0, 1].
    count : copies of each image.
    image_ids : int64 [B]; with `seed_name` they seed the draws.
    seed_name, settings : see `draw_copies`.

    Returns
    -------
    float32 [B, count, C, H, W] in [0, 1], on the device of `images`.

    Raises
    ------
    InputError
        When the settings or the count cannot be used.

    Reference
    ---------
    Soltani Moakhar et al. 2024, arXiv 2310.04519.
    """
    result = images.new_empty(len(images), max(count, 0), *images.shape[1:])
    for rows, places, copies in copy_batches(images, count, image_ids, seed_name, settings):
        result[rows, places] = copies
    return result
