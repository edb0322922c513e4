"""Levels against dense: numbers that can be worked out on paper, then against scipy."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparsight.analysis.contrasts import contrast
from sparsight.analysis.curves import with_bits
from sparsight.analysis.tables import TABLES
from sparsight.io.errors import InputError
from tests.tables import write_bits

SETTINGS = {"controls": ["edges"], "statistics": {"confidence": 0.5}}
# Differences to level 0: 0.01, 0.02, 0.03
DENSE, PRUNED = (0.20, 0.21, 0.22), (0.21, 0.23, 0.25)


def rows_of(*levels, **more):
    return [
        {"seed": seed, "level": level, "mean": mean, **more}
        for level, means in enumerate(levels)
        for seed, mean in enumerate(means, start=1)
    ]


def run(tmp_path, paths, confidence=0.5):
    settings = {**SETTINGS, "statistics": {"confidence": confidence}}
    contrast(paths, write_bits(tmp_path), tmp_path / "contrasts.csv", settings)
    return pd.read_csv(tmp_path / "contrasts.csv", keep_default_na=False, na_values=[""]).assign(
        explainer=lambda frame: frame["explainer"].fillna("")
    )


def pick(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_one_level_worked_out_on_paper(tmp_path, write_chains):
    table = run(tmp_path, write_chains(rows_of(DENSE, PRUNED)))
    assert list(table.columns) == TABLES["contrasts"].names
    row = pick(table, level=1)
    assert row["difference"] == pytest.approx(0.02)
    assert row["mean"] == pytest.approx(0.23)
    assert row["effect_size"] == pytest.approx(2.0)
    # t = 2 √3; with two degrees of freedom p = 1 - t / √(2 + t²)
    assert row["p"] == pytest.approx(1 - math.sqrt(12 / 14))
    # the quartile of t with two degrees of freedom is √(2/3)
    reach = math.sqrt(2 / 3) * 0.01 / math.sqrt(3)
    assert row["difference_high"] - row["difference"] == pytest.approx(reach)
    assert row["difference"] - row["difference_low"] == pytest.approx(reach)
    assert (row["n_seeds"], row["seeds_up"], row["seeds_down"]) == (3, 3, 0)
    assert row["density"] == 0.5
    assert not row["control"]


def test_the_interval_of_an_accuracy_stays_below_one(tmp_path, write_chains):
    accuracy = {"explainer": "", "metric": "accuracy"}
    rows = rows_of((0.98, 0.98, 0.98), (0.9, 0.99, 0.99), **accuracy)
    row = pick(run(tmp_path, write_chains(rows), 0.95), level=1, subset="all")
    mean, error = 0.96, 0.03  # sd .09 / √3, over √3
    logit, reach = math.log(mean / (1 - mean)), 4.302653 * error / (mean * (1 - mean))
    assert mean + 4.302653 * error > 1
    for limit, side in ((row["mean_low"], -1), (row["mean_high"], 1)):
        assert limit == pytest.approx(1 / (1 + math.exp(-logit - side * reach)), abs=1e-6)
    # That of the difference is the paired t, as its p is.
    assert row["difference_high"] == pytest.approx(-0.02 + 4.302653 * error, abs=1e-6)


def test_level_zero_is_not_held_against_itself(tmp_path, write_chains):
    row = pick(run(tmp_path, write_chains(rows_of(DENSE, PRUNED))), level=0)
    assert row["mean"] == pytest.approx(0.21)
    empty = [n for n in TABLES["contrasts"].names if n.startswith("difference")]
    assert row[[*empty, "effect_size", "seeds_up", "seeds_down", "p", "p_adjusted"]].isna().all()


def test_pairing_is_by_seed(tmp_path, write_chains):
    rng = np.random.default_rng(0)
    dense, pruned = rng.normal(0.5, 0.2, (2, 7))
    row = pick(run(tmp_path, write_chains(rows_of(dense, pruned)), 0.9), level=1)
    test = stats.ttest_rel(pruned, dense)
    assert row["p"] == pytest.approx(test.pvalue)
    interval = test.confidence_interval(0.9)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(tuple(interval))
    assert row["seeds_up"] == (pruned > dense).sum()


def test_intervals_over_images_take_one_draw_for_both_levels(tmp_path, write_chains):
    # Images move both levels together: 3 offsets at level 1, 1 at level 0, so 2 are left.
    rows = rows_of(DENSE) + [{**row, "level": 1, "spread": 3.0} for row in rows_of(PRUNED)]
    row = pick(run(tmp_path, write_chains(rows)), level=1)
    assert row["mean_images_low"] == pytest.approx(0.23 - 0.03, abs=1e-6)
    assert row["mean_images_high"] == pytest.approx(0.23 + 0.03, abs=1e-6)
    assert row["difference_images_low"] == pytest.approx(0.02 - 0.02, abs=1e-6)
    assert row["difference_images_high"] == pytest.approx(0.02 + 0.02, abs=1e-6)


def test_networks_are_averaged_draw_by_draw(tmp_path, write_chains):
    # The draws that are good for one network are bad for the other: their mean does not move.
    rows = [
        {"seed": seed, "level": level, "mean": 0.3 + 0.1 * level, "spread": spread * level}
        for seed, spread in ((1, 1.0), (2, -1.0))
        for level in (0, 1)
    ]
    row = pick(run(tmp_path, write_chains(rows)), level=1)
    assert row["difference_images_low"] == pytest.approx(0.1, abs=1e-6)
    assert row["difference_images_high"] == pytest.approx(0.1, abs=1e-6)


def test_networks_that_agree_have_no_test(tmp_path, write_chains):
    row = pick(run(tmp_path, write_chains(rows_of((0.25, 0.5), (0.375, 0.625)))), level=1)
    assert row["difference"] == pytest.approx(0.125)
    assert row["difference_low"] == pytest.approx(0.125)
    assert row[["p", "p_adjusted", "effect_size"]].isna().all()
    assert row["seeds_up"] == 2


def test_rounding_is_no_difference(tmp_path, write_chains):
    pruned = [value * (1 + 1e-9 * (seed + 1)) for seed, value in enumerate(DENSE)]
    rows = rows_of(DENSE, pruned, explainer="edges")
    row = pick(run(tmp_path, write_chains(rows)), level=1)
    names = ["difference", "difference_low", "difference_high", "difference_images_low"]
    assert row[names].tolist() == [0.0] * 4
    assert (row["seeds_up"], row["seeds_down"]) == (0, 0)
    assert math.isnan(row["p"])


def test_one_seed_has_intervals_over_images_only(tmp_path, write_chains):
    row = pick(run(tmp_path, write_chains(rows_of(DENSE[:1], PRUNED[:1]))), level=1)
    assert row["n_seeds"] == 1
    assert row[["mean_low", "difference_low", "p", "effect_size"]].isna().all()
    assert row["mean_images_low"] == pytest.approx(0.2, abs=1e-6)


def test_undefined_networks_are_left_out_and_counted(tmp_path, write_chains):
    rows = rows_of(DENSE, (0.21, math.nan, 0.25), (math.nan,) * 3)
    table = run(tmp_path, write_chains(rows))
    row = pick(table, level=1)
    assert row["n_seeds"] == 2
    assert row["difference"] == pytest.approx(0.02)
    assert row["mean"] == pytest.approx(0.23)
    assert row["mean_images_low"] == pytest.approx(0.22, abs=1e-6)
    nothing = pick(table, level=2)
    assert nothing["n_seeds"] == 0
    assert nothing[["mean", "mean_images_low", "difference", "seeds_up", "p"]].isna().all()


def test_a_level_that_a_chain_lacks(tmp_path, write_chains):
    rows = [row for row in rows_of(DENSE, PRUNED) if (row["seed"], row["level"]) != (2, 1)]
    row = pick(run(tmp_path, write_chains(rows)), level=1)
    assert row["n_seeds"] == 2
    assert row["difference"] == pytest.approx(0.02)
    assert row["density"] == 0.5


def test_no_dense_level_gives_means_without_differences(tmp_path, write_chains):
    rows = [row for row in rows_of(DENSE, PRUNED) if row["level"] == 1]
    row = pick(run(tmp_path, write_chains(rows)), level=1)
    assert row["mean"] == pytest.approx(0.23)
    assert math.isnan(row["difference"])


def test_adjusted_within_a_pruner_without_controls(tmp_path, write_chains):
    spread = {"magnitude": [(0.21, 0.23, 0.25), (0.30, 0.32, 0.31)], "random": [PRUNED]}
    rows = [
        row
        for pruner, levels in spread.items()
        for explainer in ("cam", "edges")
        for row in rows_of(DENSE, *levels, pruner=pruner, explainer=explainer)
    ]
    rows += rows_of((0.9, 0.8, 0.7), (0.8, 0.6, 0.4), explainer="", metric="accuracy")
    table = run(tmp_path, write_chains(rows))
    tested = table[(table["pruner"] == "magnitude") & (table["level"] > 0) & ~table["control"]]
    # levels 1 and 2 of cam, level 1 of the accuracy
    assert len(tested) == 3
    p = np.sort(tested["p"])
    by_hand = [min(3 * p[0], 1.5 * p[1], p[2]), min(1.5 * p[1], p[2]), p[2]]
    assert np.sort(tested["p_adjusted"]) == pytest.approx(by_hand)
    control = table[table["control"]]
    assert set(control["explainer"]) == {"edges"}
    assert control["p_adjusted"].isna().all()
    assert control.loc[control["level"] > 0, "p"].notna().all()
    alone = pick(table, pruner="random", level=1, explainer="cam")
    assert alone["p_adjusted"] == pytest.approx(alone["p"])


def test_accuracy_and_subsets_have_rows_of_their_own(tmp_path, write_chains):
    rows = rows_of((0.9, 0.8), (0.7, 0.7), explainer="", metric="accuracy")
    for subset in ("all", "correct_at_both", "hard", "correct_matched"):
        rows += rows_of(DENSE[:2], PRUNED[:2], subset=subset)
    table = run(tmp_path, write_chains(rows))
    assert set(table["subset"]) == {"all", "correct_at_both"}
    accuracy = pick(table, explainer="", level=1)
    assert accuracy["metric"] == "accuracy"
    assert accuracy["difference"] == pytest.approx(-0.15)
    assert (accuracy["seeds_up"], accuracy["seeds_down"]) == (0, 2)
    assert len(table) == 6


def test_the_order_of_the_files_does_not_matter(tmp_path, write_chains):
    rows = rows_of(DENSE, PRUNED) + rows_of(DENSE, PRUNED[::-1], explainer="edges")
    paths = write_chains(rows)
    run(tmp_path, paths)
    before = (tmp_path / "contrasts.csv").read_bytes()
    run(tmp_path, paths[::-1])
    assert (tmp_path / "contrasts.csv").read_bytes() == before


def test_studies_are_not_mixed(tmp_path, write_chains):
    one = write_chains(rows_of(DENSE, PRUNED))
    other = write_chains(rows_of(DENSE, PRUNED, study="other"))
    with pytest.raises(InputError, match=r"several studies \(demo, other\)"):
        run(tmp_path, [*one, *other])


def test_no_chains_give_an_empty_table(tmp_path):
    assert run(tmp_path, []).empty


def test_a_draw_that_lacks_a_network_is_no_draw_of_others(tmp_path, write_chains):
    rows = rows_of(DENSE, PRUNED)
    rows[-1]["replicates"] = [math.nan, 0.24, 0.25, 0.26, 0.27]
    row = pick(run(tmp_path, write_chains(rows)), level=1)
    assert row["n_seeds"] == 3
    # A fifth of the draws is undefined: those that are left would be a selection.
    assert row[["mean_images_low", "difference_images_high"]].isna().all()


def test_levels_say_how_many_bits_their_weights_have(tmp_path):
    place = ("digits", "cnn")
    evaluations = write_bits(
        tmp_path,
        (*place, "dense", 1, 0, 32),
        (*place, "rounded", 1, 1, 4),
        (*place, "rounded", 2, 1, 3),
    )
    rows = [("rounded", 0), ("rounded", 1), ("magnitude", 1), ("dense", 0)]
    table = pd.DataFrame(
        [{"dataset": "digits", "model": "cnn", "pruner": pruner, "level": level}
         for pruner, level in rows]
    )  # fmt: skip
    # of two networks the mean; without a row, of an earlier version that did not round
    assert list(with_bits(table, evaluations)["bits"]) == [32, 3.5, 32, 32]
    text = table.assign(level=["0", "1", "1", "all"])
    assert list(with_bits(text, evaluations)["bits"].fillna(-1)) == [32, 3.5, 32, -1]
    eight = write_bits(tmp_path, (*place, "dense", 1, 0, 8))
    assert list(with_bits(table, eight)["bits"]) == [8, 32, 32, 8]
