"""Stickers: always the same bytes, and nothing changes outside of them."""

import hashlib

import numpy as np
import pytest

from sparsight.data.sources.trojaned import SMALLEST_SIDE, STICKERS, paste

GREY = 128


def pasted(
    sticker: str, side: int, size: int = 64, channels: int = 3, ground: int = GREY
) -> tuple[np.ndarray, np.ndarray]:
    image = np.full((channels, size, size), ground, np.uint8)
    return image, paste(image, sticker, side, 5, 9)


def test_the_same_bytes_on_every_machine() -> None:
    """A change here is a change of every published number that rests on these stickers."""
    digest = hashlib.sha256()
    for sticker in STICKERS:
        for side in (SMALLEST_SIDE, 12, 16, 37):
            for array in pasted(sticker, side):
                digest.update(array.tobytes())
    assert digest.hexdigest() == (
        "588282293f330a851de6ebb77754f404941d338e9343d7dccb65382cc9f7816a"
    )


@pytest.mark.parametrize("sticker", STICKERS)
@pytest.mark.parametrize("side", [SMALLEST_SIDE, 13, 16, 40])
def test_the_mask_is_where_the_image_changes(sticker: str, side: int) -> None:
    image, mask = pasted(sticker, side)
    changed = (image != GREY).any(axis=0)
    assert not changed[mask == 0].any()
    # A mixture of colours may be the very grey of the ground, but not of another ground too.
    other, same = pasted(sticker, side, ground=90)
    assert (same == mask).all()
    changed |= (other != 90).any(axis=0)
    assert changed[mask > 0].all()
    window = np.zeros_like(changed)
    window[5 : 5 + side, 9 : 9 + side] = True
    assert not changed[~window].any()
    # It fills its square across, up to a sample, and is soft at its rim.
    covered = np.flatnonzero(mask.any(axis=0))
    assert (covered[0], covered[-1]) == (9, 9 + side - 1)
    assert (mask == 255).any()
    assert ((mask > 0) & (mask < 255)).any()


def test_areas_are_those_of_the_figures() -> None:
    share = {name: pasted(name, 60, 80)[1].sum() / 255 / 60**2 for name in STICKERS}
    # A disc of radius .98 in a square of side 2.
    assert share["smiley"] == pytest.approx(np.pi * 0.98**2 / 4, abs=2e-3)
    # A body (an ellipse), and a tail of two triangles of which it hides a part.
    assert np.pi * 0.76 * 0.58 / 4 < share["fish"] < np.pi * 0.76 * 0.58 / 4 + 0.6 * 0.66 / 4
    assert 0.25 < share["star"] < 0.4
    assert 0.55 < share["heart"] < 0.75


@pytest.mark.parametrize("sticker", ["smiley", "heart", "star"])
def test_three_of_them_are_symmetric(sticker: str) -> None:
    image, mask = pasted(sticker, 30)
    inner = mask[5:35, 9:39]
    # A sample that lies on an edge belongs to one side only.
    assert np.abs(inner.astype(int) - inner[:, ::-1]).max() <= 2 * 255 // 16
    assert np.abs(image.astype(int)[:, 5:35, 9:39] - image[:, 5:35, 38:8:-1]).max() <= 64


def test_a_figure_has_the_same_area_at_every_size() -> None:
    for sticker in STICKERS:
        small, large = (pasted(sticker, side, 300)[1].sum() / side**2 for side in (12, 240))
        assert small == pytest.approx(large, rel=0.04)


def test_grey_images_take_the_luminance() -> None:
    grey, mask = pasted("smiley", 24, channels=1)
    colour, same = pasted("smiley", 24)
    assert (mask == same).all()
    luminance = np.tensordot([0.299, 0.587, 0.114], colour.astype(float), 1)
    assert np.abs(grey[0] - luminance).max() <= 2


def test_what_lies_under_the_rim_shines_through() -> None:
    image = np.zeros((3, 40, 40), np.uint8)
    mask = paste(image, "heart", 30, 5, 5)
    rim = (mask > 0) & (mask < 255)
    below = mask.astype(int)
    # White over black is the share that is covered; the filling does not reach the outer pixels.
    outer = rim & (image[0] == image[1])
    assert outer.sum() > 20
    assert np.abs(image[0].astype(int) - below)[outer].max() <= 1
