"""How far explanations move under each pruner, where networks have lost as much accuracy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sparsight.analysis import tables
from sparsight.analysis.equal_accuracy import AGREEMENT, LOSSES
from sparsight.analysis.tables import MEAN
from sparsight.plots.style import (
    Look,
    figure_style,
    grid_of,
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
    share_limits,
)

VERSION = 1
#: inches: 180 mm, at which no text is below 7 points
WIDTH, PANEL_HEIGHT = 7.09, 1.35
SIZE = 7
_COLUMNS = (4, 3)
_FLOOR = "0.25"
# Marks of one loss share this much of the distance to the next one on the logarithmic axis.
_DODGE = 0.5


def run(equal_accuracy: Path, svg: Path, png: Path, settings: Mapping[str, Any]) -> None:
    """Draw one metric of agreement over the loss of accuracy: a panel for each explainer.

    A line is a pruner's mean over the networks that reach the loss, with the t interval over them;
    hollow where not all of them do. The band is the retrain floor with its t interval. An explainer
    without any value has no panel; without any panel, a sentence says why.

    From `equal_accuracy.csv`; `settings` hold `dataset`, `model`, `metric` (of agreement),
    `pruners` in their order, and those of `grouping`.
    """
    frame = tables.read("equal_accuracy", equal_accuracy)
    frame = of_network(frame, equal_accuracy, settings, kind=AGREEMENT, metric=settings["metric"])
    with figure_style():
        save_figure(equal_accuracy_figure(frame, settings), [svg, png])


def equal_accuracy_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `run`, from its rows of `equal_accuracy.csv`."""
    drawn = frame[(frame["seed"] == MEAN) & frame["value"].notna()]
    pruners = pruners_of(drawn, settings)
    drawn = drawn[drawn["pruner"].isin(pruners)]
    controls = set(settings.get("controls", ()))
    known = grouping(drawn["explainer"].unique(), settings).explainers
    explainers = order_names(known, known, controls)
    if not explainers:
        return _nothing(settings)
    conditions = sorted(drawn["condition"].unique())
    rows, columns = grid_shape(len(explainers), _COLUMNS)
    # One look for a pruner in all figures of a network, also where others lose too little.
    look = looks(pruners_of(frame, settings))
    figure = new_figure(WIDTH, (rows * PANEL_HEIGHT + 0.5) * len(conditions) + 0.4)
    name_figure(figure, settings, f", agreement by {settings['metric']} at equal accuracy")
    parts = figure.subfigures(len(conditions), 1, squeeze=False)[:, 0]
    for part, condition in zip(parts, conditions, strict=True):
        part.suptitle(f"{condition} images", fontsize=8, x=0.01, ha="left")
        here = drawn[drawn["condition"] == condition]
        panels = grid_of(part, rows, columns, len(explainers), sharey=True)
        for index, (axes, name) in enumerate(zip(panels, explainers, strict=True)):
            found = here[here["explainer"] == name]
            _draw_floors(axes, found)
            for place, pruner in enumerate(pruners):
                _draw_curve(axes, found[found["pruner"] == pruner], look[pruner],
                            _aside(place, len(pruners)))  # fmt: skip
            _loss_axis(axes, index + columns < len(explainers))
            axes.set_title(f"{name} (control)" if name in controls else name, loc="left",
                           fontsize=SIZE, pad=2)  # fmt: skip
        part.supxlabel("accuracy lost against dense, percentage points (log scale)", fontsize=SIZE)
        part.supylabel("agreement with dense", fontsize=SIZE)
    share_limits(figure.axes)
    legend_below(figure, _handles(drawn, {name: look[name] for name in pruners}))
    for text in figure.legends[0].get_texts():
        text.set_fontsize(SIZE)
    return figure


def _nothing(settings: Mapping[str, Any]) -> Figure:
    figure = new_figure(WIDTH, 0.9)
    name_figure(figure, settings, f", agreement by {settings['metric']} at equal accuracy")
    figure.text(0.01, 0.3, f"No network loses {100 * LOSSES[0]:g} to {100 * LOSSES[-1]:g} points "
                "of accuracy between two of its levels: there is nothing to compare.",
                fontsize=8)  # fmt: skip
    return figure


def _aside(place: int, count: int) -> float:
    """The factor by which a pruner's marks stand beside their loss, so that none is hidden."""
    closest = min(np.diff(np.log(LOSSES)))
    return float(np.exp(_DODGE * closest * ((place + 0.5) / count - 0.5)))


def _draw_curve(axes: Axes, rows: pd.DataFrame, look: Look, aside: float) -> None:
    rows = rows.sort_values("loss")
    across = 100 * aside * rows["loss"]
    axes.vlines(across, rows["low"], rows["high"], color=look.colour, alpha=0.55, linewidth=0.8,
                zorder=2, gid="interval")  # fmt: skip
    # A loss that no network reaches is no reason to join its neighbours.
    joined = rows.set_index("loss")["value"].reindex(list(LOSSES))
    axes.plot([100 * aside * loss for loss in LOSSES], joined, color=look.colour,
              linestyle=look.dash, linewidth=0.9, zorder=2.5, gid="mean")  # fmt: skip
    for whole in (True, False):
        marked = (rows["n_seeds"] == rows["of_seeds"]) == whole
        axes.plot(across[marked], rows.loc[marked, "value"], linestyle="", marker=look.marker,
                  markersize=3.2, markeredgewidth=0.7, markeredgecolor=look.colour,
                  markerfacecolor=look.colour if whole else "white", zorder=3,
                  gid="all networks" if whole else "some networks")  # fmt: skip


def _draw_floors(axes: Axes, rows: pd.DataFrame) -> None:
    """The retrain floor; one for each way of rewinding."""
    floors = rows[["retrain_floor", "retrain_floor_low", "retrain_floor_high"]]
    for floor, low, high in set(floors.dropna(subset=["retrain_floor"]).itertuples(False, None)):
        axes.axhline(floor, color=_FLOOR, linestyle=(0, (5, 2)), linewidth=0.8, zorder=1,
                     gid="floor")  # fmt: skip
        if low == low:
            axes.axhspan(low, high, color=_FLOOR, alpha=0.2, linewidth=0, zorder=0.5,
                         gid="floor band")  # fmt: skip


def _loss_axis(axes: Axes, bare: bool) -> None:
    """Percentage points lost along x, logarithmic; `bare` is without numbers."""
    axes.set_xscale("log")
    axes.set_xlim(100 * LOSSES[0] / 1.45, 100 * LOSSES[-1] * 1.45)
    axes.xaxis.set_major_locator(FixedLocator([100 * loss for loss in LOSSES]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "" if bare else f"{value:g}"))
    axes.tick_params(labelsize=SIZE, pad=1)


def _handles(drawn: pd.DataFrame, look: Mapping[str, Look]) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], **{**style.line, "markersize": 4, "linewidth": 1.0}, label=name)
        for name, style in look.items()
    ]
    if (drawn["n_seeds"] < drawn["of_seeds"]).any():
        handles.append(Line2D([], [], linestyle="", marker="o", markersize=4, color="0.25",
                              markerfacecolor="white", label="some networks only"))  # fmt: skip
    if drawn["low"].notna().any():
        handles.append(Line2D([], [], color="0.25", linewidth=0.8, label="bar: t interval"))
    if drawn["retrain_floor"].notna().any():
        handles.append(Patch(facecolor=_FLOOR, alpha=0.3, label="retrain floor"))
    return handles
