"""What the figures over levels draw."""

import math

import numpy as np
import pytest

from sparsight.io.errors import InputError
from sparsight.io.tables import write_csv, write_table
from sparsight.plots.levels import (
    accuracy_figure,
    draw_accuracy,
    draw_metric,
    metric_figure,
    metric_label,
)

CONTROLS = ["control_edges", "control_input"]
SETTINGS = {
    "dataset": "digits",
    "model": "cnn",
    "metric": "soft_iou",
    "metrics": {"soft_iou": {"unit": "share, 0 to 1", "direction": "higher"}},
    "controls": CONTROLS,
}


def performance(frame):
    one = frame[frame["explainer"] == "cam"]
    return one.assign(value=one["accuracy"])


def test_metric_draws_every_seed_and_every_mean(make_levels, lines_of):
    figure = metric_figure(make_levels(pruners=("magnitude", "random")), SETTINGS)
    assert len(figure.axes) == 4  # two pruners, level and density
    for axes in figure.axes:
        # control_input is far off the axis and named instead.
        assert len(lines_of(axes, "seed")) == 3 * 3
        assert [line.get_label() for line in lines_of(axes, "mean")] == [
            "cam",
            "saliency",
            "control_edges",
        ]
        assert all(len(line.get_xdata()) == 6 for line in lines_of(axes, "seed"))


def test_metric_lines_hold_the_numbers(make_levels, lines_of):
    frame = make_levels()
    left, right = metric_figure(frame, SETTINGS).axes
    cam = frame[(frame["explainer"] == "cam") & (frame["seed"] == 2)].sort_values("level")
    line = lines_of(left, "seed")[1]
    np.testing.assert_allclose(line.get_xdata(), cam["level"])
    np.testing.assert_allclose(line.get_ydata(), cam["mean"])
    np.testing.assert_allclose(lines_of(right, "seed")[1].get_xdata(), cam["density"])
    expected = frame[frame["explainer"] == "cam"].groupby("level")["mean"].mean()
    np.testing.assert_allclose(lines_of(left, "mean")[0].get_ydata(), expected)


def test_metric_axes_state_unit_direction_and_scale(make_levels):
    left, right = metric_figure(make_levels(), SETTINGS).axes
    label = left.get_ylabel()
    assert "soft_iou" in label
    assert "share, 0 to 1" in label
    assert "higher is better" in label
    assert left.get_xlabel() == "pruning level"
    assert left.get_xscale() == "linear"
    assert right.get_xlabel().startswith("weights left")
    assert right.get_xscale() == "log"
    assert right.get_xlim()[0] > right.get_xlim()[1]
    assert "magnitude" in left.get_title("left")
    assert "noisy" in left.get_title("left")


def test_metric_without_facts_says_so():
    assert "direction not stated" in metric_label("foreign", {})
    assert "lower is better" in metric_label("rank", {"rank": {"direction": "lower"}})


def test_a_far_control_is_named_with_its_mean_and_does_not_squeeze_the_rest(make_levels):
    left, right = metric_figure(make_levels(), SETTINGS).axes
    notes = [text.get_text() for axes in (left, right) for text in axes.texts]
    assert notes == ["off the axis:\ncontrol_input 0.99 ↑"]
    assert left.get_ylim()[1] < 0.5


def test_legend_names_every_explainer_outside_the_panels(make_levels):
    figure = metric_figure(make_levels(), SETTINGS)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:4] == ["cam", "saliency", "control_edges", "control_input"]
    assert names[4:] == ["mean of 3 seeds", "one seed"]
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)
    assert figure.bbox.containsx(box.x0)
    assert figure.bbox.containsx(box.x1)


def test_one_seed_and_26_levels(make_levels, lines_of):
    figure = metric_figure(make_levels(seeds=(1,), levels=26), SETTINGS)
    for axes in figure.axes:
        assert len(lines_of(axes, "seed")) == 3
        assert all(len(line.get_xdata()) == 26 for line in lines_of(axes, "mean"))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[-1] == "one seed: no spread to show"
    ticks = figure.axes[0].get_xticks()
    assert all(float(tick).is_integer() for tick in ticks)


def test_the_mean_stops_where_a_seed_is_undefined(make_levels, lines_of):
    frame = make_levels()
    hole = (frame["explainer"] == "cam") & (frame["seed"] == 1) & (frame["level"] == 5)
    frame.loc[hole, "mean"] = math.nan
    left = metric_figure(frame, SETTINGS).axes[0]
    assert list(lines_of(left, "mean")[0].get_xdata()) == [0, 1, 2, 3, 4]
    assert list(lines_of(left, "seed")[1].get_xdata()) == [0, 1, 2, 3, 4, 5]


def test_accuracy_has_a_row_per_condition_and_a_colour_per_pruner(make_levels, lines_of):
    frame = performance(make_levels(pruners=("magnitude", "random"), conditions=("clean", "noisy")))
    figure = accuracy_figure(frame, SETTINGS)
    assert len(figure.axes) == 4
    assert [axes.get_title("left") for axes in figure.axes[::2]] == ["clean images", "noisy images"]
    for axes in figure.axes:
        assert len(lines_of(axes, "seed")) == 2 * 3
        assert len({line.get_color() for line in lines_of(axes, "mean")}) == 2
    assert "higher is better" in figure.axes[0].get_ylabel()
    assert "0 to 1" in figure.axes[0].get_ylabel()


def test_files_are_deterministic_and_whole(tmp_path, make_levels, check_file):
    frame = make_levels()
    for name, rows in (("one", frame), ("two", frame.sample(frac=1, random_state=0))):
        write_csv(tmp_path / "levels.csv", rows)
        outputs = [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"]
        draw_metric(tmp_path / "levels.csv", outputs, SETTINGS)
    for suffix in ("svg", "png"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        check_file(first)
        assert first.read_bytes() == second.read_bytes()


def evaluations(path, pruners=("magnitude", "random")):
    rows = []
    for pruner, level in [("dense", 0), *((p, level) for p in pruners for level in (1, 2))]:
        place = {"study": "s", "dataset": "digits", "model": "cnn", "pruner": pruner, "seed": 1}
        place["level"] = level
        accuracy = {"split": "test", "condition": "clean", "metric": "accuracy", "value": 0.9}
        density = {"split": None, "condition": None, "metric": "density_prunable"}
        rows += [{**place, **accuracy}, {**place, **density, "value": 0.5**level}]
        rows.append({**place, **accuracy, "split": "validation", "value": 0.1})
    write_table(path, {name: [row[name] for row in rows] for name in rows[0]})


def test_accuracy_is_drawn_from_the_evaluations(tmp_path, check_file):
    evaluations(tmp_path / "evaluations.parquet")
    output = tmp_path / "accuracy.svg"
    draw_accuracy(tmp_path / "evaluations.parquet", [output], SETTINGS)
    check_file(output)
    with pytest.raises(InputError, match="no 'accuracy' of the split 'train'"):
        draw_accuracy(tmp_path / "evaluations.parquet", [output], {**SETTINGS, "split": "train"})


def test_nothing_to_draw_is_refused(tmp_path, make_levels):
    write_csv(tmp_path / "levels.csv", make_levels())
    for change, message in (
        ({"metric": "other"}, "no rows of the metric 'other'"),
        ({"model": "other"}, "no curve of 'other' on 'digits'"),
    ):
        with pytest.raises(InputError, match=message):
            draw_metric(tmp_path / "levels.csv", [tmp_path / "x.svg"], {**SETTINGS, **change})
    assert not (tmp_path / "x.svg").exists()
