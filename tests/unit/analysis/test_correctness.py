"""Correct against incorrect predictions, matched on the label."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparsight.analysis.contrasts import compare_predictions
from sparsight.analysis.tables import TABLES
from tests.tables import write_bits

# level to the means of seeds 1, 2, 3
CORRECT = [(0.30, 0.31, 0.32), (0.25, 0.26, 0.27)]
INCORRECT = [(0.29, 0.29, 0.29), (0.22, 0.22, 0.22)]  # gaps .01 .02 .03, then .03 .04 .05


def rows_of(correct=CORRECT, incorrect=INCORRECT, **more):
    return [
        {"seed": seed, "level": level, "mean": mean, "subset": subset, "n": count, **more}
        for subset, levels, count in (
            ("correct_matched", correct, 90),
            ("incorrect_matched", incorrect, 10),
        )
        for level, values in enumerate(levels)
        for seed, mean in enumerate(values, start=1)
    ]


def run(tmp_path, paths, confidence=0.5):
    settings = {"controls": ["edges"], "statistics": {"confidence": confidence}}
    compare_predictions(paths, write_bits(tmp_path), tmp_path / "correctness.csv", settings)
    return pd.read_csv(tmp_path / "correctness.csv", dtype={"level": "str", "seed": "str"})


def pick(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_a_level_worked_out_on_paper(tmp_path, write_chains):
    table = run(tmp_path, write_chains(rows_of()))
    assert list(table.columns) == TABLES["correctness"].names
    row = pick(table, level="0", seed="mean")
    assert row["difference"] == pytest.approx(0.02)
    assert row["effect_size"] == pytest.approx(2.0)
    assert row["p"] == pytest.approx(1 - math.sqrt(12 / 14))  # t = 2 √3, two degrees of freedom
    assert (row["n_seeds"], row["n_levels"], row["seeds_up"], row["seeds_down"]) == (3, 1, 3, 0)
    assert (row["mean_correct"], row["mean_incorrect"]) == pytest.approx((0.31, 0.29))
    assert (row["n_correct"], row["n_incorrect"], row["density"]) == (270, 30, 1.0)


def test_each_seed_has_a_row(tmp_path, write_chains):
    table = run(tmp_path, write_chains(rows_of()))
    assert table["level"].tolist() == ["all"] * 4 + ["0"] * 4 + ["1"] * 4
    assert table["seed"].tolist() == ["1", "2", "3", "mean"] * 3
    row = pick(table, level="1", seed="2")
    assert row["difference"] == pytest.approx(0.04)
    assert (row["n_seeds"], row["n_incorrect"], row["density"]) == (1, 10, 0.5)
    assert row[["difference_low", "p", "p_adjusted", "effect_size", "seeds_up"]].isna().all()


def test_all_levels_average_the_levels_of_a_network_first(tmp_path, write_chains):
    rng = np.random.default_rng(1)
    correct, incorrect = rng.normal(0.4, 0.1, (2, 3, 5))
    table = run(tmp_path, write_chains(rows_of(correct, incorrect)), 0.9)
    row = pick(table, level="all", seed="mean")
    per_seed = (correct - incorrect).mean(axis=0)
    test = stats.ttest_1samp(per_seed, 0.0)
    assert row["difference"] == pytest.approx(per_seed.mean())
    assert row["p"] == pytest.approx(test.pvalue)
    interval = tuple(test.confidence_interval(0.9))
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(interval)
    assert (row["n_levels"], row["n_incorrect"]) == (3, 150)
    assert math.isnan(row["density"])
    assert pick(table, level="all", seed="4")["difference"] == pytest.approx(per_seed[3])


def test_a_level_without_incorrect_images_does_not_enter(tmp_path, write_chains):
    incorrect = [(math.nan, 0.29, 0.29), INCORRECT[1]]
    table = run(tmp_path, write_chains(rows_of(CORRECT, incorrect)))
    assert pick(table, level="0", seed="mean")["n_seeds"] == 2
    assert math.isnan(pick(table, level="0", seed="1")["difference"])
    one = pick(table, level="all", seed="1")
    assert (one["n_levels"], one["n_incorrect"]) == (1, 10)
    assert one["difference"] == pytest.approx(0.03)
    assert pick(table, level="all", seed="2")["difference"] == pytest.approx(0.03)
    row = pick(table, level="all", seed="mean")
    assert row["difference"] == pytest.approx((0.03 + 0.03 + 0.04) / 3)
    assert row["mean_correct"] - row["mean_incorrect"] == pytest.approx(row["difference"])
    assert (row["n_seeds"], row["n_levels"]) == (3, 1)


def test_nothing_incorrect_anywhere_leaves_empty_cells(tmp_path, write_chains):
    table = run(tmp_path, write_chains(rows_of(CORRECT, [(math.nan,) * 3] * 2)))
    row = pick(table, level="all", seed="mean")
    assert (row["n_seeds"], row["n_levels"], row["n_incorrect"]) == (0, 0, 0)
    assert row[["difference", "difference_images_low", "p", "seeds_up"]].isna().all()


def test_draws_of_images_are_shared(tmp_path, write_chains):
    rows = rows_of()
    for row in rows:  # what is left of a draw: one offset at level 0, three at level 1
        row["spread"] = 1.0 + row["level"] * 2 if row["subset"] == "correct_matched" else 0.0
    table = run(tmp_path, write_chains(rows))
    row = pick(table, level="0", seed="mean")
    assert row["difference_images_low"] == pytest.approx(0.02 - 0.01, abs=1e-6)
    assert row["difference_images_high"] == pytest.approx(0.02 + 0.01, abs=1e-6)
    whole = pick(table, level="all", seed="mean")
    assert whole["difference_images_high"] == pytest.approx(0.03 + 0.02, abs=1e-6)
    one = pick(table, level="1", seed="3")
    assert one["difference_images_high"] == pytest.approx(0.05 + 0.03, abs=1e-6)


def test_draws_without_incorrect_images(tmp_path, write_chains):
    rows = rows_of()
    for row in rows:
        if row["subset"] == "incorrect_matched" and row["level"] == 0 and row["seed"] == 1:
            row["replicates"] = [0.29, 0.29, 0.29, 0.29, math.nan]
    table = run(tmp_path, write_chains(rows))
    # A fifth of the draws has no difference at level 0, but all have one over all levels.
    for seed in ("1", "mean"):
        assert math.isnan(pick(table, level="0", seed=seed)["difference_images_low"])
        assert not math.isnan(pick(table, level="all", seed=seed)["difference_images_low"])
    assert not math.isnan(pick(table, level="0", seed="2")["difference_images_low"])


def test_adjusted_over_the_mean_rows_of_explainers(tmp_path, write_chains):
    rows = rows_of() + rows_of(explainer="edges") + rows_of(pruner="random")
    table = run(tmp_path, write_chains(rows))
    tested = table[(table["pruner"] == "magnitude") & ~table["control"] & (table["seed"] == "mean")]
    p = tested["p"].sort_values().to_list()
    assert len(p) == 3
    by_hand = [min(3 * p[0], 1.5 * p[1], p[2]), min(1.5 * p[1], p[2]), p[2]]
    assert tested["p_adjusted"].sort_values().to_list() == pytest.approx(by_hand)
    assert table.loc[table["control"], "p_adjusted"].isna().all()
    assert table.loc[table["control"] & (table["seed"] == "mean"), "p"].notna().all()


def test_the_order_of_the_files_does_not_matter(tmp_path, write_chains):
    paths = write_chains(rows_of() + rows_of(explainer="edges"))
    run(tmp_path, paths)
    before = (tmp_path / "correctness.csv").read_bytes()
    run(tmp_path, paths[::-1])
    assert (tmp_path / "correctness.csv").read_bytes() == before


def test_chains_without_predictions_give_an_empty_table(tmp_path, write_chains):
    rows = [row for row in rows_of() if row["subset"] == "correct_matched"]
    assert run(tmp_path, write_chains(rows)).empty
