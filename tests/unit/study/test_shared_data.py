"""What is said before a study starts about data that are there already."""

import json
from pathlib import Path

import pytest

from sparsight.data.location import folder_states
from sparsight.data.packed_settings import settings_text
from sparsight.study.original_files import data_warnings


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A data folder with digits as one study packed them."""
    from sparsight.data.packing import pack
    from sparsight.data.sources.digits import Digits

    pack(Digits(), {"split": {"test": 60}}, Path("unused"), tmp_path / "packed" / "digits")
    (tmp_path / "raw").mkdir()
    (tmp_path / "fetched").mkdir()
    content = {"files": folder_states([tmp_path / "raw"])}
    (tmp_path / "fetched" / "digits.json").write_text(json.dumps(content))
    return tmp_path


def warnings(shared: Path, **settings: object) -> list[str]:
    return list(
        data_warnings(str(shared), settings_text({"digits": {"source": "digits", **settings}}))
    )


def test_data_of_this_study(shared: Path) -> None:
    assert warnings(shared, split={"test": 60}) == []
    # Nothing is there yet.
    assert list(data_warnings(str(shared), settings_text({"mnist": {"source": "mnist"}}))) == []


def test_data_of_another_study(shared: Path) -> None:
    (found,) = warnings(shared)
    assert "split.test is 60 there and 500 here" in found
    assert "'data_folder'" in found


def test_changed_original_files(shared: Path) -> None:
    (shared / "raw" / "repaired.png").touch()
    (found,) = warnings(shared, split={"test": 60})
    assert str(shared / "raw") in found
    assert f"--forcerun {shared}/fetched/digits.json" in found
