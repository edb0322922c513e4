"""Images in one file of numpy, as MedMNIST ships them."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsight.data import scans
from sparsight.data.packed import PackedSplit
from sparsight.data.packing import fetch_dataset, prepare_dataset
from sparsight.data.sources import arrays
from sparsight.data.sources.arrays import Arrays
from sparsight.io.errors import CorruptFile, InputError

COUNTS = {"train": 6, "val": 2, "test": 4}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_known", {})
    monkeypatch.delenv(scans.SCANNED_VARIABLE, raising=False)


def small(channels: int = 3, masks: bool = False) -> dict[str, np.ndarray]:
    """Images of 5×4 pixels whose values say which they are; MedMNIST's labels are [N, 1]."""
    found, first = {}, 0
    for prefix, count in COUNTS.items():
        shape = (count, 5, 4, channels) if channels > 1 else (count, 5, 4)
        images = np.zeros(shape, np.uint8)
        images[:] = np.arange(first, first + count).reshape(-1, *[1] * (len(shape) - 1))
        images[:, 0, 1] = 200
        found[f"{prefix}_images"] = images
        found[f"{prefix}_labels"] = (np.arange(count, dtype=np.uint8) % 2)[:, np.newaxis]
        if masks:
            found[f"{prefix}_masks"] = (images.reshape(count, 5, 4, -1)[..., 0] == 200).astype("u1")
        first += count
    return found


def saved(tmp_path: Path, content: dict[str, Any], **options: Any) -> dict[str, Any]:
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, **content)
    return {"path": str(path), **options}


@pytest.mark.parametrize("channels", [1, 3])
def test_splits_ids_and_channels_first(tmp_path: Path, channels: int) -> None:
    settings = saved(tmp_path, small(channels))
    source = Arrays()
    raw = source.read(settings, Path())
    source.check(settings, raw)
    assert source.shape(settings) == (channels, 5, 4)
    assert source.split_names(settings) == ("train", "validation", "test")
    assert source.tested_of(settings) == 4
    assert source.classes_of(settings) == ["0", "1"]
    assert raw["validation"].image_ids.tolist() == [6, 7]
    assert raw["test"].names == ["test:0", "test:1", "test:2", "test:3"]
    for part in raw.values():
        assert part.images[:, -1, 4, 3].tolist() == part.image_ids.tolist()
        # Row 0, column 1.
        assert (part.images[:, :, 0, 1] == 200).all()
        assert part.masks is None


def test_masks_and_no_validation(tmp_path: Path) -> None:
    content = {name: one for name, one in small(masks=True).items() if "val" not in name}
    settings = saved(tmp_path, content, classes=["cat", "dog"])
    raw = Arrays().read(settings, Path())
    assert set(raw) == {"train", "test"}
    assert Arrays.masks_of(settings)
    assert raw["train"].masks is not None
    assert (raw["train"].masks[:, 0, 1] == 255).all()
    assert raw["train"].masks.sum() == 6 * 255
    bools = saved(tmp_path, {k: v.astype(bool) if "mask" in k else v for k, v in content.items()})
    assert (Arrays().read(bools, Path())["train"].masks == raw["train"].masks).all()


def test_images_are_not_read_to_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = saved(tmp_path, small())
    real, read = arrays._read, []
    monkeypatch.setattr(arrays, "_read", lambda path, name: read.append(name) or real(path, name))
    Arrays.shape(settings)
    assert read == ["train_labels", "val_labels", "test_labels"]


def test_it_is_packed_with_its_class_names(tmp_path: Path) -> None:
    settings = saved(tmp_path, small(), classes=["cat", "dog"], source="arrays")
    settings |= {"data_folder": str(tmp_path / "data"), "noise": {"maximum": 0}}
    manifest, ids = tmp_path / "mine.json", tmp_path / "packed" / "ids.parquet"
    fetch_dataset(settings, manifest)
    prepare_dataset(settings, manifest, ids, "mine")
    with PackedSplit.open(ids.with_name("validation.safetensors")) as part:
        assert part.classes == ["cat", "dog"]
        assert len(part) == 2


def changed(**more: Any) -> dict[str, Any]:
    found = {**small(), **more}
    return {name: one for name, one in found.items() if one is not None}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (changed(train_labels=None), "train_labels"),
        (changed(test_images=None), "test_images"),
        (changed(val_labels=None), "val_labels"),
        (changed(test_masks=np.zeros((4, 5, 4), np.uint8)), "train_masks"),
        (changed(train_images=np.zeros((6, 5, 4, 3))), "train_images is float64"),
        (changed(train_images=np.zeros((6, 5, 4, 2), np.uint8)), "1 or 3 channels"),
        (changed(train_images=np.zeros((6, 5), np.uint8)), "train_images"),
        (changed(train_images=np.zeros((0, 5, 4, 3), np.uint8)), "train_images"),
        (changed(test_images=np.zeros((4, 4, 5, 3), np.uint8)), "test_images"),
        (changed(train_labels=np.zeros(5, np.uint8)), "5 labels for 6 images"),
        (changed(train_labels=np.zeros((6, 14), np.uint8)), "train_labels"),
        (changed(train_labels=np.zeros(6)), "train_labels is float64"),
        (changed(test_labels=np.array([0, 1, -1, 0])), "label -1"),
        (changed(train_labels=np.zeros(6, np.uint8)), "class '1' has no images in the split 'tr"),
        (changed(test_labels=np.array([0, 1, 3, 0])), "class '2' has no images"),
        ({k: v * 0 if "labels" in k else v for k, v in small().items()}, "one class only"),
        (changed(train_images=np.array([None] * 6)), "train_images is object"),
        (changed(train_labels=np.array([{}] * 6)), "train_labels is object"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, content: dict[str, Any], named: str) -> None:
    settings = saved(tmp_path, content, scans=str(tmp_path / "scans"))
    with pytest.raises(InputError, match=named) as caught:
        Arrays.shape(settings)
    assert settings["path"] in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


def test_masks_that_do_not_fit(tmp_path: Path) -> None:
    for wrong in (np.zeros((6, 4, 5), np.uint8), np.zeros((6, 5, 4))):
        settings = saved(tmp_path, {**small(masks=True), "train_masks": wrong})
        with pytest.raises(InputError, match="train_masks"):
            Arrays.shape(settings)
    settings = saved(tmp_path, {**small(masks=True), "test_masks": np.full((4, 5, 4), 7, "u1")})
    raw = Arrays().read({**settings}, Path())
    for part in raw.values():
        part.masks[part.masks == 255] = 7
    with pytest.raises(InputError, match="largest value is 7"):
        Arrays().check(settings, raw)


@pytest.mark.parametrize("classes", [["cat"], ["cat", "cat"], "cat"])
def test_class_names_that_do_not_fit(tmp_path: Path, classes: Any) -> None:
    with pytest.raises(InputError, match="'classes'"):
        Arrays.shape(saved(tmp_path, small(), classes=classes))


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with pytest.raises(InputError, match="does not exist"):
        Arrays.shape({"path": str(path)})
    with pytest.raises(InputError, match="is no file"):
        Arrays.shape({"path": str(tmp_path)})
    with pytest.raises(InputError, match="'path'"):
        Arrays.shape({"path": 7})
    whole = io.BytesIO()
    np.savez(whole, **small())
    for content in (b"", b"no zip", whole.getvalue()[:500]):
        path.write_bytes(content)
        with pytest.raises(CorruptFile, match=r"mine\.npz"):
            Arrays.shape({"path": str(path)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_images.npy", b"no array")
    with pytest.raises(CorruptFile, match=r"mine\.npz"):
        Arrays.shape({"path": str(path)})
