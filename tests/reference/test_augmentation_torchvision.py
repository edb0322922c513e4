"""Augmentation of a whole batch equals torchvision's of each image, given the same parameters."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as theirs

from sparsight.training import augmentation
from sparsight.training.loop import generator

CPU = torch.device("cpu")
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def pictures(count: int = 24, size: tuple[int, int] = (33, 47)) -> torch.Tensor:
    """Random images, some of them with grey and with saturated pixels."""
    images = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))
    images[0] = images[0, :1]
    images[1] = images[1].round()
    return images


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_crops_are_enlarged_and_mirrored_alike(size: tuple[int, int]) -> None:
    images = pictures(size=size)
    boxes = augmentation.draw_boxes(len(images), size, SCALE, RATIO, generator(CPU, 3))
    flipped = torch.arange(len(images)) % 3 == 0
    found = augmentation.crop_and_flip(images, boxes, flipped)
    for index, image in enumerate(images):
        box = [int(side[index]) for side in (boxes.top, boxes.left, boxes.height, boxes.width)]
        expected = theirs.resized_crop(image, *box, size=list(size), antialias=True)
        if flipped[index]:
            expected = theirs.horizontal_flip(expected)
        assert (found[index] - expected).abs().max() < 1e-5, index


@pytest.mark.parametrize(
    ("ours", "reference", "least", "most"),
    [
        (augmentation.adjust_brightness, theirs.adjust_brightness, 0.0, 2.0),
        (augmentation.adjust_contrast, theirs.adjust_contrast, 0.0, 2.0),
        (augmentation.adjust_saturation, theirs.adjust_saturation, 0.0, 2.0),
        (augmentation.adjust_hue, theirs.adjust_hue, -0.5, 0.5),
    ],
)
def test_colours_change_alike(
    ours: Callable[..., torch.Tensor], reference: Any, least: float, most: float
) -> None:
    images = pictures()
    factors = torch.linspace(least, most, len(images))
    found = ours(images, factors)
    expected = [reference(image, float(f)) for image, f in zip(images, factors, strict=True)]
    assert (found - torch.stack(expected)).abs().max() < 1e-5


def test_crops_are_drawn_alike() -> None:
    size, count = (40, 60), 4000
    torch.manual_seed(0)
    image = torch.zeros(1, *size)
    drawn = [RandomResizedCrop.get_params(image, list(SCALE), list(RATIO)) for _ in range(count)]
    expected = torch.tensor(drawn, dtype=torch.float32)
    boxes = augmentation.draw_boxes(count, size, SCALE, RATIO, generator(CPU, 0))
    found = torch.stack((boxes.top, boxes.left, boxes.height, boxes.width), 1)
    # means of both, and of the squares, within three standard errors of their difference
    for power in (1, 2):
        a, b = found**power, expected**power
        error = ((a.var(0) + b.var(0)) / count).sqrt()
        assert ((a.mean(0) - b.mean(0)).abs() <= 3 * error).all()


@pytest.mark.parametrize("size", [(10, 80), (80, 10), (40, 40)])
def test_what_never_fits_is_cropped_in_the_middle_alike(size: tuple[int, int]) -> None:
    ratio = (0.5, 1.5) if size != (40, 40) else (3.0, 4.0)
    scale = (1.0, 1.0)
    expected = RandomResizedCrop.get_params(torch.zeros(1, *size), list(scale), list(ratio))
    boxes = augmentation.draw_boxes(2, size, scale, ratio, generator(CPU, 0))
    found = [int(side[1]) for side in (boxes.top, boxes.left, boxes.height, boxes.width)]
    assert found == list(expected)
