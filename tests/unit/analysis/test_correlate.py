"""The table of correlations on small frames."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparsight.analysis.correlate import CORRELATION_COLUMNS, correlate
from sparsight.analysis.summaries import read_correlations
from sparsight.io.errors import InputError
from sparsight.io.tables import write_csv

DENSITY = 0.4 ** np.arange(6)  # 1 .4 .16 .064 .0256 .01024: one level below 2%
ACCURACY = {1: [0.9, 0.91, 0.9, 0.85, 0.6, 0.2], 2: [0.92, 0.9, 0.91, 0.8, 0.5, 0.1]}
IOU = {1: [0.17, 0.2, 0.21, 0.2, 0.1, 0.05], 2: [0.18, 0.19, 0.2, 0.21, 0.12, 0.01]}


def frame_of(values, accuracy=None, explainer="cam", subset="all"):
    accuracy = ACCURACY if accuracy is None else accuracy
    return pd.DataFrame(
        [
            {
                "dataset": "digits",
                "model": "cnn",
                "pruner": "magnitude",
                "seed": seed,
                "level": level,
                "explainer": explainer,
                "condition": "clean",
                "metric": "iou",
                "subset": subset,
                "checkpoint_pruner": "magnitude" if level else "dense",
                "density": DENSITY[level],
                "accuracy": accuracy[seed][level],
                "n": 10,
                "undefined": 0,
                "mean": value,
                "sd": 0.1,
                "median": value,
            }
            for seed, series in values.items()
            for level, value in enumerate(series)
        ]
    )


def run(tmp_path, *frames, **settings):
    write_csv(tmp_path / "levels.csv", pd.concat(frames))
    output = tmp_path / "correlations.csv"
    correlate(tmp_path / "levels.csv", output, settings)
    return pd.read_csv(output, dtype={"seed": "str"})


def row_of(table, seed, levels="all", explainer="cam"):
    found = table[
        (table["seed"] == seed) & (table["levels"] == levels) & (table["explainer"] == explainer)
    ]
    assert len(found) == 1
    return found.iloc[0]


def test_each_seed_equals_scipy(tmp_path):
    table = run(tmp_path, frame_of(IOU))
    assert list(table.columns) == CORRELATION_COLUMNS
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


def test_mean_row_has_interval_and_published_form(tmp_path):
    table = run(tmp_path, frame_of(IOU))
    mean = row_of(table, "mean")
    both = [row_of(table, seed)["pearson"] for seed in ("1", "2")]
    assert mean["pearson"] == pytest.approx(np.mean(both))
    reach = stats.t.ppf(0.975, 1) * np.std(both, ddof=1) / math.sqrt(2)
    assert mean["pearson_high"] - mean["pearson"] == pytest.approx(reach, rel=1e-6)
    x, y = (np.mean([series[1], series[2]], axis=0) for series in (IOU, ACCURACY))
    published = stats.pearsonr(x, y)
    assert mean["published_form"] == pytest.approx(published.statistic)
    assert mean["published_p"] == pytest.approx(published.pvalue)
    assert mean["published_form"] != pytest.approx(mean["pearson"], abs=1e-4)
    assert (mean["n_seeds"], mean["pearson_seeds"], mean["n_levels"]) == (2, 2, 6)


def test_one_seed_has_no_interval(tmp_path):
    mean = row_of(run(tmp_path, frame_of({1: IOU[1]})), "mean")
    assert math.isnan(mean["pearson_low"])
    assert math.isnan(mean["pearson_high"])
    assert mean["published_form"] == pytest.approx(mean["pearson"])


def test_density_floor_drops_the_sparse_end(tmp_path):
    table = run(tmp_path, frame_of(IOU))
    row = row_of(table, "1", "density_at_least_0.02")
    assert row["n_levels"] == 5
    assert row["pearson"] == pytest.approx(stats.pearsonr(IOU[1][:5], ACCURACY[1][:5]).statistic)
    other = run(tmp_path, frame_of(IOU), density_floor=0.1)
    assert row_of(other, "1", "density_at_least_0.1")["n_levels"] == 3


def test_constant_control_is_empty_not_zero(tmp_path):
    flat = {1: [0.3] * 6, 2: [0.3] * 6}
    frames = (frame_of(IOU), frame_of(flat, explainer="centre"))
    table = run(tmp_path, *frames, controls=["centre"])
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
    assert read_correlations(tmp_path / "correlations.csv")["control"].sum() == len(table) / 2


def test_levels_without_a_defined_mean_are_left_out(tmp_path):
    holes = {1: [0.17, math.nan, *IOU[1][2:]], 2: IOU[2]}
    table = run(tmp_path, frame_of(holes))
    assert row_of(table, "1")["n_levels"] == 5
    kept = [0, 2, 3, 4, 5]
    x, y = (np.array(series[1])[kept] for series in (IOU, ACCURACY))
    assert row_of(table, "1")["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
    # The averaged series keeps only levels that both seeds have.
    assert row_of(table, "mean")["n_levels"] == 5


def test_mean_counts_only_seeds_with_a_defined_value(tmp_path):
    table = run(tmp_path, frame_of({1: IOU[1], 2: [0.3] * 6}))
    mean = row_of(table, "mean")
    assert (mean["n_seeds"], mean["pearson_seeds"]) == (2, 1)
    assert mean["pearson"] == pytest.approx(row_of(table, "1")["pearson"])
    assert math.isnan(mean["pearson_low"])


def test_seeds_are_in_numeric_order_and_rows_order_does_not_matter(tmp_path):
    values = dict.fromkeys((10, 9, 100), IOU[1])
    frame = frame_of(values, accuracy=dict.fromkeys(values, ACCURACY[1]))
    table = run(tmp_path, frame)
    assert list(table.loc[table["levels"] == "all", "seed"]) == ["9", "10", "100", "mean"]
    before = (tmp_path / "correlations.csv").read_bytes()
    run(tmp_path, frame.sample(frac=1, random_state=0))
    assert (tmp_path / "correlations.csv").read_bytes() == before


def test_an_explainer_called_none_survives(tmp_path):
    assert set(run(tmp_path, frame_of(IOU, explainer="nan"))["levels"]) == {
        "all",
        "density_at_least_0.02",
    }
    assert set(read_correlations(tmp_path / "correlations.csv")["explainer"]) == {"nan"}


def test_no_levels_give_an_empty_table(tmp_path):
    assert run(tmp_path, frame_of(IOU).iloc[:0]).empty


def test_missing_column_is_named(tmp_path):
    write_csv(tmp_path / "levels.csv", frame_of(IOU).drop(columns="accuracy"))
    with pytest.raises(InputError, match="no column 'accuracy'"):
        correlate(tmp_path / "levels.csv", tmp_path / "out.csv", {})
