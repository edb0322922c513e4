"""What the figure of savings draws."""

import numpy as np
import pandas as pd
import pytest

from sparsight.io.errors import InputError
from sparsight.plots.conversion import QUANTITIES, conversion_figure, draw_conversion
from tests.tables import write_rows


@pytest.fixture
def frame(make_levels):
    found = make_levels(pruners=("magnitude", "random"))
    share = found["density"] ** 0.5 - 0.01 * (found["seed"] - 2)
    return found.assign(
        channels=12,
        channels_left=12 * share,
        multiply_adds=1000,
        multiply_adds_left=1000 * share**2,
        multiply_adds_nonzero=1000 * found["density"],
        milliseconds=2.0,
        milliseconds_converted=2.0 * (0.5 + 0.5 * share),
    )


def test_shares_of_dense_for_every_network(frame, settings, lines_of):
    figure = conversion_figure(frame, {**settings, "pruners": ["magnitude", "random"]})
    names = [axes.get_title("left") for axes in figure.axes]
    assert names == ["pruner magnitude", "pruner random"]
    axes = figure.axes[0]
    means = lines_of(axes, "mean")
    assert [line.get_label() for line in means] == list(QUANTITIES)
    assert len(lines_of(axes, "seed")) == 4 * 3
    density = 0.8 ** np.arange(6)
    for line, expected in zip(
        means, (density**0.5, density, density, 0.5 + 0.5 * density**0.5), strict=True
    ):
        np.testing.assert_allclose(line.get_xdata(), density)
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-3)
    (weights,) = lines_of(axes, "weights")
    np.testing.assert_allclose(weights.get_ydata(), density)
    assert weights.get_linewidth() > means[0].get_linewidth()
    assert axes.get_ylim()[0] == 0.0
    assert axes.get_xlim()[0] > axes.get_xlim()[1]


def test_what_cannot_be_converted_says_so(frame, settings):
    parts = [part for names in QUANTITIES.values() for part in names]
    (axes,) = conversion_figure(frame.assign(**dict.fromkeys(parts, np.nan)), settings).axes
    assert [text.get_text() for text in axes.texts] == ["networks of this kind\nare not converted"]


def test_files(tmp_path, frame, settings, check_draw):
    path = tmp_path / "levels.csv"
    whole = {
        name: frame[name].round() for name in frame if name.startswith(("channels", "multiply"))
    }
    write_rows("levels", path, frame.assign(**whole))
    check_draw(lambda outputs: draw_conversion(path, outputs, settings))
    with pytest.raises(InputError, match="choose one that removes weights"):
        draw_conversion(path, [tmp_path / "x.svg"], {**settings, "pruners": ["retrain"]})
    pd.read_csv(path).drop(columns="channels_left").to_csv(path, index=False)
    with pytest.raises(InputError, match="no column 'channels_left'"):
        draw_conversion(path, [tmp_path / "x.svg"], settings)
