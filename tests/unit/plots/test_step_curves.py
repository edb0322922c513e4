"""What the figures of steps draw: a line per level, coloured by density, and every control."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from sparsight.io.errors import InputError
from sparsight.plots.step_curves import draw_step_curves, step_curves_pages
from tests.tables import write_rows
from tests.unit.plots.conftest import STEP_DENSITY, STEPS, step_value

FACTS = {
    "unit": "output for the target at each step, 0 to 1; the number is their mean loss",
    "step_axis": "pixels imputed, %",
}


@pytest.fixture
def settings(settings):
    return {**settings, "metric": "road", "metrics": {"road": FACTS}}


def titles(figure):
    return [axes.get_title("left").replace("\n", " ") for axes in figure.axes]


def lightness(line):
    return float(np.dot(to_rgb(line.get_color()), (0.299, 0.587, 0.114)))


def level_lines(lines_of, axes):
    return [*lines_of(axes, "dense"), *lines_of(axes, "level")]


def test_every_explainer_has_a_panel_and_controls_are_last(make_curves, settings):
    (figure,) = step_curves_pages(make_curves(("magnitude", "random"), ("clean", "noisy")),
                                {**settings, "pruners": ["random", "magnitude"]})  # fmt: skip
    own = ["cam", "saliency", "occlusion", "mean_activation (control)", "control_edges (control)"]
    assert titles(figure) == own * 4
    assert [part.get_suptitle() for part in figure.subfigs] == [
        f"pruner {pruner}, {condition} images"
        for pruner in ("random", "magnitude")
        for condition in ("clean", "noisy")
    ]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_a_line_per_level_over_the_axis_of_the_metric(make_curves, settings, lines_of):
    # However the rows come.
    rows = make_curves().sample(frac=1, random_state=0)
    (figure,) = step_curves_pages(rows, settings)
    axes = figure.axes[0]
    lines = level_lines(lines_of, axes)
    assert len(lines) == 4
    for level, line in enumerate(lines):
        assert list(line.get_xdata()) == STEPS
        np.testing.assert_allclose(line.get_ydata(), [step_value(level, s, 0) for s in range(3)])
    assert figure.subfigs[0].get_supxlabel() == "pixels imputed, %"
    assert figure.subfigs[0].get_supylabel().split("\n")[0] == "road"
    label = " ".join(figure.subfigs[0].get_supylabel().split("\n")[1:])
    assert label == "output for the target at each step, 0 to 1"
    # What was not scored at a level has no line there.
    occlusion = figure.axes[titles(figure).index("occlusion")]
    assert len(level_lines(lines_of, occlusion)) == 3


def test_sparser_is_lighter_and_dense_is_broad(make_curves, settings, lines_of):
    axes = step_curves_pages(make_curves(), settings)[0].axes[0]
    lines = level_lines(lines_of, axes)
    found = [lightness(line) for line in lines]
    assert all(after - before > 0.06 for before, after in pairwise(found))
    assert found[0] < 0.15
    assert found[-1] < 0.8
    assert lines[0].get_linewidth() > 2 * max(line.get_linewidth() for line in lines[1:])


def test_an_empty_network_and_a_lone_dense_one_have_a_colour(
    make_curves, settings, lines_of, legend_of
):
    densities = {**STEP_DENSITY, 3: 0.0}
    axes = step_curves_pages(make_curves(densities=densities), settings)[0].axes[0]
    *_, sparse, empty = level_lines(lines_of, axes)
    assert lightness(empty) >= lightness(sparse)
    (figure,) = step_curves_pages(make_curves(densities={0: 1.0}), settings)
    assert legend_of(figure)[1:][0] == "dense"


def test_bands_are_those_of_dense_and_of_the_sparsest(make_curves, settings, marks_of):
    (figure,) = step_curves_pages(make_curves(), settings)
    for name, sparsest in (("cam", 3), ("occlusion", 2)):
        axes = figure.axes[titles(figure).index(name)]
        place = {"cam": 0, "occlusion": 3}[name]
        bands = marks_of(axes, "interval")
        assert len(bands) == 2
        for level, band in zip((0, sparsest), bands, strict=True):
            at = band.get_paths()[0].vertices
            last = at[at[:, 0] == 100.0, 1]
            assert min(last) == pytest.approx(step_value(level, 2, place) - 0.03)
            assert max(last) == pytest.approx(step_value(level, 2, place) + 0.03)


def test_the_retrain_floor_is_dashed_and_of_the_same_explainer(
    make_curves, settings, lines_of, legend_of
):
    rows = make_curves()
    rows.loc[rows["pruner"] == "retrain", "mean"] += 0.005
    (figure,) = step_curves_pages(rows, settings)
    for axes, place in zip(figure.axes[:2], (0, 2), strict=True):
        # Level 0 of the retrained chain is the dense network itself.
        (line,) = lines_of(axes, "retrained")
        np.testing.assert_allclose(
            line.get_ydata(), [step_value(1, s, place) + 0.005 for s in range(3)]
        )
        assert line.get_linestyle() != "-"
    assert "dense, retrained" in legend_of(figure)[1:]
    (without,) = step_curves_pages(rows[rows["pruner"] != "retrain"], settings)
    assert "dense, retrained" not in legend_of(without)[1:]


def test_the_legend_names_some_densities(make_curves, settings, legend_of):
    (figure,) = step_curves_pages(make_curves(), settings)
    expected = ["dense", *(f"{share} of weights left" for share in ("50%", "25%", "2%"))]
    assert legend_of(figure)[1:][:4] == expected
    assert legend_of(figure)[1:][-1] == "t interval over 3 networks: dense, sparsest"
    many = make_curves(densities={level: 0.8**level for level in range(21)}, seeds=1)
    names = legend_of(step_curves_pages(many, settings)[0])
    facts, _, *names = names
    assert facts.startswith("1 network: no spread")
    assert len(names) == 6 + 1
    assert (names[0], names[5]) == ("80% of weights left", "1.2% of weights left")


@pytest.mark.parametrize("names", [["cam"], ["cam", "saliency", "control_edges"]])
def test_nothing_overlaps(make_curves, settings, overlaps, names):
    rows = make_curves()
    (figure,) = step_curves_pages(rows[rows["explainer"].isin(names)], settings)
    figure.draw_without_rendering()
    part = figure.subfigs[0]
    texts = [*figure.texts, *part.texts, *figure.legends[0].get_texts()]
    for axes in figure.axes:
        low, high = axes.get_xlim()
        shown = [t for t in axes.get_xticklabels() if low <= t.get_position()[0] <= high]
        texts += [axes._left_title, axes.xaxis.label, *shown]
    # The heading and the label of the y axis, which stand at the same side, are among them.
    assert {part._supylabel, part._suptitle} <= set(texts)
    assert overlaps(texts) == []


def test_files(tmp_path, make_curves, settings, check_draw):
    path = tmp_path / "curves.csv"
    rows = make_curves()
    rows = rows[rows["explainer"].isin(["cam", "control_edges"])]
    single = rows.assign(seed="1", mean=7.0)
    write_rows("curves", path, pd.concat([rows, single]))
    check_draw(lambda outputs: draw_step_curves(path, outputs, settings))
    for change, message in (
        ({"metric": "deletion"}, "no rows left with metric 'deletion'"),
        ({"pruners": ["retrain"]}, "step by step.*choose"),
    ):
        with pytest.raises(InputError, match=message):
            draw_step_curves(path, [tmp_path / "x.svg"], {**settings, **change})
    write_rows("curves", path, single)
    with pytest.raises(InputError, match="no rows left with seed 'mean'"):
        draw_step_curves(path, [tmp_path / "x.svg"], settings)
