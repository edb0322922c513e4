"""Part masks, concepts and absent noise: stored, read lazily, no trace where there are none."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from sparsight.data.base import Description, RawSplit, Source
from sparsight.data.packed import PackedSplit, load_training_split
from sparsight.data.packing import pack
from sparsight.data.sources.digits import Digits
from sparsight.io.arrays import ArrayReader, read_arrays, read_metadata
from sparsight.io.errors import CorruptFile, InputError


class Annotated(Source):
    """Seven training and five test images with two parts and three concepts."""

    name, reference, licence, folder = "annotated", "", "", ""
    splits = ("train", "validation", "test")
    has_masks = False
    image_shape = (3, 4, 4)
    side_parameter = "size"
    parameters: ClassVar[dict[str, Any]] = {"size": 4}
    class_count = 2
    part_names = ("beak", "wing")
    concept_names = ("red", "long", "spotted")

    def __init__(self, change: str = "") -> None:
        self.change = change

    @classmethod
    def split_names(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return ("train", "test")

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        pass

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        side = settings.get("size", 4)
        rng = np.random.default_rng(0)
        splits = {}
        for split, first, count in (("train", 0, 7), ("test", 7, 5)):
            splits[split] = RawSplit(
                images=rng.integers(0, 2, (count, 3, side, side), np.uint8) * 9,
                labels=np.arange(count) % 2,
                names=[f"{split}:{index}" for index in range(count)],
                image_ids=np.arange(first, first + count),
                part_masks=rng.integers(0, 256, (count, 2, side, side), np.uint8),
                concepts=rng.random((count, 3)) < 0.5,
            )
        test = splits["test"]
        if self.change in ("known", "unknown concept", "short known"):
            for split, part in list(splits.items()):
                known = rng.random(part.concepts.shape) < 0.7
                known[0, 0] = False
                part.concepts[~known] = False
                part.concepts[0, 0] = self.change == "unknown concept"
                columns = 2 if self.change == "short known" else 3
                splits[split] = dataclasses.replace(part, concepts_known=known[:, :columns])
        elif self.change == "part":
            test.part_masks[0, 0, 0, 0] ^= 1
        elif self.change == "concept":
            test.concepts[0, 0] ^= True
        elif self.change == "shape":
            splits["test"] = RawSplit(
                test.images, test.labels, test.names, test.image_ids, None, test.part_masks[:, :1]
            )
        elif self.change == "type":
            splits["test"] = RawSplit(
                *(test.images, test.labels, test.names, test.image_ids, None, test.part_masks),
                test.concepts.astype(np.uint8),
            )
        return splits


NOWHERE = Path("nowhere")


@pytest.fixture(scope="module")
def raw() -> RawSplit:
    return Annotated().read({}, NOWHERE)["test"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "birds"
    pack(Annotated(), {"noise": {"maximum": 0}}, NOWHERE, folder)
    return folder / "test.safetensors"


def test_annotations_come_back(path: Path, raw: RawSplit) -> None:
    with PackedSplit.open(path) as split:
        assert split.part_names == ["beak", "wing"]
        assert split.concept_names == ["red", "long", "spotted"]
        for indices in ([4, 0, 0, 3], torch.tensor([1, 2, 3]), []):
            wanted = np.asarray(indices, dtype=np.int64)
            parts, concepts = split.part_masks(indices), split.concepts(indices)
            assert parts.dtype == torch.uint8
            assert concepts.dtype == torch.bool
            assert parts.tolist() == raw.part_masks[wanted].tolist()
            assert concepts.tolist() == raw.concepts[wanted].tolist()
        for read in (split.part_masks, split.concepts):
            with pytest.raises(InputError, match="has 5 images, no index 5"):
                read([1, 5])


def test_a_split_that_is_left_out_has_the_same_parts(path: Path) -> None:
    with PackedSplit.open(path.with_name("validation.safetensors")) as split:
        assert len(split) == 0
        assert split.part_masks([]).shape == (0, 2, 4, 4)
        assert split.concepts([]).shape == (0, 3)
        assert split.image_shape == (3, 4, 4)


def test_a_side_that_is_an_option(tmp_path: Path) -> None:
    pack(Annotated(), {"size": 6}, NOWHERE, tmp_path / "birds")
    for name in ("validation", "test"):
        with PackedSplit.open(tmp_path / "birds" / f"{name}.safetensors") as split:
            assert split.image_shape == (3, 6, 6)
            assert split.part_masks([]).shape == (0, 2, 6, 6)


def test_annotations_are_read_only_on_request(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    rows, verify = ArrayReader.rows, ArrayReader._verify

    def watched_rows(self, name, *arguments):
        asked.append(name)
        return rows(self, name, *arguments)

    def watched_verify(self, name, digests):
        asked.append(name)
        verify(self, name, digests)

    monkeypatch.setattr(ArrayReader, "rows", watched_rows)
    monkeypatch.setattr(ArrayReader, "_verify", watched_verify)
    with PackedSplit.open(path) as split:
        split.select([0, 3])
        split.labels()
        assert "images" in asked
        assert not {"part_masks", "concepts"} & set(asked)
        asked.clear()
        split.part_masks([0])
        assert set(asked) == {"part_masks"}


def test_damaged_annotations_are_found_when_asked_for(path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    start = content.find(read_arrays(path)["part_masks"].numpy().tobytes())
    content[start] ^= 1
    damaged = tmp_path / "test.safetensors"
    damaged.write_bytes(content)
    with PackedSplit.open(damaged) as split:
        split.select([0])
        with pytest.raises(CorruptFile, match="'part_masks' does not match its checksum"):
            split.part_masks([0])


def test_a_data_set_without_annotations_says_so(tmp_path: Path) -> None:
    pack(Digits(), {"split": {"test": 20}}, NOWHERE, tmp_path / "digits")
    with PackedSplit.open(tmp_path / "digits" / "test.safetensors") as split:
        assert (split.part_names, split.concept_names) == ([], [])
        with pytest.raises(InputError, match="the data set 'digits' has no parts; choose one that"):
            split.part_masks([0])
        with pytest.raises(InputError, match="the data set 'digits' has no concepts"):
            split.concepts([0])


def test_the_data_hash_covers_annotations(tmp_path: Path) -> None:
    found = {
        change: pack(Annotated(change), {}, NOWHERE, tmp_path / f"d{change}")
        for change in ("", "part", "concept")
    }
    assert len(set(found.values())) == 3


def test_which_concepts_are_known_comes_back(tmp_path: Path, path: Path) -> None:
    raw = Annotated("known").read({}, NOWHERE)["test"]
    found = pack(Annotated("known"), {"noise": {"maximum": 0}}, NOWHERE, tmp_path / "d")
    with PackedSplit.open(tmp_path / "d" / "test.safetensors") as split:
        for indices in ([4, 0, 0, 3], []):
            wanted = np.asarray(indices, dtype=np.int64)
            known = split.concepts_known(indices)
            assert known.dtype == torch.bool
            assert known.tolist() == raw.concepts_known[wanted].tolist()
        data_hash = split.data_hash
    chosen = raw.select(np.array([3, 1]))
    assert (chosen.concepts_known == raw.concepts_known[[3, 1]]).all()
    with PackedSplit.open(tmp_path / "d" / "validation.safetensors") as split:
        assert split.concepts_known([]).shape == (0, 3)
    assert found == data_hash

    class Forgetful(Annotated):
        def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
            return {
                split: dataclasses.replace(part, concepts_known=None)
                for split, part in super().read(settings, folder).items()
            }

    assert pack(Forgetful("known"), {}, NOWHERE, tmp_path / "e") != found
    # Without the array all are known, and the file has no trace of it.
    assert "concepts_known" not in read_arrays(path)
    with PackedSplit.open(path) as split:
        assert split.concepts_known([2, 0]).tolist() == [[True] * 3] * 2
        with pytest.raises(InputError, match="no index 5"):
            split.concepts_known([5])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("unknown concept", "has a concept in an image of which it is not known"),
        ("short known", r"has concepts known of bool \[7, 2\], not bool \[7, 3\]"),
        ("shape", r"test has part masks of uint8 \[5, 1, 4, 4\], not uint8 \[5, 2, 4, 4\]"),
        ("type", r"test has concepts of uint8 \[5, 3\], not bool \[5, 3\]"),
    ],
)
def test_annotations_are_held_against_the_facts(tmp_path: Path, change: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        pack(Annotated(change), {}, NOWHERE, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_facts_may_not_deny_what_is_there(tmp_path: Path) -> None:
    class Denied(Annotated):
        part_names = ()

    with pytest.raises(InputError, match="train has part masks, which its facts deny"):
        pack(Denied(), {}, NOWHERE, tmp_path / "d")


def test_select_keeps_annotations(raw: RawSplit) -> None:
    chosen = raw.select(np.array([3, 1]))
    assert (chosen.part_masks == raw.part_masks[[3, 1]]).all()
    assert (chosen.concepts == raw.concepts[[3, 1]]).all()


def test_without_noise_none_is_stored(path: Path, tmp_path: Path) -> None:
    assert "noise" not in read_arrays(path)
    with PackedSplit.open(path) as split:
        assert not split.has_noise
        batch = split.select([4, 0, 2])
        assert batch.noise.shape == batch.pixels.shape
        assert batch.noise.dtype == torch.uint8
        assert not batch.noise.any()
        assert torch.equal(batch.images("noisy"), batch.images("clean"))
        assert torch.equal(batch.to("cpu").images("noisy"), batch.images("clean"))
        assert torch.equal(split.rows(1, 3).images("noisy"), split.rows(1, 3).images("clean"))
    pack(Annotated(), {"noise": {"maximum": 1}}, NOWHERE, tmp_path / "noisy")
    with PackedSplit.open(tmp_path / "noisy" / "test.safetensors") as split:
        assert split.has_noise
        assert split.rows(0, 5).noise.any()


def test_a_file_without_noise_that_should_have_some(path: Path, tmp_path: Path) -> None:
    from sparsight.io.arrays import read_metadata, write_arrays

    metadata = {**read_metadata(path), "noise_maximum": "51"}
    write_arrays(tmp_path / "test.safetensors", read_arrays(path), metadata)
    with pytest.raises(InputError, match="holds no 'noise'; prepare the data set again"):
        PackedSplit.open(tmp_path / "test.safetensors")


def test_large_images_are_written_in_small_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes, whatever the chunk."""
    from sparsight.data import packed, packing

    pack(Annotated(), {}, NOWHERE, tmp_path / "a" / "d")
    monkeypatch.setattr(packing, "CHUNK_VALUES", 100)
    pack(Annotated(), {}, NOWHERE, tmp_path / "b" / "d")
    one, other = (tmp_path / part / "d" / "train.safetensors" for part in "ab")
    assert one.read_bytes() == other.read_bytes()
    whole = load_training_split(one)
    monkeypatch.setattr(packed, "CHUNK_BYTES", 100)
    again = load_training_split(one)
    assert all(map(torch.equal, whole, again))


def test_arrays_of_earlier_releases_stay(tmp_path: Path) -> None:
    """Published numbers rest on these files: neither their hash nor their arrays may change."""
    found = pack(Digits(), {}, NOWHERE, tmp_path / "digits_28")
    assert found == "b461321ec0dfc3323d1370cbd4e6ab9356f1d08cf8d4ea45685262febed6d42c"
    content = (tmp_path / "digits_28" / "test.safetensors").read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    known = "e11c753972c1404c5caf5da21222fc067caafe4a6a4a3867e51e83a2529db416"
    assert hashlib.sha256(content[header:]).hexdigest() == known


class Optional(Annotated):
    """The same, with masks, parts, concepts and classes that the options decide."""

    varying = ("class_count", "has_masks", "part_names", "concept_names", "test_images")

    @classmethod
    def classes_of(cls, settings: Mapping[str, Any]) -> list[str]:
        return ["a", "b", "c"][: settings["classes"]]

    @classmethod
    def masks_of(cls, settings: Mapping[str, Any]) -> bool:
        return bool(settings.get("masks"))

    @classmethod
    def parts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return cls.part_names if settings.get("parts") else ()

    @classmethod
    def concepts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return ("long", "spotted") if settings.get("concepts") else ()

    def describe(self, settings: Mapping[str, Any], folder: Path) -> Description:
        stated = super().describe(settings, folder)
        return dataclasses.replace(stated, notes={"place": folder.name})

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        whole = super().read(settings, folder)
        return {
            split: dataclasses.replace(
                part,
                masks=np.uint8(255) * (part.images[:, 0] > 0) if settings.get("masks") else None,
                part_masks=part.part_masks if settings.get("parts") else None,
                concepts=part.concepts[:, 1:] if settings.get("concepts") else None,
            )
            for split, part in whole.items()
        }


def test_options_decide_the_facts(tmp_path: Path) -> None:
    everything = {"classes": 3, "masks": True, "parts": True, "concepts": True}
    pack(Optional(), everything, NOWHERE, tmp_path / "all")
    pack(Optional(), {"classes": 2}, NOWHERE, tmp_path / "none")
    for name in ("train", "validation", "test"):
        with PackedSplit.open(tmp_path / "all" / f"{name}.safetensors") as split:
            assert split.classes == ["a", "b", "c"]
            assert split.concept_names == ["long", "spotted"]
            assert (split.has_masks, split.part_names) == (True, ["beak", "wing"])
            assert split.concepts([]).shape == (0, 2)
        with PackedSplit.open(tmp_path / "none" / f"{name}.safetensors") as split:
            assert split.classes == ["a", "b"]
            assert (split.has_masks, split.part_names, split.concept_names) == (False, [], [])
        metadata = read_metadata(tmp_path / "all" / f"{name}.safetensors")
        assert metadata["place"] == NOWHERE.name
    assert Optional.has_concepts(everything)
    assert not Optional.has_concepts({})
    # Two labels, one class.
    with pytest.raises(InputError, match=r"has a label outside 0\.\.0"):
        pack(Optional(), {"classes": 1}, NOWHERE, tmp_path / "one")
    with pytest.raises(InputError, match="has masks, which its facts deny"):
        Optional().check({"classes": 2}, Optional().read(everything, NOWHERE))
