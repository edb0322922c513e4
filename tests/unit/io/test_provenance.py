"""Where a result comes from."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from sparsight.analysis.provenance import write_study_provenance
from sparsight.io.files import read_json, write_json
from sparsight.io.provenance import (
    content_hash,
    git_state,
    last_change,
    package_versions,
    provenance,
)

git_is_there = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, whatever the user's own settings are."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit."""
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("one = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


@git_is_there
def test_commit_and_dirtiness(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert git_state(checkout) == {"commit": commit, "dirty": False}
    (checkout / "notes.txt").write_text("untracked files are results and logs")
    assert git_state(checkout) == {"commit": commit, "dirty": False}
    (checkout / "code.py").write_text("one = 2\n")
    assert git_state(checkout) == {"commit": commit, "dirty": True}
    git(checkout, "add", "code.py")
    assert git_state(checkout)["dirty"] is True
    git(checkout, "commit", "-qm", "second")
    assert git_state(checkout) == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    assert git_state(checkout)["commit"] != commit


@git_is_there
def test_what_was_claimed_before_the_networks_ran(checkout: Path) -> None:
    study = checkout / "study.yaml"
    commits = []
    for text in ("claims: []", "claims: [bold]"):
        study.write_text(text)
        git(checkout, "add", "study.yaml")
        git(checkout, "commit", "-qm", text)
        commits.append(git(checkout, "rev-parse", "HEAD"))
        (checkout / "code.py").write_text(f"# {text}\n")
        git(checkout, "commit", "-qam", "code")
        commits.append(git(checkout, "rev-parse", "HEAD"))
    claimed, ran, reworded, _ = commits
    assert last_change(study, ran) == claimed
    assert last_change(study, "HEAD") == reworded
    assert last_change(checkout / "other.yaml", "HEAD") is None
    # networks ran after the first wording; the tables were made after the second
    parts = {"dirty": False, "code_version": {}, "data_hash": "", "device": "cpu", "seed": 1}
    part = {**parts, "commit": ran, "versions": {}, "seconds": 1.0}
    write_json(checkout / "results" / "level" / "provenance.json", part)
    output = checkout / "results" / "summary" / "provenance.json"
    found = [checkout / "results" / "level" / "provenance.json"]
    write_study_provenance(found, [], output, {"study": "study"}, {}, study_files=[study])
    assert read_json(output)["claims"] == {"study.yaml": {ran: claimed}}


@git_is_there
def test_a_folder_below_belongs_to_the_checkout(checkout: Path) -> None:
    (checkout / "src").mkdir()
    assert git_state(checkout / "src")["commit"] == git(checkout, "rev-parse", "HEAD")


@git_is_there
def test_outside_of_a_checkout_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_without_git_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_content_hashes_depend_on_content_alone() -> None:
    assert content_hash({"a": 1, "b": [1, 2]}) == content_hash({"b": [1, 2], "a": 1})
    others = [{"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": 1.5}, [1, 2], [2, 1]]
    assert len({content_hash(other) for other in others}) == len(others)
    assert len(content_hash({})) == 16
    # kept in files: it must not change with the version of this package
    assert content_hash({"a": 1}) == "015abd7f5cc57a2d"


def test_versions_are_those_installed() -> None:
    import torch

    found = package_versions()
    assert found["torch"] == torch.__version__.partition("+")[0] or (
        found["torch"] == torch.__version__
    )
    assert {"python", "sparsight", "numpy"} <= found.keys()


def test_a_provenance_holds_all_that_design_asks_for() -> None:
    found = provenance(
        {"rate": 0.2}, {"training": 1}, 1.23456, "cpu (x86_64)", seed=3, data_hash="d"
    )
    assert json.loads(json.dumps(found)) == found
    assert found["settings"] == {"rate": 0.2}
    assert found["configuration_hash"] == content_hash({"rate": 0.2})
    assert found["code_version"] == {"training": 1}
    assert found["seconds"] == 1.235
    assert (found["device"], found["seed"], found["data_hash"]) == ("cpu (x86_64)", 3, "d")
    assert {"commit", "dirty", "versions"} <= found.keys()
