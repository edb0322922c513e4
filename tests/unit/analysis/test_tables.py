"""Every table has one schema: it is written and read by it, and the references follow it."""

import math
from pathlib import Path

import pandas as pd
import pytest

from sparsight.analysis.tables import TABLES, join_values, read, split_values, write
from sparsight.io.errors import CorruptFile, InputError
from tests.tables import completed, write_rows

REFERENCES = Path(__file__).parents[3] / "results" / "reference"
#: decided by former versions, from which `benchmarks/decide_references.py` decides anew
FORMER = "claims_by_sign"
FILES = sorted(
    p for p in REFERENCES.glob("*/*") if p.suffix in (".csv", ".parquet") and p.stem != FORMER
)
KEYS = {"dataset": "d", "model": "m", "pruner": "none", "explainer": "", "condition": "clean",
        "metric": "nan"}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_references_conform_and_keys_name_a_row(path):
    table = TABLES[path.stem]
    frame = read(table.name, path)
    assert list(frame.columns) == table.names
    assert not frame.duplicated(list(table.keys)).any()


def test_columns_are_defined_once_and_keys_are_columns():
    for table in TABLES.values():
        assert len(set(table.names)) == len(table.names)
        assert set(table.keys) <= set(table.names)
        for column in table.columns:
            assert column.dtype in ("str", "bool", "int32", "int64", "Int64", "float64")
            assert column.direction in ("", "higher", "lower")
            assert column.meaning


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("name", TABLES)
def test_what_is_written_comes_back_with_its_types(name, suffix, tmp_path):
    frame = completed(name, pd.DataFrame([KEYS, KEYS]))
    write(name, tmp_path / f"x{suffix}", frame)
    pd.testing.assert_frame_equal(
        read(name, tmp_path / f"x{suffix}"), frame.astype(TABLES[name].dtypes)
    )


def test_names_stay_names_and_empty_numbers_are_undefined(tmp_path):
    path = tmp_path / "contrasts.csv"
    rows = [{**KEYS, "mean": 1, "control": True}, {**KEYS, "mean": None, "control": False}]
    write_rows("contrasts", path, pd.DataFrame(rows))
    assert path.read_text().splitlines()[1].startswith("d,m,none,0,,true,clean,nan,")
    frame = read("contrasts", path)
    assert frame["pruner"].tolist() == ["none", "none"]
    assert frame["metric"].tolist() == ["nan", "nan"]
    assert frame["explainer"].tolist() == ["", ""]
    assert frame["control"].tolist() == [True, False]
    assert frame["mean"][0] == 1.0
    assert math.isnan(frame["mean"][1])


def test_a_missing_or_unknown_column_names_file_and_column(tmp_path):
    path = tmp_path / "claims.csv"
    frame = completed("claims", pd.DataFrame([KEYS]))
    for changed, words in (
        (frame.drop(columns="per_seed"), r"claims\.csv has no column 'per_seed'"),
        (frame.assign(more=1), r"claims\.csv has an unknown column 'more'"),
    ):
        with pytest.raises(InputError, match=words):
            write("claims", path, changed)
        changed.to_csv(path, index=False)
        with pytest.raises(InputError, match=words):
            read("claims", path)
        path.unlink()


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "costs.csv"
    with pytest.raises(InputError, match=r"costs\.csv does not exist"):
        read("costs", path)
    path.write_text("")
    with pytest.raises(CorruptFile, match=r"costs\.csv is corrupt"):
        read("costs", path)
    write_rows("costs", path, pd.DataFrame([{"rule": "prune_level", "seconds": 1.5}]))
    path.write_text(path.read_text().replace("1.5", "many"))
    with pytest.raises(CorruptFile, match=r"costs\.csv is corrupt"):
        read("costs", path)
    path = tmp_path / "curves.csv"
    write_rows("curves", path, pd.DataFrame([KEYS]))
    path.write_text(path.read_text().replace("false", "perhaps"))
    with pytest.raises(CorruptFile, match="'control' must be true or false"):
        read("curves", path)


def test_values_per_seed_are_one_cell():
    assert join_values([0.123456, math.nan, 2.0]) == "0.1235;;2"
    assert split_values("0.1235;;2") == [0.1235, 2.0]
    assert split_values("") == []


def test_tables_written_before_empty_maps_were_counted_read_as_undefined(tmp_path):
    frame = completed("levels", pd.DataFrame({"level": [0, 1]}))
    frame.drop(columns="empty_share").to_csv(tmp_path / "levels.csv", index=False)
    found = read("levels", tmp_path / "levels.csv")
    assert found["empty_share"].isna().all()
    assert list(found.columns) == TABLES["levels"].names
    frame.drop(columns="mean").to_csv(tmp_path / "levels.csv", index=False)
    with pytest.raises(InputError, match="no column 'mean'"):
        read("levels", tmp_path / "levels.csv")
