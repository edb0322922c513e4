"""The MNIST source on small archives; and, where it is at hand, on the real one."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsight.data.location import find_folder, raw_folder
from sparsight.data.packed import PackedSplit
from sparsight.data.packing import pack
from sparsight.data.registry import SOURCES
from sparsight.data.sources.mnist import Mnist, read_idx
from sparsight.io.errors import CorruptFile, InputError


def replace(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content))


def test_reads_the_official_split(archive: Path, make_mnist) -> None:
    source = make_mnist(archive)
    raw = source.read({}, archive)
    source.check({}, raw)
    train, test = raw["train"], raw["test"]
    assert list(raw) == ["train", "test"]
    assert train.images.shape == (30, 1, 28, 28)
    assert test.images.shape == (20, 1, 28, 28)
    assert train.labels.tolist() == [index % 10 for index in range(30)]
    assert test.names[:2] == ["t10k:0", "t10k:1"]
    assert test.image_ids.tolist() == list(range(30, 50))
    with gzip.open(archive / "t10k-images-idx3-ubyte.gz") as file:
        assert test.images.tobytes() == file.read()[16:]
    assert test.masks is not None
    assert (test.masks == test.images[:, 0]).all()


def test_validation_is_a_stratified_share_and_leaves_ids_alone(archive: Path, make_mnist) -> None:
    source = make_mnist(archive)
    whole = source.read({"validation": "none"}, archive)
    settings = {"validation": {"share": 1 / 3, "seed": 4}}
    raw = source.read(settings, archive)
    source.check(settings, raw)
    assert list(raw) == ["train", "validation", "test"]
    assert np.bincount(raw["validation"].labels).tolist() == [1] * 10
    assert np.bincount(raw["train"].labels).tolist() == [2] * 10
    for split in ("train", "validation"):
        ids = raw[split].image_ids
        assert (np.diff(ids) > 0).all()
        assert (raw[split].images == whole["train"].images[ids]).all()
        assert raw[split].names == [f"train:{image_id}" for image_id in ids]
    assert (raw["test"].image_ids == whole["test"].image_ids).all()
    other = source.read({"validation": {"share": 1 / 3, "seed": 5}}, archive)
    assert other["validation"].names != raw["validation"].names


@pytest.mark.parametrize(
    ("validation", "reason"),
    [
        ({"share": 0.001}, "sets aside 0 of 30"),
        ({"share": 0.999}, "sets aside 30 of 30"),
        ({"share": 1.5}, "must be above 0 and below 1"),
        ({"share": True}, "must be above 0 and below 1"),
        ({"shares": 0.1}, "unknown key 'shares'; it takes share, seed"),
        ({"seed": -1}, "'validation: seed' must be a whole number"),
        ("some", "'validation' must be a mapping"),
    ],
)
def test_unusable_validation_settings(archive: Path, make_mnist, validation, reason) -> None:
    with pytest.raises(InputError, match=reason):
        make_mnist(archive).read({"validation": validation}, archive)


def test_content_that_no_checksum_guards(archive: Path, make_mnist, make_idx) -> None:
    """Damage that a relative of MNIST, with checksums of its own, could bring."""
    images, labels = archive / "t10k-images-idx3-ubyte.gz", archive / "t10k-labels-idx1-ubyte.gz"
    good_images, good_labels = images.read_bytes(), labels.read_bytes()
    cases = [
        (images, make_idx(np.zeros((20, 14, 56), np.uint8)), "images of uint8"),
        (images, make_idx(np.zeros((19, 28, 28), np.uint8)), "20 labels for 19 images"),
        (labels, make_idx(np.full(20, 10, np.uint8)), "label outside 0..9"),
        (labels, make_idx(np.zeros((20, 1), np.uint8)), "no idx file of bytes with 1 dimensions"),
        (labels, make_idx(np.zeros(20, np.uint8))[:-1], "19 of the 20 values"),
    ]
    for path, content, reason in cases:
        replace(path, content)
        source = make_mnist(archive)
        with pytest.raises(InputError, match=reason) as caught:
            source.check({}, source.read({}, archive))
        assert "\n" not in str(caught.value)
        images.write_bytes(good_images)
        labels.write_bytes(good_labels)
    replace(images, make_idx(np.zeros((0, 28, 28), np.uint8)))
    replace(labels, make_idx(np.zeros(0, np.uint8)))
    with pytest.raises(InputError, match="0 labels for 0 images"):
        make_mnist(archive).read({}, archive)


@pytest.mark.parametrize(
    ("old", "new"), [("-idx", ".idx"), (".gz", ""), ("-idx3-ubyte.gz", ".idx3-ubyte")]
)
def test_names_that_other_tools_give(archive: Path, make_mnist, old: str, new: str) -> None:
    source = make_mnist(archive)
    whole = source.read({}, archive)
    source.unpacked = {}
    for path in sorted(archive.iterdir()):
        content = gzip.decompress(path.read_bytes())
        source.unpacked[path.name] = hashlib.sha256(content).hexdigest()
        name = path.name.replace(old, new)
        if not name.endswith(".gz"):
            path.write_bytes(content)
        path.rename(archive / name)
    source.fetch({"mirrors": []}, archive)
    raw = source.read({}, archive)
    for split, part in whole.items():
        assert (raw[split].images == part.images).all()
        assert (raw[split].labels == part.labels).all()
    damaged = next(archive.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(CorruptFile, match=damaged.name):
        source.fetch({"mirrors": []}, archive)


@pytest.mark.parametrize("name", Mnist.other_folders)
def test_torchvisions_folder(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir(parents=True)
    (place / "train-images-idx3-ubyte").touch()
    assert raw_folder(Mnist.folder, tmp_path, {}, Mnist.other_folders) == place


@pytest.mark.realdata
@pytest.mark.skipif(find_folder("mnist") is None, reason="no mnist in data/ or $SPARSIGHT_DATA")
def test_checksums_of_the_unpacked_files() -> None:
    folder = find_folder("mnist")
    assert folder is not None
    for name, digits in Mnist.unpacked.items():
        content = gzip.decompress((folder / name).read_bytes())
        assert hashlib.sha256(content).hexdigest() == digits


def test_missing_file(archive: Path, make_mnist) -> None:
    source = make_mnist(archive)
    (archive / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte\.gz does not exist; fetch"):
        source.read({}, archive)


def test_facts_are_readable_without_import() -> None:
    for name in ("digits", "mnist"):
        source, facts = SOURCES.load(name), SOURCES.facts(name)
        assert facts["name"] == name
        for fact in (
            "reference",
            "licence",
            "folder",
            "splits",
            "has_masks",
            "image_shape",
            "class_count",
            "parameters",
        ):
            assert facts[fact] == getattr(source, fact), fact
    assert SOURCES.facts("mnist")["checksums"] == Mnist.checksums


@pytest.mark.realdata
def test_real_mnist(tmp_path: Path) -> None:
    folder = find_folder("mnist", tmp_path / "none", os.environ)
    if folder is None:
        pytest.skip("no mnist folder below $SPARSIGHT_DATA")
    source = Mnist()
    source.fetch({"mirrors": []}, folder)
    pack(source, {"validation": {"share": 0.1}}, folder, tmp_path / "mnist")
    with PackedSplit.open(tmp_path / "mnist" / "test.safetensors") as test:
        labels, batch = test.labels(), test.select(test.subset(1000))
    # Class counts of the official test set.
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert labels.bincount().tolist() == counts
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
    # Every class within one image of its share of the thousand.
    assert max(abs(batch.labels.bincount() - labels.bincount() / 10)) < 1
    with PackedSplit.open(tmp_path / "mnist" / "train.safetensors") as train:
        assert len(train) == 54_000
        # The well-known mean of the training pixels, 0.1307, to three digits in a tenth of them.
        mean = train.rows(0, 6000).images("clean").mean().item()
    assert abs(mean - 0.1307) < 0.002


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
