"""Photographs and masks that are damaged, something else, or far too large."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sparsight.data.pictures import picture_size, read_masks, read_picture, read_whole
from tests.bad_input.counting import Tried
from tests.bad_input.damage import damaged_bytes

PROFILE = settings.get_profile("bad_input")
# Pillow warns of damaged notes in a picture, which say nothing of its pixels.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def saved(mode: str, kind: str, size: tuple[int, int] = (24, 20), **options: Any) -> bytes:
    """A picture in a format of Pillow's."""
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    image = Image.fromarray(values)
    image = image if mode == "RGB" else image.convert("L" if mode[0] in "IF" else mode)
    image = image.convert(mode[:1]) if mode[0] in "IF" else image
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png(width: int, height: int, *more: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG file, written by hand, of zeros; only the header is as large as it says."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    lines = zlib.compress(bytes(min(2**24, (2 + width * depth // 8) * height)))
    parts = [chunk(b"IHDR", header), *more, chunk(b"IDAT", lines), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


WHOLE = {
    "a.jpg": saved("RGB", "JPEG"),
    "grey.jpg": saved("L", "JPEG"),
    "cmyk.jpg": saved("CMYK", "JPEG"),
    "late.jpg": saved("RGB", "JPEG", progressive=True),
    "a.png": saved("RGB", "PNG"),
    "mask.png": saved("L", "PNG"),
    "bits.png": saved("1", "PNG"),
    "palette.png": saved("P", "PNG"),
    "a.bmp": saved("RGB", "BMP"),
    "a.gif": saved("P", "GIF"),
    "a.tif": saved("RGB", "TIFF", compression="tiff_lzw"),
    "a.webp": saved("RGB", "WEBP"),
}
SIDE = 8


def uses(path: Path) -> dict[str, Callable[[], Any]]:
    """Every way in which a picture is read."""
    return {
        "photograph": lambda: read_picture(path, SIDE, "aspect"),
        "squashed": lambda: read_picture(path, SIDE, "squash"),
        "mask": lambda: read_masks([path], [path], SIDE, "aspect"),
        "whole": lambda: read_whole(path, SIDE),
        "size": lambda: picture_size(path),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@settings(PROFILE, max_examples=120)
@given(data=st.data(), name=st.sampled_from(sorted(WHOLE)), use=st.sampled_from(list(uses(Path()))))
def test_damaged_pictures(
    tried: Tried, folder: Path, data: st.DataObject, name: str, use: str
) -> None:
    path = folder / name
    path.write_bytes(data.draw(damaged_bytes(WHOLE[name])))
    found: list[Any] = []
    if (
        tried(lambda: found.append(uses(path)[use]()), [str(path)], folder) is None
        and use != "size"
    ):
        assert found[0].dtype == np.uint8
        assert max(found[0].shape) == SIDE
    path.unlink()


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_whole_pictures_are_read(folder: Path, name: str) -> None:
    path = folder / f"whole_{name}"
    path.write_bytes(WHOLE[name])
    for read in uses(path).values():
        read()


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) (w) file\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script/></svg>'
WRONG = {
    "nothing": b"",
    "html": b"<html>moved</html>",
    "postscript": EPS,
    "svg": SVG,
    "zip": b"PK\x03\x04" + bytes(40),
    "no pixels": png(0, 0),
    "no height": png(5, 0),
    "billions of pixels": png(60_000, 60_000),
    "most of both": png(2**31 - 1, 2**31 - 1),
    "above the limit": png(8193, 8192, depth=1),
    "16 bits grey": png(4, 4, depth=16),
    "32 bits": saved("I", "TIFF"),
    "floats": saved("F", "TIFF"),
    "a text that unpacks to a gigabyte": png(
        4, 4, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27), 9))
    ),
    "a huge PPM": b"P6 99999 99999 255\n" + bytes(99),
    "a PPM of no number": b"P6 a b 255\n",
    "half a JPEG": WHOLE["a.jpg"][: len(WHOLE["a.jpg"]) // 2],
    "half a PNG": WHOLE["a.png"][: len(WHOLE["a.png"]) // 2],
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_is_no_picture_is_refused_without_taking_memory(
    tried: Tried, folder: Path, name: str
) -> None:
    path = folder / "wrong.jpg"
    path.write_bytes(WRONG[name])
    tracemalloc.start()
    for use in ("photograph", "mask"):
        tried.refused(uses(path)[use], [str(path)], folder)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**24


@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000)])
def test_a_line_that_would_become_a_huge_image(
    tried: Tried, folder: Path, size: tuple[int, int]
) -> None:
    """A hundred bytes; with the shorter side at 40, a hundred million pixels."""
    path = folder / "line.png"
    path.write_bytes(png(*size))
    sentence = tried.refused(lambda: read_picture(path, 40, "aspect"), [str(path)], folder)
    assert "pixels become" in sentence
    assert read_picture(path, 8, "squash").shape == (3, 8, 8)


def test_no_program_is_started(tried: Tried, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would give PostScript to Ghostscript, whatever the file is called."""

    def started(*arguments: object, **_: object) -> None:
        raise AssertionError(f"started {arguments}")

    monkeypatch.setattr("subprocess.check_call", started)
    monkeypatch.setattr("PIL.EpsImagePlugin.has_ghostscript", lambda: True)
    (folder / "b.jpg").write_bytes(EPS)
    tried.refused(uses(folder / "b.jpg")["photograph"], [str(folder / "b.jpg")], folder)
