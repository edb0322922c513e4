"""How each explainer's metrics correlate with accuracy: every network, their mean, the controls."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsight.analysis.correlate import MEAN
from sparsight.analysis.statistics import FEWEST_LEVELS
from sparsight.analysis.summaries import read_correlations
from sparsight.io.errors import InputError
from sparsight.plots.style import figure_style, new_figure, ordered, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOUR, CONTROL = "#1f2a6b", "0.45"
PANEL_WIDTH, ROW_HEIGHT = 2.1, 0.3
# Vertical places inside an explainer's row: seeds above, mean in the middle, published form below.
SEEDS_AT, PUBLISHED_AT = -0.24, 0.24
LIMIT = 1.08


def draw_correlations(
    correlations: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw Pearson r per seed, their mean with its interval, and the published form.

    Columns are metrics, panels one above the other are pruners and conditions, rows are explainers,
    controls below a line. Where r is not defined the row says why ("constant" series, or "too few
    levels") instead of showing a number; where it is defined for some seeds only, their number is
    given. Intervals may reach beyond the axis, which ends at 1.

    Parameters
    ----------
    correlations : `correlations.csv`.
    outputs : .svg, .png or .pdf files.
    settings : `dataset`, `model`; optional `levels` (default "all"), `subset` (default "all"), and
        `metrics`, `explainers`, `pruners` (their order; `metrics` may be a mapping).

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    frame = read_correlations(correlations)
    wanted = {
        "dataset": settings["dataset"],
        "model": settings["model"],
        "levels": settings.get("levels", "all"),
        "subset": settings.get("subset", "all"),
    }
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
        if frame.empty:
            raise InputError(f"{correlations} has no rows left with {name} '{value}' to draw")
    with figure_style():
        save_figure(correlations_figure(frame, settings), outputs)


def correlations_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> "Figure":
    """The figure of `draw_correlations`, from its rows of `correlations.csv`."""
    controls = set(frame.loc[frame["control"], "explainer"])
    explainers = ordered(frame["explainer"], settings.get("explainers", ()), controls)
    metrics = ordered(frame["metric"], settings.get("metrics", ()), ())
    pruners = ordered(frame["pruner"], settings.get("pruners", ()), ())
    places = [(p, c) for p in pruners for c in sorted(frame["condition"].unique())]
    figure = new_figure(
        1.9 + PANEL_WIDTH * max(len(metrics), 2),
        (ROW_HEIGHT * len(explainers) + 0.5) * len(places) + 1.2,
    )
    which = settings.get("levels", "all")
    title = f"{settings['model']} on {settings['dataset']}, levels: {which.replace('_', ' ')}"
    figure.suptitle(title, fontsize=9, fontweight="bold", x=0.01, ha="left")
    grid = figure.subplots(len(places), len(metrics), squeeze=False, sharex=True, sharey=True)
    for axes_row, (pruner, condition) in zip(grid, places, strict=True):
        rows = frame[(frame["pruner"] == pruner) & (frame["condition"] == condition)]
        for axes, metric in zip(axes_row, metrics, strict=True):
            _panel(axes, rows[rows["metric"] == metric], explainers, controls)
            axes.set_title(metric, loc="left", fontsize=8)
        axes_row[0].set_ylabel(f"pruner {pruner}\n{condition} images", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("Pearson r with accuracy", fontsize=8)
    _legend(figure, sorted(set(frame["seed"]) - {MEAN}))
    return figure


def _panel(
    axes: "Axes", rows: pd.DataFrame, explainers: Sequence[str], controls: Iterable[str]
) -> None:
    last = set(controls)
    axes.axvline(0.0, color="0.6", linewidth=0.8, zorder=1)
    for place, explainer in enumerate(explainers):
        found = rows[rows["explainer"] == explainer]
        if not found.empty:
            _dots(axes, found, place, CONTROL if explainer in last else COLOUR)
    real = len(explainers) - len(last)
    if 0 < real < len(explainers):
        axes.axhline(real - 0.5, color="0.4", linewidth=0.8)
    axes.set_yticks(range(len(explainers)), explainers, fontsize=7)
    axes.set_ylim(len(explainers) - 0.5, -0.5)
    axes.set_xlim(-LIMIT, LIMIT)
    axes.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0], ["−1", "−½", "0", "½", "1"])
    axes.grid(axis="y", visible=False)


def _dots(axes: "Axes", rows: pd.DataFrame, place: int, colour: str) -> None:
    """One explainer under one metric: its seeds, their mean and interval, the published form."""
    seeds = rows.loc[rows["seed"] != MEAN, "pearson"].dropna().to_numpy()
    summary = rows[rows["seed"] == MEAN].iloc[0]
    if not len(seeds):
        why = "too few levels" if summary["n_levels"] < FEWEST_LEVELS else "constant"
        axes.text(0.0, place, why, fontsize=7, color="0.35", ha="center", va="center", gid="why",
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0})  # fmt: skip
    else:
        axes.plot(seeds, np.full(len(seeds), place + SEEDS_AT), linestyle="", marker="o",
                  markersize=3.0, color=colour, alpha=0.6, markeredgewidth=0, gid="seeds",
                  zorder=3)  # fmt: skip
        axes.plot([summary["pearson_low"], summary["pearson_high"]], [place, place], color=colour,
                  linewidth=1.6, solid_capstyle="butt", gid="interval", zorder=2)  # fmt: skip
        axes.plot([summary["pearson"]], [place], linestyle="", marker="D", markersize=4.5,
                  color=colour, gid="mean", zorder=4)  # fmt: skip
        if summary["pearson_seeds"] < summary["n_seeds"]:
            text = f"{int(summary['pearson_seeds'])} of {summary['n_seeds']} seeds"
            side = -1.0 if summary["pearson"] > 0 else 1.0
            axes.text(side, place, text, fontsize=6, color="0.35", va="center", gid="some",
                      ha="left" if side < 0 else "right")  # fmt: skip
    axes.plot([summary["published_form"]], [place + PUBLISHED_AT], linestyle="", marker="s",
              markersize=4.0, markerfacecolor="white", markeredgecolor=colour,
              markeredgewidth=1.0, gid="published", zorder=3)  # fmt: skip


def _legend(figure: "Figure", seeds: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=3.5, color=COLOUR, alpha=0.6,
               label="one seed"),
        Line2D([], [], linewidth=1.6, marker="D", markersize=4.5, color=COLOUR,
               label=f"mean of {len(seeds)} seeds, t interval"
               if len(seeds) > 1
               else "mean (one seed: no interval)"),
        Line2D([], [], linestyle="", marker="s", markersize=4.5, markerfacecolor="white",
               markeredgecolor=COLOUR, label="published form (seeds averaged first)"),
        Line2D([], [], linestyle="", marker="D", markersize=4.5, color=CONTROL, label="control"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
