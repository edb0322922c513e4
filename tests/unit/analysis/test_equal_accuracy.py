"""Pruners at equal accuracy: where a loss is first reached, and what is read off there."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparsight.analysis import tables
from sparsight.analysis.equal_accuracy import LOSSES, first_reached, run
from tests.tables import write_rows

NAN = math.nan
PLACE = {"dataset": "digits", "model": "cnn"}
CURVE = {"explainer": "cam", "condition": "clean", "subset": "all"}
SETTINGS = {
    "statistics": {"confidence": 0.95},
    "controls": ["mean_activation"],
    "floors": {"magnitude": ["retrain"], "random": []},
}


def value_at(losses, loss, values):
    reached = first_reached(np.array([losses]), loss)
    return float(reached.between(np.array([values], dtype=np.float64))[0]), float(reached.apart[0])


@pytest.mark.parametrize(
    ("losses", "loss", "value", "apart"),
    [
        # a quarter of the way from .01 to .05
        ([0.01, 0.05, 0.3], 0.02, 0.875, 0.04),
        # a level has just this loss, however its shares are rounded
        ([0.0, 0.29 - 0.28, 0.1], 0.01, 0.8, 0.0),
        ([0.95 - 0.94, 0.1, 0.2], 0.01, 0.9, 0.0),
        # the accuracy falls, rises and falls: the first time counts
        ([0.0, 0.04, -0.01], 0.02, 0.85, 0.04),
        ([-0.02, 0.02, 0.0], 0.01, 0.825, 0.04),
        # the first level has lost more; the last one less; nothing is extrapolated
        ([0.03, 0.05, 0.1], 0.02, NAN, NAN),
        ([0.0, 0.01, 0.015], 0.02, NAN, NAN),
        # first below at the first level, though it comes back
        ([0.03, 0.01, 0.1], 0.02, NAN, NAN),
        # the accuracy of a level is unknown
        ([0.01, NAN, 0.03], 0.02, 0.75, 0.02),
        ([NAN, NAN, NAN], 0.02, NAN, NAN),
    ],
)
def test_where_a_loss_is_first_reached(losses, loss, value, apart):
    values = [0.9, 0.8, 0.6]
    assert value_at(losses, loss, values) == pytest.approx((value, apart), nan_ok=True)


def test_a_value_is_undefined_where_that_of_one_of_the_levels_is():
    assert math.isnan(value_at([0.0, 0.04, 0.1], 0.02, [0.9, NAN, 0.6])[0])
    assert value_at([0.0, 0.04, 0.1], 0.07, [NAN, 0.8, 0.6])[0] == pytest.approx(0.7)


#: accuracy by pruner and seed, level 1 on; dense networks have .90, .92, .91
ACCURACY = {
    "magnitude": {1: [0.90, 0.86, 0.60], 2: [0.91, 0.89, 0.70], 3: [0.90, 0.895, 0.893]},
    "random": {1: [0.85, 0.70], 2: [0.90, 0.82], 3: [0.89, 0.80]},
    "retrain": {1: [0.90, 0.90], 2: [0.92, 0.92], 3: [0.91, 0.91]},
}
DENSE = {1: 0.90, 2: 0.92, 3: 0.91}
AGREEMENT = {
    "magnitude": {1: [0.8, 0.6, 0.2], 2: [0.9, 0.7, 0.1], 3: [0.8, 0.7, 0.6]},
    "random": {1: [0.5, 0.3], 2: [0.6, 0.2], 3: [0.7, 0.3]},
    "retrain": {1: [0.80, 0.90], 2: [0.75, 0.85], 3: [0.90, 0.90]},
}
DENSITY = [0.5, 0.125, 0.05]


@pytest.fixture
def table(tmp_path):
    """The table of two pruners and one that only retrains, over three networks."""
    evaluations, agreement, levels = [], [], []
    for pruner, networks in ACCURACY.items():
        for seed, accuracies in networks.items():
            for level, accuracy in enumerate([DENSE[seed], *accuracies]):
                place = {**PLACE, "pruner": pruner, "seed": seed, "level": level}
                left = 1.0 if pruner == "retrain" or not level else DENSITY[level - 1]
                mean = AGREEMENT[pruner][seed][level - 1] if level else NAN
                score = 0.3 + (0.2 * mean if level else 0.0)
                for explainer in ("cam", "mean_activation"):
                    levels.append({**place, **CURVE, "explainer": explainer, "metric": "iou",
                                   "mean": score})  # fmt: skip
                if level:
                    agreement.append({**place, **CURVE, "seed": str(seed), "metric": "ssim",
                                      "reference": "dense_parent", "mean": mean})  # fmt: skip
                elif pruner != "magnitude":
                    # dense networks have one evaluation, whatever prunes them
                    continue
                place["pruner"] = pruner if level else "dense"
                for metric, split, condition, value in (
                    ("accuracy", "test", "clean", accuracy),
                    ("density_prunable", "", "", left),
                ):
                    evaluations.append({**place, "split": split, "condition": condition,
                                        "metric": metric, "value": value})  # fmt: skip
    # A mean over networks, and dense networks of other seeds, are no network's agreement.
    agreement.append({**agreement[0], "seed": "mean", "mean": 0.0})
    agreement.append({**agreement[0], "pruner": "dense", "reference": "seed_floor", "level": 0})
    files = {
        "evaluations": tmp_path / "evaluations.parquet",
        "agreement": tmp_path / "agreement.csv",
        "levels": tmp_path / "levels.csv",
    }
    for name, rows in (("evaluations", evaluations), ("agreement", agreement), ("levels", levels)):
        write_rows(name, files[name], pd.DataFrame(rows))
    output = tmp_path / "equal_accuracy.csv"
    run(**files, equal_accuracy=output, settings=SETTINGS)
    return tables.read("equal_accuracy", output)


def one(table, **wanted):
    for name, value in {"kind": "agreement", "explainer": "cam", **wanted}.items():
        table = table[table[name] == value]
    assert len(table) == 1, table
    return table.iloc[0]


def test_a_row_for_every_loss_and_network_and_their_mean(table):
    keys = list(tables.TABLES["equal_accuracy"].keys)
    assert not table.duplicated(keys).any()
    # two pruners; agreement of one explainer, a metric of two
    assert len(table) == 2 * 3 * len(LOSSES) * 4
    assert set(table["pruner"]) == {"magnitude", "random"}
    assert table.loc[table["control"], "explainer"].unique().tolist() == ["mean_activation"]


def test_agreement_density_and_distance_of_levels_of_a_network(table):
    # .02 is half of the way from 0 to .04, in a network that starts at its dense accuracy
    row = one(table, pruner="magnitude", seed="1", loss=0.02)
    assert (row["n_seeds"], row["of_seeds"]) == (1, 1)
    assert row["value"] == pytest.approx(0.7)
    assert row["density"] == pytest.approx(0.25)
    assert row["accuracy_apart"] == pytest.approx(0.04)
    assert row["retrain_floor"] == pytest.approx(0.85)
    assert row["minus_retrain_floor"] == pytest.approx(-0.15)
    # half of the way from .01 to .03; and at a level itself, where the loss is .03
    assert one(table, pruner="magnitude", seed="2", loss=0.02)["value"] == pytest.approx(0.8)
    # the third network never loses .02
    lost = one(table, pruner="magnitude", seed="3", loss=0.02)
    assert lost["n_seeds"] == 0
    assert lost[["value", "density", "accuracy_apart", "minus_retrain_floor"]].isna().all()
    # the first level of `random` has lost more already
    assert math.isnan(one(table, pruner="random", seed="1", loss=0.02)["value"])
    # .92 - .90 is .02 at the first level itself
    assert one(table, pruner="random", seed="2", loss=0.02)["value"] == pytest.approx(0.6)


def test_means_over_the_networks_that_are_defined(table):
    row = one(table, pruner="magnitude", seed="mean", loss=0.02)
    assert (row["n_seeds"], row["of_seeds"]) == (2, 3)
    found = stats.ttest_1samp([0.7, 0.8], 0).confidence_interval(0.95)
    assert row["value"] == pytest.approx(0.75)
    assert (row["low"], row["high"]) == pytest.approx(tuple(found), abs=1e-6)
    assert row["accuracy_apart"] == pytest.approx((0.04 + 0.02) / 2)
    # the floor is of all networks: .85, .8, .9
    floor = stats.ttest_1samp([0.85, 0.8, 0.9], 0).confidence_interval(0.95)
    assert row["retrain_floor"] == pytest.approx(0.85)
    limits = (row["retrain_floor_low"], row["retrain_floor_high"])
    assert limits == pytest.approx(tuple(floor), abs=1e-6)
    # paired by seed: .7 - .85, .8 - .8
    paired = stats.ttest_1samp([-0.15, 0.0], 0).confidence_interval(0.95)
    assert row["minus_retrain_floor"] == pytest.approx(-0.075)
    limits = (row["minus_retrain_floor_low"], row["minus_retrain_floor_high"])
    assert limits == pytest.approx(tuple(paired), abs=1e-6)


def test_a_loss_that_no_network_reaches_has_a_row_without_a_value(table):
    row = one(table, pruner="random", seed="mean", loss=0.005)
    assert (row["n_seeds"], row["of_seeds"]) == (0, 3)
    assert row[["value", "low", "high", "density", "accuracy_apart"]].isna().all()


def test_a_pruner_whose_rewinding_nothing_shares_has_no_floor(table):
    row = one(table, pruner="random", seed="mean", loss=0.1)
    assert row["n_seeds"] == 3
    assert row[["retrain_floor", "minus_retrain_floor"]].isna().all()


def test_a_metric_is_told_as_its_change_from_dense(table):
    # .2 x .7, since the score is .3 in the dense network
    row = one(table, kind="change", pruner="magnitude", seed="1", loss=0.02)
    assert row["metric"] == "iou"
    assert row["value"] == pytest.approx(0.14)
    assert math.isnan(row["retrain_floor"])
