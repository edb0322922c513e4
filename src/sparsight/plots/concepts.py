"""A method's measures of concepts, and their drift from the dense network's, over levels."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sparsight.analysis import tables
from sparsight.analysis.curves import DENSE
from sparsight.analysis.tables import COMPARED, FOUND, MEAN
from sparsight.io.errors import InputError
from sparsight.plots.agreement import draw_floor, floor_handles
from sparsight.plots.style import (
    INK,
    LABELS,
    THIN,
    chain_axis,
    densities,
    draw_networks,
    draw_points,
    figure_style,
    grid_of,
    grid_shape,
    has_gaps,
    legend_below,
    name_figure,
    new_figure,
    of_network,
    save_figure,
    share_limits,
)

#: of the stage `figure_concepts`: see `sparsight.study.versions`
VERSION = 1

PANEL_WIDTH, PANEL_HEIGHT = 2.1, 1.5
# Letters of a title in its usual size.
LONGEST_TITLE = 30
CHANCE: dict[str, Any] = {"color": INK, "linestyle": "-.", "linewidth": 0.8, "zorder": 2.5}
# What a measure is tested against, by kind.
_TESTED = {FOUND: "difference_p_adjusted", COMPARED: "minus_retrain_floor_p_adjusted"}
_ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}

#: kind and name of a measure
Measure = tuple[str, str]


def draw_concepts(concepts: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw every measure and comparison of one concept method, a panel for each.

    Every network (seed) is a thin line or a dot, the mean a thick one with its t interval over
    seeds. A mean is filled where it differs from dense (for comparisons: from the retrain floor) at
    an adjusted p below 1 - confidence. Dashed: networks that were only retrained; dotted, for
    comparisons: dense networks of other seeds; dash-dotted: the measure by chance, mean over seeds.
    Numbers of single classes and concepts are in the table. An `InputError` is raised where there
    is nothing to draw.

    From `concepts.csv`; `settings` hold `dataset`, `model`, `concept`, `pruners` (in their order),
    `retrain`, `confidence`, `measures` (kind to measure to (direction, unit)), `chance` (measure to
    its chance level).
    """
    frame = of_network(
        tables.read("concepts", concepts), concepts, settings, concept=str(settings["concept"])
    )
    whole = frame[(frame["class"] == "") & (frame["concept_label"] == "")]
    with figure_style():
        save_figure(concepts_figure(whole, settings), outputs)


def concepts_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_concepts`, from its rows of `concepts.csv` on networks as a whole."""
    frame = frame.rename(columns={"value": "mean"})
    measures = _measures(frame, settings)
    pruners = [name for name in settings["pruners"] if (frame["pruner"] == name).any()]
    if not measures or not pruners:
        raise InputError(
            f"{settings['concept']} has no measure with a value under a pruner that removes "
            "weights, so there is nothing to draw; choose such a pruner"
        )
    rows, columns = grid_shape(len(measures))
    height = rows * PANEL_HEIGHT + 0.35
    figure = new_figure(max(PANEL_WIDTH * columns, 5.6), height * len(pruners) + 1.1)
    name_figure(figure, settings, f", concepts by {settings['concept']}")
    parts = figure.subfigures(len(pruners), 1, squeeze=False)[:, 0]
    panels: dict[Measure, list[Axes]] = {measure: [] for measure in measures}
    for part, pruner in zip(parts, pruners, strict=True):
        part.suptitle(f"pruner {pruner}", fontsize=8, x=0.01, ha="left")
        grid = grid_of(part, rows, columns, len(measures))
        for index, measure in enumerate(measures):
            own = frame[(frame["kind"] == measure[0]) & (frame["measure"] == measure[1])]
            panels[measure].append(grid[index])
            _panel(grid[index], own, pruner, settings)
            _draw_chance(grid[index], _curve(_chance(frame, measure, settings), pruner))
            bare = index + columns < len(measures)
            chain_axis(grid[index], densities(_curve(own, pruner)), bare=bare, labels=LABELS)
            _name(grid[index], measure, settings)
    for shared in panels.values():
        share_limits(shared)
    _legend(figure, frame, settings)
    return figure


def _measures(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Measure]:
    """Those of the facts that have any value, in their order: the own ones, then comparisons.

    A chance level has its place in the panel of its measure.
    """
    defined = frame.dropna(subset=["mean"])
    there = set(zip(defined["kind"], defined["measure"], strict=True))
    known = [
        (kind, name) for kind in (FOUND, COMPARED) for name in settings["measures"].get(kind, {})
    ]
    levels = settings.get("chance", {}).items()
    beside = {(k, level) for k, _ in known for name, level in levels if (k, name) in there}
    return [measure for measure in known if measure in there and measure not in beside]


def _curve(rows: pd.DataFrame, pruner: str) -> pd.DataFrame:
    """A measure's rows under a pruner; what a network is alone begins with dense."""
    first = (rows["pruner"] == DENSE) & (rows["kind"] == FOUND)
    return rows[(rows["pruner"] == pruner) | first].sort_values("level")


def _chance(frame: pd.DataFrame, measure: Measure, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Rows "mean" of what a measure is by chance; none where the facts say nothing of it."""
    name = settings.get("chance", {}).get(measure[1], "")
    own = (frame["kind"] == measure[0]) & (frame["measure"] == name) & (frame["seed"] == MEAN)
    found: pd.DataFrame = frame[own].dropna(subset=["mean"])
    return found


def _draw_chance(axes: Axes, curve: pd.DataFrame) -> None:
    if curve.empty:
        return
    # a single level has no line of its own
    marker = "_" if len(curve) == 1 else ""
    axes.plot(curve["level"], curve["mean"], marker=marker, gid="chance", **CHANCE)


def _panel(axes: Axes, rows: pd.DataFrame, pruner: str, settings: Mapping[str, Any]) -> None:
    curve = _curve(rows, pruner)
    draw_floor(axes, rows[rows["pruner"].isin(list(settings["retrain"]))], "retrained")
    draw_floor(axes, rows[(rows["pruner"] == DENSE) & (rows["kind"] == COMPARED)], "other seeds")
    draw_networks(axes, curve[curve["seed"] != MEAN], INK, "mean")
    mean = curve[curve["seed"] == MEAN].dropna(subset=["mean"])
    axes.vlines(mean["level"], mean["low"], mean["high"], color=INK, alpha=0.3, linewidth=2.2,
                zorder=2, gid="interval")  # fmt: skip
    gaps = has_gaps(curve["level"])
    axes.plot(mean["level"], mean["mean"], color=INK, linestyle="" if gaps else "-",
              linewidth=1.2, zorder=3, gid="mean")  # fmt: skip
    if mean.empty:
        return
    significant = mean[_TESTED[mean["kind"].iloc[0]]] < 1.0 - float(settings["confidence"])
    draw_points(axes, mean, "mean", significant, INK, 3.4, 3.5)


def _name(axes: Axes, measure: Measure, settings: Mapping[str, Any]) -> None:
    kind, name = measure
    direction, unit = settings["measures"][kind][name]
    words = f"{name} with dense" if kind == COMPARED else name
    # The longest names would reach into the next panel.
    size = 7 if len(words) <= LONGEST_TITLE else 5.5
    axes.set_title(f"{words}{_ARROWS[direction]}", loc="left", fontsize=size, pad=2)
    axes.set_ylabel(unit, fontsize=6, labelpad=1)
    axes.tick_params(axis="y", labelsize=6.5)


def _legend(figure: Figure, frame: pd.DataFrame, settings: Mapping[str, Any]) -> None:
    seeds = frame.loc[frame["seed"] != MEAN, "seed"].nunique()
    alpha = f"{1.0 - float(settings['confidence']):.2g}"
    several = f"mean of {seeds} seeds, t interval" if seeds > 1 else "one seed: no interval"
    point: dict[str, Any] = {"color": INK, "marker": "o", "markersize": 3.6}
    handles = [Line2D([], [], markerfacecolor="white", label=several, **point)]
    if seeds > 1:
        handles.append(Line2D([], [], color=INK, label="one seed", **THIN))
        tested = f"not as dense (comparisons: as retrained), adjusted p < {alpha}"
        handles.append(Line2D([], [], linestyle="", label=tested, **point))
    there = {
        "retrained": frame["pruner"].isin(list(settings["retrain"])),
        "other seeds": (frame["pruner"] == DENSE) & (frame["kind"] == COMPARED),
    }
    if any(not _chance(frame, m, settings).empty for m in _measures(frame, settings)):
        handles.append(Line2D([], [], label="by chance", **CHANCE))
    handles += floor_handles([kind for kind, rows in there.items() if rows.any()])
    legend_below(figure, handles, 3.6)
