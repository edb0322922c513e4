"""A tree of results: untouched it is clean; every kind of damage is listed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from sparsight.analysis.provenance import write_study_provenance
from sparsight.io.arrays import write_arrays
from sparsight.io.files import write_json, write_text
from sparsight.io.provenance import provenance, sha256_of
from sparsight.io.tables import verify_table, write_table
from sparsight.io.verify import Findings, main, verify_tree

LEVEL = "digits/cnn/seed1/dense/level00"
RECORDED = ("checkpoint.safetensors", "evaluation.json", "predictions.parquet")
TABLES = ("levels.csv", "scores.parquet")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """`results/study`: a checkpoint, its explanations and scores, tables, a figure, a log."""
    folder = tmp_path / "results" / "study"
    level = folder / LEVEL
    write_arrays(level / "checkpoint.safetensors", {"weights/a": torch.arange(100.0)})
    write_json(level / "evaluation.json", {"level": 0})
    write_table(level / "predictions.parquet", {"image_id": np.arange(100)})
    hashes = {name: sha256_of(level / name) for name in RECORDED}
    facts = provenance(
        {"rate": 0.2, "levels": {"1": 2}}, {"training": 1}, 1.5, "cpu", 1, "data0", hashes
    )
    write_json(level / "provenance.json", facts)
    maps = {"cam": torch.zeros(4, 8, 8)}
    write_arrays(level / "explanations" / "cam.safetensors", maps, {"data_hash": "data0"})
    write_table(level / "scores" / "cam.parquet", {"value": np.arange(100.0)})
    summary = folder / "summary"
    write_table(summary / "scores.parquet", {"value": np.arange(100.0)})
    write_text(summary / "levels.csv", "level,value\n0,0.5\n")
    (folder / "figures").mkdir()
    (folder / "figures" / "a.png").write_bytes(b"not really a picture")
    write_text(folder / "logs" / "prune.log", "done\n")
    files = [*(summary / name for name in TABLES), folder / "figures" / "a.png"]
    files.append(level / "scores" / "cam.parquet")
    write_study_provenance(
        [level / "provenance.json"],
        files,
        summary / "provenance.json",
        {"study": "study"},
        {"summary": 1},
    )
    return folder


def flip(path: Path) -> None:
    """Damage one byte in the middle of the first half: of parquet, among the values."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 4] ^= 1
    path.write_bytes(raw)


def report(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit status and lines of the command."""
    status = main([str(folder)])
    return status, capsys.readouterr().out.splitlines()


def test_an_untouched_tree_is_clean(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify_tree(study)
    assert found.mismatches == {}
    assert found.uncovered == ["logs/prune.log"]
    status, lines = report(study, capsys)
    assert status == 0
    assert lines[-1] == "10 files match, 0 do not, 0 are not covered (1 logs and benchmarks apart)"
    # there are no packed data to compare with, and that is said
    assert len(lines) == 2
    assert lines[0].startswith("note: data hashes of digits were not compared")


@pytest.mark.parametrize(
    "name",
    [
        *(f"{LEVEL}/{name}" for name in (*RECORDED, "provenance.json")),
        f"{LEVEL}/explanations/cam.safetensors",
        f"{LEVEL}/scores/cam.parquet",
        *(f"summary/{name}" for name in TABLES),
        "figures/a.png",
    ],
)
def test_a_flipped_byte_is_listed(
    study: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(study / name)
    assert set(verify_tree(study).mismatches) == {name}
    status, lines = report(study, capsys)
    assert status == 1
    assert sum(line.startswith(f"does not match: {name}: ") for line in lines) == 1
    assert lines[-2].endswith(f"snakemake --cores 1 --forcerun results/study/{name}")
    assert " files match, 1 do not, " in lines[-1]


def test_a_byte_of_a_tables_footer_is_listed_where_the_study_recorded_it(study: Path) -> None:
    # page checksums do not cover it
    scores = study / LEVEL / "scores" / "cam.parquet"
    raw = bytearray(scores.read_bytes())
    raw[raw.rindex(b"parquet-cpp")] ^= 1
    scores.write_bytes(raw)
    verify_table(scores)
    assert set(verify_tree(study).mismatches) == {f"{LEVEL}/scores/cam.parquet"}


@pytest.mark.parametrize("name", [f"{LEVEL}/evaluation.json", "summary/levels.csv"])
def test_a_listed_file_that_is_missing_is_listed(study: Path, name: str) -> None:
    (study / name).unlink()
    found = verify_tree(study)
    assert set(found.mismatches) == {name}
    assert "is missing" in found.mismatches[name]


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_provenance_that_is_none_is_listed(study: Path, content: str) -> None:
    for name in ("summary/provenance.json", f"{LEVEL}/provenance.json"):
        (study / name).write_text(content)
    assert set(verify_tree(study).mismatches) == {
        "summary/provenance.json",
        f"{LEVEL}/provenance.json",
    }


def test_settings_that_were_changed_are_listed(study: Path) -> None:
    path = study / "summary" / "provenance.json"
    content = json.loads(path.read_text())
    write_json(path, {**content, "settings": {"study": "another"}})
    found = verify_tree(study).mismatches
    assert found == {"summary/provenance.json": "its settings do not have its configuration_hash"}


def test_explanations_of_other_data_are_listed(study: Path) -> None:
    maps = study / LEVEL / "explanations" / "cam.safetensors"
    write_arrays(maps, {"cam": torch.zeros(4, 8, 8)}, {"data_hash": "data1"})
    assert set(verify_tree(study).mismatches) == {f"{LEVEL}/explanations/cam.safetensors"}


def test_networks_of_other_data_than_lie_there_are_listed(study: Path) -> None:
    packed = study.parents[1] / "data" / "packed" / "digits" / "test.safetensors"
    for data_hash, listed in (("data0", set()), ("data1", {f"{LEVEL}/provenance.json"})):
        write_arrays(packed, {"images": torch.zeros(1)}, {"data_hash": data_hash})
        found = verify_tree(study)
        assert set(found.mismatches) == listed
        assert found.notes == []


def test_what_nothing_is_known_of_is_named_and_does_not_fail(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_text(study / "notes.txt", "mine\n")
    status, lines = report(study, capsys)
    assert status == 0
    assert "not covered: notes.txt" in lines
    assert "10 files match, 0 do not, 1 are not covered" in lines[-1]


def test_a_tree_from_before_hashes_were_recorded_says_so(study: Path) -> None:
    for name in (f"{LEVEL}/provenance.json", "summary/provenance.json"):
        content = json.loads((study / name).read_text())
        del content["files"]
        write_json(study / name, content)
    found = verify_tree(study)
    assert found.mismatches == {}
    assert "lists no hashes of files: it was written before" in found.notes[-1]
    assert "summary/levels.csv" in found.uncovered
    assert f"{LEVEL}/evaluation.json" in found.uncovered
    assert f"{LEVEL}/checkpoint.safetensors" in found.verified
    # what is left are the files' own checksums
    damaged = {f"{LEVEL}/checkpoint.safetensors", "summary/scores.parquet"}
    for name in damaged:
        flip(study / name)
    assert set(verify_tree(study).mismatches) == damaged


def test_a_kept_part_needs_not_be_whole_but_must_match(study: Path, tmp_path: Path) -> None:
    kept = tmp_path / "reference" / "study"
    shutil.copytree(study / "summary", kept)
    (kept / "scores.parquet").unlink()
    found = verify_tree(kept)
    assert found.mismatches == {}
    assert found.verified == {"levels.csv", "provenance.json"}
    assert found.notes == ["4 files that provenance.json lists are not here"]
    flip(kept / "levels.csv")
    assert set(verify_tree(kept).mismatches) == {"levels.csv"}


def test_a_provenance_cannot_point_out_of_the_tree(study: Path) -> None:
    outside = study.parents[1] / "outside.txt"
    outside.write_text("x")
    path = study / LEVEL / "provenance.json"
    (study / "summary" / "provenance.json").unlink()
    content = json.loads(path.read_text())
    name = "../" * 8 + "outside.txt"
    write_json(path, {**content, "files": {name: sha256_of(outside)}})
    assert f"{LEVEL}/outside.txt" in verify_tree(study).mismatches


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--help"]])
def test_wrong_use_says_how(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"usage: python -m sparsight\.io\.verify FOLDER"):
        main(arguments)


def test_no_folder_and_an_empty_one_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is no folder; name one"):
        main([str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="is empty; name a folder"):
        main([str(tmp_path)])


def test_large_tables_are_read_as_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_table(path, {"value": np.random.default_rng(0).random(4_000_000)})
    usual = pa.default_memory_pool()
    counting = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counting)
    try:
        verify_table(path)
    finally:
        pa.set_memory_pool(usual)
    assert counting.max_memory() < path.stat().st_size / 4


def test_what_a_killed_job_left_is_no_mismatch(study: Path) -> None:
    for name in (".cam.4711.partial.safetensors", ".scores.12.partial.parquet"):
        (study / "summary" / name).write_bytes(b"half")
    findings = verify_tree(study)
    assert findings.mismatches == {}
    start = "summary/.cam.4711.partial.safetensors (and 1 more) was left by a job"
    assert [note for note in findings.notes if note.startswith(start)]


def test_the_report_ends_with_what_matters() -> None:
    found = Findings({"b": "why"}, {"a"}, ["c", "logs/d"], ["a note"])
    assert found.lines() == [
        "not covered: c",
        "note: a note",
        "does not match: b: why",
        "1 files match, 1 do not, 1 are not covered (1 logs and benchmarks apart)",
    ]
