"""Versions of stages, read from the source."""

from pathlib import Path

import pytest

from sparsight.io.errors import InputError
from sparsight.study import versions as module_of_versions
from sparsight.study.versions import STAGES, versions


@pytest.fixture
def two_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "two_stages_of_one_module.py").write_text("VERSION = 3\nTABLE_VERSION = 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = "two_stages_of_one_module"
    stages = {"one": module, "table": f"{module}:TABLE_VERSION", "none": f"{module}:LOST"}
    monkeypatch.setattr(module_of_versions, "STAGES", stages)


def test_every_stage_states_a_version() -> None:
    assert all(version >= 1 for version in versions(STAGES).values())  # type: ignore[operator]


@pytest.mark.usefixtures("two_stages")
def test_a_module_can_hold_several_stages() -> None:
    assert versions(["one", "table"]) == {"one": 3, "table": 5}


@pytest.mark.usefixtures("two_stages")
def test_a_missing_version_is_named() -> None:
    with pytest.raises(InputError, match="LOST"):
        versions(["none"])
