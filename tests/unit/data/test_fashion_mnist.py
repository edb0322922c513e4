"""Fashion-MNIST: what differs from MNIST, and all images where the files are."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from sparsight.data.location import find_folder
from sparsight.data.packed import PackedSplit
from sparsight.data.packing import pack
from sparsight.data.registry import SOURCES
from sparsight.data.sources.fashion_mnist import FashionMnist
from sparsight.data.sources.mnist import Mnist
from sparsight.io.errors import CorruptFile


def test_files_and_names_are_its_own() -> None:
    facts = SOURCES.facts("fashion_mnist")
    assert facts["class_count"] == len(FashionMnist.class_names()) == 10
    assert facts["checksums"].keys() == facts["unpacked"].keys() == Mnist.checksums.keys()
    for kind in ("checksums", "unpacked"):
        assert not set(facts[kind].values()) & set(getattr(Mnist, kind).values())


def test_files_that_somebody_else_compressed(archive: Path, make_mnist) -> None:
    """As Debian has them: the same content, without names and times in the headers."""
    source = make_mnist(archive)
    raw = source.read({}, archive)
    contents = {path.name: gzip.decompress(path.read_bytes()) for path in archive.iterdir()}
    source.unpacked = {n: hashlib.sha256(one).hexdigest() for n, one in contents.items()}
    for name, content in contents.items():
        (archive / name).write_bytes(gzip.compress(content, compresslevel=1, mtime=5))
    again = source.read({}, archive)
    assert (again["test"].images == raw["test"].images).all()
    path = archive / "t10k-labels-idx1-ubyte.gz"
    content = contents[path.name]
    path.write_bytes(gzip.compress(content[:-1] + bytes([content[-1] ^ 1])))
    with pytest.raises(CorruptFile, match=path.name):
        source.fetch({"mirrors": []}, archive)


@pytest.mark.realdata
def test_all_images(tmp_path: Path) -> None:
    others = FashionMnist.other_folders
    folder = find_folder(FashionMnist.folder, tmp_path / "none", os.environ, others)
    if folder is None:
        pytest.skip("no fashion_mnist below $SPARSIGHT_DATA nor from dataset-fashion-mnist")
    source = FashionMnist()
    source.fetch({"mirrors": []}, folder)
    pack(source, {"noise": {"maximum": 0}}, folder, tmp_path / "fashion")
    with PackedSplit.open(tmp_path / "fashion" / "test.safetensors") as test:
        labels, classes = test.labels(), test.classes
    assert labels.bincount().tolist() == 10 * [1000]
    assert [classes[k] for k in labels[:4]] == ["Ankle boot", "Pullover", "Trouser", "Trouser"]
    with PackedSplit.open(tmp_path / "fashion" / "train.safetensors") as train:
        assert train.labels().bincount().tolist() == 10 * [6000]
        # The mean of the training pixels that everybody normalises with, in a tenth of them.
        assert train.rows(0, 6000).images("clean").mean().item() == pytest.approx(0.286, abs=0.005)
