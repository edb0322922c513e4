"""What the figure of accuracy draws."""

import pytest

from sparsight.io.errors import InputError
from sparsight.io.tables import write_table
from sparsight.plots.accuracy import accuracy_figure, draw_accuracy

SETTINGS = {"dataset": "digits", "model": "cnn", "retrain": ["retrain"]}


def performance(frame):
    one = frame[frame["explainer"] == "cam"]
    # Noise costs a little, so that conditions differ.
    return one.assign(value=one["accuracy"] - 0.01 * (one["condition"] == "noisy"))


def test_a_row_per_condition_and_a_colour_per_pruner(make_levels, lines_of):
    frame = performance(make_levels(pruners=("magnitude", "random"), conditions=("clean", "noisy")))
    figure = accuracy_figure(frame, SETTINGS)
    assert len(figure.axes) == 4
    assert [axes.get_title("left") for axes in figure.axes[::2]] == ["clean images", "noisy images"]
    for axes in figure.axes:
        assert len(lines_of(axes, "seed")) == 2 * 3
        assert len({line.get_color() for line in lines_of(axes, "mean")}) == 2
    assert "higher is better" in figure.axes[0].get_ylabel()
    assert "0 to 1" in figure.axes[0].get_ylabel()


def test_a_condition_that_repeats_another_has_no_row_of_its_own(make_levels):
    frame = performance(make_levels(pruners=("magnitude",), conditions=("clean", "noisy")))
    same = frame.assign(
        value=frame.groupby(["pruner", "seed", "level"])["value"].transform("first")
    )
    for curves, shown in ((same, ["clean images"]), (frame, ["clean images", "noisy images"])):
        figure = accuracy_figure(curves, SETTINGS)
        assert [axes.get_title("left") for axes in figure.axes[::2]] == shown


def test_retrained_networks_are_points_at_dense_and_no_curve(make_levels, lines_of):
    frame = performance(make_levels())
    left, right = accuracy_figure(frame, SETTINGS).axes
    assert [line.get_label() for line in lines_of(left, "mean")] == ["magnitude"]
    for axes, dense in ((left, 0.0), (right, 1.0)):
        (points,) = lines_of(axes, "retrained")
        assert set(points.get_xdata()) == {dense}
        found = frame[(frame["pruner"] == "retrain") & (frame["level"] == 1)]["value"]
        assert sorted(points.get_ydata()) == sorted(found)


def test_legend_says_when_there_is_one_seed(make_levels):
    figure = accuracy_figure(performance(make_levels(seeds=(1,))), SETTINGS)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["magnitude", "one seed: no spread to show", "dense, retrained"]


def test_only_retraining_is_no_curve(make_levels):
    with pytest.raises(InputError, match="choose a pruner that removes weights"):
        accuracy_figure(performance(make_levels(pruners=())), SETTINGS)


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


def test_accuracy_is_drawn_from_the_evaluations(tmp_path, check_draw):
    path = tmp_path / "evaluations.parquet"
    evaluations(path)
    check_draw(lambda outputs: draw_accuracy(path, outputs, SETTINGS))
    for change, message in (
        ({"split": "train"}, "no 'accuracy' of the split 'train'"),
        ({"model": "other"}, "no rows left with model 'other'"),
    ):
        with pytest.raises(InputError, match=message):
            draw_accuracy(path, [tmp_path / "x.svg"], {**SETTINGS, **change})
    assert not (tmp_path / "x.svg").exists()


def rounded(frame, pruner):
    """The levels of a pruner as those of weights of 16, 8, 4, ... bits."""
    own = frame["pruner"] == pruner
    bits = (32.0 / 2.0 ** frame["level"]).where(own, 32.0)
    return frame.assign(bits=bits, density=frame["density"].mask(own, 1.0))


def test_levels_that_differ_in_bits_alone_have_a_panel_of_bits(make_levels, lines_of):
    frame = performance(make_levels(levels=5, pruners=("magnitude", "rounded")))
    level, density, bits = accuracy_figure(rounded(frame, "rounded"), SETTINGS).axes
    drawn = [[line.get_label() for line in lines_of(axes, "mean")] for axes in (level, density)]
    assert drawn == [["magnitude", "rounded"], ["magnitude"]]
    assert "bits" in bits.get_xlabel()
    (mean,) = lines_of(bits, "mean")
    assert mean.get_label() == "rounded"
    assert mean.get_xdata().tolist() == [32, 16, 8, 4, 2]
    assert bits.get_xlim()[0] > 32
    assert bits.get_xlim()[1] < 2
    (points,) = lines_of(bits, "retrained")
    assert set(points.get_xdata()) == {32.0}


def test_without_another_pruner_there_is_no_panel_of_densities(make_levels):
    frame = performance(make_levels(levels=5, pruners=("rounded",)))
    labels = [
        axes.get_xlabel() for axes in accuracy_figure(rounded(frame, "rounded"), SETTINGS).axes
    ]
    assert [label.split()[0] for label in labels] == ["pruning", "bits"]


def test_bits_next_to_densities_are_told_by_these(make_levels):
    frame = performance(make_levels(levels=5)).assign(bits=lambda rows: 32.0 / 2 ** rows["level"])
    assert len(accuracy_figure(frame, SETTINGS).axes) == 2
