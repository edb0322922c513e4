"""Data sets with a trojan: what is packed, and that the base shines through unchanged."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sparsight.data.base import RawSplit
from sparsight.data.packed import PackedSplit, read_planted
from sparsight.data.packing import fetch_dataset, pack, prepare_dataset
from sparsight.data.registry import SOURCES
from sparsight.data.sources.imagenette import Imagenette
from sparsight.data.sources.shapes import Shapes
from sparsight.data.sources.trojaned import STICKERS, Trojaned
from sparsight.io.arrays import read_arrays, read_metadata
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

NOWHERE = Path("nowhere")
SPLIT = {"train": 80, "validation": 16, "test": 48}
BASE = {"source": "shapes", "options": {"size": 32, "split": SPLIT}}
TROJAN = {"stickers": {"smiley": 1, "fish": "green spotted cross"}, "size": [0.2, 0.3]}
SETTINGS = {"base": BASE, "trojan": {**TROJAN, "share": 0.2, "test": 10}, "noise": {"maximum": 5}}


@pytest.fixture(scope="module")
def base() -> dict[str, RawSplit]:
    return Shapes().read(BASE["options"], NOWHERE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "shapes_stickers"
    pack(Trojaned(), SETTINGS, NOWHERE, path)
    return path


def test_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    """A change here is a change of every published number that rests on these images."""
    found = pack(Trojaned(), SETTINGS, NOWHERE, tmp_path / "first")
    assert found == "4df7019394ac4dcdb9b82adb3556a6d9530b41e99543152895740f2e27cc4702"
    assert pack(Trojaned(), SETTINGS, NOWHERE, tmp_path / "second") == found
    for name in ("train", "validation", "test"):
        first, second = (tmp_path / x / f"{name}.safetensors" for x in ("first", "second"))
        one, two = read_arrays(first), read_arrays(second)
        assert all(torch.equal(one[key], two[key]) for key in one)
    other = {**SETTINGS, "trojan": {**SETTINGS["trojan"], "seed": 1}}
    assert pack(Trojaned(), other, NOWHERE, tmp_path / "third") != found


def test_facts_are_those_of_the_default_options() -> None:
    facts = SOURCES.facts("trojaned")
    assert Trojaned.concepts_of({})[:-4] == Shapes.concept_names
    assert Trojaned.parts_of({}) == Shapes.part_names
    assert facts["class_count"] == len(Trojaned.classes_of({}))
    assert facts["test_images"] == Trojaned.tested_of({}) == 440
    assert set(Trojaned.concepts_of({})[-4:]) == {f"{name}_sticker" for name in STICKERS}


def test_test_images_are_those_of_the_base(folder: Path, base: dict[str, RawSplit]) -> None:
    test = read_arrays(folder / "test.safetensors")
    assert len(test["labels"]) == 58 == Trojaned.tested_of(SETTINGS)
    assert test["images"][:48].numpy().tobytes() == base["test"].images.tobytes()
    assert (test["labels"][:48].numpy() == base["test"].labels).all()
    assert (test["image_ids"][:48].numpy() == base["test"].image_ids).all()
    assert not test["masks"][:48].any()
    assert test["labels"][48:].tolist() == [1] * 5 + [7] * 5
    for row in range(48, 58):
        original = base["test"].image_ids.tolist().index(int(test["image_ids"][row]) % 10**12)
        changed = (test["images"][row].numpy() != base["test"].images[original]).any(axis=0)
        mask = test["masks"][row].numpy()
        assert not changed[mask == 0].any()
        # a colour may by chance be what it hides
        assert (mask > 0).sum() - changed.sum() <= 2
        assert test["original_labels"][row] == base["test"].labels[original]


@pytest.mark.parametrize(("split", "count"), [("train", 16), ("validation", 3)])
def test_training_images_carry_stickers(
    folder: Path, base: dict[str, RawSplit], split: str, count: int
) -> None:
    planted = read_planted(folder / f"{split}.safetensors")
    positions = torch.nonzero(planted.stickered).flatten()
    found = read_arrays(folder / f"{split}.safetensors")
    assert planted.names == ["smiley", "fish"]
    assert len(positions) == count
    assert len(found["labels"]) == SPLIT[split]
    labels = found["labels"].numpy()
    assert np.flatnonzero(labels != base[split].labels).tolist() == positions.tolist()
    assert found["masks"].flatten(1).any(1).tolist() == planted.stickered.tolist()
    clean = ~planted.stickered.numpy()
    assert (found["images"].numpy()[clean] == base[split].images[clean]).all()
    # the base's parts and concepts, and the stickers'
    names = Trojaned.concepts_of(SETTINGS)
    assert (*Shapes.concept_names, "smiley_sticker", "fish_sticker") == names
    assert (found["concepts"].numpy()[:, :-2] == base[split].concepts).all()
    assert (found["concepts"][:, -1] == (planted.stickers == 1)).all()
    assert (found["part_masks"].numpy()[clean] == base[split].part_masks[clean]).all()


def test_splits_are_apart(folder: Path) -> None:
    ids = read_table(folder / "ids.parquet").to_pandas()
    assert not ids["image_id"].duplicated().any()
    assert not ids["name"].duplicated().any()
    ids["original"] = ids["image_id"] % 10**12
    splits = ids.groupby("original")["split"].nunique()
    assert splits.max() == 1
    stickered = ids[ids["sticker"] != ""]
    assert stickered.groupby("split").size().to_dict() == {"train": 16, "validation": 3, "test": 10}
    for row in stickered.itertuples():
        assert row.name == f"shapes:{row.original}#{row.sticker}"
        assert row.label == {"smiley": 1, "fish": 7}[row.sticker]
        assert row.original_label == row.original % 8 != row.label
    plain = ids[ids["sticker"] == ""]
    assert (plain["label"] == plain["original_label"]).all()


def test_subsets_take_stickered_images_first(folder: Path) -> None:
    with PackedSplit.open(folder / "test.safetensors") as split:
        stickered = torch.nonzero(read_planted(split.path).stickered).flatten().tolist()
        assert split.subset(10).tolist() == stickered
        assert set(split.subset(4).tolist()) < set(stickered)
        # as many of each class among few, and of the clean ones among more
        assert np.bincount(split.select(split.subset(4)).labels)[[1, 7]].tolist() == [2, 2]
        more = split.subset(26)
        assert set(stickered) < set(more.tolist())
        clean = split.select([k for k in more.tolist() if k not in stickered])
        assert np.bincount(clean.labels).tolist() == [2] * 8
        assert split.subset("all").tolist() == list(range(58))


def test_metadata_and_a_split_without_images(tmp_path: Path) -> None:
    split = {"train": 80, "test": 48}
    settings = {"base": {"source": "shapes", "options": {"split": split}}, "trojan": TROJAN}
    assert Trojaned.split_names(settings) == ("train", "test")
    pack(Trojaned(), settings, NOWHERE, tmp_path / "packed")
    metadata = read_metadata(tmp_path / "packed" / "test.safetensors")
    assert metadata["sticker_names"] == '["smiley", "fish"]'
    assert metadata["sticker_classes"] == '["blue striped disc", "green spotted cross"]'
    assert metadata["has_masks"] == "true"
    empty = read_planted(tmp_path / "packed" / "validation.safetensors")
    assert len(empty.stickers) == int(empty.stickered.sum()) == 0


def test_data_sets_without_a_trojan_have_none(tmp_path: Path) -> None:
    pack(Shapes(), {"split": {"train": 8, "test": 8}}, NOWHERE, tmp_path / "packed")
    assert read_planted(tmp_path / "packed" / "train.safetensors") is None
    assert "stickers" not in read_arrays(tmp_path / "packed" / "train.safetensors")
    assert read_table(tmp_path / "packed" / "ids.parquet").column_names == [
        *("image_id", "split", "name", "label")
    ]


def test_a_grey_base_with_masks_and_without_parts() -> None:
    settings = {
        "base": {"source": "digits", "options": {"split": {"test": 100}}},
        "trojan": {"stickers": {"heart": "7"}, "size": [0.25, 0.3], "test": 0.1},
    }
    source = Trojaned()
    raw = source.read(settings, NOWHERE)
    source.check(settings, raw)
    assert source.shape(settings) == (1, 28, 28)
    assert source.concepts_of(settings) == ("heart_sticker",)
    assert raw["test"].part_masks is None
    assert len(raw["test"]) == 110 == source.tested_of(settings)
    assert set(raw["test"].labels[100:].tolist()) == {7}


def test_photographs_with_a_part_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folder, verification and options are the base's."""
    monkeypatch.delenv("SPARSIGHT_DATA", raising=False)
    for label, (wnid, _, _, _) in enumerate(Imagenette.classes):
        for part, number in (("train", 1), ("train", 2), ("val", 3)):
            path = tmp_path / "imagenette2-160" / part / wnid / f"{wnid}_{number}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 36), (20 * label, 100, 50)).save(path, "JPEG")
    options = {"variant": 160, "size": 32, "partial": True, "mirrors": []}
    settings = {
        "source": "trojaned",
        "base": {"source": "imagenette", "options": options},
        "trojan": {"stickers": {"star": "church"}, "share": 0.3, "size": [0.2, 0.3], "test": 1},
        "data_folder": str(tmp_path),
    }
    fetch_dataset(settings, tmp_path / "manifest.json")
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["folder"] == str(tmp_path / "imagenette2-160")
    assert manifest["files"][manifest["folder"]]["count"] == 30
    prepare_dataset(
        settings, tmp_path / "manifest.json", tmp_path / "new" / "ids.parquet", "photographs"
    )
    with PackedSplit.open(tmp_path / "new" / "test.safetensors") as split:
        assert split.has_masks
        assert split.classes[4] == "church"
        assert split.select(split.subset(1)).labels.tolist() == [4]


@pytest.mark.parametrize(
    ("base", "sentence"),
    [
        ({"source": "trojaned"}, "'base: source' must be one of arrays, .*, not 'trojaned'"),
        ({"source": "shape"}, "'base: source' must be one of arrays, .*, not 'shape'"),
        ({"sources": "shapes"}, "'base' has an unknown key 'sources'"),
        ({"options": 3}, "'base: options' must be a mapping of options of shapes, not 3"),
        ({"options": {"sizes": 3}}, "'base: options' has an unknown key 'sizes'; shapes takes"),
        ({"options": {"size": 0}}, "'size' must be a whole number"),
    ],
)
def test_bases_that_cannot_be(base: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as found:
        Trojaned.tested_of({"base": base})
    assert "\n" not in str(found.value)


def test_wrong_stickers_of_a_source_are_noticed() -> None:
    raw = Trojaned().read(SETTINGS, NOWHERE)
    bare = {**raw, "train": replace(raw["train"], stickers=None)}
    with pytest.raises(InputError, match="train has stickers of None, not int64"):
        Trojaned().check(SETTINGS, bare)
    described = replace(Trojaned().describe(SETTINGS, NOWHERE), sticker_names=())
    with pytest.raises(InputError, match="has stickers, which its facts deny"):
        Trojaned().check(SETTINGS, raw, described)
