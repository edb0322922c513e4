"""Which files of entries a plan finds out of date."""

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from sparsight.io.arrays import write_arrays
from sparsight.io.entries import Key, Stored, Update, Wanted, digest, maps_digest
from sparsight.io.tables import write_table
from sparsight.registration import Item
from sparsight.study.settings import Entries
from sparsight.study.stored_entries import (
    FORCED_VARIABLE,
    StoredEntries,
    mark_forced,
    wanted_entries,
)

SALIENCY = Item("explainer", "saliency", "m", "Saliency", 1)
SETTINGS, VERSION = {"images": 40}, {"explaining": 1}


def entries(item: Item = SALIENCY, **settings: object) -> Entries:
    return Entries({"explainers": settings}, settings, {name: [item] for name in settings})


@pytest.fixture
def study(tmp_path: Path) -> dict[str, str]:
    """A file of maps of `a`, of a checkpoint, and a table of scores of them."""
    checkpoint, maps = tmp_path / "checkpoint.safetensors", tmp_path / "maps.safetensors"
    write_arrays(checkpoint, {"w": torch.zeros(1)})
    wanted = wanted_entries(entries(a=1), SETTINGS, VERSION)
    update = Update(None, wanted, {"checkpoint": digest(checkpoint)})
    write_arrays(maps, {"a/clean": torch.zeros(1)}, update.result.metadata())
    scored = wanted_entries(entries(**{"a/iou": 1}), SETTINGS, VERSION)
    update = Update(None, scored, {}, maps_digest([maps]))
    write_table(tmp_path / "scores.parquet", pa.table({"x": [1]}), update.result.metadata())
    return {path.stem: str(path) for path in tmp_path.iterdir()}


def check(study: dict[str, str], wanted: Wanted) -> dict[str, list[str]]:
    found = StoredEntries()
    found.is_stale(study["maps"], wanted, {"checkpoint": study["checkpoint"]})
    return found.stale.get(study["maps"], {})


def test_keys_are_settings_and_versions():
    one = wanted_entries(entries(a={"x": 1, "y": 2}), SETTINGS, VERSION)
    assert one.keys["a"].version == "Saliency 1"
    assert one.items == {"explainers": {"a": {"x": 1, "y": 2}}}
    same = wanted_entries(entries(a={"y": 2.0, "x": 1}), SETTINGS, VERSION)
    assert same.keys == one.keys
    assert wanted_entries(entries(a={"x": 3}), SETTINGS, VERSION).keys != one.keys


@pytest.mark.parametrize(
    ("wanted", "stale"),
    [
        (entries(a=1), {}),
        (entries(), {}),
        (entries(a=1, b=1), {"new": ["b"]}),
        (entries(a=2), {"settings": ["a"]}),
        (entries(SALIENCY._replace(version=2), a=1), {"version": ["a"]}),
        (entries(SALIENCY._replace(attribute="Other"), a=1), {"version": ["a"]}),
    ],
)
def test_entries_are_compared_with_the_study(study, wanted, stale):
    assert check(study, wanted_entries(wanted, SETTINGS, VERSION)) == stale


def test_what_entries_share_is_compared_too(study):
    assert check(study, wanted_entries(entries(a=1), {"images": 20}, VERSION)) == {
        "settings": ["images"]
    }
    write_arrays(study["checkpoint"], {"w": torch.ones(1)})
    assert check(study, wanted_entries(entries(a=1), SETTINGS, VERSION)) == {
        "inputs": ["checkpoint"]
    }


def test_results_outlive_the_data_that_they_were_made_from(study):
    Path(study["checkpoint"]).unlink()
    assert check(study, wanted_entries(entries(a=1), SETTINGS, VERSION)) == {}
    assert check(study, wanted_entries(entries(a=1, b=1), SETTINGS, VERSION)) == {"new": ["b"]}


def test_a_file_that_is_not_there_is_left_to_snakemake(study):
    Path(study["maps"]).unlink()
    assert check(study, wanted_entries(entries(a=1), SETTINGS, VERSION)) == {}


@pytest.mark.parametrize("content", [b"", b"damaged", bytes(100)])
def test_a_file_that_says_nothing_is_made_again(study, content):
    Path(study["maps"]).write_bytes(content)
    assert check(study, wanted_entries(entries(a=1), SETTINGS, VERSION)) == {"new": ["a"]}


def test_scores_are_compared_with_their_maps(study):
    scored = wanted_entries(entries(**{"a/iou": 1}), SETTINGS, VERSION)

    def stale() -> dict[str, list[str]]:
        found = StoredEntries()
        found.is_stale(study["scores"], scored, {}, [study["maps"]])
        return found.stale.get(study["scores"], {})

    assert stale() == {}
    metadata = Stored(SETTINGS, VERSION, {}, {"a": Key("s", "v")}).metadata()
    write_arrays(study["maps"], {"a/clean": torch.ones(1)}, metadata)
    assert stale() == {"inputs": ["iou"]}
    Path(study["maps"]).unlink()
    assert stale() == {}


@pytest.mark.parametrize(
    ("names", "anew"),
    [("", False), ("*", True), ("explain_images", True), ("a/b.parquet", True), ("other", False)],
)
def test_what_the_command_line_forces_is_computed_anew(monkeypatch, names, anew):
    monkeypatch.setenv(FORCED_VARIABLE, names)
    wanted = wanted_entries(entries(a=1), SETTINGS, VERSION)
    assert mark_forced(wanted, "explain_images", "a/b.parquet").anew == anew
