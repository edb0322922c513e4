"""The table of correlations on small frames."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparsight.analysis.correlate import COEFFICIENTS, correlate
from sparsight.analysis.tables import TABLES, read
from sparsight.io.errors import InputError
from tests.tables import write_rows

DENSITY = 0.4 ** np.arange(6)  # 1 .4 .16 .064 .0256 .01024: one level below 2%
ACCURACY = {1: [0.9, 0.91, 0.9, 0.85, 0.6, 0.2], 2: [0.92, 0.9, 0.91, 0.8, 0.5, 0.1]}
IOU = {1: [0.17, 0.2, 0.21, 0.2, 0.1, 0.05], 2: [0.18, 0.19, 0.2, 0.21, 0.12, 0.01]}

SETTINGS = {"controls": [], "statistics": {"confidence": 0.95, "density_floor": 0.02}}


def frame_of(values, accuracy=None, explainer="cam", subset="all", pruner="magnitude"):
    accuracy = ACCURACY if accuracy is None else accuracy
    return pd.DataFrame(
        [
            {
                "dataset": "digits",
                "model": "cnn",
                "pruner": pruner,
                "seed": seed,
                "level": level,
                "explainer": explainer,
                "condition": "clean",
                "metric": "iou",
                "subset": subset,
                "checkpoint_pruner": pruner if level else "dense",
                "density": DENSITY[level],
                "accuracy": accuracy[seed][level],
                "n": 10,
                "undefined": 0,
                "mean": value,
                "sd": 0.1,
                "median": value,
                "empty_share": 0.0,
            }
            for seed, series in values.items()
            for level, value in enumerate(series)
        ]
    )


@pytest.fixture
def run(tmp_path, write_chains):
    """Correlate frames of levels; their statistics are written from the same frames."""

    def correlated(*frames, controls=(), confidence=0.95, density_floor=0.02, drawn=None):
        frame = pd.concat(frames)
        write_rows("levels", tmp_path / "levels.csv", frame)
        rows = [] if frame.empty else statistics_of(frame, drawn or {})
        output = tmp_path / "correlations.csv"
        statistics = {"confidence": confidence, "density_floor": density_floor}
        correlate(
            tmp_path / "levels.csv",
            write_chains(rows) if rows else [],
            output,
            tmp_path / "control_gaps.csv",
            {"controls": list(controls), "statistics": statistics},
        )
        return pd.read_csv(output, dtype={"seed": "str"})

    return correlated


def statistics_of(frame, drawn):
    """Rows of statistics of a frame of levels; `drawn` maps (explainer, seed) to replicates."""
    names = ["pruner", "seed", "level", "density", "explainer", "condition", "metric", "subset"]
    names += ["n", "undefined", "mean"]
    rows = frame[names].to_dict("records")
    for row in rows:
        if (row["explainer"], row["seed"]) in drawn:
            row["replicates"] = drawn[row["explainer"], row["seed"]][row["level"]]
    firsts = frame.drop_duplicates(["pruner", "seed", "level", "condition"])
    accuracy = firsts[["pruner", "seed", "level", "density", "condition"]].to_dict("records")
    for row, value in zip(accuracy, firsts["accuracy"], strict=True):
        row |= {"explainer": "", "metric": "accuracy", "mean": value}
        if ("", row["seed"]) in drawn:
            row["replicates"] = drawn["", row["seed"]][row["level"]]
    return rows + accuracy


def row_of(table, seed, levels="all", explainer="cam"):
    found = table[
        (table["seed"] == seed) & (table["levels"] == levels) & (table["explainer"] == explainer)
    ]
    assert len(found) == 1
    return found.iloc[0]


def test_each_seed_equals_scipy(run):
    table = run(frame_of(IOU))
    assert list(table.columns) == TABLES["correlations"].names
    for seed in (1, 2):
        row, x, y = row_of(table, str(seed)), IOU[seed], ACCURACY[seed]
        assert row["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
        assert row["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert row["kendall"] == pytest.approx(stats.kendalltau(x, y).statistic)
        steps = stats.pearsonr(np.diff(x), np.diff(y)).statistic
        assert row["first_difference"] == pytest.approx(steps)
        assert (row["n_levels"], row["n_seeds"]) == (6, 1)
        assert math.isnan(row["pearson_low"])
        assert math.isnan(row["published_form"])


def test_mean_row_has_interval_and_published_form(run):
    table = run(frame_of(IOU))
    mean = row_of(table, "mean")
    both = [row_of(table, seed)["pearson"] for seed in ("1", "2")]
    assert mean["pearson"] == pytest.approx(np.mean(both))
    # On Fisher's scale; untransformed, one degree of freedom reaches beyond 1.
    reach = stats.t.ppf(0.975, 1) * np.std(both, ddof=1) / math.sqrt(2)
    r = mean["pearson"]
    assert r + reach > 1
    for limit, side in ((mean["pearson_low"], -1), (mean["pearson_high"], 1)):
        assert limit == pytest.approx(math.tanh(math.atanh(r) + side * reach / (1 - r**2)))
    names = [f"{name}_{side}" for name in COEFFICIENTS for side in ("low", "high")]
    assert mean[names].dropna().between(-1, 1).all()
    x, y = (np.mean([series[1], series[2]], axis=0) for series in (IOU, ACCURACY))
    published = stats.pearsonr(x, y)
    assert mean["published_form"] == pytest.approx(published.statistic)
    assert mean["published_p"] == pytest.approx(published.pvalue)
    assert mean["published_form"] != pytest.approx(mean["pearson"], abs=1e-4)
    assert (mean["n_seeds"], mean["pearson_seeds"], mean["n_levels"]) == (2, 2, 6)


def test_levels_at_which_maps_are_empty_are_left_out_beside_the_correlation(run):
    frame = frame_of(IOU)
    sparse = frame["level"] >= 4
    frame.loc[sparse, "empty_share"] = 0.6
    frame.loc[(frame["seed"] == 2) & (frame["level"] == 3), "empty_share"] = 0.11
    frame.loc[(frame["seed"] == 1) & (frame["level"] == 3), "empty_share"] = 0.1
    table = run(frame)
    for seed, levels in ((1, 4), (2, 3)):
        row, x, y = row_of(table, str(seed)), IOU[seed][:levels], ACCURACY[seed][:levels]
        assert row["n_levels_shown"] == levels
        assert row["pearson_shown"] == pytest.approx(stats.pearsonr(x, y).statistic)
        assert row["spearman_shown"] == pytest.approx(stats.spearmanr(x, y).statistic)
        # The correlation itself is over all levels.
        assert row["pearson"] == pytest.approx(stats.pearsonr(IOU[seed], ACCURACY[seed]).statistic)
    shares = (0.1 + 2 * 0.6) / 6, (0.11 + 2 * 0.6) / 6
    assert [row_of(table, s)["empty_share"] for s in "12"] == pytest.approx(shares)
    mean = row_of(table, "mean")
    assert mean["empty_share"] == pytest.approx(np.mean(shares))
    both = [row_of(table, seed)["pearson_shown"] for seed in "12"]
    assert mean["pearson_shown"] == pytest.approx(np.mean(both))
    assert -1 <= mean["pearson_shown_low"] <= mean["pearson_shown"] <= mean["pearson_shown_high"]
    assert (mean["n_levels_shown"], mean["pearson_shown_seeds"]) == (3, 2)


def test_where_maps_are_always_empty_no_correlation_is_shown(run):
    frame = frame_of(IOU)
    frame["empty_share"] = 1.0
    mean = row_of(run(frame), "mean")
    assert math.isnan(mean["pearson_shown"])
    assert (mean["n_levels_shown"], mean["pearson_shown_seeds"], mean["empty_share"]) == (0, 0, 1)


def test_one_seed_has_no_interval(run):
    mean = row_of(run(frame_of({1: IOU[1]})), "mean")
    assert math.isnan(mean["pearson_low"])
    assert math.isnan(mean["pearson_high"])
    assert mean["published_form"] == pytest.approx(mean["pearson"])


def test_density_floor_drops_the_sparse_end(run):
    table = run(frame_of(IOU))
    row = row_of(table, "1", "density_at_least_0.02")
    assert row["n_levels"] == 5
    assert row["pearson"] == pytest.approx(stats.pearsonr(IOU[1][:5], ACCURACY[1][:5]).statistic)
    other = run(frame_of(IOU), density_floor=0.1)
    assert row_of(other, "1", "density_at_least_0.1")["n_levels"] == 3


def test_constant_control_is_empty_not_zero(tmp_path, run):
    flat = {1: [0.3] * 6, 2: [0.3] * 6}
    frames = (frame_of(IOU), frame_of(flat, explainer="centre"))
    table = run(*frames, controls=["centre"])
    text = (tmp_path / "correlations.csv").read_text().splitlines()
    mean = next(line for line in text if ",centre," in line and ",all,true,mean," in line)
    cells = dict(zip(text[0].split(","), mean.split(","), strict=True))
    for name in ("pearson", "spearman", "kendall", "first_difference", "rank_partial"):
        assert cells[name] == ""
        assert cells[f"{name}_seeds"] == "0"
    assert cells["published_form"] == ""
    assert cells["published_p"] == ""
    assert cells["control"] == "true"
    assert not row_of(table, "mean", explainer="cam")["control"]
    assert read("correlations", tmp_path / "correlations.csv")["control"].sum() == len(table) / 2


def test_levels_without_a_defined_mean_are_left_out(run):
    holes = {1: [0.17, math.nan, *IOU[1][2:]], 2: IOU[2]}
    table = run(frame_of(holes))
    assert row_of(table, "1")["n_levels"] == 5
    kept = [0, 2, 3, 4, 5]
    x, y = (np.array(series[1])[kept] for series in (IOU, ACCURACY))
    assert row_of(table, "1")["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
    # The averaged series keeps only levels that both seeds have.
    assert row_of(table, "mean")["n_levels"] == 5


def test_mean_counts_only_seeds_with_a_defined_value(run):
    table = run(frame_of({1: IOU[1], 2: [0.3] * 6}))
    mean = row_of(table, "mean")
    assert (mean["n_seeds"], mean["pearson_seeds"]) == (2, 1)
    assert mean["pearson"] == pytest.approx(row_of(table, "1")["pearson"])
    assert math.isnan(mean["pearson_low"])


def test_seeds_are_in_numeric_order_and_rows_order_does_not_matter(tmp_path, run):
    values = dict.fromkeys((10, 9, 100), IOU[1])
    frame = frame_of(values, accuracy=dict.fromkeys(values, ACCURACY[1]))
    table = run(frame)
    assert list(table.loc[table["levels"] == "all", "seed"]) == ["9", "10", "100", "mean"]
    before = (tmp_path / "correlations.csv").read_bytes()
    run(frame.sample(frac=1, random_state=0))
    assert (tmp_path / "correlations.csv").read_bytes() == before


def test_an_explainer_called_none_survives(tmp_path, run):
    assert set(run(frame_of(IOU, explainer="nan"))["levels"]) == {
        "all",
        "density_at_least_0.02",
    }
    assert set(read("correlations", tmp_path / "correlations.csv")["explainer"]) == {"nan"}


def test_no_levels_give_an_empty_table(run):
    assert run(frame_of(IOU).iloc[:0]).empty


def test_missing_column_is_named(tmp_path):
    write_rows("levels", tmp_path / "levels.csv", frame_of(IOU))
    frame = pd.read_csv(tmp_path / "levels.csv").drop(columns="accuracy")
    frame.to_csv(tmp_path / "levels.csv", index=False)
    with pytest.raises(InputError, match="no column 'accuracy'"):
        correlate(tmp_path / "levels.csv", [], tmp_path / "a.csv", tmp_path / "b.csv", SETTINGS)


def test_pruners_without_a_curve_have_no_rows(run):
    two = {seed: series[:2] for seed, series in IOU.items()}
    table = run(frame_of(IOU), frame_of(two, pruner="retrain"))
    assert set(table["pruner"]) == {"magnitude"}
    three = {seed: series[:3] for seed, series in IOU.items()}
    assert set(run(frame_of(three))["levels"]) == {"all", "density_at_least_0.02"}


def test_p_takes_one_r_per_network(run):
    values = {1: IOU[1], 2: IOU[2], 3: [0.1, 0.15, 0.3, 0.2, 0.12, 0.02]}
    table = run(frame_of(values, accuracy={**ACCURACY, 3: ACCURACY[1]}))
    each = [row_of(table, str(seed))["pearson"] for seed in values]
    assert row_of(table, "mean")["p"] == pytest.approx(stats.ttest_1samp(each, 0.0).pvalue)
    assert math.isnan(row_of(table, "1")["p"])


def test_p_is_adjusted_within_a_pruner_without_controls(run):
    lower = {seed: series[::-1] for seed, series in IOU.items()}
    frames = [
        *(frame_of(values, explainer=name) for name, values in (("cam", IOU), ("other", lower))),
        frame_of(IOU, explainer="mean_activation"),
        frame_of(IOU, pruner="random"),
    ]
    table = run(*frames, controls=["mean_activation"])
    means = table[table["seed"] == "mean"]
    tested = means[(means["pruner"] == "magnitude") & ~means["control"]]
    assert len(tested) == 4  # two explainers, two ranges of levels
    p = np.sort(tested["p"])
    by_hand = np.minimum.accumulate((p * 4 / np.arange(1, 5))[::-1])[::-1]
    assert np.sort(tested["p_adjusted"]) == pytest.approx(np.minimum(by_hand, 1.0))
    assert means.loc[means["control"], "p_adjusted"].isna().all()
    assert means.loc[means["control"], "p"].notna().all()


def test_intervals_over_images_equal_scipy_draw_by_draw(run):
    rng = np.random.default_rng(0)
    drawn = {
        (name, seed): np.add(series[seed], [[0.0]] * 5 + rng.normal(0, 0.03, (5, 6))).T
        for name, series in (("cam", IOU), ("", ACCURACY))
        for seed in (1, 2)
    }
    row = row_of(run(frame_of(IOU), confidence=0.5, drawn=drawn), "mean")
    pairs = {seed: (drawn["cam", seed].T, drawn["", seed].T) for seed in (1, 2)}
    for name, of in {
        "pearson": lambda x, y: stats.pearsonr(x, y).statistic,
        "spearman": lambda x, y: stats.spearmanr(x, y).statistic,
    }.items():
        each = [[of(x, y) for x, y in zip(*pair, strict=True)] for pair in pairs.values()]
        # Five draws: the limits of 50% are the second and the fourth of the means over seeds.
        ordered = np.sort(np.mean(each, axis=0))
        # They are reflected at the estimate, on Fisher's scale.
        low, high = (np.tanh(2 * np.arctanh(row[name]) - np.arctanh(ordered[i])) for i in (3, 1))
        found = row[f"{name}_images_low"], row[f"{name}_images_high"]
        assert found == pytest.approx((low, high), abs=1e-5)
        assert found[0] < found[1]


def test_draws_shared_by_metric_and_accuracy_leave_no_width(run):
    # In every draw both series shift and stretch: r of a network does not move.
    drawn = {
        (name, seed): np.array(series[seed])[:, np.newaxis] * np.array([1.0, 1.1, 0.9, 1.2, 0.8])
        for name, series in (("cam", IOU), ("", ACCURACY))
        for seed in (1, 2)
    }
    row = row_of(run(frame_of(IOU), drawn=drawn), "mean")
    for name in ("pearson", "spearman"):
        for end in ("low", "high"):
            assert row[f"{name}_images_{end}"] == pytest.approx(row[name], abs=1e-5)


def test_seeds_have_no_interval_over_images(run):
    row = row_of(run(frame_of(IOU)), "1")
    assert row[["pearson_images_low", "spearman_images_high"]].isna().all()


def test_levels_left_out_are_left_out_of_the_draws(run):
    # Level 1 of seed 1 is undefined, and so in every draw.
    holes = {1: [0.17, math.nan, *IOU[1][2:]], 2: IOU[2]}
    row = row_of(run(frame_of(holes)), "mean")
    # All draws shift a series as a whole, so r stays.
    assert row["pearson_images_low"] == pytest.approx(row["pearson"], abs=1e-5)


def test_draws_that_lack_a_level_leave_no_interval(run):
    lacking = np.add.outer(IOU[1], np.zeros(5))
    lacking[2, 0] = math.nan
    row = row_of(run(frame_of(IOU), drawn={("cam", 1): lacking}), "mean")
    assert math.isfinite(row["pearson"])
    assert row[["pearson_images_low", "spearman_images_low"]].isna().all()


def test_statistics_that_lack_a_curve_or_level_are_refused(tmp_path, write_chains):
    write_rows("levels", tmp_path / "levels.csv", frame_of(IOU))
    outputs = (tmp_path / "a.csv", tmp_path / "b.csv", SETTINGS)
    rows = statistics_of(frame_of(IOU), {})
    for kept, what in (
        ([row for row in rows if row["explainer"] == ""], "explainer 'cam'"),
        ([row for row in rows if row["explainer"] == "cam"], "metric 'accuracy'"),
        ([row for row in rows if row["seed"] == 1], "seed '2'"),
        ([row for row in rows if row["level"] < 5], "levels '0, 1, 2, 3, 4, 5'"),
    ):
        with pytest.raises(InputError, match=f"lack rows .*{what}"):
            correlate(tmp_path / "levels.csv", write_chains(kept), *outputs)


def test_networks_without_a_coefficient_have_none_in_the_draws(run):
    # The metric of seed 2 steps by a constant: it has r, but no r of steps.
    table = run(frame_of({1: IOU[1], 2: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}))
    row = row_of(table, "mean")
    assert row["first_difference_seeds"] == 1
    assert row["first_difference"] == row_of(table, "1")["first_difference"]
    assert row["pearson_images_low"] == pytest.approx(row["pearson"], abs=1e-5)
