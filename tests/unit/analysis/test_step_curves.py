"""Curves over the steps of a metric: means, undefined values, intervals, what is absent."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparsight.analysis.summarise import summarise_steps
from sparsight.analysis.tables import TABLES
from sparsight.io.errors import InputError
from tests.tables import write_bits

SETTINGS = {"metrics": ["deletion"], "controls": ["edges"], "confidence": 0.9}
AXIS = {"metrics": json.dumps({"deletion": {"step_values": [0.0, 50.0, 100.0]}})}
NAN = math.nan


def rows_of(curves, metric="deletion"):
    """Rows of a score file from {explainer: values [images][steps]}."""
    return [
        (explainer, metric, 100 + image, True, value, step)
        for explainer, images in curves.items()
        for image, values in enumerate(images)
        for step, value in enumerate(values)
    ]


@pytest.fixture
def write(write_scores):
    """Write a file of curves that says where its steps stand."""

    def make(curves, pruner="dense", level=0, seed=1, density=1.0, **changes):
        place = {"pruner": pruner, "level": level, "seed": seed, "density": density}
        return write_scores(rows_of(curves), **{"metadata": AXIS, **place, **changes})

    return make


def summarise(paths, tmp_path, **changes):
    output = tmp_path / "curves.csv"
    summarise_steps(paths, write_bits(tmp_path), output, {**SETTINGS, **changes})
    return pd.read_csv(output, dtype={"seed": str, "control": str})


def curve(table, column="mean", **wanted):
    for name, value in {"seed": "mean", "explainer": "cam", **wanted}.items():
        table = table[table[name] == value]
    assert list(table["step"]) == list(range(len(table)))
    return table[column].tolist()


@pytest.fixture
def paths(write):
    """Two seeds; dense and one level of `magnitude`; two images, one of them at times undefined."""
    return [
        write({"cam": [[1.0, 0.5, 0.0], [0.8, NAN, 0.2]]}),
        write({"cam": [[0.6, 0.2, 0.0], [0.8, 0.4, 0.2]]}, "magnitude", 1, density=0.5),
        write({"cam": [[0.5, 0.1, 0.0], [0.7, 0.3, math.inf]]}, seed=2),
        write({"cam": [[0.1, NAN, NAN], [0.3, NAN, 0.4]]}, "magnitude", 1, 2, 0.4),
    ]


def test_means_over_the_images_that_have_a_value(paths, tmp_path):
    table = summarise(paths, tmp_path)
    assert list(table.columns) == TABLES["curves"].names
    np.testing.assert_allclose(curve(table, seed="1", level=0), [0.9, 0.5, 0.1], atol=1e-7)
    np.testing.assert_allclose(curve(table, seed="1", level=1), [0.7, 0.3, 0.1], atol=1e-7)
    np.testing.assert_allclose(curve(table, seed="2", level=0), [0.6, 0.2, 0.0], atol=1e-7)
    np.testing.assert_allclose(curve(table, seed="2", level=1), [0.2, NAN, 0.4], atol=1e-7)
    assert curve(table, "n", seed="2", level=1) == [2, 0, 1]
    assert curve(table, "undefined", seed="2", level=1) == [0, 2, 1]
    assert curve(table, "n_seeds", seed="2", level=1) == [1, 0, 1]
    # Infinity is no value either.
    assert curve(table, "n", seed="2", level=0) == [2, 2, 1]
    assert curve(table, "axis_value", seed="1", level=0) == [0, 50, 100]
    assert set(table["control"]) == {"false"}


def test_the_mean_over_seeds_has_a_t_interval(paths, tmp_path):
    table = summarise(paths, tmp_path)
    np.testing.assert_allclose(curve(table, level=0), [0.75, 0.35, 0.05], atol=1e-7)
    # Two values that are 2d apart: the standard error is d, with one degree of freedom.
    reach = stats.t.ppf(0.95, 1) * np.array([0.15, 0.15, 0.05])
    mean = np.array([0.75, 0.35, 0.05])
    np.testing.assert_allclose(curve(table, "high", level=0), mean + reach, 1e-6)
    np.testing.assert_allclose(curve(table, "low", level=0), mean - reach, 1e-6)
    assert curve(table, "density", level=1) == pytest.approx([0.45] * 3)
    # One of the seeds has no value at the step in the middle.
    np.testing.assert_allclose(curve(table, level=1), [0.45, 0.3, 0.25], atol=1e-7)
    assert curve(table, "n_seeds", level=1) == [2, 1, 2]
    assert np.isnan(curve(table, "low", level=1)).tolist() == [False, True, False]
    assert curve(table, "n", level=1) == [4, 2, 3]
    assert np.isnan(table.loc[table["seed"] != "mean", "low"]).all()


def test_rows_are_sorted_and_do_not_depend_on_the_order_of_files(paths, tmp_path, write):
    other = write({"edges": [[0.0, 0.0, 0.0]]}, "magnitude", 1, family="controls")
    table = summarise([*paths, other], tmp_path)
    before = (tmp_path / "curves.csv").read_bytes()
    summarise([other, *paths[::-1]], tmp_path)
    assert (tmp_path / "curves.csv").read_bytes() == before
    found = table[["level", "explainer", "seed", "step"]].itertuples(index=False)
    names = [(0, "cam"), (1, "cam"), (1, "edges")]
    seeds = {"cam": ("1", "2", "mean"), "edges": ("1", "mean")}
    assert [tuple(row) for row in found] == [
        (level, name, seed, step)
        for level, name in names
        for seed in seeds[name]
        for step in range(3)
    ]


def test_every_pruner_starts_at_the_dense_network(paths, tmp_path, write):
    retrained = write({"cam": [[1.0, 1.0, 1.0]]}, "retrain", 1)
    table = summarise([*paths, retrained], tmp_path)
    assert set(table["pruner"]) == {"magnitude", "retrain"}
    dense = [curve(table, level=0, pruner=p, seed="1") for p in ("magnitude", "retrain")]
    assert dense[0] == dense[1]
    # The second seed was not trained once more.
    assert set(table.loc[table["pruner"] == "retrain", "seed"]) == {"1", "mean"}


def test_what_was_not_scored_has_no_rows(write, tmp_path):
    curves = {"cam": [[1.0, 0.0, 0.0]], "edges": [[0.5, 0.5, 0.5]]}
    paths = [
        write(curves),
        write({"cam": [[0.8, 0.0, 0.0]]}, "magnitude", 1, density=0.5),
        write(curves, "magnitude", 2, density=0.2),
    ]
    table = summarise(paths, tmp_path)
    levels = table.groupby("explainer")["level"].unique()
    assert list(levels["cam"]) == [0, 1, 2]
    assert list(levels["edges"]) == [0, 2]
    assert set(table.loc[table["explainer"] == "edges", "control"]) == {"true"}


def test_only_steps_of_the_wanted_metrics_are_read(write_scores, tmp_path):
    rows = [
        *rows_of({"cam": [[1.0, 0.5, 0.0]]}),
        *rows_of({"cam": [[3.0, 4.0]]}, metric="foreign"),
        ("cam", "iou", 100, True, 7.0),
    ]
    places = [("dense", 0), ("magnitude", 1)]
    paths = [write_scores(rows, pruner=pruner, level=level) for pruner, level in places]
    table = summarise(paths, tmp_path)
    assert set(table["metric"]) == {"deletion"}
    # The files do not say where the steps stand.
    assert curve(table, "axis_value", level=1) == [0, 1, 2]
    both = summarise(paths, tmp_path, metrics=["foreign", "deletion"])
    assert curve(both, level=0, metric="foreign") == [3, 4]


def test_no_curves_leave_a_table_with_a_heading(write_scores, tmp_path):
    table = summarise([write_scores([("cam", "iou", 100, True, 7.0)])], tmp_path)
    assert list(table.columns) == TABLES["curves"].names
    assert table.empty
    assert summarise([], tmp_path).empty


def test_files_that_do_not_belong_together_are_refused(write, tmp_path):
    curves = {"cam": [[1.0, 0.5, 0.0]]}
    first = write(curves)
    with pytest.raises(InputError, match=r"several studies \(demo, other\)"):
        summarise([first, write(curves, study="other")], tmp_path)
    with pytest.raises(InputError, match="both hold the explainer 'cam'"):
        summarise([first, write(curves, family="again")], tmp_path)
    other = {"metrics": json.dumps({"deletion": {"step_values": [0.0, 10.0, 20.0]}})}
    pruned = write(curves, "magnitude", 1, metadata=other)
    with pytest.raises(InputError, match="other steps of the metric 'deletion'"):
        summarise([first, pruned], tmp_path)
    short = {"metrics": json.dumps({"deletion": {"step_values": [0.0, 10.0]}})}
    with pytest.raises(InputError, match=r"holds step 2 .* has 2 steps"):
        summarise([write(curves, seed=5, metadata=short)], tmp_path)
    assert not (tmp_path / "curves.csv").exists()
