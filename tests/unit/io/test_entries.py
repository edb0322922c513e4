"""Entries of a file: which are kept, which are computed, and why."""

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from sparsight.io.arrays import ArrayReader, write_arrays
from sparsight.io.entries import (
    Key,
    Stored,
    Update,
    Wanted,
    checksums,
    digest,
    header_metadata,
    map_digests,
    maps_digest,
    present,
    sum_up,
    table_entries,
    table_metadata,
    with_items,
)
from sparsight.io.errors import InputError
from sparsight.io.tables import write_table

SETTINGS, VERSION, INPUTS = {"images": 40}, {"explaining": 1}, {"test": "t1", "checkpoint": "c1"}
A, B = Key("settings of a", "A 1"), Key("settings of b", "B 1")


def wanted(**keys: Key) -> Wanted:
    return Wanted(SETTINGS, VERSION, keys)


def stored(**keys: Key) -> Stored:
    return Stored(SETTINGS, VERSION, INPUTS, keys)


def test_what_is_written_is_read():
    found = Stored.of(stored(a=A, b=B._replace(inputs="i")).metadata())
    assert found == stored(a=A, b=B._replace(inputs="i"))


@pytest.mark.parametrize(
    "metadata", [{}, {"entries": "no JSON"}, {"entries": "[]"}, {"entries": '{"keys": {"a": [1]}}'}]
)
def test_metadata_that_say_nothing_of_entries(metadata):
    assert Stored.of(metadata) is None


def test_without_a_file_everything_is_computed():
    update = Update(None, wanted(a=A, b=B), INPUTS)
    assert (update.missing, update.kept, update.stale) == (["a", "b"], [], {"new": ["a", "b"]})
    assert update.result == stored(a=A, b=B)


def test_what_is_there_stays_and_nothing_is_computed():
    update = Update(stored(a=A, b=B), wanted(a=A, b=B), INPUTS)
    assert (update.missing, update.kept, update.stale) == ([], ["a", "b"], {})
    assert update.result == stored(a=A, b=B)


@pytest.mark.parametrize(
    ("old", "why"),
    [
        (stored(a=A), "new"),
        (stored(a=A, b=B._replace(settings="others")), "settings"),
        (stored(a=A, b=B._replace(version="B 2")), "version"),
        (stored(a=A, b=B._replace(version="C 1")), "version"),
        (stored(a=A, b=B._replace(inputs="other maps")), "inputs"),
    ],
)
def test_an_entry_is_computed_alone(old, why):
    update = Update(old, wanted(a=A, b=B), INPUTS)
    assert (update.missing, update.kept, update.stale) == (["b"], ["a"], {why: ["b"]})
    assert update.result == stored(a=A, b=B)
    assert str(update) == "entries kept: 1; computed: 1 (b)"


def test_what_a_study_does_not_name_stays():
    update = Update(stored(a=A, b=B), wanted(a=A), INPUTS)
    assert (update.missing, update.kept, update.stale) == ([], ["a", "b"], {})
    assert Update(update.result, wanted(a=A, b=B), INPUTS).stale == {}


def test_what_a_study_does_not_name_goes_with_its_inputs():
    """Or it would pass for the scores of new maps when the study names it again."""
    maps = {"a": "new", "b": "new"}
    old = stored(a=A._replace(inputs="new"), b=B._replace(inputs="old"))
    update = Update(old, wanted(a=A), INPUTS, maps.__getitem__)
    assert (update.missing, update.kept) == ([], ["a"])
    assert Update(old, wanted(a=A, b=B), INPUTS, maps.__getitem__).stale == {"inputs": ["b"]}


@pytest.mark.parametrize(
    ("old", "why", "names"),
    [
        (Stored({"images": 20}, VERSION, INPUTS, {"a": A}), "settings", ["images"]),
        (Stored(SETTINGS, {"explaining": 2}, INPUTS, {"a": A}), "version", ["explaining"]),
        (Stored(SETTINGS, VERSION, {**INPUTS, "test": "t2"}, {"a": A}), "inputs", ["test"]),
        (Stored(SETTINGS, VERSION, {"test": "t1"}, {"a": A}), "inputs", ["checkpoint"]),
    ],
)
def test_all_entries_go_with_what_they_share(old, why, names):
    update = Update(old, wanted(a=A), INPUTS)
    assert (update.missing, update.kept, update.stale) == (["a"], [], {why: names})


def test_what_is_forced_is_computed_anew():
    update = Update(stored(a=A), Wanted(SETTINGS, VERSION, {"a": A}, anew=True), INPUTS)
    assert (update.missing, update.kept, update.stale) == (["a"], [], {})


def test_maps_that_are_not_there_are_bad_input():
    update = Update(None, wanted(a=A), INPUTS, {}.__getitem__)
    with pytest.raises(InputError, match="no a"):
        _ = update.result


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/x", "b/x"], ["x"]),
        (["a/x", "b/x", "a/y"], ["x", "a/y"]),
        (["a/x", "a/y"], ["a"]),
        (["a/x", "b/y"], ["a/x", "b/y"]),
        (["a"], ["a"]),
        ([], []),
    ],
)
def test_names_of_pairs_are_summed_up(names, expected):
    assert sum_up(names, ["a/x", "a/y", "b/x", "b/y", "c"]) == expected


def write_maps(path: Path, a: float = 1.0, target: int = 3, key: Key = A) -> Path:
    tensors = {
        "a/clean": torch.full((2, 3, 3), a),
        "b/clean": torch.zeros(2, 3, 3),
        "image_ids": torch.arange(2),
        "targets/clean": torch.tensor([target, 1]),
        "predictions/clean": torch.tensor([1, 1]),
    }
    write_arrays(path, tensors, stored(a=key, b=B).metadata())
    return path


def test_maps_change_with_their_values_targets_and_key(tmp_path):
    one = map_digests(write_maps(tmp_path / "1.safetensors"))
    assert set(one) == {"a", "b"}
    assert map_digests(write_maps(tmp_path / "2.safetensors")) == one
    other = map_digests(write_maps(tmp_path / "3.safetensors", a=2.0))
    assert (other["a"] == one["a"], other["b"] == one["b"]) == (False, True)
    other = map_digests(write_maps(tmp_path / "4.safetensors", target=4))
    assert (other["a"] == one["a"], other["b"] == one["b"]) == (False, False)
    other = map_digests(write_maps(tmp_path / "5.safetensors", key=B))
    assert (other["a"] == one["a"], other["b"] == one["b"]) == (False, True)
    assert map_digests(tmp_path / "none.safetensors") == {}


def test_a_comparison_depends_on_all_its_files(tmp_path):
    first, same = write_maps(tmp_path / "1.safetensors"), write_maps(tmp_path / "2.safetensors")
    other = write_maps(tmp_path / "3.safetensors", a=2.0)
    assert maps_digest([first, same])("a/ssim") == maps_digest([same, first])("a/other")
    assert maps_digest([first, other])("a/ssim") != maps_digest([first, same])("a/ssim")
    assert maps_digest([first, other])("b/ssim") == maps_digest([first, same])("b/ssim")
    with pytest.raises(LookupError):
        maps_digest([first])("c/ssim")


def test_digests_are_those_of_the_content(tmp_path):
    one = write_maps(tmp_path / "1.safetensors")
    with ArrayReader(one) as reader:
        assert reader.layout("a/clean") == (torch.float32, (2, 3, 3))
    assert digest(one) == checksums(header_metadata(one))[""]
    assert digest(one) != digest(write_maps(tmp_path / "2.safetensors", a=2.0))
    (tmp_path / "a.json").write_text("1")
    assert digest(tmp_path / "a.json") != digest(one)
    for name in ("none.safetensors", "none.parquet"):
        with pytest.raises(InputError, match=name):
            digest(tmp_path / name)


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_entries_of_tables(tmp_path, count):
    """Read by hand from the footer, whatever the length of the text; pyarrow reads the same."""
    path, entries = tmp_path / "a.parquet", stored(**{f"a{i}": A for i in range(count)})
    write_table(path, pa.table({"entries": ["entries"]}), entries.metadata() | {"metrics": "{}"})
    assert Stored.of(table_entries(path)) == Stored.of(table_metadata(path)) == entries
    content = path.read_bytes()
    for damaged in (b"", content[:-9], content[: len(content) // 2], b"PAR1"):
        path.write_bytes(damaged)
        assert Stored.of(table_entries(path)) is None


def test_metadata_of_tables(tmp_path):
    write_table(tmp_path / "a.parquet", pa.table({"x": [1]}), {"other": "x"})
    assert table_metadata(tmp_path / "a.parquet")["other"] == "x"
    assert table_entries(tmp_path / "a.parquet") == {}
    (tmp_path / "b.parquet").write_bytes(b"PAR1 but no table")
    assert table_metadata(tmp_path / "b.parquet") is None
    assert table_metadata(tmp_path / "none.parquet") is None
    assert table_entries(tmp_path / "none.parquet") == {}


def test_what_jobs_hand_over():
    assert present(a="x", b=None, c=[]) == {"a": "x"}
    assert with_items({"a": 1}, None) == {"a": 1}
    assert with_items({"a": 1}, Wanted({}, {}, {}, {"explainers": {}})) == {
        "a": 1,
        "explainers": {},
    }
