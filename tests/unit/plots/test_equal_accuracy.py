"""What the figure of agreement at equal accuracy draws."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from sparsight.analysis.equal_accuracy import LOSSES
from sparsight.plots.equal_accuracy import equal_accuracy_figure, run
from tests.tables import write_rows

PRUNERS = [f"pruner_{letter}_of_weights" for letter in "abcdefghijklmn"]


def make_rows(explainers=("cam", "mean_activation", "saliency"), pruners=PRUNERS, seeds=5):
    """Rows of means: the first pruner loses .02 at least, and all but two networks .2."""
    rows = [
        {
            **{"dataset": "digits", "model": "cnn", "condition": "noisy", "kind": "agreement"},
            **{"pruner": pruner, "explainer": explainer, "metric": "ssim", "seed": "mean"},
            **{"loss": loss, "of_seeds": seeds, "n_seeds": seeds if loss < 0.2 else seeds - 2},
            "value": 0.9 - 0.1 * place - 2 * loss * (1 + number / 14),
            "retrain_floor": 0.92,
        }
        for place, explainer in enumerate(explainers)
        for number, pruner in enumerate(pruners)
        for loss in LOSSES
    ]
    frame = pd.DataFrame(rows)
    lost = (frame["pruner"] == pruners[0]) & (frame["loss"] < 0.02)
    frame.loc[lost, ["value", "n_seeds"]] = [np.nan, 0]
    for name, wide in (("retrain_floor", 0.02), ("value", 0.03)):
        low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
        frame[low], frame[high] = frame[name] - wide, frame[name] + wide
    return frame


@pytest.fixture
def settings(settings):
    return {**settings, "metric": "ssim", "pruners": PRUNERS}


def test_a_line_for_each_pruner_beside_its_losses(settings, lines_of, marks_of, panel_of):
    figure = equal_accuracy_figure(make_rows(), settings)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["cam", "saliency", "mean_activation (control)"]
    axes = panel_of(figure, "cam")
    first, last = lines_of(axes, "mean")[0], lines_of(axes, "mean")[-1]
    assert len(lines_of(axes, "mean")) == 14
    assert np.isnan(first.get_ydata()[:2]).all()
    np.testing.assert_allclose(last.get_ydata()[0], 0.9 - 0.01 * (1 + 13 / 14))
    # Marks of one loss lie apart, and nearer to it than to the next one.
    places = [line.get_xdata()[2] for line in lines_of(axes, "mean")]
    assert places == sorted(set(places))
    assert 2 / 1.42 < places[0] < 2 < places[-1] < 2 * 1.42
    assert len(marks_of(axes, "interval")) == 14
    assert len(marks_of(axes, "floor band")) == 1
    # hollow where not all networks reach the loss
    hollow = lines_of(axes, "some networks")[-1]
    assert list(hollow.get_ydata()) == [last.get_ydata()[-1]]
    assert hollow.get_markerfacecolor() == "white"


def test_pruners_differ_in_more_than_their_colour(settings, lines_of):
    axes = equal_accuracy_figure(make_rows(), settings).axes[0]
    pairs = zip(lines_of(axes, "mean"), lines_of(axes, "all networks"), strict=True)
    looks = [(line.get_linestyle(), str(line._dash_pattern), mark.get_marker())
             for line, mark in pairs]  # fmt: skip
    colours = [line.get_color() for line in lines_of(axes, "mean")]
    assert len(set(zip(colours, looks, strict=True))) == 14
    assert len({look for colour, look in zip(colours, looks, strict=True)
                if colour == colours[0]}) == 2  # fmt: skip


def test_no_text_is_small_or_covers_another(settings, overlaps):
    figure = equal_accuracy_figure(make_rows(), settings)
    figure.draw_without_rendering()
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert figure.get_figwidth() <= 180 / 25.4 + 0.01
    assert min(text.get_fontsize() for text in shown) >= 7
    assert overlaps(figure.legends[0].get_texts()) == []
    titles = [axes.get_title("left") for axes in figure.axes]
    assert overlaps([text for text in shown if text.get_text() in titles]) == []


def test_explainers_and_studies_without_any_value_have_no_empty_panels(settings, tmp_path):
    rows = make_rows()
    rows.loc[rows["explainer"] == "cam", "value"] = np.nan
    titles = [axes.get_title("left") for axes in equal_accuracy_figure(rows, settings).axes]
    assert titles == ["saliency", "mean_activation (control)"]
    figure = equal_accuracy_figure(rows.assign(value=np.nan), settings)
    assert figure.axes == []
    assert "nothing to compare" in figure.texts[-1].get_text()


def test_the_files_are_whole_and_equal(settings, tmp_path, check_draw):
    path = tmp_path / "equal_accuracy.csv"
    changes = make_rows().assign(kind="change", metric="iou")
    write_rows("equal_accuracy", path, pd.concat([make_rows(), changes]))

    def draw(outputs):
        run(path, outputs[0], outputs[-1], settings)

    check_draw(draw)
