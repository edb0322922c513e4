"""One metric over pruning levels, explainers grouped by family (figure 3.2 of the thesis)."""

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sparsight.analysis import tables
from sparsight.analysis.curves import mean_over_seeds
from sparsight.io.errors import InputError
from sparsight.plots.style import (
    FLOOR,
    THIN,
    Group,
    Grouping,
    Look,
    beside,
    chain_axis,
    densities,
    distinct_bits,
    figure_style,
    grouping,
    has_gaps,
    label_edge,
    legend_below,
    markers,
    name_figure,
    new_figure,
    of_network,
    places,
    save_figure,
    seed_handles,
)

#: of the stage `figure_metric`: see `sparsight.study.versions`
VERSION = 1

PANEL_WIDTH, PANEL_HEIGHT = 2.9, 1.75
LEGEND_WIDTH = 2.0
# Panels side by side; more pruners and conditions go on in the next line.
WIDEST_ROW = 4
# Characters in a line of an axis's label; a panel is not higher.
WIDEST_LABEL = 30
# Measured levels of an explainer that skips some: no line may look as if all had been measured.
GAPPED: dict[str, Any] = {"linestyle": (0, (1, 2)), "linewidth": 1.0}


def draw_metric(
    levels: Path, contrasts: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw the mean of one metric over levels; rows are families, columns pruners and conditions.

    Every network (seed) is a thin line, the mean over them a thick one with a ribbon for its t
    interval over seeds (cut off at the panel's edge). Explainers that are explained at some levels
    only have markers there, bars for intervals, and a dotted line that says that what lies between
    was not measured. Dense networks that were retrained stand left of level 0. Controls that look
    at no network are grey lines in every panel, named at its right edge. An `InputError` is raised
    where there is nothing to draw.

    Parameters
    ----------
    levels, contrasts : `levels.csv` (networks) and `contrasts.csv` (intervals).
    outputs : .svg, .png or .pdf files.
    settings : `dataset`, `model`, `metric`; optional `metrics` (metric to its facts `unit` and
        `direction`), `subset` (default "all"), `families`, `controls`, `explainers` (see
        `grouping`), `pruners` (in their order; without it all) and `retrain` (pruners that
        only train once more).
    """
    wanted = {"metric": settings["metric"], "subset": settings.get("subset", "all")}
    frame = of_network(tables.read("levels", levels), levels, settings, **wanted)
    intervals = of_network(tables.read("contrasts", contrasts), contrasts, settings, **wanted)
    with figure_style():
        save_figure(metric_figure(frame, intervals, settings), outputs)


def metric_figure(
    frame: pd.DataFrame, intervals: pd.DataFrame, settings: Mapping[str, Any]
) -> Figure:
    """The figure of `draw_metric`, from the rows of both tables of one metric and subset."""
    grouped = grouping(frame["explainer"].unique(), settings)
    # A study may run nothing but controls.
    groups = grouped.groups or (Group("controls", ()),)
    columns = places(frame, settings)
    if not columns:
        raise InputError("no pruner has a curve to draw; choose a pruner that removes weights")
    across = min(len(columns), WIDEST_ROW)
    lines = [
        (group, columns[start : start + across])
        for group in groups
        for start in range(0, len(columns), across)
    ]
    figure = new_figure(
        PANEL_WIDTH * across + LEGEND_WIDTH + 1.4, (PANEL_HEIGHT + 0.35) * len(lines) + 1.0
    )
    name_figure(figure, settings)
    grid = figure.add_gridspec(
        len(lines), across + 1, width_ratios=[*[PANEL_WIDTH] * across, LEGEND_WIDTH]
    )
    floors = set(settings.get("retrain", ()))
    limits: dict[Group, Axes] = {}
    for row, (group, line) in enumerate(lines):
        for column, (pruner, condition) in enumerate(line):
            axes = figure.add_subplot(grid[row, column], sharey=limits.get(group))
            limits.setdefault(group, axes)
            here = frame[frame["condition"] == condition]
            ranges = intervals[intervals["condition"] == condition]
            chain = here[here["pruner"] == pruner]
            _panel(axes, chain, ranges[ranges["pruner"] == pruner], group, grouped)
            _retrained(axes, here[here["pruner"].isin(floors)], chain, group, grouped.look)
            axes.set_title(_title(group.title, pruner, condition), loc="left", fontsize=7.5)
            if column:
                axes.tick_params(labelleft=False)
            else:
                axes.set_ylabel(
                    metric_label(settings["metric"], settings.get("metrics", {})), fontsize=7.5
                )
        shown = frame["pruner"].isin({p for p, _ in columns} | floors)
        _limit(limits[group], frame[shown], group, grouped)
        _name_controls(axes, frame, line[-1], grouped)
        if line[0] == columns[0]:
            _names(figure.add_subplot(grid[row, across]), group, grouped.look)
    _legend(figure, frame, floors)
    return figure


def metric_label(metric: str, facts: Mapping[str, Mapping[str, str]]) -> str:
    """Name, unit and direction of a metric for an axis, a few short lines.

    What a unit says of steps, behind a semicolon, is left out.
    """
    known = facts.get(metric, {})
    lines = [metric]
    if known.get("unit"):
        lines += textwrap.wrap(known["unit"].partition(";")[0], WIDEST_LABEL)
    direction = known.get("direction")
    lines.append(f"({direction} is better)" if direction else "(direction not stated)")
    return "\n".join(lines)


def _title(*parts: str) -> str:
    family, pruner, condition = parts
    return f"{family}{' – ' if family else ''}{pruner}, {condition}"


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    intervals: pd.DataFrame,
    group: Group,
    grouped: Grouping,
) -> None:
    chain_axis(axes, densities(rows), bits=distinct_bits(rows))
    for name in grouped.everywhere:
        control = mean_over_seeds(rows[rows["explainer"] == name], ["explainer"], "mean")
        control = control.sort_values("level")
        look = grouped.look[name]
        axes.plot(control["level"], control["mean"], color=look.colour, linestyle=look.dash,
                  linewidth=0.7, zorder=1, gid="control", label=name)  # fmt: skip
    for index, name in enumerate(group.explainers):
        curve = rows[rows["explainer"] == name]
        if not curve.empty:
            found = intervals[intervals["explainer"] == name].sort_values("level")
            _curve(axes, curve, found, grouped.look[name], (index, len(group.explainers)))


def _curve(
    axes: Axes,
    curve: pd.DataFrame,
    intervals: pd.DataFrame,
    look: Look,
    turn: tuple[int, int],
) -> None:
    """Seeds, mean and interval of one explainer; `turn`: which one of how many in the panel."""
    gaps = has_gaps(curve["level"])
    index, count = turn
    # What is measured at few levels has room to stand side by side.
    shift = beside(curve["level"], index - (count - 1) / 2) if gaps else 0.0
    mean = mean_over_seeds(curve, ["explainer"], "mean").sort_values("level")
    name = str(curve["explainer"].iloc[0])
    for _, rows in curve.groupby("seed"):
        rows = rows.sort_values("level")
        # Single networks stand beside the mean, which would hide them.
        style = {**THIN, "linestyle": "", "markersize": 4.0} if gaps else THIN
        across = rows["level"] + (shift + beside(curve["level"], 1.8) if gaps else 0.0)
        axes.plot(across, rows["mean"], color=look.colour, gid="seed", zorder=2, **style)
    known = intervals[intervals["level"].isin(mean["level"])].dropna(subset=["mean_low"])
    across, low, high = known["level"] + shift, known["mean_low"], known["mean_high"]
    if gaps:
        axes.vlines(across, low, high, color=look.colour, linewidth=0.8, alpha=0.7, zorder=2,
                    gid="interval")  # fmt: skip
        axes.plot(mean["level"] + shift, mean["mean"], **{**look.line, **GAPPED}, zorder=3,
                  gid="mean", label=name)  # fmt: skip
    else:
        axes.fill_between(across, low, high, color=look.colour, alpha=0.13, linewidth=0, zorder=1,
                          gid="interval")  # fmt: skip
        axes.plot(mean["level"], mean["mean"], **look.line, markevery=markers(index, len(mean)),
                  zorder=3, gid="mean", label=name)  # fmt: skip


def _retrained(
    axes: Axes,
    rows: pd.DataFrame,
    chain: pd.DataFrame,
    group: Group,
    look: Mapping[str, Look],
) -> None:
    """Dense networks that were retrained, left of level 0."""
    rows = rows[rows["level"] > 0]
    span = max(int(chain["level"].max()), 1)
    left = -0.045 * span
    count = len(group.explainers)
    for index, name in enumerate(group.explainers):
        found = rows.loc[rows["explainer"] == name, "mean"].dropna()
        if len(found):
            across = left + (index - (count - 1) / 2) * 0.012 * span
            axes.plot([across] * len(found), found, color=look[name].colour, gid="retrained",
                      zorder=4, **FLOOR)  # fmt: skip


def _limit(axes: Axes, frame: pd.DataFrame, group: Group, grouped: Grouping) -> None:
    """Let the networks fill the panel: wide intervals are cut, far controls only named."""
    own = frame.loc[frame["explainer"].isin(group.explainers), "mean"].dropna()
    controls = frame[frame["explainer"].isin(grouped.everywhere)].groupby("explainer")["mean"]
    values = list(own) or [value for value in controls.mean() if value == value]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    reach = max(high - low, 0.02 * abs(high), 1e-9)
    near = [v for v in controls.mean() if low - 0.5 * reach <= v <= high + 0.5 * reach]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.08 * max(high - low, reach)
    axes.set_ylim(low - margin, high + margin)


def _name_controls(
    axes: Axes, frame: pd.DataFrame, place: tuple[str, str], grouped: Grouping
) -> None:
    """Names at the right edge, at the height where the lines of the last panel end."""
    rows = frame[(frame["pruner"] == place[0]) & (frame["condition"] == place[1])]
    ends = {}
    for name in grouped.everywhere:
        mean = mean_over_seeds(rows[rows["explainer"] == name], ["explainer"], "mean")
        if len(mean):
            ends[name.removeprefix("control_")] = float(mean.sort_values("level")["mean"].iloc[-1])
    label_edge(axes, ends, PANEL_HEIGHT)


def _names(axes: Axes, group: Group, look: Mapping[str, Look]) -> None:
    """Beside a row of panels, the names of its curves."""
    axes.set_axis_off()
    handles = [Line2D([], [], **look[name].line, label=name) for name in group.explainers]
    if handles:
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=(0.0, 0.5), fontsize=7,
                    frameon=False, handlelength=2.8, borderpad=0)  # fmt: skip


def _legend(figure: Figure, frame: pd.DataFrame, floors: Iterable[str]) -> None:
    seeds = frame["seed"].nunique()
    handles: list[Any] = list(seed_handles(seeds))
    if seeds > 1:
        handles.append(Patch(facecolor="0.3", alpha=0.2, label="t interval over seeds"))
    if any(has_gaps(rows["level"]) for _, rows in frame.groupby(["pruner", "explainer"])):
        handles.append(Line2D([], [], color="0.3", marker="o", markersize=4, **GAPPED,
                              label="only markers are measured"))  # fmt: skip
    if len(frame[frame["pruner"].isin(list(floors)) & (frame["level"] > 0)]):
        handles.append(Line2D([], [], color="0.3", **FLOOR, label="dense, retrained"))
    handles.append(Line2D([], [], color="0.4", linewidth=0.7, label="control without a network"))
    legend_below(figure, handles)
