"""What the figure of agreement at equal accuracy draws."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from sparsight.analysis.equal_accuracy import LOSSES
from sparsight.plots.equal_accuracy import equal_accuracy_pages, run
from tests.tables import write_rows
from tests.unit.plots.conftest import PRUNERS, make_rows


@pytest.fixture
def settings(settings):
    return {**settings, "metric": "ssim", "pruners": PRUNERS}


def test_a_line_for_each_pruner_beside_its_losses(
    settings, lines_of, marks_of, panel_of, points_of
):
    (figure,) = equal_accuracy_pages(make_rows(), settings)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["cam", "mean_activation (control)", "saliency"]
    axes = panel_of(figure, "cam")
    first, last = lines_of(axes, "mean")[0], lines_of(axes, "mean")[-1]
    assert len(lines_of(axes, "mean")) == 14
    assert np.isnan(first.get_ydata()[:2]).all()
    np.testing.assert_allclose(last.get_ydata()[0], 0.9 - 0.01 * (1 + 13 / 14))
    # Marks of one loss lie apart, and nearer to it than to the next one.
    places = [line.get_xdata()[2] for line in lines_of(axes, "mean")]
    assert places == sorted(set(places))
    assert 2 / 1.42 < places[0] < 2 < places[-1] < 2 * 1.42
    assert len(marks_of(axes, "interval")[0].get_segments()) == 14 * len(LOSSES) - 2
    assert len(marks_of(axes, "retrain floor")) == 1
    # hollow where not all networks reach the loss
    hollow = points_of(axes, "open")
    assert sorted(hollow[:, 1]) == sorted(line.get_ydata()[-1] for line in lines_of(axes, "mean"))


def test_pruners_differ_in_more_than_their_colour(settings, lines_of):
    (figure,) = equal_accuracy_pages(make_rows(), settings)
    shown = [
        (line.get_color(), line.get_linestyle(), str(line._dash_pattern), line.get_marker())
        for line in figure.legends[0].get_lines()[:14]
    ]
    assert len(set(shown)) == 14
    assert len({look[1:] for look in shown if look[0] == shown[0][0]}) == 2
    # and the lines are drawn as the legend has them
    drawn = [line.get_color()[:3] for line in lines_of(figure.axes[0], "mean")]
    assert drawn == [to_rgb(look[0]) for look in shown]


def test_explainers_and_studies_without_any_value_have_no_empty_panels(settings, tmp_path):
    rows = make_rows()
    rows.loc[rows["explainer"] == "cam", "value"] = np.nan
    titles = [axes.get_title("left") for axes in equal_accuracy_pages(rows, settings)[0].axes]
    assert titles == ["mean_activation (control)", "saliency"]
    (figure,) = equal_accuracy_pages(rows.assign(value=np.nan), settings)
    assert figure.axes == []
    assert "nothing to compare" in figure.texts[-1].get_text()


def test_the_files_are_whole_and_equal(settings, tmp_path, check_draw):
    path = tmp_path / "equal_accuracy.csv"
    changes = make_rows().assign(kind="change", metric="iou")
    write_rows("equal_accuracy", path, pd.concat([make_rows(), changes]))

    def draw(outputs):
        run(path, outputs[0], outputs[-1], settings)

    check_draw(draw)
