"""Tables of statistics come back with their types."""

import math

import pandas as pd
import pytest

from sparsight.analysis.table_readers import (
    read_agreement,
    read_contrasts,
    read_correctness,
    read_statistics,
)
from sparsight.io.errors import InputError
from sparsight.io.tables import write_csv

KEYS = {"dataset": "d", "model": "m", "pruner": "none", "explainer": "", "condition": "clean",
        "metric": "nan"}  # fmt: skip


def test_names_stay_names_and_empty_numbers_are_undefined(tmp_path):
    rows = [{**KEYS, "value": 1, "control": "true"}, {**KEYS, "value": None, "control": "false"}]
    write_csv(tmp_path / "t.csv", pd.DataFrame(rows))
    frame = read_statistics(tmp_path / "t.csv", numbers=("value",))
    assert frame["pruner"].tolist() == ["none", "none"]
    assert frame["metric"].tolist() == ["nan", "nan"]
    assert frame["explainer"].tolist() == ["", ""]
    assert frame["control"].tolist() == [True, False]
    assert frame["value"][0] == 1.0
    assert math.isnan(frame["value"][1])


def test_all_levels_are_no_number(tmp_path):
    numbers = dict.fromkeys(
        ("density", "difference", "difference_low", "difference_high", "difference_images_low",
         "difference_images_high", "p_adjusted"), 0.5,
    )  # fmt: skip
    rows = [{**KEYS, "seed": "mean", "level": level, **numbers} for level in ("all", "7")]
    write_csv(tmp_path / "t.csv", pd.DataFrame(rows))
    levels = read_correctness(tmp_path / "t.csv")["level"]
    assert math.isnan(levels[0])
    assert levels[1] == 7


def test_a_missing_file_or_column_is_named(tmp_path):
    with pytest.raises(InputError, match=r"t\.csv does not exist"):
        read_contrasts(tmp_path / "t.csv")
    write_csv(tmp_path / "t.csv", pd.DataFrame([{**KEYS, "level": 1, "seed": "mean"}]))
    with pytest.raises(InputError, match="no column 'density'"):
        read_agreement(tmp_path / "t.csv")
