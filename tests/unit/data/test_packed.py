"""Reading packed data back, against the raw images it was made from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsight.data.base import RawSplit
from sparsight.data.packed import PackedSplit, batches, load_training_split
from sparsight.data.packing import pack
from sparsight.data.sources.digits import Digits
from sparsight.io.arrays import read_arrays, write_arrays
from sparsight.io.errors import CorruptFile, InputError

SETTINGS = {"split": {"test": 100}}


@pytest.fixture(scope="module")
def raw() -> RawSplit:
    return Digits().read(SETTINGS, Path("unused"))["test"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "digits"
    pack(Digits(), SETTINGS, folder, folder)
    return folder / "test.safetensors"


def test_facts(path: Path) -> None:
    with PackedSplit.open(path) as split:
        assert (len(split), split.dataset, split.split) == (100, "digits", "test")
        assert split.classes == [str(label) for label in range(10)]
        assert split.has_masks
        assert split.image_shape == (1, 28, 28)
        assert len(split.data_hash) == 64


def test_rows(path: Path, raw: RawSplit) -> None:
    with PackedSplit.open(path) as split:
        batch = split.rows(10, 30)
        assert len(batch) == 20
        assert (batch.pixels.numpy() == raw.images[10:30]).all()
        assert batch.labels.tolist() == raw.labels[10:30].tolist() == split.labels()[10:30].tolist()
        assert batch.image_ids.tolist() == raw.image_ids[10:30].tolist()
        assert split.image_ids().tolist() == raw.image_ids.tolist()
        assert len(split.rows(5, 5)) == 0
        for start, stop in ((-1, 5), (90, 101), (6, 5)):
            with pytest.raises(InputError, match="has 100 images, no rows"):
                split.rows(start, stop)


@given(indices=st.lists(st.integers(0, 99), max_size=30))
def test_select_any_indices_in_any_order(path: Path, raw: RawSplit, indices: list[int]) -> None:
    whole = read_arrays(path)
    with PackedSplit.open(path) as split:
        batch = split.select(indices)
    assert (batch.pixels.numpy() == raw.images[np.array(indices, dtype=int)]).all()
    assert batch.image_ids.tolist() == [raw.image_ids[index] for index in indices]
    assert torch.equal(batch.noise, whole["noise"][indices])
    assert batch.mask_values is not None
    assert torch.equal(batch.mask_values, whole["masks"][indices])
    assert torch.equal(batch.labels, whole["labels"][indices])


def test_select_outside(path: Path) -> None:
    with PackedSplit.open(path) as split:
        with pytest.raises(InputError, match="no index 100"):
            split.select(torch.tensor([3, 100]))
        with pytest.raises(InputError, match="no index -1"):
            split.select([-1, 3])


def test_noise_falls_on_exactly_zero_pixels_only(path: Path) -> None:
    with PackedSplit.open(path) as split:
        batch = split.rows(0, 100)
    clean, noisy = batch.images("clean"), batch.images("noisy")
    assert clean.dtype == noisy.dtype == torch.float32
    assert torch.equal(clean, batch.pixels / 255)
    zero = clean == 0
    assert torch.equal(noisy[~zero], clean[~zero])
    assert torch.equal(noisy[zero], batch.noise[zero] / 255)
    assert noisy[zero].max() == pytest.approx(0.2)
    assert noisy[zero].min() == 0
    assert clean.max() == 1
    with pytest.raises(InputError, match="unknown condition 'noise'; known are clean and noisy"):
        batch.images("noise")


def test_masks(path: Path) -> None:
    with PackedSplit.open(path) as split:
        batch = split.rows(0, 100)
    soft, binary = batch.soft_masks(), batch.binary_masks()
    assert torch.equal(soft, batch.images("clean")[:, 0])
    assert torch.equal(binary, soft >= 0.5)
    assert binary.dtype == torch.bool
    # Just below and just above a half.
    values = torch.tensor([[[127, 128]]], dtype=torch.uint8)
    edge = type(batch)(
        batch.pixels[:1], batch.noise[:1], batch.labels[:1], values, batch.image_ids[:1]
    )
    assert edge.binary_masks().tolist() == [[[False, True]]]


def test_subset_is_nested_ascending_and_stratified(path: Path) -> None:
    with PackedSplit.open(path) as split:
        labels = split.labels()
        assert split.subset("all").tolist() == split.subset(100).tolist() == list(range(100))
        smaller: set[int] = set()
        for size in range(1, 101):
            subset = split.subset(size)
            assert len(subset) == size
            assert (torch.diff(subset) > 0).all()
            assert smaller < set(subset.tolist())
            smaller = set(subset.tolist())
        counts = labels[split.subset(20)].bincount(minlength=10)
        assert counts.min() >= 1
        assert counts.max() <= 3
        for size in (0, 101, -5, True, 5.0, "most"):
            with pytest.raises(InputError, match=r"choose 1 to 100, or 'all'"):
                split.subset(size)


@pytest.mark.parametrize("batch_size", [1, 7, 40, 1000])
def test_batches_stream_the_selection(path: Path, batch_size: int) -> None:
    with PackedSplit.open(path) as split:
        subset = split.subset(40)
        whole = split.select(subset)
    parts = list(batches(path, subset, batch_size))
    sizes = [len(part) for part in parts]
    assert sum(sizes) == 40
    assert max(sizes) <= batch_size
    assert torch.equal(torch.cat([part.images("noisy") for part in parts]), whole.images("noisy"))
    assert torch.equal(torch.cat([part.image_ids for part in parts]), whole.image_ids)


def test_batch_size_must_be_positive(path: Path) -> None:
    with pytest.raises(InputError, match="at least one image"):
        next(batches(path, [0], 0))


def test_load_training_split(path: Path, raw: RawSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsight.data.packed.CHUNK_IMAGES", 33)
    images, labels = load_training_split(path, "cpu")
    assert images.dtype == torch.uint8
    assert (images.numpy() == raw.images).all()
    assert labels.tolist() == raw.labels.tolist()


def test_a_batch_moves_as_a_whole(path: Path) -> None:
    with PackedSplit.open(path) as split:
        moved = split.rows(0, 2).to("meta")
    tensors = (moved.pixels, moved.noise, moved.labels, moved.mask_values, moved.image_ids)
    assert all(tensor is not None and tensor.device.type == "meta" for tensor in tensors)


def test_without_masks(tmp_path: Path, path: Path) -> None:
    tensors = read_arrays(path)
    tensors.pop("masks")
    metadata = {"dataset": "d", "split": "test", "classes": "[]", "data_hash": "0"}
    write_arrays(tmp_path / "a", tensors, {**metadata, "has_masks": "false"})
    with PackedSplit.open(tmp_path / "a") as split:
        assert not split.has_masks
        batch = split.select([5, 1]).to("cpu")
        assert torch.equal(batch.pixels, tensors["images"][[5, 1]])
        for masks in (batch.soft_masks, batch.binary_masks):
            with pytest.raises(InputError, match="has no masks"):
                masks()
    write_arrays(tmp_path / "b", tensors, {**metadata, "has_masks": "true"})
    with pytest.raises(InputError, match="not a packed split: it holds no 'masks'"):
        PackedSplit.open(tmp_path / "b")


def test_other_and_damaged_files(tmp_path: Path, path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        PackedSplit.open(tmp_path / "absent")
    write_arrays(tmp_path / "weights", {"weight": torch.zeros(3)})
    with pytest.raises(InputError, match="not a packed split: it holds no 'images'"):
        PackedSplit.open(tmp_path / "weights")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    with pytest.raises(CorruptFile, match="damaged is corrupt"):
        PackedSplit.open(tmp_path / "damaged")
