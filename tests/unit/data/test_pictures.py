"""Decoding and resizing, against arithmetic and against Pillow itself."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sparsight.data import pictures
from sparsight.data.pictures import (
    Frame,
    picture_size,
    read_masks,
    read_picture,
    read_pictures,
    read_whole,
    read_whole_mask,
)
from sparsight.io.errors import CorruptFile, InputError


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


def test_masks_of_another_size_lie_over_the_photograph(tmp_path: Path) -> None:
    small = np.zeros((30, 40), np.uint8)
    small[10:20, 15:25] = 255
    Image.fromarray(small).save(tmp_path / "small.png")
    Image.fromarray(small.repeat(3, axis=0).repeat(3, axis=1)).save(tmp_path / "large.png")
    small_mask, large_mask = read_masks(
        [tmp_path / "small.png", tmp_path / "large.png"], [tmp_path / "small.png"] * 2, 30, "aspect"
    )
    assert small_mask.dtype == np.uint8
    assert (small_mask == read_pictures([tmp_path / "small.png"], 30, "aspect")[0, 0]).all()
    # The same field: equal but for the rim.
    assert ((small_mask > 127) == (large_mask > 127)).all()
    assert small_mask.sum() == 255 * 100


@pytest.mark.parametrize("read", ["packed", "measured"])
def test_masks_saved_as_0_and_1_are_refused(tmp_path: Path, read: str) -> None:
    """Soft masks stay as they are, and so do empty ones; only the scale is held against 255."""
    box = np.zeros((30, 40), np.uint8)
    box[10:20, 15:25] = 1

    def mask_of(factor: int) -> np.ndarray:
        path = save(tmp_path / f"mask_{factor}.png", box * factor)
        if read == "packed":
            return read_masks([path], [path], 30, "aspect")[0]
        return read_whole_mask(path, path, (40, 30))

    for largest in (0, 153, 255):
        assert mask_of(largest).max() == largest
    # 0 and 1, the classes of a trimap, the grey of a palette's dark red
    for largest in (1, 3, 38):
        with pytest.raises(InputError, match=rf"mask_{largest}\.png has {largest} as its largest"):
            mask_of(largest)


@pytest.mark.parametrize("read", ["packed", "measured"])
def test_masks_of_another_ratio_than_the_photograph_are_refused(tmp_path: Path, read: str) -> None:
    def mask_of(size: tuple[int, int], photograph: tuple[int, int]) -> None:
        Image.new("L", size, 255).save(tmp_path / "mask.png")
        Image.new("RGB", photograph).save(tmp_path / "photograph.png")
        paths = tmp_path / "mask.png", tmp_path / "photograph.png"
        if read == "packed":
            read_masks([paths[0]], [paths[1]], 30, "aspect")
        else:
            read_whole_mask(*paths, (40, 30))

    # equal fields, each side rounded up, down or to the nearest
    for size, photograph in (
        ((600, 450), (200, 150)),
        ((500, 333), (167, 111)),
        ((167, 111), (500, 333)),
        ((33, 50), (334, 500)),
        ((34, 50), (334, 500)),
        ((500, 374), (500, 375)),
    ):
        mask_of(size, photograph)
    # squashed to a square, cropped, turned
    for size, photograph in (
        ((600, 450), (224, 224)),
        ((450, 450), (600, 450)),
        ((45, 60), (60, 45)),
    ):
        with pytest.raises(InputError, match=r"mask\.png has .* and .*photograph\.png"):
            mask_of(size, photograph)


def test_a_whole_image(tmp_path: Path) -> None:
    Image.fromarray(np.full((60, 80, 3), (200, 100, 50), np.uint8)).save(tmp_path / "a.png")
    assert picture_size(tmp_path / "a.png") == (80, 60)
    whole = read_whole(tmp_path / "a.png", 40)
    assert whole.shape == (30, 40, 3)
    assert (whole == (200, 100, 50)).all()
    save(tmp_path / "mask.png", np.full((30, 40), 255, np.uint8))
    mask = read_whole_mask(tmp_path / "mask.png", tmp_path / "a.png", (7, 5))
    assert mask.shape == (5, 7)
    assert (mask == 255).all()
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(CorruptFile, match=r"a\.png is not an image that can be read"):
        picture_size(tmp_path / "a.png")


def test_large_arrays_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    small = read_pictures([tmp_path / "a.png"] * 3, 16, "squash")
    assert not isinstance(small, np.memmap)
    monkeypatch.setattr(pictures, "LARGE_BYTES", 1000)
    large = read_pictures([tmp_path / "a.png"] * 3, 16, "squash")
    assert isinstance(large, np.memmap)
    assert (large == small).all()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures.os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"has no room for 0 MiB \(No space left.*\$TMPDIR"):
        read_pictures([tmp_path / "a.png"] * 3, 16, "squash")


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
