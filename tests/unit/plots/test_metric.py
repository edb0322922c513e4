"""What the figure of one metric over levels draws."""

import math

import numpy as np
import pytest
from matplotlib.text import Text

from sparsight.io.errors import InputError
from sparsight.plots.metric import draw_metric, metric_figure, metric_label
from tests.tables import write_rows


@pytest.fixture
def draw(make_levels, contrasts_of, settings):
    def make(frame=None, **changes):
        frame = make_levels() if frame is None else frame
        return metric_figure(frame, contrasts_of(frame), {**settings, **changes})

    return make


def names_of(figure):
    return [axes.get_title("left") for axes in figure.axes if axes.get_title("left")]


def test_rows_are_families_and_columns_pruners(draw, make_levels):
    figure = draw(make_levels(pruners=("magnitude", "random")), pruners=["random", "magnitude"])
    assert names_of(figure) == [
        f"{family} – {pruner}, noisy"
        for family in ("cam", "gradient", "perturbation")
        for pruner in ("random", "magnitude")
    ]


def test_retraining_is_no_curve_but_points_left_of_dense(draw, panel_of, lines_of, make_levels):
    frame = make_levels()
    figure = draw(frame)
    assert not any("retrain" in name for name in names_of(figure))
    axes = panel_of(figure, "cam")
    cam, _ = lines_of(axes, "retrained")
    assert all(axes.get_xlim()[0] < across < 0 for across in cam.get_xdata())
    found = frame[(frame["pruner"] == "retrain") & (frame["level"] == 1)]
    assert list(cam.get_ydata()) == list(found.loc[found["explainer"] == "cam", "mean"])


def test_lines_hold_the_numbers(draw, panel_of, lines_of, make_levels):
    frame = make_levels()
    axes = panel_of(draw(frame), "cam")
    curves = frame[(frame["pruner"] == "magnitude") & (frame["explainer"] == "cam")]
    two = curves[curves["seed"] == 2].sort_values("level")
    assert len(lines_of(axes, "seed")) == 2 * 3
    np.testing.assert_allclose(lines_of(axes, "seed")[1].get_xdata(), two["level"])
    np.testing.assert_allclose(lines_of(axes, "seed")[1].get_ydata(), two["mean"])
    mean = lines_of(axes, "mean")[0]
    assert mean.get_label() == "cam"
    np.testing.assert_allclose(mean.get_ydata(), curves.groupby("level")["mean"].mean())


def test_the_ribbon_is_the_interval_over_seeds(draw, panel_of, marks_of, make_levels):
    ribbon, _ = marks_of(panel_of(draw(), "cam"), "interval")
    corners = ribbon.get_paths()[0].vertices
    level_two = corners[corners[:, 0] == 2, 1]
    middle = make_levels().query("explainer == 'cam' and level == 2")["mean"].mean()
    assert min(level_two) == pytest.approx(middle - 0.01)
    assert max(level_two) == pytest.approx(middle + 0.01)


def test_few_levels_have_markers_and_no_line_of_their_own(draw, panel_of, lines_of, marks_of):
    axes = panel_of(draw(), "perturbation")
    (mean,) = lines_of(axes, "mean")
    assert len(mean.get_xdata()) == 3
    assert mean.get_markevery() is None
    assert mean.get_linestyle() not in ("-", "None")
    assert mean.get_linewidth() < 1.5
    assert all(line.get_linestyle() == "None" for line in lines_of(axes, "seed"))
    (bars,) = marks_of(axes, "interval")
    assert len(bars.get_segments()) == 3


def test_controls_without_a_network_are_in_every_panel_and_named_at_its_edge(
    draw, lines_of, overlaps
):
    figure = draw()
    figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.get_title("left")]
    for axes in panels:
        assert [line.get_label() for line in lines_of(axes, "control")] == [
            "control_edges",
            "control_input",
        ]
        notes = [text for text in axes.texts if text.get_gid() == "edge"]
        # One lies far off: it is named with its value and does not squeeze the rest.
        assert sorted(note.get_text() for note in notes) == ["edges", "input 0.99 ↑"]
        assert axes.get_ylim()[1] < 0.5
        assert not overlaps(notes)
        inside = axes.get_window_extent()
        # The annotation's own extent has the line that leads to it.
        assert not any(inside.overlaps(Text.get_window_extent(note)) for note in notes)


def test_a_control_with_a_network_is_a_curve_of_its_family(draw, panel_of, lines_of):
    figure = draw()
    names = [line.get_label() for line in lines_of(panel_of(figure, "cam"), "mean")]
    assert names == ["cam", "mean_activation"]
    assert len(lines_of(panel_of(figure, "gradient"), "mean")) == 1


def test_wide_intervals_are_cut_and_data_are_not(make_levels, contrasts_of, settings, panel_of):
    frame = make_levels()
    wide = contrasts_of(frame).assign(mean_low=-9.0, mean_high=9.0)
    low, high = panel_of(metric_figure(frame, wide, settings), "cam").get_ylim()
    values = frame.loc[frame["explainer"].isin(["cam", "mean_activation"]), "mean"]
    assert -1 < low < values.min()
    assert values.max() < high < 1


def test_retrained_networks_are_never_outside_the_panel(draw, make_levels, panel_of):
    frame = make_levels()
    frame.loc[(frame["pruner"] == "retrain") & (frame["explainer"] == "saliency"), "mean"] = 0.4
    assert panel_of(draw(frame), "gradient").get_ylim()[1] > 0.4


def test_marks_stand_near_their_level_in_short_and_long_chains(
    draw, make_levels, panel_of, lines_of
):
    for levels in (6, 26):
        axes = panel_of(draw(make_levels(levels=levels)), "perturbation")
        for line in lines_of(axes, "seed"):
            away = line.get_xdata() - np.array([0, 3, 5])
            assert (away > 0).all()
            assert (away < 0.05 * levels).all()


def test_names_of_curves_stand_beside_the_panels(draw, panel_of):
    figure = draw()
    figure.draw_without_rendering()
    beside = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    named = [[text.get_text() for text in legend.get_texts()] for legend in beside]
    assert named == [["cam", "mean_activation"], ["saliency"], ["occlusion"]]
    panels = [axes.get_window_extent() for axes in figure.axes if axes.get_title("left")]
    for legend in (*beside, figure.legends[0]):
        box = legend.get_window_extent()
        assert not any(box.overlaps(panel) for panel in panels)
        assert figure.bbox.contains(box.x0, box.y0)
        assert figure.bbox.contains(box.x1, box.y1)


def test_axes_state_unit_direction_and_weights_left(draw, panel_of):
    axes = panel_of(draw(), "cam")
    assert axes.get_ylabel() == "soft_iou\nshare, 0 to 1\n(higher is better)"
    assert axes.get_xlabel() == "pruning level, weights left"
    named = [text.get_text() for text in axes.get_xticklabels()]
    assert named[:3] == ["0\n100%", "1\n80%", "2\n64%"]
    assert "direction not stated" in metric_label("foreign", {})
    unit = "output for the target at each step, 0 to 1; the number is their mean loss"
    lines = metric_label("road", {"road": {"unit": unit, "direction": "higher"}}).split("\n")
    assert lines == [
        "road",
        "output for the target at each",
        "step, 0 to 1",
        "(higher is better)",
    ]


def test_one_seed_and_26_levels(draw, make_levels, panel_of, lines_of, marks_of):
    figure = draw(make_levels(seeds=(1,), levels=26))
    axes = panel_of(figure, "cam")
    assert all(len(line.get_xdata()) == 26 for line in lines_of(axes, "mean"))
    assert not [path for ribbon in marks_of(axes, "interval") for path in ribbon.get_paths()]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[0] == "one seed: no spread to show"
    assert "t interval over seeds" not in names


def test_the_mean_stops_where_a_seed_is_undefined(draw, make_levels, panel_of, lines_of):
    frame = make_levels()
    hole = (frame["explainer"] == "cam") & (frame["seed"] == 1) & (frame["level"] == 5)
    frame.loc[hole, "mean"] = math.nan
    axes = panel_of(draw(frame), "cam")
    assert list(lines_of(axes, "mean")[0].get_xdata()) == [0, 1, 2, 3, 4]
    assert list(lines_of(axes, "seed")[1].get_xdata()) == [0, 1, 2, 3, 4, 5]


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
