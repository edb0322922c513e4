"""Whether correct predictions explain better than incorrect ones, matched on the label."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsight.analysis.table_readers import read_correctness
from sparsight.plots.contrasts import difference_label
from sparsight.plots.multiples import (
    draw_estimates,
    draw_networks,
    draw_zero,
    estimate_handles,
    multiples_figure,
)
from sparsight.plots.panels import of_network
from sparsight.plots.style import THIN, figure_style, legend_below, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: of the stage `figure_correctness`: see `sparsight.study.versions`
VERSION = 1

MEAN = "mean"


def draw_correctness(
    correctness: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw the metric of correct minus that of incorrect predictions at every level.

    Every network (seed) is a thin line or a dot. Points are means over seeds, filled where they
    differ from 0 after adjustment; pale bars are t intervals over seeds, thin lines intervals over
    images *for these networks*. The dashed line with its band is the difference over all levels and
    its t interval.

    Parameters
    ----------
    correctness : `correctness.csv`.
    outputs : .svg, .png or .pdf files.
    settings : `dataset`, `model`, `metric`; optional `metrics` (metric to its facts `unit` and
        `direction`), `confidence` (default 0.95) and those of `panels.grouping` and
        `panels.places`.

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    frame = read_correctness(correctness)
    frame = of_network(frame, correctness, settings, metric=settings["metric"])
    with figure_style():
        save_figure(correctness_figure(frame, settings), outputs)


def correctness_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> "Figure":
    """The figure of `draw_correctness`, from its rows; `level` is NaN for all levels."""
    from matplotlib.lines import Line2D

    metric, alpha = settings["metric"], round(1 - float(settings.get("confidence", 0.95)), 10)
    whole = frame[frame["level"].isna() & (frame["seed"] == MEAN)]
    levels = frame.dropna(subset=["level"]).astype({"level": "int64"})

    def draw(axes: "Axes", rows: pd.DataFrame, colour: str) -> None:
        draw_zero(axes)
        if len(rows):
            first = rows.iloc[0]
            names = ["explainer", "pruner", "condition"]
            _all_levels(axes, whole[(whole[names] == first[names]).all(axis=1)])
        draw_networks(axes, rows[rows["seed"] != MEAN], colour, "difference")
        draw_estimates(axes, rows[rows["seed"] == MEAN], colour, alpha)

    label = difference_label(metric, settings, "of correct minus incorrect")
    about = f", {metric} of correct and incorrect predictions"
    figure = multiples_figure(levels, settings, label, about, draw)
    seeds = bool(levels["difference_low"].notna().any())
    handles = estimate_handles(seeds, alpha, "differs from 0")
    if seeds:
        handles.append(Line2D([], [], color="0.3", label="one seed", **THIN))
    if len(whole):
        text = "over all levels, with its t interval"
        handles.append(Line2D([], [], color="0.45", linestyle=(0, (4, 2)), label=text))
    legend_below(figure, handles)
    return figure


def _all_levels(axes: "Axes", rows: pd.DataFrame) -> None:
    for _, row in rows.dropna(subset=["difference"]).iterrows():
        axes.axhline(row["difference"], color="0.45", linewidth=0.9, linestyle=(0, (4, 2)),
                     zorder=1, gid="all levels")  # fmt: skip
        if row["difference_low"] == row["difference_low"]:
            axes.axhspan(row["difference_low"], row["difference_high"], color="0.55", alpha=0.22,
                         linewidth=0, zorder=0.5, gid="all levels")  # fmt: skip
