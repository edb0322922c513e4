"""Packing: what is drawn once and stored, and that nothing half-written is left."""

import dataclasses
import json
import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from sparsight.data import packing
from sparsight.data.base import RawSplit, Source
from sparsight.data.packed import PackedSplit, load_training_split
from sparsight.data.packing import fetch_dataset, folder_lock, pack, prepare_dataset
from sparsight.data.sources.digits import Digits
from sparsight.io.arrays import read_arrays, read_metadata
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

SMALL = {"split": {"test": 60, "validation": 40}}
NOWHERE = Path("unused")


class Coloured(Source):
    """Three channels, no masks, ids that are neither dense nor ordered."""

    name = "coloured"
    reference = licence = folder = ""
    splits = ("train", "test")
    has_masks = False
    image_shape = (3, 2, 2)
    class_count = 2
    ids: ClassVar[dict[str, list[int]]] = {"train": [7, 3, 100], "test": [50]}

    def fetch(self, settings, folder):
        pass

    def read(self, settings, folder):
        return {split: self.part(split) for split in ("test", "train")}

    def part(self, split):
        ids = np.array(self.ids[split], dtype=np.int64)
        images = np.arange(len(ids) * 12, dtype=np.uint8).reshape(-1, 3, 2, 2)
        return RawSplit(images, np.zeros(len(ids), np.int64), [f"{i}.png" for i in ids], ids)

    @classmethod
    def class_names(cls):
        return ["cat", "dog"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "digits_small"
    pack(Digits(), SMALL, NOWHERE, folder)
    return folder


def noise_by_id(folder: Path, *splits: str) -> dict[int, bytes]:
    found = {}
    for split in splits:
        tensors = read_arrays(folder / f"{split}.safetensors", ["image_ids", "noise"])
        pairs = zip(tensors["image_ids"].tolist(), tensors["noise"].numpy(), strict=True)
        found.update({image_id: noise.tobytes() for image_id, noise in pairs})
    return found


def test_files_and_tensors(packed: Path) -> None:
    assert sorted(path.name for path in packed.iterdir()) == [
        "ids.parquet",
        "test.safetensors",
        "train.safetensors",
        "validation.safetensors",
    ]
    raw = Digits().read(SMALL, NOWHERE)
    for split, part in raw.items():
        tensors = read_arrays(packed / f"{split}.safetensors")
        assert {name: (str(t.dtype)[6:], list(t.shape)) for name, t in tensors.items()} == {
            "images": ("uint8", [len(part), 1, 28, 28]),
            "labels": ("int64", [len(part)]),
            "noise": ("uint8", [len(part), 1, 28, 28]),
            "masks": ("uint8", [len(part), 28, 28]),
            "image_ids": ("int64", [len(part)]),
            "evaluation_rank": ("int64", [len(part)]),
        }
        assert (tensors["images"].numpy() == part.images).all()
        assert (tensors["masks"].numpy() == part.images.max(axis=1)).all()
        assert (tensors["labels"].numpy() == part.labels).all()
        assert sorted(tensors["evaluation_rank"].tolist()) == list(range(len(part)))


def test_metadata(packed: Path) -> None:
    metadata = read_metadata(packed / "test.safetensors")
    assert len(metadata.pop("data_hash")) == 64
    assert json.loads(metadata.pop("settings")) == {
        "source": "digits",
        "split": {"test": 60, "validation": 40, "seed": 0},
        "noise": {"maximum": 51, "seed": 0},
        "subset_seed": 0,
    }
    assert metadata == {
        "dataset": "digits_small",
        "source": "digits",
        "split": "test",
        "classes": '["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]',
        "has_masks": "true",
        "noise_maximum": "51",
        "noise_seed": "0",
        "subset_seed": "0",
    }


def test_ids_table(packed: Path) -> None:
    table = read_table(packed / "ids.parquet")
    assert table.column_names == ["image_id", "split", "name", "label"]
    rows = table.to_pylist()
    assert sorted(row["image_id"] for row in rows) == list(range(1797))
    assert str(table.schema.field("image_id").type) == "int64"
    for split in ("train", "validation", "test"):
        tensors = read_arrays(packed / f"{split}.safetensors", ["image_ids", "labels"])
        mine = [row for row in rows if row["split"] == split]
        assert [row["image_id"] for row in mine] == tensors["image_ids"].tolist()
        assert [row["label"] for row in mine] == tensors["labels"].tolist()
        assert all(row["name"] == f"digits:{row['image_id']}" for row in mine)


def test_noise_is_paired_whatever_the_split(packed: Path, tmp_path: Path) -> None:
    whole = noise_by_id(packed, "train", "validation", "test")
    pack(Digits(), {"split": {"test": 1000, "seed": 9}, "subset_seed": 5}, NOWHERE, tmp_path / "d")
    assert noise_by_id(tmp_path / "d", "train", "test") == whole
    assert len(set(whole.values())) == 1797
    values = np.frombuffer(b"".join(whole.values()), np.uint8)
    assert values.min() == 0
    assert values.max() == 51


def test_noise_does_not_depend_on_the_chunk(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "CHUNK_IMAGES", 7)
    pack(Digits(), SMALL, NOWHERE, tmp_path / "digits_small")
    for split in ("train", "validation", "test"):
        name = f"{split}.safetensors"
        assert (tmp_path / "digits_small" / name).read_bytes() == (packed / name).read_bytes()


def test_noise_settings_are_followed(packed: Path, tmp_path: Path) -> None:
    pack(Digits(), {**SMALL, "noise": {"maximum": 5, "seed": 1}}, NOWHERE, tmp_path / "d")
    other = noise_by_id(tmp_path / "d", "test")
    assert max(max(noise) for noise in other.values()) == 5
    assert read_metadata(tmp_path / "d" / "test.safetensors")["noise_maximum"] == "5"
    pack(Digits(), {**SMALL, "noise": {"seed": 1}}, NOWHERE, tmp_path / "d")
    assert noise_by_id(tmp_path / "d", "test") != noise_by_id(packed, "test")


def test_evaluation_subsets_are_stratified_and_seeded(packed: Path, tmp_path: Path) -> None:
    tensors = read_arrays(packed / "train.safetensors", ["labels", "evaluation_rank"])
    labels, rank = tensors["labels"].numpy(), tensors["evaluation_rank"].numpy()
    for size in range(1, len(labels), 13):
        counts = np.bincount(labels[rank < size], minlength=10)
        assert np.abs(counts - np.bincount(labels) * size / len(labels)).max() <= 1
    pack(Digits(), {**SMALL, "subset_seed": 1}, NOWHERE, tmp_path / "d")
    other = read_arrays(tmp_path / "d" / "train.safetensors", ["evaluation_rank"])
    assert (other["evaluation_rank"].numpy() != rank).mean() > 0.9


def test_data_hash_is_of_the_data_alone(packed: Path, tmp_path: Path) -> None:
    known = read_metadata(packed / "test.safetensors")["data_hash"]
    for split in ("train", "validation"):
        assert read_metadata(packed / f"{split}.safetensors")["data_hash"] == known
    same = pack(Digits(), {**SMALL, "noise": {"seed": 4}}, NOWHERE, tmp_path / "other_name")
    assert same == known

    class OnePixel(Digits):
        def read(self, settings, folder):
            raw = super().read(settings, folder)
            raw["test"].images[0, 0, 0, 0] = 1
            return raw

    class OneLabel(Digits):
        def read(self, settings, folder):
            raw = super().read(settings, folder)
            raw["train"].labels[0] = (raw["train"].labels[0] + 1) % 10
            return raw

    hashes = {pack(source(), SMALL, NOWHERE, tmp_path / "x") for source in (OnePixel, OneLabel)}
    assert len(hashes | {known}) == 3


def test_a_source_without_masks(tmp_path: Path) -> None:
    pack(Coloured(), {}, NOWHERE, tmp_path / "c", dataset="coloured_2")
    tensors = read_arrays(tmp_path / "c" / "train.safetensors")
    assert "masks" not in tensors
    assert tensors["noise"].shape == (3, 3, 2, 2)
    metadata = read_metadata(tmp_path / "c" / "train.safetensors")
    assert metadata["has_masks"] == "false"
    assert metadata["classes"] == '["cat", "dog"]'
    assert metadata["dataset"] == "coloured_2"
    # Jobs find the same files whatever splits a source has.
    with PackedSplit.open(tmp_path / "c" / "validation.safetensors") as split:
        assert (len(split), split.image_shape) == (0, (3, 2, 2))
    # In the order of the facts, not of reading.
    ids = read_table(tmp_path / "c" / "ids.parquet").to_pydict()
    assert ids["image_id"] == [7, 3, 100, 50]
    assert ids["split"] == ["train", "train", "train", "test"]


def test_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "_write_ids", fail)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        pack(Digits(), SMALL, NOWHERE, tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_an_earlier_packing_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(Coloured(), {}, NOWHERE, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(packing, "image_noise", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pack(Coloured(), {}, NOWHERE, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_split_that_is_left_out_is_a_file_without_images(tmp_path: Path) -> None:
    (tmp_path / ".packing").mkdir()
    (tmp_path / ".packing" / "left by a killed packing").touch()
    pack(Digits(), SMALL, NOWHERE, tmp_path)
    pack(Digits(), {"split": {"validation": 0}}, NOWHERE, tmp_path)
    # The images of the earlier packing are gone, the file that the workflow expects is there.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ids.parquet",
        "test.safetensors",
        "train.safetensors",
        "validation.safetensors",
    ]
    with PackedSplit.open(tmp_path / "validation.safetensors") as empty:
        assert len(empty) == len(empty.rows(0, 0)) == len(empty.subset("all")) == 0
        assert empty.split == "validation"
        assert empty.image_shape == (1, 28, 28)
        with pytest.raises(InputError, match="has no images; set some aside for 'validation'"):
            empty.subset(1)
    assert len(load_training_split(tmp_path / "validation.safetensors")[0]) == 0
    ids = read_table(tmp_path / "ids.parquet").to_pydict()
    assert set(ids["split"]) == {"train", "test"}
    assert len(ids["split"]) == 1797


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"noise": {"maximum": 256}}, "'noise: maximum' must be a whole number from 0 to 255"),
        ({"noise": {"level": 3}}, "unknown key 'level'; it takes maximum, seed"),
        ({"noise": {"seed": -1}}, "'noise: seed' must be a whole number"),
        ({"subset_seed": 2**64}, "'subset_seed' must be a whole number"),
    ],
)
def test_unusable_settings_write_nothing(tmp_path: Path, settings, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        pack(Digits(), settings, NOWHERE, tmp_path / "digits")
    assert not (tmp_path / "digits").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ids": {"train": [1, 2, 50], "test": [50]}}, "image id that is negative or occurs twice"),
        ({"ids": {"train": [-1], "test": [50]}}, "image id that is negative or occurs twice"),
        ({"ids": {"train": [], "test": [50]}}, "train has no images"),
        ({"splits": ("train", "validation", "test")}, r"has the splits \['test', 'train'\]"),
        ({"splits": ("train", "test", "extra")}, "'splits' names train, test, extra"),
        ({"splits": ("test",)}, "needs train and test"),
        ({"image_shape": (1, 2, 2)}, r"images of uint8 \[1, 3, 2, 2\], not uint8 \[1, 1, 2, 2\]"),
        ({"class_count": 0}, "label outside"),
        ({"has_masks": True}, "masks of None"),
    ],
)
def test_a_source_that_breaks_its_own_facts(tmp_path: Path, change, reason: str) -> None:
    broken = type("Broken", (Coloured,), change)()
    with pytest.raises(InputError, match=reason) as caught:
        pack(broken, {}, NOWHERE, tmp_path / "c")
    assert "coloured" in str(caught.value)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"names": ["a.png", "b.png", "a.png"]}, "image name that occurs twice"),
        ({"names": ["a.png"]}, "train has 1 names for 3 labels"),
        ({"images": np.zeros((3, 3, 2, 2), np.float32)}, r"images of float32 \[3, 3, 2, 2\]"),
        ({"labels": np.zeros(3, np.int32)}, "labels of int32"),
        ({"masks": np.zeros((3, 2, 2), np.uint8)}, "train has masks, which its facts deny"),
    ],
)
def test_a_split_that_breaks_the_facts(tmp_path: Path, change, reason: str) -> None:
    class Broken(Coloured):
        def part(self, split):
            whole = super().part(split)
            return dataclasses.replace(whole, **change) if split == "train" else whole

    with pytest.raises(InputError, match=reason):
        pack(Broken(), {}, NOWHERE, tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("largest", [1, 127, 128])
def test_masks_of_0_and_1_are_refused(tmp_path: Path, largest: int) -> None:
    """What a source reads itself, or makes of truth values, is held against 255 too."""

    class Masked(Coloured):
        has_masks = True

        def part(self, split):
            whole = super().part(split)
            masks = np.zeros((len(whole), 2, 2), np.uint8)
            masks[0, 0] = largest if split == "train" else 0
            return dataclasses.replace(whole, masks=masks)

    if largest == 128:
        pack(Masked(), {}, NOWHERE, tmp_path / "c")
        return
    with pytest.raises(InputError, match=rf"largest value is {largest} \(7\.png\)"):
        pack(Masked(), {}, NOWHERE, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_data_hash_does_not_depend_on_the_order_of_reading(tmp_path: Path) -> None:
    class Forwards(Coloured):
        def read(self, settings, folder):
            return {split: self.part(split) for split in ("train", "test")}

    assert pack(Forwards(), {}, NOWHERE, tmp_path) == pack(Coloured(), {}, NOWHERE, tmp_path)


def test_embedded_data_need_no_folder(tmp_path: Path) -> None:
    settings = {"source": "digits", "data_folder": str(tmp_path / "data")}
    manifest = tmp_path / "manifest.json"
    fetch_dataset(settings, manifest)
    written = json.loads(manifest.read_text())
    assert written["folder"] is None
    assert written["source"] == "digits"
    assert written["licence"].startswith("CC BY 4.0")
    assert not (tmp_path / "data").exists()
    prepare_dataset(settings, manifest, tmp_path / "packed" / "d" / "ids.parquet", "digits_28")
    with PackedSplit.open(tmp_path / "packed" / "d" / "test.safetensors") as split:
        assert split.dataset == "digits_28"
        assert len(split) == 500


def test_a_found_folder_is_noted_and_used(
    tmp_path: Path, archive: Path, make_mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_mnist(archive)
    monkeypatch.setattr(packing, "_source", lambda _: source)
    archive.rename(tmp_path / "mnist")
    settings = {"source": "mnist", "data_folder": str(tmp_path), "mirrors": []}
    manifest, ids = tmp_path / "manifest.json", tmp_path / "packed" / "ids.parquet"
    fetch_dataset(settings, manifest)
    assert json.loads(manifest.read_text())["folder"] == str(tmp_path / "mnist")
    prepare_dataset(settings, manifest, ids, "mnist")
    with PackedSplit.open(ids.with_name("test.safetensors")) as split:
        assert len(split) == 20
    (tmp_path / "mnist").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"mnist is gone; delete .*manifest\.json and run"):
        prepare_dataset(settings, manifest, ids, "mnist")


def test_a_failed_fetch_writes_no_manifest(
    tmp_path: Path, archive: Path, make_mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_source", lambda _: make_mnist(archive))
    monkeypatch.delenv("SPARSIGHT_DATA", raising=False)
    settings = {"source": "mnist", "data_folder": str(tmp_path / "data"), "mirrors": []}
    with pytest.raises(InputError, match="could not be fetched"):
        fetch_dataset(settings, tmp_path / "manifest.json")
    assert not (tmp_path / "manifest.json").exists()


def test_a_manifest_of_a_part_says_which_files_are_there(
    tmp_path: Path, archive: Path, make_mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_mnist(archive)
    monkeypatch.setattr(packing, "_source", lambda _: source)
    folder = archive.rename(tmp_path / "mnist")
    settings = {"source": "mnist", "data_folder": str(tmp_path), "mirrors": []}
    manifest, ids = tmp_path / "manifest.json", tmp_path / "packed" / "ids.parquet"

    def files(**more: bool) -> dict:
        fetch_dataset({**settings, **more}, manifest)
        (state,) = json.loads(manifest.read_text())["files"].values()
        return state

    first = files(partial=True)
    assert first["count"] == 4
    assert files(partial=True) == first
    (folder / "below").mkdir()
    (folder / "below" / "more.jpg").write_bytes(b"12")
    with pytest.raises(InputError, match=r"no longer those .*; delete .*manifest\.json"):
        prepare_dataset({**settings, "partial": True}, manifest, ids, "mnist")
    # Of the whole, its source knows which files it needs.
    prepare_dataset(settings, manifest, ids, "mnist")
    second = files(partial=True)
    assert second["count"] == 5
    prepare_dataset(settings, manifest, ids, "mnist")
    (folder / "below" / "more.jpg").write_bytes(b"123")
    third = files(partial=True)
    (folder / "below" / "more.jpg").rename(folder / "more.jpg")
    fourth = files(partial=True)
    assert len({found["sha256"] for found in (first, second, third, fourth)}) == 4


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"{}", b"3", b"\xff\xfe", None])
def test_a_manifest_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    manifest = tmp_path / "fetched" / "digits.json"
    if content is not None:
        manifest.parent.mkdir()
        manifest.write_bytes(content)
    settings = {"source": "digits", "noise": {"maximum": 0}}
    with pytest.raises(
        InputError, match=r"digits\.json (is|does) .*(remake it with|run snakemake)"
    ):
        prepare_dataset(settings, manifest, tmp_path / "packed" / "ids.parquet", "digits")
    assert not (tmp_path / "packed").exists()


def test_a_shared_folder_has_one_packer_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who had to wait keeps what was packed meanwhile, and refuses what is of another study."""
    manifest, ids = tmp_path / "manifest.json", tmp_path / "packed" / "d" / "ids.parquet"
    settings = {"source": "digits", "data_folder": str(tmp_path), "noise": {"maximum": 0}}
    fetch_dataset(settings, manifest)
    times: list[int] = []

    def prepare(waits: bool, **changes: object) -> None:
        thread = threading.Thread(
            target=lambda: outcome.append(attempt({**settings, **changes})), daemon=True
        )
        outcome: list[str] = []
        with folder_lock(ids.parent) as waited:
            assert not waited
            if waits:
                thread.start()
                waiting.wait(60)
        if not waits:
            thread.start()
        thread.join(60)
        times.append(ids.stat().st_mtime_ns)
        waiting.clear()
        assert len(outcome) == 1
        if outcome[0]:
            raise InputError(outcome[0])

    def attempt(wanted: dict) -> str:
        try:
            prepare_dataset(wanted, manifest, ids, "d")
        except InputError as error:
            return str(error)
        return ""

    waiting = threading.Event()
    monkeypatch.setattr("sparsight.data.packing._LOG.info", lambda *_: waiting.set(), raising=True)
    prepare(waits=False)
    prepare(waits=True)
    assert times[0] == times[1]
    # Snakemake asks for it again: nobody else has just done it.
    prepare(waits=False)
    assert times[2] != times[1]
    with pytest.raises(InputError, match=r"noise\.maximum is 0 there and 9 here"):
        prepare(waits=True, noise={"maximum": 9})
    assert times[3] == times[2]
    prepare(waits=False, noise={"maximum": 9})
