"""What the dot plot and the table of correlations draw."""

import math

import numpy as np
import pytest

from sparsight.io.errors import InputError
from sparsight.plots.correlations import (
    correlation_table_pages,
    correlations_pages,
    draw_correlation_table,
    draw_correlations,
)
from tests.unit.plots.conftest import R

EXPLAINERS = ["cam", "saliency", "mean_activation", "control_edges"]
CONTROLS = ["mean_activation", "control_edges"]
SETTINGS = {"dataset": "digits", "model": "cnn", "explainers": EXPLAINERS, "retrain": ["retrain"]}


@pytest.fixture
def make(make_correlations):
    return make_correlations


def test_dots_are_seeds_and_the_line_is_their_interval(make, lines_of, points_of, marks_of):
    (axes,) = correlations_pages(make(), SETTINGS)[0].axes
    seeds = points_of(axes, "seed")
    for row, name in enumerate(EXPLAINERS[:3]):
        own = seeds[(seeds[:, 1] > row - 0.5) & (seeds[:, 1] < row + 0.5)]
        assert sorted(own[:, 0]) == sorted(R[name])
    np.testing.assert_allclose(points_of(axes, "filled"), [[0.8, 0]])
    segments = [s for marks in marks_of(axes, "interval") for s in marks.get_segments()]
    np.testing.assert_allclose(segments[0], [[0.5, 0], [1.1, 0]])
    published = lines_of(axes, "published")[0]
    assert published.get_xdata()[0] == pytest.approx(0.85)
    assert published.get_markerfacecolor() == "white"


def test_seeds_mean_and_published_form_do_not_hide_each_other(make, lines_of, points_of):
    (axes,) = correlations_pages(make(), SETTINGS)[0].axes
    heights = {points_of(axes, kind)[0, 1] for kind in ("seed", "filled")}
    heights.add(lines_of(axes, "published")[0].get_ydata()[0])
    assert len(heights) == 3
    assert max(heights) - min(heights) < 1


def test_means_are_filled_where_they_differ_from_zero(make, points_of):
    (axes,) = correlations_pages(make(), SETTINGS)[0].axes
    assert points_of(axes, "filled")[:, 1].tolist() == [0]
    assert points_of(axes, "open")[:, 1].tolist() == [1, 2]


def test_controls_are_below_a_line_and_say_constant(make, marks_of):
    (axes,) = correlations_pages(make(), SETTINGS)[0].axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == EXPLAINERS
    assert [line.get_ydata()[0] for line in axes.lines if set(line.get_ydata()) == {1.5}] == [1.5]
    bottom, top = axes.get_ylim()
    assert bottom > top
    said = [(text.get_text(), text.get_position()[1]) for text in axes.texts if text.get_text()]
    assert said == [("constant", 3)]
    # A control whose r is defined is drawn, in grey.
    faces = marks_of(axes, "open")[0].get_edgecolor()
    assert [len(set(face[:3])) for face in faces] == [3, 1]


def test_too_few_levels_say_so(make):
    frame = make(r=dict.fromkeys(R, (math.nan,) * 3), n_levels=2)
    (axes,) = correlations_pages(frame, SETTINGS)[0].axes
    assert [text.get_text() for text in axes.texts] == ["too few levels"] * 4


def test_a_mean_of_some_seeds_says_of_how_many(make):
    frame = make(r={**R, "cam": (math.nan, 0.8, 0.7)})
    (axes,) = correlations_pages(frame, SETTINGS)[0].axes
    assert "2 of 3 networks" in [text.get_text() for text in axes.texts]
    (table,) = correlation_table_pages(frame, SETTINGS)[0].axes
    assert "(+0.75)" in [text.get_text() for text in table.texts]


def test_one_seed_has_no_interval(make, marks_of, legend_of):
    (figure,) = correlations_pages(make(r={"cam": (0.9,)}), SETTINGS)
    assert marks_of(figure.axes[0], "interval") == []
    assert legend_of(figure)[0].startswith("1 network: no spread")


def test_many_metrics_wrap_and_blocks_are_pruners(make):
    metrics = [f"metric_{i:02d}" for i in range(13)]
    frame = make(metrics, pruners=("magnitude", "random", "retrain"), r={"cam": R["cam"]})
    (figure,) = correlations_pages(frame, {**SETTINGS, "metrics": metrics})
    assert [axes.get_title("left") for axes in figure.axes] == metrics * 2
    names = [part.get_suptitle() for part in figure.subfigs]
    assert names == ["pruner magnitude, noisy images", "pruner random, noisy images"]
    (one,) = correlations_pages(frame, {**SETTINGS, "metrics": metrics, "pruners": ["random"]})
    assert [part.get_suptitle() for part in one.subfigs] == names[1:]


def test_table_holds_the_means_and_marks_what_differs(make):
    (axes,) = correlation_table_pages(make(("soft_iou", "gini")), SETTINGS)[0].axes
    cells = {text.get_position(): text for text in axes.texts}
    texts = [cells[0.5, row + 0.5].get_text() for row in range(4)]
    assert texts == ["+0.80", "+0.10", "+0.60", "–"]
    assert [cells[0.5, row + 0.5].get_fontweight() for row in range(3)] == [
        "bold",
        "normal",
        "normal",
    ]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["gini", "soft_iou"]
    # nothing is tinted where r is not defined
    assert np.isnan(np.ma.filled(axes.collections[0].get_array(), np.nan)).sum() == 2


def test_tints_of_the_table_can_be_read_in_grey(make):
    def greys(r):
        (figure,) = correlation_table_pages(make(r={"cam": (r,)}), SETTINGS)
        figure.draw_without_rendering()
        (face,) = figure.axes[0].collections[0].get_facecolors()
        return float(np.dot(face[:3], (0.299, 0.587, 0.114)))

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
