"""What the dot plot of correlations draws."""

import math

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.correlate import correlate
from sparsight.analysis.summaries import read_correlations
from sparsight.io.errors import InputError
from sparsight.io.tables import write_csv
from sparsight.plots.correlations import correlations_figure, draw_correlations

SETTINGS = {"dataset": "digits", "model": "cnn"}
CONTROLS = ["control_edges", "control_input"]


@pytest.fixture
def table(tmp_path, make_levels):
    def make(frame=None):
        write_csv(tmp_path / "levels.csv", make_levels() if frame is None else frame)
        path = tmp_path / "correlations.csv"
        correlate(tmp_path / "levels.csv", path, {"controls": CONTROLS})
        return path

    return make


def rows_of(path):
    frame = read_correlations(path)
    return frame[frame["levels"] == "all"]


def test_dots_are_seeds_and_the_line_is_their_interval(table, lines_of):
    frame = rows_of(table())
    (axes,) = correlations_figure(frame, SETTINGS).axes
    cam = frame[frame["explainer"] == "cam"].set_index("seed")["pearson"]
    seeds = lines_of(axes, "seeds")
    assert len(seeds) == 2  # two explainers, no control
    np.testing.assert_allclose(seeds[0].get_xdata(), cam[["1", "2", "3"]])
    assert lines_of(axes, "mean")[0].get_xdata()[0] == cam["mean"]
    mean = frame[(frame["explainer"] == "cam") & (frame["seed"] == "mean")].iloc[0]
    assert list(lines_of(axes, "interval")[0].get_xdata()) == [
        mean["pearson_low"],
        mean["pearson_high"],
    ]
    published = lines_of(axes, "published")[0]
    assert published.get_xdata()[0] == mean["published_form"]
    assert published.get_markerfacecolor() == "white"


def test_controls_are_at_the_bottom_and_say_constant(table):
    (axes,) = correlations_figure(rows_of(table()), SETTINGS).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["cam", "saliency", *CONTROLS]
    bottom, top = axes.get_ylim()
    assert bottom > top
    why = {text.get_text(): text for text in axes.texts}
    assert set(why) == {"constant"}
    assert sorted(text.get_position()[1] for text in axes.texts) == [2, 3]


def test_too_few_levels_say_so(table, make_levels):
    (axes,) = correlations_figure(rows_of(table(make_levels(levels=2))), SETTINGS).axes
    assert [text.get_text() for text in axes.texts] == ["too few levels"] * 4


def test_a_mean_of_some_seeds_says_of_how_many(table, make_levels):
    frame = make_levels()
    frame.loc[(frame["explainer"] == "cam") & (frame["seed"] == 1), "mean"] = 0.2
    (axes,) = correlations_figure(rows_of(table(frame)), SETTINGS).axes
    assert "2 of 3 seeds" in [text.get_text() for text in axes.texts]


def test_one_seed_has_no_interval(table, make_levels, lines_of):
    figure = correlations_figure(rows_of(table(make_levels(seeds=(1,), levels=26))), SETTINGS)
    (axes,) = figure.axes
    assert all(math.isnan(value) for value in lines_of(axes, "interval")[0].get_xdata())
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "mean (one seed: no interval)" in names


def test_panels_are_pruners_and_metrics(table, make_levels):
    frame = make_levels(pruners=("magnitude", "random"))
    other = frame.assign(metric="gini")
    path = table(pd.concat([frame, other]))
    figure = correlations_figure(rows_of(path), {**SETTINGS, "metrics": ["soft_iou", "gini"]})
    assert [axes.get_title("left") for axes in figure.axes] == ["soft_iou", "gini"] * 2
    assert "magnitude" in figure.axes[0].get_ylabel()
    assert "random" in figure.axes[2].get_ylabel()


def test_file(table, tmp_path, check_file):
    path = table()
    outputs = [tmp_path / "c.svg", tmp_path / "c.png"]
    draw_correlations(path, outputs, SETTINGS)
    before = [output.read_bytes() for output in outputs]
    draw_correlations(path, outputs, SETTINGS)
    assert [output.read_bytes() for output in outputs] == before
    for output in outputs:
        check_file(output)
    with pytest.raises(InputError, match="levels 'some'"):
        draw_correlations(path, outputs, {**SETTINGS, "levels": "some"})
