"""Decoding and resizing, against arithmetic and against Pillow itself."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sparsight.data.pictures import read_picture, read_pictures
from sparsight.io.errors import CorruptFile


def save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def test_aspect_keeps_the_middle(tmp_path: Path) -> None:
    """Three stripes of 10 columns; the middle one is what is left of 30×10 pixels."""
    values = np.zeros((10, 30, 3), np.uint8)
    values[:, :10, 0], values[:, 10:20, 1], values[:, 20:, 2] = 200, 100, 50
    path = save(tmp_path / "wide.png", values)
    found = read_picture(path, 10, "aspect")
    assert found.shape == (3, 10, 10)
    assert found[:, 5, 5].tolist() == [0, 100, 0]
    assert (found[1] == 100).all()
    tall = read_picture(save(tmp_path / "tall.png", values.transpose(1, 0, 2)), 10, "aspect")
    assert (tall == found.transpose(0, 2, 1)).all()


def test_squash_keeps_everything(tmp_path: Path) -> None:
    values = np.zeros((10, 30, 3), np.uint8)
    values[:, :10, 0], values[:, 10:20, 1], values[:, 20:, 2] = 200, 100, 50
    found = read_picture(save(tmp_path / "wide.png", values), 9, "squash")
    assert found[:, 4].argmax(axis=0).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    """A chequerboard of single pixels is grey from afar; without antialiasing it would not be."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = read_picture(save(tmp_path / "board.png", board), 8, "squash")
    assert np.abs(found.astype(int) - 127).max() <= 2


@pytest.mark.parametrize(("width", "height"), [(37, 50), (51, 30), (33, 33), (20, 90)])
def test_the_crop_is_torchvisions(tmp_path: Path, width: int, height: int) -> None:
    """int(side · longer / shorter), then a margin of round(rest / 2): worked out once more."""
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    side = 16
    if width < height:
        new_width, new_height = side, int(side * height / width)
    else:
        new_width, new_height = int(side * width / height), side
    left, top = round((new_width - side) / 2.0), round((new_height - side) / 2.0)
    whole = Image.fromarray(values).resize((new_width, new_height), Image.Resampling.BILINEAR)
    expected = np.asarray(whole)[top : top + side, left : left + side]
    found = read_picture(save(tmp_path / "image.png", values), side, "aspect")
    assert (found == expected.transpose(2, 0, 1)).all()


def test_other_modes_become_rgb(tmp_path: Path) -> None:
    grey = np.full((8, 8), 77, np.uint8)
    assert (read_picture(save(tmp_path / "grey.png", grey), 4, "aspect") == 77).all()
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    found = read_picture(tmp_path / "cmyk.jpg", 4, "aspect")
    assert found[0].min() > 240
    assert found[1:].max() < 15


def test_order_and_errors(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / f"{level}.png", np.full((5, 5), level, np.uint8)) for level in range(20)
    ]
    found = read_pictures(paths, 5, "aspect")
    assert found[:, 0, 0, 0].tolist() == list(range(20))
    assert read_pictures([], 5, "aspect").shape == (0, 3, 5, 5)
    whole = paths[7].read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        paths[7].write_bytes(content)
        with pytest.raises(CorruptFile, match=r"7\.png is not an image that can be read"):
            read_pictures(paths, 5, "aspect")
