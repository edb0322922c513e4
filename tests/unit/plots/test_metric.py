"""What the figure of one metric over levels draws."""

import math

import numpy as np
import pytest

from sparsight.io.errors import InputError
from sparsight.plots.metric import draw_metric, metric_label, metric_pages
from tests.tables import write_rows


@pytest.fixture
def draw(make_levels, contrasts_of, settings):
    def make(frame=None, **changes):
        frame = make_levels() if frame is None else frame
        (figure,) = metric_pages(frame, contrasts_of(frame), {**settings, **changes})
        return figure

    return make


def family(figure, title):
    """The only panel of a family."""
    (axes,) = next(part for part in figure.subfigs if part.get_suptitle() == title).axes
    return axes


def names_of(figure):
    return [
        f"{part.get_suptitle()}: {axes.get_title('left')}"
        for part in figure.subfigs
        for axes in part.axes
    ]


def test_rows_are_families_and_columns_pruners(draw, make_levels):
    figure = draw(make_levels(pruners=("magnitude", "random")), pruners=["random", "magnitude"])
    assert names_of(figure) == [
        f"{family}: pruner {pruner}, noisy images"
        for family in ("cam", "gradient", "perturbation")
        for pruner in ("random", "magnitude")
    ]


def test_retraining_is_no_curve_but_points_left_of_dense(draw, lines_of, make_levels):
    frame = make_levels()
    figure = draw(frame)
    assert not any("retrain" in name for name in names_of(figure))
    axes = family(figure, "cam")
    cam, _ = lines_of(axes, "retrained")
    assert all(axes.get_xlim()[0] < across < 0 for across in cam.get_xdata())
    found = frame[(frame["pruner"] == "retrain") & (frame["level"] == 1)]
    assert list(cam.get_ydata()) == list(found.loc[found["explainer"] == "cam", "mean"])


def test_lines_hold_the_numbers(draw, lines_of, make_levels):
    frame = make_levels()
    axes = family(draw(frame), "cam")
    curves = frame[(frame["pruner"] == "magnitude") & (frame["explainer"] == "cam")]
    two = curves[curves["seed"] == 2].sort_values("level")
    assert len(lines_of(axes, "seed")) == 2 * 3
    np.testing.assert_allclose(lines_of(axes, "seed")[1].get_xdata(), two["level"])
    np.testing.assert_allclose(lines_of(axes, "seed")[1].get_ydata(), two["mean"])
    mean = lines_of(axes, "mean")[0]
    np.testing.assert_allclose(mean.get_ydata(), curves.groupby("level")["mean"].mean())


def test_the_ribbon_is_the_interval_over_seeds(draw, marks_of, make_levels):
    ribbon, _ = marks_of(family(draw(), "cam"), "interval")
    corners = ribbon.get_paths()[0].vertices
    level_two = corners[corners[:, 0] == 2, 1]
    middle = make_levels().query("explainer == 'cam' and level == 2")["mean"].mean()
    assert min(level_two) == pytest.approx(middle - 0.01)
    assert max(level_two) == pytest.approx(middle + 0.01)


def test_few_levels_have_markers_and_no_line_of_their_own(draw, lines_of, marks_of, points_of):
    axes = family(draw(), "perturbation")
    assert lines_of(axes, "mean") == []
    (line,) = lines_of(axes, "gapped")
    assert len(line.get_xdata()) == len(points_of(axes, "point")) == 3
    assert line.get_linestyle() not in ("-", "None")
    assert line.get_linewidth() < 1
    assert lines_of(axes, "seed") == []
    assert len(points_of(axes, "seed")) == 3 * 3
    (bars,) = marks_of(axes, "interval")
    assert len(bars.get_segments()) == 3


def test_controls_without_a_network_are_in_every_panel_and_named_with_their_mean(draw, lines_of):
    figure = draw()
    for part in figure.subfigs:
        (axes,) = part.axes
        assert [line.get_label() for line in lines_of(axes, "control")] == [
            "control_edges",
            "control_input",
        ]
        # One lies far off: it does not squeeze the rest.
        assert axes.get_ylim()[1] < 0.5
        names = [text.get_text() for text in part.legends[0].get_texts()]
        assert names[-2:] == ["control_edges (0.15)", "control_input (0.99)"]


def test_a_control_with_a_network_is_a_curve_of_its_family(draw, lines_of):
    figure = draw()
    assert len(lines_of(family(figure, "cam"), "mean")) == 2
    names = [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]
    assert names[:2] == ["cam", "mean_activation"]
    assert len(lines_of(family(figure, "gradient"), "mean")) == 1


def test_wide_intervals_are_cut_and_data_are_not(make_levels, contrasts_of, settings, lines_of):
    frame = make_levels()
    wide = contrasts_of(frame).assign(mean_low=-9.0, mean_high=9.0)
    axes = family(metric_pages(frame, wide, settings)[0], "cam")
    low, high = axes.get_ylim()
    values = frame.loc[frame["explainer"].isin(["cam", "mean_activation"]), "mean"]
    assert -1 < low < values.min()
    assert values.max() < high < 1
    assert [list(line.get_xdata()) for line in lines_of(axes, "cut")] == [[0, 1, 2, 3, 4, 5]] * 2


def test_retrained_networks_are_never_outside_the_panel(draw, make_levels):
    frame = make_levels()
    frame.loc[(frame["pruner"] == "retrain") & (frame["explainer"] == "saliency"), "mean"] = 0.4
    assert family(draw(frame), "gradient").get_ylim()[1] > 0.4


def test_marks_stand_near_their_level_in_short_and_long_chains(draw, make_levels, points_of):
    for levels in (6, 26):
        axes = family(draw(make_levels(levels=levels)), "perturbation")
        away = np.unique(points_of(axes, "seed")[:, 0]) - np.array([0, 3, 5])
        assert (away > 0).all()
        assert (away < 0.05 * levels).all()


def test_names_of_curves_stand_beside_the_panels(draw):
    figure = draw()
    figure.draw_without_rendering()
    for part in figure.subfigs:
        box = part.legends[0].get_window_extent()
        assert not any(box.overlaps(axes.get_window_extent()) for axes in part.axes)
        assert figure.bbox.contains(box.x0, box.y0)
        assert figure.bbox.contains(box.x1, box.y1)


def test_axes_state_unit_direction_and_weights_left(draw, settings):
    part = draw().subfigs[0]
    assert part.get_supylabel() == "soft_iou\nshare, 0 to 1\n(higher is better)"
    assert part.get_supxlabel() == "pruning level, weights left"
    named = [text.get_text() for text in part.axes[0].get_xticklabels()]
    assert named[:3] == ["0\n100%", "1\n80%", "2\n64%"]
    assert "direction not stated" in metric_label({"metric": "foreign"})
    unit = "output for the target at each step, 0 to 1; the number is their mean loss"
    facts = {"road": {"unit": unit, "direction": "higher"}}
    lines = metric_label({"metric": "road", "metrics": facts}).split("\n")
    assert lines == ["road", "output for the target at each step, 0 to 1", "(higher is better)"]


def test_one_seed_and_26_levels(draw, make_levels, lines_of, marks_of, legend_of):
    figure = draw(make_levels(seeds=(1,), levels=26))
    axes = family(figure, "cam")
    assert all(len(line.get_xdata()) == 26 for line in lines_of(axes, "mean"))
    assert not [path for ribbon in marks_of(axes, "interval") for path in ribbon.get_paths()]
    facts, *names = legend_of(figure)
    assert facts == "1 network: no spread over networks · 26 levels · 10 images"
    assert "t interval over networks" not in names


def test_the_mean_stops_where_a_seed_is_undefined(draw, make_levels, lines_of):
    frame = make_levels()
    hole = (frame["explainer"] == "cam") & (frame["seed"] == 1) & (frame["level"] == 5)
    frame.loc[hole, "mean"] = math.nan
    axes = family(draw(frame), "cam")
    assert list(lines_of(axes, "mean")[0].get_xdata()) == [0, 1, 2, 3, 4]
    assert list(lines_of(axes, "seed")[1].get_xdata()) == [0, 1, 2, 3, 4, 5]


def test_where_no_value_is_defined_a_sentence_says_so(draw, make_levels):
    figure = draw(make_levels().assign(mean=math.nan))
    assert figure.axes == []
    assert figure.texts[-1].get_gid() == "nothing"


def test_files(tmp_path, make_levels, contrasts_of, settings, check_draw):
    frame = make_levels(levels=3)
    frame = frame[frame["explainer"].isin(["cam", "control_edges"])]
    levels, contrasts = tmp_path / "levels.csv", tmp_path / "contrasts.csv"
    write_rows("levels", levels, frame)
    write_rows("contrasts", contrasts, contrasts_of(frame))
    check_draw(lambda outputs: draw_metric(levels, contrasts, outputs, settings))
    for change, message in (
        ({"metric": "other"}, "no rows left with metric 'other'"),
        ({"model": "other"}, "no rows left with model 'other'"),
        ({"pruners": ["retrain"]}, "choose a pruner that removes weights"),
    ):
        with pytest.raises(InputError, match=message):
            draw_metric(levels, contrasts, [tmp_path / "x.svg"], {**settings, **change})
    assert not (tmp_path / "x.svg").exists()
