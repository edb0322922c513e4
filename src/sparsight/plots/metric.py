"""One metric over pruning levels, explainers grouped by family (figure 3.2 of the thesis)."""

import math
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsight.analysis import tables
from sparsight.analysis.tables import MEAN
from sparsight.io.errors import InputError
from sparsight.plots.panels import (
    KEYS,
    Block,
    Panel,
    counts,
    draw_curves,
    level_axis,
    look_handles,
    nothing_to_show,
    pages,
    place_title,
    with_means,
)
from sparsight.plots.style import (
    Group,
    Grouping,
    figure_style,
    grouping,
    metric_of,
    of_network,
    places,
    save_figure,
    title_of,
)

#: of the stage `figure_metric`: see `sparsight.study.versions`
VERSION = 2
_CURVE = ["pruner", "explainer", "condition"]
#: pruners and conditions side by side
_COLUMNS = 3


def draw_metric(
    levels: Path, contrasts: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw the mean of one metric over levels; rows are families, columns pruners and conditions.

    Every network (seed) is a thin line, the mean over them a thick one with a ribbon for its t
    interval over seeds. Explainers that are explained at some levels only have points there, bars
    for intervals, and a dotted line that says that what lies between was not measured. Dense
    networks that were retrained stand left of level 0. Controls that look at no network are grey
    lines in every panel; one that lies far off is named with its value. An `InputError` is raised
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
        save_figure(metric_pages(frame, intervals, settings), outputs)


def metric_pages(
    frame: pd.DataFrame, intervals: pd.DataFrame, settings: Mapping[str, Any]
) -> list[Figure]:
    """The pages of `draw_metric`, from the rows of both tables of one metric and subset."""
    about = metric_of(settings)
    if not frame["mean"].notna().any():
        return [nothing_to_show(settings, about)]
    grouped = grouping(frame["explainer"].unique(), settings)
    # A study may run nothing but controls.
    groups = grouped.groups or (Group("controls", ()),)
    columns = places(frame, settings)
    if not columns:
        raise InputError("no pruner has a curve to draw; choose a pruner that removes weights")
    retrained = frame["pruner"].isin(list(settings.get("retrain", ()))) & (frame["level"] > 0)
    curves = with_means(frame[~retrained], _CURVE, "mean").merge(
        intervals[[*_CURVE, "level", "mean_low", "mean_high"]], on=[*_CURVE, "level"], how="left"
    )
    blocks = []
    for group in groups:
        panels = []
        for pruner, condition in columns:
            here = curves["condition"] == condition
            rows = curves[here & (curves["pruner"] == pruner)]
            floor = frame[retrained & (frame["condition"] == condition)]
            draw = partial(_draw, rows=rows, floor=floor, group=group, grouped=grouped)
            panels.append(Panel(place_title(pruner, condition, settings), draw, group.title,
                                level_axis(rows)[0]))  # fmt: skip
        blocks.append(Block(
            group.title, panels, label=metric_label(settings), across=level_axis(curves)[1],
            names=_names(group, grouped, curves, settings), height=1.5,
        ))  # fmt: skip
    return pages(f"{title_of(settings)}, {about}", blocks, counts(frame, settings),
                 columns=_COLUMNS)  # fmt: skip


def metric_label(settings: Mapping[str, Any]) -> str:
    """Name, unit and direction of the metric; what a unit says behind a semicolon is left out."""
    known = settings.get("metrics", {}).get(settings["metric"], {})
    direction = known.get("direction")
    better = f"({direction} is better)" if direction else "(direction not stated)"
    unit = known.get("unit", "").partition(";")[0]
    return "\n".join(filter(None, [metric_of(settings), unit, better]))


def _draw(
    axes: Axes, rows: pd.DataFrame, floor: pd.DataFrame, group: Group, grouped: Grouping
) -> None:
    look = {name: grouped.look[name] for name in group.explainers}
    for name in grouped.everywhere:
        line = rows[(rows["explainer"] == name) & (rows["seed"] == MEAN)].sort_values("level")
        axes.plot(line["level"], line["mean"], color=grouped.look[name].colour,
                  linestyle=grouped.look[name].dash, linewidth=0.8, zorder=1, gid="control",
                  label=name)  # fmt: skip
    draw_curves(axes, rows, look, hue="explainer", value="mean", ends=("mean_low", "mean_high"),
                ribbon=True)  # fmt: skip
    # Dense networks that were retrained stand left of level 0.
    for index, name in enumerate(look):
        found = floor.loc[floor["explainer"] == name, "mean"].dropna()
        left = (0.012 * (index - (len(look) - 1) / 2) - 0.045) * max(int(rows["level"].max()), 1)
        style = {**KEYS["retrained"][1], "color": look[name].colour}
        axes.plot([left] * len(found), found, gid="retrained", zorder=4, **style)


def _names(
    group: Group, grouped: Grouping, curves: pd.DataFrame, settings: Mapping[str, Any]
) -> list[Artist]:
    """What the curves of a block are; controls have their mean, since they may lie far off."""
    look = {name: grouped.look[name] for name in group.explainers}
    handles = look_handles(look, settings, "explainer")
    means = curves[curves["seed"] == MEAN].groupby("explainer")["mean"].mean()
    controls = {name: grouped.look[name] for name in grouped.everywhere}
    lines = look_handles(controls, settings, "explainer", marker="", linewidth=0.8)
    for name, line in zip(controls, lines, strict=True):
        line.set_label(f"{line.get_label()} ({means.get(name, math.nan):.2g})")
    return [*handles, *lines]
