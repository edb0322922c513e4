"""Complete curves and their means."""

import math

import pandas as pd
import pytest

from sparsight.analysis.curves import complete_curves, mean_over_seeds, performance_curves
from sparsight.io.tables import write_table

SERIES = ["seed", "explainer"]


def test_dense_is_repeated_only_where_the_pruner_has_rows_of_the_same_series():
    rows = [
        ("dense", 1, 0, "cam", 0.1),
        ("dense", 1, 0, "saliency", 0.2),
        ("dense", 2, 0, "cam", 0.3),
        ("a", 1, 1, "cam", 0.4),
        ("a", 1, 1, "saliency", 0.5),
        ("b", 1, 1, "saliency", 0.6),
    ]
    frame = pd.DataFrame(rows, columns=["pruner", "seed", "level", "explainer", "mean"])
    whole = complete_curves(frame, SERIES)
    start = whole[whole["level"] == 0].sort_values(["pruner", "explainer"])
    assert list(zip(start["pruner"], start["explainer"], start["mean"], strict=True)) == [
        ("a", "cam", 0.1),
        ("a", "saliency", 0.2),
        ("b", "saliency", 0.2),
    ]
    assert set(start["checkpoint_pruner"]) == {"dense"}
    assert len(whole) == 6


def test_mean_leaves_out_levels_where_a_seed_is_undefined_or_missing():
    rows = [
        ("cam", 1, 0, 1.0, 0.2), ("cam", 2, 0, 1.0, 0.4),
        ("cam", 1, 1, 0.5, math.nan), ("cam", 2, 1, 0.5, 0.4),
        ("cam", 1, 2, 0.25, 0.4),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["explainer", "seed", "level", "density", "mean"])
    found = mean_over_seeds(frame, ["explainer"], "mean")
    assert list(found["level"]) == [0]
    assert found["mean"].iloc[0] == pytest.approx(0.3)
    assert found["seeds"].iloc[0] == 2


def test_performance_curves_join_the_density(tmp_path):
    place = {"study": "s", "dataset": "d", "model": "m", "seed": 1}
    rows = []
    for pruner, level, density, accuracy in (("dense", 0, 1.0, 0.9), ("a", 1, 0.5, 0.8)):
        checkpoint = {**place, "pruner": pruner, "level": level}
        rows += [
            {**checkpoint, "split": "test", "condition": "clean", "metric": "accuracy",
             "value": accuracy},
            {**checkpoint, "split": "validation", "condition": "clean", "metric": "accuracy",
             "value": 0.0},
            {**checkpoint, "split": None, "condition": None, "metric": "density_prunable",
             "value": density},
        ]  # fmt: skip
    path = tmp_path / "evaluations.parquet"
    write_table(path, {name: [row[name] for row in rows] for name in rows[0]})
    found = performance_curves(path, "test", "accuracy")
    assert list(found["pruner"]) == ["a", "a"]
    assert list(found["density"]) == [1.0, 0.5]
    assert list(found["value"]) == [0.9, 0.8]
