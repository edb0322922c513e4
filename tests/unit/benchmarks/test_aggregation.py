"""The benchmark of aggregation, on two small files."""

from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest


@pytest.fixture
def aggregation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark; its folder is no package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    import aggregation

    return aggregation


def test_two_small_files_give_memory_beside_goal_and_pandas_and_time(aggregation):
    from sidebyside import table

    beside_goal, beside_pandas, time = aggregation.rows(files=2, images=20)
    # pandas, pyarrow and DuckDB alone take some 0.1 GB
    assert 0.05 < beside_goal.ours < 2
    assert (beside_goal.other, beside_goal.unit) == (2.0, "GB")
    assert beside_goal.ratio == pytest.approx(2 / beside_goal.ours)
    assert "0.004 million score rows" in beside_goal.name
    assert beside_pandas.ours == beside_goal.ours
    # 4,000 rows of at least a double each, and of at most 200 bytes
    assert 32e-6 < beside_pandas.other < 8e-4
    assert time.unit == "s"
    assert 0.1 < time.ours < 60
    lines = table([beside_goal, time]).splitlines()
    assert lines[2].count(" GB |") == 2
    assert " GB" not in lines[3]


def test_files_are_those_of_a_score_job(aggregation, tmp_path):
    for index in (0, 26):
        aggregation.generate(tmp_path, index, 10)
    frame = pd.read_parquet(tmp_path / "scores0026.parquet")
    assert len(frame) == 10 * 25 * 4
    assert frame[["seed", "level"]].drop_duplicates().to_numpy().tolist() == [[1, 1]]
    assert set(frame["pruner"]) == {"pruner"}
    assert set(pd.read_parquet(tmp_path / "scores0000.parquet")["pruner"]) == {"dense"}
    assert frame["value"].nunique() > 900


def test_a_full_disk_is_said_before_anything_is_written(aggregation, monkeypatch):
    usage = aggregation.shutil.disk_usage("/")
    monkeypatch.setattr(aggregation.shutil, "disk_usage", lambda _: usage._replace(free=10**9))
    monkeypatch.setattr(aggregation, "generate", None)
    with pytest.raises(
        SystemExit, match=r"1\.0 GB free, 4\.0 GB are needed; set AGGREGATION_FILES"
    ):
        aggregation.rows()
