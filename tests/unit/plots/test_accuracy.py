"""What the figure of accuracy draws."""

import pytest

from sparsight.io.errors import InputError
from sparsight.io.tables import write_table
from sparsight.plots.accuracy import accuracy_pages, draw_accuracy

SETTINGS = {"dataset": "digits", "model": "cnn", "retrain": ["retrain"]}


def performance(frame):
    one = frame[frame["explainer"] == "cam"]
    # Noise costs a little, so that conditions differ.
    return one.assign(value=one["accuracy"] - 0.01 * (one["condition"] == "noisy"))


def headings(figure):
    return [part.get_suptitle() for part in figure.subfigs]


def test_a_row_per_condition_and_a_colour_per_pruner(make_levels, lines_of):
    frame = performance(make_levels(pruners=("magnitude", "random"), conditions=("clean", "noisy")))
    (figure,) = accuracy_pages(frame, SETTINGS)
    assert len(figure.axes) == 4
    assert headings(figure) == ["clean images", "noisy images"]
    for axes in figure.axes:
        assert len(lines_of(axes, "seed")) == 2 * 3
        assert len({line.get_color() for line in lines_of(axes, "mean")}) == 2
    label = figure.subfigs[0].get_supylabel()
    assert "higher is better" in label
    assert "0 to 1" in label


def test_a_condition_that_repeats_another_has_no_row_of_its_own(make_levels):
    frame = performance(make_levels(pruners=("magnitude",), conditions=("clean", "noisy")))
    same = frame.assign(
        value=frame.groupby(["pruner", "seed", "level"])["value"].transform("first")
    )
    for curves, shown in ((same, ["clean images"]), (frame, ["clean images", "noisy images"])):
        (figure,) = accuracy_pages(curves, SETTINGS)
        assert headings(figure) == shown


def test_retrained_networks_are_points_at_dense_and_no_curve(make_levels, lines_of, legend_of):
    frame = performance(make_levels())
    (figure,) = accuracy_pages(frame, SETTINGS)
    left, right = figure.axes
    assert len(lines_of(left, "mean")) == 1
    assert legend_of(figure)[1] == "magnitude"
    for axes, dense in ((left, 0.0), (right, 1.0)):
        (points,) = lines_of(axes, "retrained")
        assert set(points.get_xdata()) == {dense}
        found = frame[(frame["pruner"] == "retrain") & (frame["level"] == 1)]["value"]
        assert sorted(points.get_ydata()) == sorted(found)


def test_legend_says_when_there_is_one_seed(make_levels, legend_of):
    (figure,) = accuracy_pages(performance(make_levels(seeds=(1,))), SETTINGS)
    facts, *names = legend_of(figure)
    assert facts.startswith("1 network: no spread over networks · 6 levels")
    assert names == ["magnitude", "mean of networks", "one network", "dense, retrained"]


def test_only_retraining_is_no_curve(make_levels):
    with pytest.raises(InputError, match="choose a pruner that removes weights"):
        accuracy_pages(performance(make_levels(pruners=())), SETTINGS)


@pytest.mark.parametrize("lowest", [1.0, 0.5, 0.03, 0.0047, 0.00086, 0.0])
def test_density_axis_goes_from_dense_to_sparse_with_several_ticks(make_levels, lowest):
    frame = performance(make_levels(levels=2))
    frame = frame.assign(density=frame["density"].mask(frame["level"] == 1, lowest))
    axes = accuracy_pages(frame, SETTINGS)[0].axes[1]
    left, right = axes.get_xlim()
    assert left > 1.0 > right > 0
    assert lowest == 0 or right < lowest
    ticks = axes.get_xticks()
    assert 1 <= len(ticks) <= 10
    assert all(right <= tick <= left for tick in ticks)
    # the last level has its label
    assert lowest == 0 or min(ticks) == pytest.approx(lowest)


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
    level, density, bits = accuracy_pages(rounded(frame, "rounded"), SETTINGS)[0].axes
    assert [len(lines_of(axes, "mean")) for axes in (level, density)] == [2, 1]
    assert lines_of(density, "mean")[0].get_color() == lines_of(level, "mean")[0].get_color()
    assert "bits" in bits.get_xlabel()
    (mean,) = lines_of(bits, "mean")
    assert mean.get_color() == lines_of(level, "mean")[1].get_color()
    assert sorted(mean.get_xdata()) == [2, 4, 8, 16, 32]
    assert bits.get_xlim()[0] > 32
    assert bits.get_xlim()[1] < 2
    (points,) = lines_of(bits, "retrained")
    assert set(points.get_xdata()) == {32.0}


def test_without_another_pruner_there_is_no_panel_of_densities(make_levels):
    frame = performance(make_levels(levels=5, pruners=("rounded",)))
    labels = [
        axes.get_xlabel() for axes in accuracy_pages(rounded(frame, "rounded"), SETTINGS)[0].axes
    ]
    assert [label.split()[0] for label in labels] == ["pruning", "bits"]


def test_bits_next_to_densities_are_told_by_these(make_levels):
    frame = performance(make_levels(levels=5)).assign(bits=lambda rows: 32.0 / 2 ** rows["level"])
    assert len(accuracy_pages(frame, SETTINGS)[0].axes) == 2
