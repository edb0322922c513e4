"""From a checkpoint to features, findings and drift, and what refuses findings that are none."""

import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pyarrow.parquet as pq
import pytest
import torch

from sparsight.concepts.base import (
    ConceptMethod,
    Findings,
    FindingsFiles,
    Measured,
    Ranked,
    read_findings,
    write_findings,
)
from sparsight.concepts.identity import read_identity
from sparsight.concepts.registry import CONCEPTS
from sparsight.concepts.run import compare_concepts, extract_checkpoint, find_concepts
from sparsight.data.packing import pack
from sparsight.data.sources.shapes import Shapes
from sparsight.io.checkpoints import Checkpoint, write_checkpoint
from sparsight.io.errors import InputError
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18

SETTINGS = {"batch_size": 7, "threads": 1, "images": "all", "study": "demo"}
PLACE = {"dataset": "shapes", "model": "small", "seed": "3", "pruner": "magnitude", "level": "02"}
IDENTITY = {**PLACE, "study": "demo", "density": 0.25, "concept": "bright"}
COUNTS = {"train": 16, "validation": 0, "test": 24}


class Brightness(ConceptMethod):
    """Concepts are the feature channels; a class's order is by its mean output there."""

    name = "brightness"
    reference = "made by ourselves"
    measures: ClassVar = {
        "mean_output": ("", "any", "mean output of a channel"),
        "images": ("", "images", "images looked at"),
    }
    comparisons: ClassVar = {
        "same_first": ("higher", "0 or 1", "whether the first channel is the same")
    }
    parameters: ClassVar = {"split": "test"}

    def find(self, checkpoint) -> Findings:
        assert not any(p.requires_grad for p in checkpoint.network.parameters())
        assert not checkpoint.network.training
        split = checkpoint.features.split(self.settings["split"])
        ranked, measured = [], [Measured("images", float(checkpoint.images))]
        for label in split.labels.unique().tolist():
            means = split.pooled[split.labels == label].mean(dim=0)
            for rank, channel in enumerate(means.argsort(descending=True).tolist(), start=1):
                found = (means[channel].item(), str(label), f"channel {channel}")
                ranked.append(Ranked(found[1], found[2], rank, found[0]))
                measured.append(Measured("mean_output", *found))
        arrays = {"means": split.pooled.mean(dim=0), "count": torch.tensor(len(split))}
        notes = ["Nothing was dropped."]
        texts = {"channels": [f"channel {i}" for i in range(split.pooled.shape[1])]}
        return Findings(ranked, measured, arrays, texts, notes, passes=7)

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        first, other = (
            {row.class_name: row.concept for row in found.ranked if row.rank == 1}
            for found in (own, reference)
        )
        return [Measured("same_first", float(first[k] == other[k]), k) for k in sorted(first)]


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder with two packed data sets, two checkpoints and the features of both."""
    folder = tmp_path_factory.mktemp("concepts")
    for name, seed in (("shapes", 0), ("bank", 1)):
        settings = {"size": 32, "split": {**COUNTS, "seed": seed}, "noise": {"maximum": 0}}
        pack(Shapes(), settings, folder, folder / name)
    for seed in (1, 2):
        network = build_network(ResNet18, 8, seed, {"width": 4})
        masks = {"conv1.weight": torch.ones_like(network.conv1.weight, dtype=torch.bool)}
        masks["conv1.weight"][: network.conv1.weight.shape[0] // 2] = False
        facts = {"architecture": "resnet18", "class_count": "8", "options": '{"width": 4}'}
        path = folder / f"{seed}.safetensors"
        write_checkpoint(path, Checkpoint(network.state_dict(), masks, facts))
        extract_checkpoint(
            SETTINGS,
            checkpoint=path,
            splits=packed(folder / "shapes"),
            bank=packed(folder / "bank") if seed == 2 else [],
            output=folder / f"features{seed}.safetensors",
            gpu=0,
        )
    return folder


def packed(folder: Path) -> list[Path]:
    return [folder / f"{split}.safetensors" for split in COUNTS]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(CONCEPTS, "load", lambda name: {"brightness": Brightness}[name])


def files_in(folder: Path, name: str = "bright") -> FindingsFiles:
    return FindingsFiles(
        folder / f"{name}.parquet",
        folder / f"{name}_measures.parquet",
        folder / f"{name}.safetensors",
    )


def found_in(work: Path, folder: Path, seed: int, **settings) -> FindingsFiles:
    """The findings of a checkpoint, written into a folder."""
    files = files_in(folder, f"of_{seed}")
    find_concepts(
        {**SETTINGS, "method": "brightness", "parameters": {}, **settings},
        checkpoint=work / f"{seed}.safetensors",
        features=work / f"features{seed}.safetensors",
        splits=packed(work / "shapes"),
        bank=packed(work / "bank") if seed == 2 else [],
        outputs=files,
        wildcards={**PLACE, "concept": "bright"},
        gpu=0,
    )
    return files


def test_findings_come_back_as_they_were_found(work, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        files = found_in(work, tmp_path, 1)
    assert "Nothing was dropped." in caplog.messages
    table = pq.read_table(files.ranking)
    assert table.column_names == ["method", "class", "concept", "rank", "weight", "value"]
    assert set(table["method"].to_pylist()) == {"brightness"}
    # 8 classes, 8 x 4 channels
    assert table.num_rows == 8 * 32
    found = read_findings(files)
    assert [row.rank for row in found.ranked[:32]] == list(range(1, 33))
    weights = [row.weight for row in found.ranked[:32]]
    assert weights == sorted(weights, reverse=True)
    assert Measured("images", 24.0) in found.measured
    assert found.arrays["count"] == 24
    assert found.arrays["means"].shape == (32,)
    assert found.texts == {"channels": [f"channel {i}" for i in range(32)]}
    assert (found.passes, found.notes) == (0, ())


def test_whose_concepts_they_are_stands_in_every_file(work, tmp_path):
    files = found_in(work, tmp_path, 1)
    # half of the masked layer is left
    assert read_identity(files.measures) == {
        **{key: str(value) for key, value in IDENTITY.items()},
        "density": "0.5",
        "method": "brightness",
    }
    assert read_identity(files.ranking) == read_identity(files.measures)


def test_forward_passes_are_counted(work, tmp_path):
    # its own 16 + 24 images; with a bank, as many again
    for seed, shared in ((1, 40), (2, 80)):
        table = pq.read_table(found_in(work, tmp_path, seed).measures)
        rows = {row["measure"]: row["value"] for row in table.to_pylist() if not row["concept"]}
        assert rows == {"images": 24.0, "forward_passes": shared + 7.0, "shared_passes": shared}
        metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
        assert (metadata["feature_passes"], metadata["own_passes"]) == (str(shared), "7")
        assert metadata["notes"] == '["Nothing was dropped."]'


def test_the_number_of_images_is_that_of_the_settings(work, tmp_path):
    found = read_findings(found_in(work, tmp_path, 1, images=10))
    assert Measured("images", 10.0) in found.measured


def test_concepts_are_compared_with_every_reference(work, tmp_path):
    own, other = found_in(work, tmp_path, 1), found_in(work, tmp_path, 2)
    settings = {
        "method": "brightness",
        "parameters": {},
        "threads": 1,
        "references": [
            {"pruner": "dense", "seed": 1, "level": 0},
            {"pruner": "dense", "seed": 2, "level": 0},
        ],
    }
    output = tmp_path / "drift.parquet"
    compare_concepts(settings, own=own, references=[own, other], output=output)
    rows = pq.read_table(output).to_pylist()
    assert read_identity(output) == read_identity(own.measures)
    by_seed = {
        seed: {row["class"]: row["value"] for row in rows if row["reference_seed"] == seed}
        for seed in (1, 2)
    }
    assert by_seed[1] == dict.fromkeys(map(str, range(8)), 1.0)
    first = [
        {row.class_name: row.concept for row in read_findings(files).ranked if row.rank == 1}
        for files in (own, other)
    ]
    assert by_seed[2] == {k: float(first[0][k] == first[1][k]) for k in first[0]}
    assert 0 in by_seed[2].values()
    assert {row["reference_level"] for row in rows} == {0}


SOUND = {"ranked": [], "measured": [Measured("mean_output", 1.0), Measured("images", 2.0)]}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"measured": SOUND["measured"][:1]}, "gave no row of its measure 'images'"),
        (
            {"measured": [*SOUND["measured"], Measured("images", 3.0)]},
            "gave 'images' twice for class '' and concept ''; give it once",
        ),
        ({"measured": [*SOUND["measured"], Measured("size", 3.0)]}, "'size', which its facts do"),
        (
            {"ranked": [Ranked("a", "x", 1, 0.5), Ranked("a", "y", 3, 0.4)]},
            "gave the class 'a' no order",
        ),
        (
            {"ranked": [Ranked("a", "x", 1, 0.5), Ranked("a", "x", 2, 0.4)]},
            "each concept must have one",
        ),
    ],
)
def test_findings_that_break_the_facts_are_refused(tmp_path, wrong, words):
    files, method = files_in(tmp_path), Brightness()
    write_findings(files, method, Findings(**SOUND), IDENTITY, 5)
    assert read_findings(files).ranked == []
    with pytest.raises(InputError, match=words):
        write_findings(files_in(tmp_path, "b"), method, Findings(**{**SOUND, **wrong}), IDENTITY, 5)
    assert not list(tmp_path.glob("b[._]*"))


def test_a_comparison_that_its_facts_do_not_name_is_refused(work, tmp_path, monkeypatch):
    own = found_in(work, tmp_path, 1)
    monkeypatch.setattr(Brightness, "compare", lambda *_: [Measured("distance", 1.0)])
    settings = {
        "method": "brightness",
        "parameters": {},
        "threads": 1,
        "references": [{"pruner": "dense", "seed": 1, "level": 0}],
    }
    with pytest.raises(InputError, match="compare of concept method brightness gave the measure"):
        compare_concepts(settings, own=own, references=[own], output=tmp_path / "drift.parquet")
    assert not (tmp_path / "drift.parquet").exists()


def test_a_file_of_something_else_is_refused(work, tmp_path):
    path = tmp_path / "other.parquet"
    pq.write_table(
        pq.read_table(found_in(work, tmp_path, 1).ranking).replace_schema_metadata(), path
    )
    with pytest.raises(InputError, match="does not say whose concepts it holds"):
        read_identity(path)


def test_a_method_refuses_parameters_that_it_does_not_know():
    with pytest.raises(InputError, match="brightness names the unknown parameter 'spilt'"):
        Brightness(spilt="test")
    assert SimpleNamespace(**Brightness(split="train").settings).split == "train"
