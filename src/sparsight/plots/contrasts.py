"""Levels against dense, hard images against easy ones, correct predictions against incorrect."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sparsight.analysis import tables
from sparsight.analysis.tables import ALL_LEVELS, MEAN
from sparsight.io.errors import InputError
from sparsight.plots.style import (
    THIN,
    Look,
    beside,
    draw_estimates,
    draw_networks,
    draw_zero,
    estimate_handles,
    figure_style,
    has_gaps,
    legend_below,
    multiples_figure,
    of_network,
    save_figure,
)

#: of the stage `figure_contrasts`: see `sparsight.study.versions`
VERSION = 1
BAND: dict[str, Any] = {"color": "0.55", "alpha": 0.3, "linewidth": 0, "zorder": 0.5}


def draw_contrasts(contrasts: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the difference to the dense networks at every level.

    Points are means over seeds, filled where they differ from 0 after adjustment; pale bars are
    paired t intervals over seeds, thin lines intervals over images *for these networks*. Bars may
    leave the panel. The grey band is the retrain floor: the t interval of the same difference for
    dense networks that were only retrained. An `InputError` is raised where there is nothing to
    draw.

    From `contrasts.csv`; `settings` hold `dataset`, `model`, `metric`; optional `metrics` (metric
    to its facts `unit` and `direction`), `subset` (default "all"), `confidence` (default 0.95),
    `retrain`, and those of `grouping` and `places`.
    """
    wanted = {"metric": settings["metric"], "subset": settings.get("subset", "all")}
    frame = of_network(tables.read("contrasts", contrasts), contrasts, settings, **wanted)
    with figure_style():
        save_figure(contrasts_figure(frame, settings), outputs)


def contrasts_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_contrasts`, from its rows of `contrasts.csv`."""
    metric, alpha = settings["metric"], round(1 - float(settings.get("confidence", 0.95)), 10)
    floors = frame[frame["pruner"].isin(list(settings.get("retrain", ()))) & (frame["level"] > 0)]

    def draw(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
        draw_zero(axes)
        if len(rows):
            own = floors[floors["explainer"] == rows["explainer"].iloc[0]]
            _floor(axes, own[own["condition"] == rows["condition"].iloc[0]])
        draw_estimates(axes, rows, colour, alpha)

    label = difference_label(metric, settings, "minus dense")
    figure = multiples_figure(frame, settings, label, f", {metric} against dense", draw)
    _legend(figure, bool(frame["difference_low"].notna().any()), alpha, len(floors) > 0)
    return figure


def difference_label(metric: str, settings: Mapping[str, Any], what: str) -> str:
    """Label of a y axis with differences: metric, what is subtracted, unit, what is better."""
    facts = settings.get("metrics", {}).get(metric, {})
    # What a unit says of steps, behind a semicolon, would not fit.
    unit = f" ({facts['unit'].partition(';')[0]})" if facts.get("unit") else ""
    direction = facts.get("direction")
    better = f"{direction} is better" if direction else "direction not stated"
    return f"{metric} {what}{unit}\n{better}"


def _floor(axes: Axes, rows: pd.DataFrame) -> None:
    """The retrain floor across the panel: its interval, or a line where it has none."""
    for _, row in rows.dropna(subset=["difference"]).iterrows():
        if row["difference_low"] == row["difference_low"]:
            axes.axhspan(row["difference_low"], row["difference_high"], gid="floor", **BAND)
        axes.axhline(row["difference"], color="0.55", linewidth=0.8, linestyle=(0, (4, 2)),
                     zorder=0.8, gid="floor")  # fmt: skip


def _legend(figure: Figure, seeds: bool, alpha: float, floor: bool) -> None:
    handles = estimate_handles(seeds, alpha, "differs from dense")
    if floor:
        handles.append(Patch(facecolor="0.55", alpha=0.3, label="retrain floor (dense again)"))
    legend_below(figure, handles)


#: of the stage `figure_strata`: see `sparsight.study.versions`
STRATA_VERSION = 1
STRATA = {
    "hard": Look("#1f2a6b", "o", "-"),
    "medium": Look("#c8501e", "s", (0, (5, 1.5)), hollow=True),
    "easy": Look("#74b9e8", "^", (0, (1, 1.2))),
}
# Strata of one level stand side by side, further apart where there is room.
STEP, WIDE_STEP = 0.9, 2.7


def draw_strata(strata: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the difference to the dense networks among hard, medium and easy images.

    Thin vertical lines are paired t intervals over seeds; they may leave the panel. An `InputError`
    is raised where there is nothing to draw.

    From `strata.csv`; `settings` hold `dataset`, `model`, `metric`; optional `metrics` (metric to
    its facts `unit` and `direction`) and those of `grouping` and `places`.
    """
    frame = of_network(tables.read("strata", strata), strata, settings, metric=settings["metric"])
    frame = frame[frame["subset"].isin(STRATA)]
    if frame.empty:
        raise InputError(f"{strata} has no rows of the subsets {', '.join(STRATA)} to draw")
    with figure_style():
        save_figure(strata_figure(frame, settings), outputs)


def strata_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_strata`, from its rows of `strata.csv`."""
    metric = settings["metric"]
    label = difference_label(metric, settings, "minus dense")
    figure = multiples_figure(frame, settings, label, f", {metric} by difficulty", _panel)
    handles = [Line2D([], [], **_line(look), label=f"{n} images") for n, look in STRATA.items()]
    seeds = bool(frame["difference_low"].notna().any())
    text = "t interval over seeds" if seeds else "one seed: no t interval"
    handles.append(Line2D([], [], color="0.4", linewidth=0.8, label=text))
    legend_below(figure, handles)
    return figure


def _line(look: Look) -> dict[str, Any]:
    return {**look.line, "linewidth": 1.1, "markersize": 3.0}


def _panel(axes: Axes, rows: pd.DataFrame, _: str) -> None:
    draw_zero(axes)
    for index, (name, look) in enumerate(STRATA.items()):
        found = rows[rows["subset"] == name].dropna(subset=["difference"])
        if found.empty:
            continue
        gaps = has_gaps(found["level"])
        step = WIDE_STEP if gaps else STEP
        across = found["level"] + beside(rows["level"], (index - 1) * step)
        axes.vlines(across, found["difference_low"], found["difference_high"], color=look.colour,
                    linewidth=0.8, alpha=0.6, zorder=2, gid="interval")  # fmt: skip
        style = {**_line(look), "linestyle": ""} if gaps else _line(look)
        every = 1 if gaps or len(found) <= 9 else 3
        axes.plot(across, found["difference"], **style, markevery=(index % every, every), zorder=3,
                  gid=name)  # fmt: skip


#: of the stage `figure_correctness`: see `sparsight.study.versions`
CORRECTNESS_VERSION = 1


def draw_correctness(
    correctness: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw the metric of correct minus that of incorrect predictions at every level.

    Every network (seed) is a thin line or a dot. Points are means over seeds, filled where they
    differ from 0 after adjustment; pale bars are t intervals over seeds, thin lines intervals over
    images *for these networks*. The dashed line with its band is the difference over all levels and
    its t interval. An `InputError` is raised where there is nothing to draw.

    From `correctness.csv`; `settings` hold `dataset`, `model`, `metric`; optional `metrics` (metric
    to its facts `unit` and `direction`), `confidence` (default 0.95) and those of `grouping` and
    `places`.
    """
    frame = tables.read("correctness", correctness)
    frame = of_network(frame, correctness, settings, metric=settings["metric"])
    with figure_style():
        save_figure(correctness_figure(frame, settings), outputs)


def correctness_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_correctness`, from its rows."""
    metric, alpha = settings["metric"], round(1 - float(settings.get("confidence", 0.95)), 10)
    every = frame["level"] == ALL_LEVELS
    whole = frame[every & (frame["seed"] == MEAN)]
    levels = frame[~every].astype({"level": "int64"})

    def draw(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
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


def _all_levels(axes: Axes, rows: pd.DataFrame) -> None:
    for _, row in rows.dropna(subset=["difference"]).iterrows():
        axes.axhline(row["difference"], color="0.45", linewidth=0.9, linestyle=(0, (4, 2)),
                     zorder=1, gid="all levels")  # fmt: skip
        if row["difference_low"] == row["difference_low"]:
            axes.axhspan(row["difference_low"], row["difference_high"], color="0.55", alpha=0.22,
                         linewidth=0, zorder=0.5, gid="all levels")  # fmt: skip
