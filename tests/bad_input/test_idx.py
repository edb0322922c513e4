"""Damaged files of MNIST, whose checksums are those of the damage, up to the packed data."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.data.packing import pack
from tests.bad_input.counting import Tried
from tests.bad_input.damage import damaged_bytes
from tests.unit.data.conftest import idx_bytes, mnist_for, small_archive

PROFILE = settings.get_profile("bad_input")
PARTS = [
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
]


class Archive:
    """A small MNIST of which one file is replaced at a time."""

    def __init__(self, folder: Path) -> None:
        self.top, self.folder = folder, folder / "mnist"
        self.files = small_archive(self.folder, train=12, test=10)

    def packed_with(self, name: str, content: bytes) -> None:
        """Pack it with a file replaced, under the replacement's own checksum."""
        (self.folder / name).write_bytes(content)
        pack(mnist_for(self.folder), {}, self.folder, self.top / "packed" / "mnist")

    def put_back(self, name: str) -> None:
        """Make it whole again."""
        (self.folder / name).write_bytes(self.files[name])
        shutil.rmtree(self.top / "packed", ignore_errors=True)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return Archive(tmp_path_factory.mktemp("idx"))


def try_file(tried: Tried, archive: Archive, name: str, content: bytes) -> str | None:
    packed = archive.top / "packed"
    packed.mkdir(exist_ok=True)
    try:
        return tried(lambda: archive.packed_with(name, content), [name, "mnist"], packed)
    finally:
        archive.put_back(name)


@settings(PROFILE, max_examples=60)
@given(data=st.data(), name=st.sampled_from(PARTS), inside=st.booleans())
def test_damage_to_the_gzip_or_to_what_is_in_it(
    tried: Tried, archive: Archive, data: st.DataObject, name: str, inside: bool
) -> None:
    whole = archive.files[name]
    if inside:
        content = gzip.compress(data.draw(damaged_bytes(gzip.decompress(whole))), 1, mtime=0)
    else:
        content = data.draw(damaged_bytes(whole))
    try_file(tried, archive, name, content)


IMAGES, LABELS = PARTS[2], PARTS[3]
SIDE = np.zeros((10, 28, 28), np.uint8)
HUGE = bytes([0, 0, 8, 3]) + (2**32 - 1).to_bytes(4, "big") * 3


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (IMAGES, idx_bytes(SIDE, kind=9), "no idx file of bytes with 3 dimensions"),
        (IMAGES, idx_bytes(SIDE[0]), "no idx file of bytes"),
        (IMAGES, idx_bytes(SIDE[:9]), "10 labels for 9 images"),
        (IMAGES, idx_bytes(SIDE[:, :14]), "images of uint8"),
        (IMAGES, idx_bytes(SIDE)[:-1], "7839 of the 7840 values"),
        (IMAGES, idx_bytes(SIDE) + b"\0", "7841 of the 7840 values"),
        (IMAGES, HUGE, "0 of the"),
        (IMAGES, idx_bytes(np.zeros((10, 0, 28), np.uint8)), "images of uint8"),
        (LABELS, idx_bytes(np.full(10, 10, np.uint8)), "label outside 0..9"),
        (LABELS, idx_bytes(np.zeros(0, np.uint8)), "0 labels for 10 images"),
        (LABELS, bytes([0, 0, 8, 1, 255, 255, 255, 255]), "0 of the"),
        (LABELS, b"\0\0", "no idx file of bytes"),
    ],
)
def test_each_mistake_has_its_reason(
    tried: Tried, archive: Archive, name: str, content: bytes, reason: str
) -> None:
    sentence = try_file(tried, archive, name, gzip.compress(content))
    assert sentence is not None
    assert reason in sentence
