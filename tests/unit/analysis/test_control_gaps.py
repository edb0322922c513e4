"""Correlations less those of the controls, paired by network."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparsight.analysis.correlate import (
    GAP_COEFFICIENTS,
    PLACE,
    Association,
    write_control_gaps,
)
from sparsight.analysis.tables import TABLES

HERE = ("digits", "cnn", "magnitude", "clean", "iou", "all", "all")
ACCURACY = np.array([0.9, 0.91, 0.8, 0.85, 0.6, 0.2])


def network(metric, accuracy=ACCURACY, levels=None):
    metric = np.asarray(metric, dtype=np.float64)
    levels = np.arange(len(metric)) if levels is None else np.asarray(levels)
    return Association(levels, metric, accuracy[levels], 0.5**levels)


def noisy(strength, count=3):
    """Networks by seed whose metric follows the accuracy."""
    noise = np.random.default_rng(round(100 * strength)).normal(0, 0.2, (count, 6))
    return {seed: network(strength * ACCURACY + noise[seed - 1]) for seed in range(1, count + 1)}


def run(tmp_path, found, controls=("edges",), place=HERE, confidence=0.9):
    path = tmp_path / "gaps.csv"
    curves = found if isinstance(next(iter(found), ()), tuple) else {place: found}
    write_control_gaps(curves, path, controls, confidence)
    return pd.read_csv(path)


def pick(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_the_gap_is_paired_by_network(tmp_path):
    cam, edges = noisy(1.0), noisy(0.1)
    table = run(tmp_path, {"cam": cam, "edges": edges})
    assert list(table.columns) == TABLES["control_gaps"].names
    assert tuple(table["coefficient"]) == GAP_COEFFICIENTS
    for name in GAP_COEFFICIENTS:
        one, other = ([part[s].coefficients[name] for s in (1, 2, 3)] for part in (cam, edges))
        test = stats.ttest_rel(one, other)
        row = pick(table, coefficient=name)
        assert row["gap"] == pytest.approx(np.mean(one) - np.mean(other))
        assert row["p"] == pytest.approx(test.pvalue)
        # Student t of half the gap on Fisher's scale: limits stay in [-2, 2].
        half = row["gap"] / 2
        reach = test.confidence_interval(0.9).high / 2 - half
        for limit, side in ((row["gap_low"], -1), (row["gap_high"], 1)):
            z = math.atanh(half) + side * reach / (1 - half**2)
            assert limit == pytest.approx(2 * math.tanh(z))
        assert row["explainer_mean"] - row["control_mean"] == pytest.approx(row["gap"])
        assert (row["n_seeds"], row["n_levels"], row["control"]) == (3, 6, "edges")


def test_pearson_worked_out_on_paper(tmp_path):
    accuracy = np.array([0.0, 1.0, 2.0])
    cam = {1: network([0.0, 1.0, 2.0], accuracy), 2: network([0.0, 2.0, 4.0], accuracy)}
    # r of (0, 1, 0) with a line is 0, of (0, 1, 1) it is √3 / 2
    edges = {1: network([0.0, 1.0, 0.0], accuracy), 2: network([0.0, 1.0, 1.0], accuracy)}
    row = pick(run(tmp_path, {"cam": cam, "edges": edges}), coefficient="pearson")
    gaps = 1.0, 1.0 - math.sqrt(3) / 2
    assert row["gap"] == pytest.approx(sum(gaps) / 2)
    assert row["explainer_mean"] == pytest.approx(1.0)
    assert (row["seeds_up"], row["seeds_down"]) == (2, 0)
    # One degree of freedom is Cauchy's distribution.
    t = (sum(gaps) / 2) / (abs(gaps[0] - gaps[1]) / 2)
    assert row["p"] == pytest.approx(1 - 2 / math.pi * math.atan(t))


def test_only_levels_that_both_have(tmp_path):
    edges = noisy(0.3)
    few = [0, 2, 3, 5]
    cam = {seed: network([0.1, 0.2 * seed, 0.3, 0.0], levels=few) for seed in (1, 2, 3)}
    row = pick(run(tmp_path, {"cam": cam, "edges": edges}), coefficient="pearson")
    at = [stats.pearsonr(one.metric[few], ACCURACY[few]).statistic for one in edges.values()]
    assert row["control_mean"] == pytest.approx(np.mean(at))
    assert row["n_levels"] == 4
    whole = np.mean([one.coefficients["pearson"] for one in edges.values()])
    assert row["control_mean"] != pytest.approx(whole)


def test_constant_controls_have_no_row(tmp_path):
    flat = {seed: network([0.3] * 6) for seed in (1, 2, 3)}
    found = {"cam": noisy(1.0), "edges": flat, "mean_activation": noisy(0.2)}
    table = run(tmp_path, found, ("edges", "mean_activation"))
    assert set(table["control"]) == {"mean_activation"}
    assert set(table["explainer"]) == {"cam"}


def test_networks_without_a_coefficient_are_left_out(tmp_path):
    cam, edges = noisy(1.0), noisy(0.1)
    edges[2] = network([0.3] * 6)
    row = pick(run(tmp_path, {"cam": cam, "edges": edges}), coefficient="pearson")
    assert row["n_seeds"] == 2
    kept = np.mean([cam[seed].coefficients["pearson"] for seed in (1, 3)])
    assert row["explainer_mean"] == pytest.approx(kept)


def test_a_constant_explainer_has_a_row_without_a_gap(tmp_path):
    flat = {seed: network([0.3] * 6) for seed in (1, 2, 3)}
    row = pick(run(tmp_path, {"cam": flat, "edges": noisy(0.1)}), coefficient="pearson")
    assert (row["n_seeds"], row["n_levels"]) == (0, 0)
    assert row[["gap", "explainer_mean", "p", "p_adjusted"]].isna().all()


def test_no_levels_or_networks_in_common(tmp_path):
    cam = {seed: network([0.1, 0.2, 0.4], levels=[0, 1, 2]) for seed in (1, 2)}
    edges = {seed: network([0.1, 0.2, 0.4], levels=[3, 4, 5]) for seed in (1, 2)}
    assert run(tmp_path, {"cam": cam, "edges": edges}).empty
    assert run(tmp_path, {"cam": cam, "edges": {3: edges[1]}}).empty
    assert run(tmp_path, {}).empty


def test_adjusted_within_a_pruner(tmp_path):
    other = (*HERE[:2], "random", *HERE[3:])
    curves = {
        HERE: {"cam": noisy(1.0), "edges": noisy(0.1)},
        other: {"cam": noisy(1.0), "edges": noisy(0.1)},
    }
    table = run(tmp_path, curves)
    for _, rows in table.groupby("pruner"):
        p = np.sort(rows["p"])
        by_hand = np.minimum.accumulate((p * 4 / np.arange(1, 5))[::-1])[::-1]
        assert np.sort(rows["p_adjusted"]) == pytest.approx(np.minimum(by_hand, 1.0))


def test_the_order_of_curves_does_not_matter(tmp_path):
    curves = {
        (*HERE[:-1], label): {"cam": noisy(1.0), "grad": noisy(0.5), "edges": noisy(0.1)}
        for label in ("all", "density_at_least_0.02")
    }
    run(tmp_path, curves)
    before = (tmp_path / "gaps.csv").read_bytes()
    turned = {k: dict(reversed(v.items())) for k, v in reversed(curves.items())}
    table = run(tmp_path, turned)
    assert (tmp_path / "gaps.csv").read_bytes() == before
    assert set(PLACE) <= set(table.columns)
