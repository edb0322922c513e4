"""What the dot plot and the table of correlations draw."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from sparsight.analysis.tables import read
from sparsight.io.errors import InputError
from sparsight.plots.correlations import (
    correlation_table_figure,
    correlations_figure,
    draw_correlation_table,
    draw_correlations,
)
from tests.tables import write_rows

EXPLAINERS = ["cam", "saliency", "mean_activation", "control_edges"]
CONTROLS = ["mean_activation", "control_edges"]
SETTINGS = {"dataset": "digits", "model": "cnn", "explainers": EXPLAINERS, "retrain": ["retrain"]}
R = {"cam": (0.9, 0.8, 0.7), "saliency": (-0.2, 0.1, 0.4), "mean_activation": (0.5, 0.6, 0.7),
     "control_edges": (math.nan,) * 3}  # fmt: skip


@pytest.fixture
def make(tmp_path):
    """Rows as `correlations.csv` gives them back."""

    def rows_of(place, values, n_levels):
        known = [value for value in values if not math.isnan(value)]
        mean = float(np.mean(known)) if known else math.nan
        rows = [{**place, "seed": str(i + 1), "pearson": value} for i, value in enumerate(values)]
        several = len(known) > 1
        summary = {**place, "seed": "mean", "pearson": mean, "pearson_seeds": len(known),
                   "pearson_low": mean - 0.3 if several else math.nan,
                   "pearson_high": mean + 0.3 if several else math.nan,
                   "published_form": mean + 0.05,
                   "p_adjusted": 0.01 if place["explainer"] == "cam" else 0.4}  # fmt: skip
        return [{**row, "n_seeds": len(values), "n_levels": n_levels} for row in (*rows, summary)]

    def build(metrics=("soft_iou",), pruners=("magnitude", "retrain"), r=R, n_levels=6):
        rows = []
        for pruner in pruners:
            for metric in metrics:
                for explainer, values in r.items():
                    control = "true" if explainer in CONTROLS else "false"
                    place = {"dataset": "digits", "model": "cnn", "pruner": pruner, "levels": "all",
                             "condition": "noisy", "metric": metric, "subset": "all",
                             "explainer": explainer, "control": control}  # fmt: skip
                    rows += rows_of(place, values, n_levels)
        write_rows("correlations", tmp_path / "correlations.csv", pd.DataFrame(rows))
        return read("correlations", tmp_path / "correlations.csv")

    return build


def test_dots_are_seeds_and_the_line_is_their_interval(make, lines_of):
    (axes,) = correlations_figure(make(), SETTINGS).axes
    seeds = lines_of(axes, "seeds")
    assert [list(dots.get_xdata()) for dots in seeds] == [list(R[n]) for n in EXPLAINERS[:3]]
    assert lines_of(axes, "mean")[0].get_xdata()[0] == pytest.approx(0.8)
    np.testing.assert_allclose(lines_of(axes, "interval")[0].get_xdata(), [0.5, 1.1])
    published = lines_of(axes, "published")[0]
    assert published.get_xdata()[0] == pytest.approx(0.85)
    assert published.get_markerfacecolor() == "white"


def test_seeds_mean_and_published_form_do_not_hide_each_other(make, lines_of):
    (axes,) = correlations_figure(make(), SETTINGS).axes
    heights = {lines_of(axes, kind)[0].get_ydata()[0] for kind in ("seeds", "mean", "published")}
    assert len(heights) == 3
    assert max(heights) - min(heights) < 1


def test_means_are_filled_where_they_differ_from_zero(make, lines_of):
    (axes,) = correlations_figure(make(), SETTINGS).axes
    faces = [to_hex(mean.get_markerfacecolor()) for mean in lines_of(axes, "mean")]
    assert faces[0] != "#ffffff"
    assert faces[1:] == ["#ffffff", "#ffffff"]


def test_controls_are_below_a_line_and_say_constant(make, lines_of):
    (axes,) = correlations_figure(make(), SETTINGS).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == EXPLAINERS
    assert [line.get_ydata()[0] for line in axes.lines if set(line.get_ydata()) == {1.5}] == [1.5]
    bottom, top = axes.get_ylim()
    assert bottom > top
    assert [(text.get_text(), text.get_position()[1]) for text in axes.texts] == [("constant", 3)]
    # A control whose r is defined is drawn, in grey.
    red, green, blue = (lines_of(axes, "seeds")[2].get_color(),) * 3
    assert red == green == blue == "0.45"


def test_too_few_levels_say_so(make):
    frame = make(r=dict.fromkeys(R, (math.nan,) * 3), n_levels=2)
    (axes,) = correlations_figure(frame, SETTINGS).axes
    assert [text.get_text() for text in axes.texts] == ["too few levels"] * 4


def test_a_mean_of_some_seeds_says_of_how_many(make):
    frame = make(r={**R, "cam": (math.nan, 0.8, 0.7)})
    (axes,) = correlations_figure(frame, SETTINGS).axes
    assert "2 of 3 seeds" in [text.get_text() for text in axes.texts]
    (table,) = correlation_table_figure(frame, SETTINGS).axes
    assert "(+0.75)" in [text.get_text() for text in table.texts]


def test_one_seed_has_no_interval(make, lines_of):
    figure = correlations_figure(make(r={"cam": (0.9,)}), SETTINGS)
    assert np.isnan(lines_of(figure.axes[0], "interval")[0].get_xdata()).all()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "mean (one seed: no interval)" in names


def test_many_metrics_wrap_and_blocks_are_pruners(make):
    metrics = [f"metric_{i:02d}" for i in range(13)]
    frame = make(metrics, pruners=("magnitude", "random", "retrain"), r={"cam": R["cam"]})
    figure = correlations_figure(frame, {**SETTINGS, "metrics": metrics})
    assert [axes.get_title("left") for axes in figure.axes] == metrics * 2
    names = [part.get_suptitle() for part in figure.subfigs]
    assert names == ["pruner magnitude, noisy images", "pruner random, noisy images"]
    assert figure.get_figwidth() < 10
    one = correlations_figure(frame, {**SETTINGS, "metrics": metrics, "pruners": ["random"]})
    assert [part.get_suptitle() for part in one.subfigs] == names[1:]


def test_table_holds_the_means_and_marks_what_differs(make):
    (axes,) = correlation_table_figure(make(("soft_iou", "gini")), SETTINGS).axes
    cells = {text.get_position(): text for text in axes.texts}
    texts = [cells[0, row].get_text() for row in range(4)]
    assert texts == ["+0.80", "+0.10", "+0.60", "–"]
    assert [cells[0, row].get_fontweight() for row in range(3)] == ["bold", "normal", "normal"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["gini", "soft_iou"]
    assert len(axes.patches) == 2 * 3  # nothing is tinted where r is not defined


def test_tints_of_the_table_can_be_read_in_grey(make):
    def greys(r):
        figure = correlation_table_figure(make(r={"cam": (r,)}), SETTINGS)
        (patch,) = figure.axes[0].patches
        return float(np.dot(patch.get_facecolor()[:3], (0.299, 0.587, 0.114)))

    assert greys(0.1) > greys(0.5) + 0.05
    assert greys(0.5) > greys(0.9) + 0.05
    assert abs(greys(0.9) - greys(-0.9)) < 0.06


@pytest.mark.parametrize("draw", [draw_correlations, draw_correlation_table])
def test_files(make, tmp_path, check_draw, draw):
    make()
    path = tmp_path / "correlations.csv"
    check_draw(lambda outputs: draw(path, outputs, SETTINGS))
    for change, message in (({"levels": "some"}, "levels 'some'"),
                            ({"pruners": ["retrain"]}, "no pruner to draw")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            draw(path, [tmp_path / "x.svg"], {**SETTINGS, **change})
