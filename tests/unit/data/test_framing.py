"""Boxes and points follow the pixels of a photograph into the square."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sparsight.data.pictures import Frame, checked_resize, read_masks, read_picture
from sparsight.io.errors import InputError


def test_aspect_cuts_the_middle() -> None:
    frame = Frame.of(40, 20, 10, "aspect")
    assert (frame.scaled, frame.left, frame.top) == ((20, 10), 5, 0)
    assert frame.place(20, 10) == (5, 5)
    assert frame.place(0, 20) == (-5, 10)
    frame = Frame.of(20, 40, 10, "squash")
    assert (frame.scaled, frame.left, frame.top) == ((10, 10), 0, 0)
    assert frame.place(20, 40) == (10, 10)


def test_a_box_covers_shares_of_pixels() -> None:
    # Half the size and nothing cut: a box from 3 to 7 and from 0 to 4 becomes 1.5 to 3.5, 0 to 2.
    mask = Frame.of(8, 8, 4, "aspect").box(3, 0, 4, 4)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 128, 255, 128], [0, 128, 255, 128], [0] * 4, [0] * 4]
    # The corner pixel is covered by half of its width and half of its height.
    assert Frame.of(8, 8, 4, "aspect").box(1, 1, 2, 2)[0, 0] == round(255 / 4)
    # What is cut off covers nothing; what reaches beyond the photograph covers up to its border.
    assert Frame.of(40, 20, 10, "aspect").box(0, 0, 5, 20).max() == 0
    assert Frame.of(8, 8, 4, "squash").box(-5, -5, 50, 50).min() == 255


def test_a_disc_has_its_area() -> None:
    frame = Frame.of(64, 64, 64, "aspect")
    disc = frame.disc(30, 20, 10)
    assert disc.sum() / 255 == pytest.approx(np.pi * 100, rel=0.01)
    assert disc[19, 29] == 255
    assert disc[20, 41] == 0
    assert Frame.of(64, 64, 64, "aspect").disc(-30, 20, 10).max() == 0


@pytest.mark.parametrize("resize", ["aspect", "squash"])
@pytest.mark.parametrize("size", [(90, 60), (60, 90), (61, 60)])
def test_a_box_lies_where_the_pixels_lie(tmp_path: Path, resize: str, size: tuple) -> None:
    width, height = size
    pixels = np.zeros((height, width), np.uint8)
    pixels[10:40, 20:50] = 255
    Image.fromarray(pixels).save(tmp_path / "box.png")
    drawn = Frame.of(width, height, 30, resize).box(20, 10, 30, 30).astype(int)
    for found in (
        read_picture(tmp_path / "box.png", 30, resize)[0],
        read_masks([tmp_path / "box.png"], [tmp_path / "box.png"], 30, resize)[0],
    ):
        # Bilinear shrinking blurs the rim by a pixel, no more.
        assert abs(found.sum() - drawn.sum()) < 0.02 * drawn.sum()
        assert ((found > 127) != (drawn > 127)).sum() <= 4


def test_resizes() -> None:
    assert checked_resize("squash") == "squash"
    with pytest.raises(InputError, match="'resize' must be one of aspect, squash, not 'crop'"):
        checked_resize("crop")
