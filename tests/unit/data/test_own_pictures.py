"""Pictures of every kind, against values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sparsight.data.own_pictures import (
    Undecodable,
    decode_upright,
    look_at,
    read_own_masks,
    read_own_pictures,
)
from sparsight.data.pictures import read_picture
from sparsight.io.errors import CorruptFile, InputError

# Left half and right half, so that a turned picture shows.
HALVES = np.zeros((4, 6, 3), np.uint8)
HALVES[:, :3] = (200, 100, 50)
HALVES[:, 3:] = (10, 20, 30)


def pixels(path: Path, channels: int = 3) -> np.ndarray:
    return np.asarray(decode_upright(path, channels))


def saved(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def test_opaque_pictures_are_those_of_the_dedicated_sources(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (40, 60, 3), np.uint8)
    for name, picture in (
        ("colour.jpg", Image.fromarray(values)),
        ("grey.jpg", Image.fromarray(values[:, :, 0])),
        ("palette.png", Image.fromarray(values).quantize(16)),
        ("cmyk.jpg", Image.fromarray(values).convert("CMYK")),
    ):
        path = saved(tmp_path / name, picture)
        for resize in ("aspect", "squash"):
            found = read_own_pictures([path], (3, 16, 16), resize)[0]
            assert (found == read_picture(path, 16, resize)).all(), name


def test_cmyk_is_what_it_was(tmp_path: Path) -> None:
    """Ink of 0, 50% and 100% in three patches; TIFF keeps the numbers."""
    ink = np.zeros((2, 3, 4), np.uint8)
    ink[:, 1, 0], ink[:, 2, 3] = 255, 255
    found = pixels(saved(tmp_path / "a.tif", Image.fromarray(ink, "CMYK")))
    assert found[0].tolist() == [[255, 255, 255], [0, 255, 255], [0, 0, 0]]


@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [(1, (6, 4), 200), (2, (6, 4), 10), (3, (6, 4), 10), (6, (4, 6), 200), (8, (4, 6), 10)],
)
@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
def test_exif_turns(
    tmp_path: Path, orientation: int, size: tuple, corner: int, ending: str
) -> None:
    """6 wants a quarter turn clockwise, so the left half comes up; 8 the other way."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exact = {"quality": 100, "subsampling": 0} if ending == "jpg" else {}
    path = saved(tmp_path / f"turned.{ending}", Image.fromarray(HALVES), exif=exif, **exact)
    seen = look_at(path)
    assert (seen.width, seen.height) == size
    found = pixels(path)
    assert found.shape == (size[1], size[0], 3)
    assert abs(int(found[0, 0, 0]) - corner) <= (5 if exact else 0)


def test_what_is_see_through_is_white(tmp_path: Path) -> None:
    """Opaque, half and not there: 100, (100 · 128 + 255 · 127) / 255 = 177.2, 255."""
    values = np.full((1, 3, 4), 100, np.uint8)
    values[0, :, 3] = (255, 128, 0)
    found = pixels(saved(tmp_path / "a.png", Image.fromarray(values)))
    assert found[0, :, 0].tolist() == [100, 177, 255]
    grey = Image.fromarray(values[:, :, [0, 3]], "LA")
    assert pixels(saved(tmp_path / "la.png", grey), 1)[0].tolist() == [100, 177, 255]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([9, 9, 9, 70, 80, 90])
    path = saved(tmp_path / "p.gif", palette, transparency=0)
    assert pixels(path)[0].tolist() == [[255, 255, 255], [70, 80, 90]]


def test_16_bits(tmp_path: Path) -> None:
    """Of the range of the type, not of the picture: 257 steps of 16 bits are one of 8."""
    values = np.array([[0, 257, 128 * 257 + 128, 128 * 257 + 129, 65535]], np.uint16)
    for name in ("deep.png", "deep.tif"):
        path = saved(tmp_path / name, Image.fromarray(values))
        assert look_at(path).grey
        assert pixels(path, 1)[0].tolist() == [0, 1, 128, 129, 255]
        assert pixels(path, 3)[0, 1].tolist() == [1, 1, 1]
    for odd in (np.array([[70000]], np.int32), np.array([[-1]], np.int32)):
        with pytest.raises(CorruptFile, match="not within 0 and 65535"):
            pixels(saved(tmp_path / "odd.tif", Image.fromarray(odd)))
    path = saved(tmp_path / "float.tif", Image.fromarray(np.zeros((2, 2), np.float32)))
    for work in (look_at, pixels):
        with pytest.raises(CorruptFile, match="floating-point"):
            work(path)


def test_what_is_grey(tmp_path: Path) -> None:
    ramp = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    grey = [
        saved(tmp_path / "a.jpg", ramp),
        saved(tmp_path / "b.png", ramp.convert("1")),
        saved(tmp_path / "c.png", ramp.convert("LA")),
        saved(tmp_path / "d.gif", ramp),
    ]
    assert all(look_at(path).grey for path in grey)
    colour = Image.fromarray(HALVES)
    for path in (
        saved(tmp_path / "e.png", colour),
        saved(tmp_path / "f.gif", colour),
        saved(tmp_path / "g.png", colour.quantize(4)),
    ):
        assert not look_at(path).grey


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "bmp", "gif"])
def test_damage_is_seen_without_decoding_what_is_whole(tmp_path: Path, ending: str) -> None:
    values = np.random.default_rng(1).integers(0, 256, (80, 80, 3), np.uint8)
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(values))
    look_at(path)
    content = path.read_bytes()
    for damaged in (b"", content[:20], content[: len(content) // 2], b"no image at all"):
        path.write_bytes(damaged)
        with pytest.raises(CorruptFile, match="not an image that can be read"):
            look_at(path)
    path.unlink()
    with pytest.raises(InputError, match="does not exist"):
        look_at(path)


def test_all_that_cannot_be_decoded_are_named(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.png", Image.fromarray(HALVES))
    bad = [tmp_path / f"bad{n}.png" for n in range(2)]
    for path in bad:
        path.write_bytes(good.read_bytes()[:-30])
    with pytest.raises(Undecodable, match=r"2 of 3 pictures .*bad0\.png.*bad1\.png") as caught:
        read_own_pictures([bad[0], good, bad[1]], (3, 4, 6), "keep")
    assert caught.value.positions == [0, 2]
    with pytest.raises(Undecodable, match="6×4 pixels, unlike the others"):
        read_own_pictures([good], (3, 5, 6), "keep")


def test_sizes_that_are_kept_need_not_be_square(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(HALVES))
    assert (read_own_pictures([path], (3, 4, 6), "keep")[0] == HALVES.transpose(2, 0, 1)).all()
    grey = read_own_pictures([path], (1, 4, 6), "keep")
    assert grey.shape == (1, 1, 4, 6)
    # 0.299 R + 0.587 G + 0.114 B
    assert grey[0, 0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


def test_masks_of_0_and_1_and_of_other_values(tmp_path: Path) -> None:
    photograph = saved(tmp_path / "photo.png", Image.fromarray(HALVES))
    values = np.zeros((4, 6), np.uint8)
    values[:, :3] = 1
    expected = 255 * values

    def mask(array: np.ndarray) -> np.ndarray:
        path = saved(tmp_path / "mask.png", Image.fromarray(array))
        return read_own_masks([path], [photograph], (3, 4, 6), "keep")[0]

    for array in (values, 255 * values, values.astype(bool), values.astype(np.uint16)):
        assert (mask(array) == expected).all()
    assert (mask(values.astype(np.uint16) * 65535) == expected).all()
    assert (mask(200 * values) == 200 * values).all()
    assert not mask(0 * values).any()
    # Twice as large, it shows the same field.
    assert (mask(np.kron(values, np.ones((2, 2), np.uint8))) == expected).mean() > 0.6
    for odd in (2, 127):
        with pytest.raises(CorruptFile, match=f"largest value is {odd}"):
            mask(odd * values)
    with pytest.raises(InputError, match=r"mask\.png has 4×6 pixels and .*photo\.png 6×4"):
        mask(values.T)
