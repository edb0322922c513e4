"""What an unstructured network saves once its dead units are removed, against what it keeps."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sparsight.analysis import tables
from sparsight.io.errors import InputError
from sparsight.plots.style import (
    bits_axis,
    density_axis,
    distinct_bits,
    draw_mean_and_seeds,
    figure_style,
    legend_below,
    looks,
    name_figure,
    new_figure,
    of_network,
    pruners_of,
    save_figure,
    seed_handles,
)

#: of the stage `figure_conversion`: see `sparsight.study.versions`
VERSION = 1

PANEL_WIDTH, PANEL_HEIGHT = 3.4, 2.9
#: what is drawn: its name, the column, and the column of the unconverted network
QUANTITIES = {
    "channels": ("channels_left", "channels"),
    "multiply-adds, dead units removed": ("multiply_adds_left", "multiply_adds"),
    "multiply-adds of non-zero weights": ("multiply_adds_nonzero", "multiply_adds"),
    "milliseconds, dead units removed": ("milliseconds_converted", "milliseconds"),
}
WEIGHTS = "weights left (for comparison)"
# Wide, so that it can be seen under the curve that lies nearest to it.
COMPARISON: dict[str, Any] = {"color": "0.82", "linewidth": 5.0}


def draw_conversion(levels: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw shares of the dense network that are left against the weights left, a panel a pruner.

    Where the levels of a pruner differ in the bits of their weights alone, against these.

    Every network (seed) is a thin line, the mean over them a thick one. The broad grey curve is
    where the weights themselves are. A network that cannot be converted has a panel that says so.
    An `InputError` is raised where there is nothing to draw.

    Parameters
    ----------
    levels : `levels.csv` with the columns of the conversion.
    settings : `dataset`, `model`; optional `pruners` (in their order; without it all) and `retrain`
        (pruners that only train once more, which are left out).
    """
    frame = of_network(tables.read("levels", levels), levels, settings)
    columns = {column for pair in QUANTITIES.values() for column in pair}
    frame = frame.astype(dict.fromkeys(columns, "float64"))
    with figure_style():
        save_figure(conversion_figure(frame, settings), outputs)


def conversion_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_conversion`, from its rows of `levels.csv`."""
    pruners = pruners_of(frame, settings)
    if not pruners:
        raise InputError("no pruner has a network to convert; choose one that removes weights")
    # A level's rows, one per explainer and metric, all say the same of its network.
    frame = frame.drop_duplicates(["pruner", "seed", "level"])
    look = looks(list(QUANTITIES))
    figure = new_figure(max(PANEL_WIDTH * len(pruners) + 0.6, 5.2), PANEL_HEIGHT + 0.9)
    name_figure(figure, settings, ", what is left once dead units are removed")
    panels = figure.subplots(1, len(pruners), squeeze=False, sharey=True)[0]
    for axes, pruner in zip(panels, pruners, strict=True):
        own = frame[frame["pruner"] == pruner]
        if distinct_bits(own):
            _panel(axes, own, "bits")
            bits_axis(axes, list(own["bits"]))
        else:
            _panel(axes, own, "density")
            density_axis(axes, list(frame.loc[frame["pruner"].isin(pruners), "density"]))
        axes.set_title(f"pruner {pruner}", loc="left", fontsize=8)
    panels[0].set_ylabel("share of the dense network\n(lower saves more)")
    panels[0].set_ylim(bottom=0.0)
    handles = [Line2D([], [], **style.line, label=name) for name, style in look.items()]
    handles.append(Line2D([], [], **COMPARISON, label=WEIGHTS))
    handles += seed_handles(frame["seed"].nunique())
    legend_below(figure, handles)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, across: str) -> None:
    means = rows.groupby("level").mean(numeric_only=True)
    axes.plot(means[across], means["density"], **COMPARISON, zorder=1, gid="weights", label=WEIGHTS)
    known = False
    for index, (name, style) in enumerate(looks(list(QUANTITIES)).items()):
        part, whole = QUANTITIES[name]
        curve = rows.assign(share=rows[part] / rows[whole])
        known = known or bool(curve["share"].notna().any())
        draw_mean_and_seeds(axes, curve, across, "share", style, name, index)
    if not known:
        axes.text(0.5, 0.5, "networks of this kind\nare not converted", fontsize=8, color="0.35",
                  ha="center", va="center", transform=axes.transAxes, gid="why")  # fmt: skip
