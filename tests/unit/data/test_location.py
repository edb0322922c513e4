from pathlib import Path

from sparsight.data.location import find_folder, raw_folder


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


def test_an_unset_variable_is_not_the_current_folder(tmp_path: Path, monkeypatch) -> None:
    filled(tmp_path / "mnist")
    monkeypatch.chdir(tmp_path)
    assert find_folder("mnist", "data", {"SPARSIGHT_DATA": ""}) is None
