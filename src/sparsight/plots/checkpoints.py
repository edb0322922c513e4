"""Every checkpoint: how far its explanations have moved against the accuracy that it has lost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import seaborn.objects as so
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sparsight.analysis import tables
from sparsight.analysis.agreement import DENSE_PARENT
from sparsight.analysis.curves import ACCURACY, performance_curves
from sparsight.analysis.tables import MEAN
from sparsight.plots.style import (
    Look,
    figure_style,
    grid_shape,
    grouping,
    legend_below,
    looks,
    name_figure,
    new_figure,
    of_network,
    order_names,
    pruners_of,
    save_figure,
)

VERSION = 1
#: inches: 180 mm, at which no text is below 7 points
WIDTH, PANEL_HEIGHT = 7.09, 1.9
SIZE = 7
_TEXTS = (
    *("axes.labelsize", "axes.titlesize", "xtick.labelsize", "ytick.labelsize"),
    *("legend.fontsize",),
)
_RETRAINED = "0.25"


def run(
    agreement: Path, evaluations: Path, svg: Path, png: Path, settings: Mapping[str, Any]
) -> None:
    """Draw one metric of agreement over the accuracy lost: a panel for each explainer.

    A mark is one pruned checkpoint, in the look of its pruner: its mean agreement with its dense
    parent over all images, and the accuracy of the parent minus its own on the test split, for the
    same condition of the images. What was only retrained is a dark cross.

    From `agreement.csv` and `evaluations.parquet`; `settings` hold `dataset`, `model`, `metric` (of
    agreement), `pruners` in their order, `retrain`, and those of `grouping`. An `InputError` is
    raised where there is nothing to draw.
    """
    frame = tables.read("agreement", agreement)
    frame = of_network(
        frame, agreement, settings, metric=settings["metric"], reference=DENSE_PARENT
    )
    with figure_style():
        figure = checkpoints_figure(with_loss(frame, evaluations), settings)
        save_figure(figure, [svg, png])


def with_loss(agreement: pd.DataFrame, evaluations: Path) -> pd.DataFrame:
    """Rows of single networks, with the accuracy that each has `lost`, in percentage points."""
    accuracy = performance_curves(evaluations, "test", ACCURACY)
    network = ["dataset", "model", "pruner", "condition", "seed"]
    dense = accuracy[accuracy["level"] == 0].set_index(network)["value"].rename("dense")
    accuracy = accuracy.join(dense, on=network)
    accuracy["lost"] = 100 * (accuracy["dense"] - accuracy["value"])
    rows = agreement[agreement["seed"] != MEAN].astype({"seed": accuracy["seed"].dtype})
    return rows.merge(accuracy[[*network, "level", "lost"]], on=[*network, "level"])


def checkpoints_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `run`, from the rows that `with_loss` gives."""
    controls = set(settings.get("controls", ()))
    known = grouping(frame["explainer"].unique(), settings).explainers
    pruners = pruners_of(frame, settings)
    # Without what is only retrained, colours are those of the other figures of these pruners.
    look = looks(pruners) | {
        name: Look(_RETRAINED, "X", "-")
        for name in settings.get("retrain", ())
        if name in set(frame["pruner"])
    }
    conditions = sorted(frame["condition"].unique())
    frame = frame.assign(
        panel=frame["explainer"] + (", " + frame["condition"] if len(conditions) > 1 else "")
    )
    order = order_names(known, known, controls)
    panels = [
        name
        for explainer in order
        for name in (
            f"{explainer}, {of}" if len(conditions) > 1 else explainer for of in conditions
        )
        if name in set(frame["panel"])
    ]
    rows, columns = grid_shape(len(panels))
    figure = new_figure(WIDTH, rows * PANEL_HEIGHT + 0.9)
    theme: dict[str, Any] = {str(name): value for name, value in matplotlib.rcParams.items()}
    theme |= dict.fromkeys(_TEXTS, SIZE)
    name_figure(figure, settings, f", agreement by {settings['metric']}, every checkpoint")
    (
        so.Plot(frame, x="lost", y="mean", color="pruner", marker="pruner")
        .facet("panel", order=panels, wrap=columns)
        .share(y=False)
        .add(so.Dot(pointsize=4, edgecolor="w", edgewidth=0.4), legend=False)
        .scale(
            color=so.Nominal({name: of.colour for name, of in look.items()}, order=[*look]),
            marker=so.Nominal({name: of.marker for name, of in look.items()}, order=[*look]),
        )
        .label(x="accuracy lost (percentage points)", y="agreement with dense")
        .theme(theme)
        .on(figure)
        .plot()
    )
    legend_below(figure, [
        Line2D([], [], color=of.colour, marker=of.marker, linestyle="", markersize=4, label=name)
        for name, of in look.items()
    ], column=1.7)  # fmt: skip
    return figure
