"""Tests."""

import json
import os
from pathlib import Path

import pytest

from sparsight.data.location import (
    can_be_file,
    changed_since,
    find_archive,
    find_folder,
    folder_state,
    folder_states,
    is_below,
    raw_folder,
)


def filled(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").touch()
    return folder


def test_the_projects_own_folder_goes_first(tmp_path: Path) -> None:
    environ = {"SPARSIGHT_DATA": str(tmp_path / "shared")}
    assert find_folder("mnist", tmp_path / "data", environ) is None
    assert raw_folder("mnist", tmp_path / "data", environ) == tmp_path / "data" / "mnist"
    shared = filled(tmp_path / "shared" / "mnist")
    assert find_folder("mnist", tmp_path / "data", environ) == shared
    assert find_folder("mnist", tmp_path / "data", {}) is None
    own = filled(tmp_path / "data" / "mnist")
    assert find_folder("mnist", tmp_path / "data", environ) == own
    assert raw_folder("mnist", tmp_path / "data", environ) == own


def test_an_empty_folder_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    shared = filled(tmp_path / "shared" / "mnist")
    environ = {"SPARSIGHT_DATA": str(tmp_path / "shared")}
    assert find_folder("mnist", tmp_path / "data", environ) == shared


def test_a_folder_that_only_holds_one_of_its_own_name(tmp_path: Path) -> None:
    inner = filled(tmp_path / "birds" / "birds")
    (tmp_path / "birds" / "attributes.txt").touch()
    assert find_folder("birds", tmp_path, {}) == inner
    (tmp_path / "birds" / "images").mkdir()
    assert find_folder("birds", tmp_path, {}) == inner.parent


def test_archives_beside_and_shared(tmp_path: Path) -> None:
    shared, own = tmp_path / "shared", tmp_path / "data"
    environ = {"SPARSIGHT_DATA": str(shared)}
    assert find_archive("a.tgz", own, environ) == own / "a.tgz"
    for place in (shared, own):
        place.mkdir()
        (place / "a.tgz").touch()
        assert find_archive("a.tgz", own, environ) == place / "a.tgz"


def test_an_unset_variable_is_not_the_current_folder(tmp_path: Path, monkeypatch) -> None:
    filled(tmp_path / "mnist")
    monkeypatch.chdir(tmp_path)
    assert find_folder("mnist", "data", {"SPARSIGHT_DATA": ""}) is None


@pytest.mark.parametrize("name", ["a.jpg", "001.Bird/a.jpg", "a..b/c", "é/😀.png", "./a"])
def test_names_of_files_below(name: str) -> None:
    assert is_below(name)
    assert can_be_file(name)


@pytest.mark.parametrize("name", ["../a", "a/../b", "a/..", "/a", "//a", "a\0b"])
def test_names_that_lead_elsewhere(name: str) -> None:
    assert not is_below(name)
    assert not can_be_file(name)


@pytest.mark.parametrize("name", ["", ".", "./", "x" * 256, "é" * 128])
def test_names_that_no_file_has(name: str) -> None:
    assert not can_be_file(name)


def test_a_repaired_file_is_noticed(tmp_path: Path) -> None:
    folder, manifest = tmp_path / "raw", tmp_path / "manifest.json"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "mask.png").write_bytes(b"1234")
    os.utime(folder / "below" / "mask.png", ns=(10**18, 10**18))

    def found() -> list[str]:
        return changed_since(manifest)

    states = folder_states([folder, tmp_path / "not there"])
    assert states == {str(folder): folder_state(folder)}
    assert states[str(folder)]["newest"] == 10**18
    manifest.write_text(json.dumps({"files": states}))
    assert found() == []
    # under the same name: of the same size, of another size and an older time
    (folder / "below" / "mask.png").write_bytes(b"4321")
    assert found() == [str(folder)]
    (folder / "below" / "mask.png").write_bytes(b"123456")
    os.utime(folder / "below" / "mask.png", ns=(10**18, 10**18))
    assert found() == [str(folder)]
    # What was packed stays when the original files are deleted.
    (folder / "below" / "mask.png").unlink()
    (folder / "below").rmdir()
    assert found() == [str(folder)]
    folder.rmdir()
    assert found() == []


def test_manifests_that_say_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    assert changed_since(manifest) == []
    # of an earlier version, of embedded data, and damaged ones
    for content in ('{"files": {"count": 3, "sha256": "x"}}', '{"folder": null}', "", "[]", "{"):
        manifest.write_text(content)
        assert changed_since(manifest) == []
