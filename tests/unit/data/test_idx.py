"""The idx reader against small files written by hand, and every way to damage them."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsight.data.sources.mnist import read_idx
from sparsight.io.errors import CorruptFile, InputError

# Two images of 2×3 pixels, byte by byte.
CONTENT = (
    bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(250, 256)) + bytes(6)
)
PACKED = gzip.compress(CONTENT, mtime=0)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "two-images.gz"


def test_a_file_written_by_hand(path: Path) -> None:
    path.write_bytes(PACKED)
    images = read_idx(path, dimensions=3)
    assert images.dtype == np.uint8
    assert images.tolist() == [[[250, 251, 252], [253, 254, 255]], [[0, 0, 0], [0, 0, 0]]]
    assert images.flags.writeable


@given(length=st.integers(0, len(PACKED) - 1))
def test_truncated_at_any_byte(path: Path, length: int) -> None:
    path.write_bytes(PACKED[:length])
    with pytest.raises(CorruptFile, match=r"two-images\.gz is corrupt .*delete it"):
        read_idx(path, dimensions=3)


@given(length=st.integers(0, len(CONTENT) - 1))
def test_content_truncated_at_any_byte(path: Path, length: int) -> None:
    path.write_bytes(gzip.compress(CONTENT[:length], mtime=0))
    with pytest.raises(CorruptFile, match=r"two-images\.gz is corrupt"):
        read_idx(path, dimensions=3)


@given(position=st.integers(0, len(PACKED) - 1), change=st.integers(1, 255))
def test_any_damaged_byte_is_noticed_or_harmless(path: Path, position: int, change: int) -> None:
    damaged = bytearray(PACKED)
    damaged[position] ^= change
    path.write_bytes(damaged)
    try:
        images = read_idx(path, dimensions=3)
    except CorruptFile:
        return
    # Some bytes of gzip's own header (time, system) mean nothing to the content.
    assert position < 10
    assert images.tobytes() == CONTENT[16:]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (CONTENT + b"\0", "13 of the 12 values"),
        (CONTENT[:-1], "11 of the 12 values"),
        (b"\1" + CONTENT[1:], "no idx file of bytes with 3 dimensions"),
        (CONTENT[:2] + b"\x0d" + CONTENT[3:], "no idx file of bytes"),
        (CONTENT[:3] + b"\1" + CONTENT[4:], "no idx file of bytes"),
        (CONTENT[:10], "no idx file of bytes"),
        (b"", "no idx file of bytes"),
    ],
)
def test_wrong_content_is_one_sentence(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(gzip.compress(content))
    with pytest.raises(CorruptFile, match=reason) as caught:
        read_idx(path, dimensions=3)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_not_gzip(path: Path) -> None:
    path.write_bytes(b"<html>Not found</html>")
    with pytest.raises(CorruptFile, match="as gzip: Not a gzipped file"):
        read_idx(path, dimensions=3)


def test_missing_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.gz cannot be read"):
        read_idx(tmp_path / "absent.gz", dimensions=1)
    with pytest.raises(InputError, match="cannot be read"):
        read_idx(tmp_path, dimensions=1)
