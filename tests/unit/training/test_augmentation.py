"""Augmentation: answers on paper, what is drawn, and which settings are refused."""

from typing import Any

import pytest
import torch

from sparsight.io.errors import InputError
from sparsight.training import augmentation
from sparsight.training.augmentation import Boxes, augment, crop_and_flip, draw_boxes, jitter
from sparsight.training.loop import generator

CPU = torch.device("cpu")
EVERYTHING: dict[str, Any] = {
    "random_resized_crop": {"scale": [0.2, 1.0]},
    "flip": True,
    "colour_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
}


def boxes(*values: tuple[int, int, int, int]) -> Boxes:
    """Crops (top, left, height, width)."""
    return Boxes(*torch.tensor(values, dtype=torch.float32).T)


def test_a_crop_by_hand() -> None:
    # four columns 0 1 2 3; the middle two, enlarged twice: 1, 1.25, 1.75, 2 and never 0 or 3
    image = torch.arange(4.0).expand(1, 1, 4, 4)
    found = crop_and_flip(image, boxes((1, 1, 2, 2)), None)
    assert torch.allclose(found, torch.tensor([1, 1.25, 1.75, 2]).expand(1, 1, 4, 4))
    mirrored = crop_and_flip(image, boxes((1, 1, 2, 2)), torch.tensor([True]))
    assert torch.allclose(mirrored, found.flip(3))


def test_whole_images_stay_as_they_are() -> None:
    images = torch.rand(3, 3, 5, 7)
    whole = boxes(*[(0, 0, 5, 7)] * 3)
    assert torch.allclose(crop_and_flip(images, whole, None), images, atol=1e-5)
    found = crop_and_flip(images, None, torch.tensor([True, False, True]))
    assert torch.equal(found, torch.stack((images[0].flip(2), images[1], images[2].flip(2))))
    assert torch.equal(augment(images, {}, generator(CPU, 0)), images)


def test_crops_lie_inside_and_keep_to_their_bounds() -> None:
    found = draw_boxes(2000, (64, 64), (0.2, 0.5), (0.5, 2.0), generator(CPU, 0))
    for start, length in ((found.top, found.height), (found.left, found.width)):
        assert ((start >= 0) & (start + length <= 64) & (length >= 1)).all()
        assert torch.equal(length, length.round())
        assert (start == 0).any()
        assert (start + length == 64).any()
    # sides are rounded to whole pixels
    area = found.height * found.width / 64**2
    assert 0.19 < area.min() < 0.22
    assert 0.48 < area.max() < 0.52
    ratio = found.width / found.height
    assert 0.48 < ratio.min() < 0.55
    assert 1.8 < ratio.max() < 2.1


def test_colours_by_hand() -> None:
    pixel = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)
    luma = 0.2989 + 0.5 * 0.587

    def after(change: Any, factor: float) -> list[float]:
        return change(pixel, torch.tensor([factor])).flatten().tolist()

    assert after(augmentation.adjust_brightness, 0.5) == pytest.approx([0.5, 0.25, 0.0])
    assert after(augmentation.adjust_brightness, 3.0) == pytest.approx([1.0, 1.0, 0.0])
    assert after(augmentation.adjust_saturation, 0.0) == pytest.approx([luma] * 3)
    assert after(augmentation.adjust_contrast, 0.0) == pytest.approx([luma] * 3)
    # orange, 30 degrees; a third of a turn further it is spring green, 150 degrees
    assert after(augmentation.adjust_hue, 1 / 3) == pytest.approx([0.0, 1.0, 0.5], abs=1e-6)
    # and from there on violet, 270 degrees, and orange again: every channel has been the largest
    green = torch.tensor([0.0, 1.0, 0.5]).view(1, 3, 1, 1).expand(2, -1, -1, -1)
    turned = augmentation.adjust_hue(green, torch.tensor([1 / 3, -1 / 3])).flatten()
    assert turned.tolist() == pytest.approx([0.5, 0.0, 1.0, 1.0, 0.5, 0.0], abs=1e-6)
    violet = turned[:3].view(1, 3, 1, 1)
    back = augmentation.adjust_hue(violet, torch.tensor([-1 / 3])).flatten()
    assert back.tolist() == pytest.approx([0.0, 1.0, 0.5], abs=1e-6)
    assert after(augmentation.adjust_hue, 0.0) == pytest.approx([1.0, 0.5, 0.0], abs=1e-6)


def test_every_image_has_parameters_of_its_own_and_of_its_draw() -> None:
    images = torch.rand(1, 3, 16, 16).expand(8, -1, -1, -1)
    found = augment(images, EVERYTHING, generator(CPU, 0))
    assert len({image.numpy().tobytes() for image in found}) == 8
    assert torch.equal(found, augment(images, EVERYTHING, generator(CPU, 0)))
    assert not torch.equal(found, augment(images, EVERYTHING, generator(CPU, 1)))
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.dtype == torch.float32


def test_half_of_the_images_are_mirrored() -> None:
    images = torch.zeros(4000, 1, 1, 2)
    images[..., 0] = 1
    flipped = augment(images, {"flip": True}, generator(CPU, 0))[:, 0, 0, 1].mean().item()
    assert abs(flipped - 0.5) < 3 * 0.5 / 4000**0.5
    assert torch.equal(augment(images, {"flip": False}, generator(CPU, 0)), images)


def test_jitter_stays_within_its_strength() -> None:
    images = torch.full((2000, 3, 1, 1), 0.5)
    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    found = jitter(images, {**none, "brightness": 0.4}, generator(CPU, 0))[:, 0].flatten() / 0.5
    assert 0.6 <= found.min() < 0.61
    assert 1.39 < found.max() <= 1.4 + 1e-6
    assert torch.equal(jitter(images, none, generator(CPU, 0)), images)


def test_grey_images_have_no_hue() -> None:
    images = torch.rand(2, 1, 8, 8)
    assert augment(images, {"colour_jitter": {"contrast": 0.3}}, generator(CPU, 0)).shape[1] == 1
    with pytest.raises(InputError, match="three channels only"):
        augment(images, {"colour_jitter": {"hue": 0.1}}, generator(CPU, 0))
