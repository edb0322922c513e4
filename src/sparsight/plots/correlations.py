"""How metrics correlate with accuracy: every network, their mean, the controls; and as a table."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from sparsight.analysis import tables
from sparsight.analysis.tables import FEWEST_LEVELS, MEAN
from sparsight.io.errors import InputError
from sparsight.plots.style import (
    figure_style,
    grid_of,
    grid_shape,
    legend_below,
    name_figure,
    new_figure,
    of_network,
    order_names,
    places,
    save_figure,
)

#: of the stage `figure_correlations`: see `sparsight.study.versions`
VERSION = 1
COLOUR, CONTROL = "#1f2a6b", "0.45"
# Panels a row; one more where that leaves fewer empty places.
COLUMNS = (5, 4)
PANEL_WIDTH, ROW_HEIGHT = 1.5, 0.175
# Vertical places inside an explainer's row: seeds above, mean in the middle, published form below.
SEEDS_AT, PUBLISHED_AT = -0.28, 0.26
LIMIT = 1.12


def draw_correlations(
    correlations: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw Pearson r per seed, their mean with its interval, and the published form.

    A block per pruner and condition; in it a panel per metric, rows are explainers, controls below
    a line. The mean is filled where it differs from 0 after adjustment. Where r is not defined the
    row says why ("constant" series, or "too few levels") instead of showing a number; where it is
    defined for some seeds only, their number is given. Intervals may reach beyond the axis, which
    ends at 1. An `InputError` is raised where there is nothing to draw.

    From `correlations.csv`; `settings` hold `dataset`, `model`; optional `levels` (default "all"),
    `subset` (default "all"), `metrics` and `explainers` (their order; `metrics` may be a mapping),
    `confidence` (default 0.95), `pruners` and `retrain` (see `places`).
    """
    frame = correlation_rows(correlations, settings)
    with figure_style():
        save_figure(correlations_figure(frame, settings), outputs)


def correlation_rows(correlations: Path, settings: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of `correlations.csv` that a figure with these settings draws.

    Raises
    ------
    InputError
        When there are none.
    """
    wanted = {name: settings.get(name, "all") for name in ("levels", "subset")}
    frame = of_network(tables.read("correlations", correlations), correlations, settings, **wanted)
    if not places(frame, settings):
        raise InputError(f"{correlations} has no pruner to draw; choose one that removes weights")
    return frame


def order_of(
    frame: pd.DataFrame, settings: Mapping[str, Any]
) -> tuple[list[str], list[str], set[str]]:
    """Explainers with controls last, metrics, and which explainers are controls."""
    controls = set(frame.loc[frame["control"], "explainer"])
    explainers = order_names(frame["explainer"], settings.get("explainers", ()), controls)
    return explainers, order_names(frame["metric"], settings.get("metrics", ()), ()), controls


def correlations_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_correlations`, from its rows of `correlations.csv`."""
    explainers, metrics, controls = order_of(frame, settings)
    blocks = places(frame, settings)
    rows, columns = grid_shape(len(metrics), COLUMNS)
    height = rows * (ROW_HEIGHT * len(explainers) + 0.45) + 0.35
    figure = new_figure(max(2.0 + PANEL_WIDTH * columns, 6.0), height * len(blocks) + 0.95)
    which = settings.get("levels", "all").replace("_", " ")
    name_figure(figure, settings, f", correlation with accuracy, levels: {which}")
    alpha = 1 - float(settings.get("confidence", 0.95))
    parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
    for part, (pruner, condition) in zip(parts, blocks, strict=True):
        here = frame[(frame["pruner"] == pruner) & (frame["condition"] == condition)]
        part.suptitle(f"pruner {pruner}, {condition} images", fontsize=8, x=0.01, ha="left")
        for axes, metric in zip(
            grid_of(part, rows, columns, len(metrics), sharex=True, sharey=True),
            metrics,
            strict=True,
        ):
            _panel(axes, here[here["metric"] == metric], explainers, controls, alpha)
            axes.set_title(metric, loc="left", fontsize=7.5, pad=2)
            axes.tick_params(labelbottom=True)
        part.supxlabel("Pearson r with accuracy over levels", fontsize=7.5)
    _legend(figure, sorted(set(frame["seed"]) - {MEAN}), alpha)
    return figure


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    explainers: Sequence[str],
    controls: Iterable[str],
    alpha: float,
) -> None:
    last = set(controls)
    axes.axvline(0.0, color="0.6", linewidth=0.8, zorder=1)
    for place, explainer in enumerate(explainers):
        # Bands guide the eye from a name to a panel far to its right.
        if place % 2:
            axes.axhspan(place - 0.5, place + 0.5, color="0.96", zorder=0, linewidth=0)
        found = rows[rows["explainer"] == explainer]
        if not found.empty:
            _dots(axes, found, place, CONTROL if explainer in last else COLOUR, alpha)
    real = len(explainers) - len(last)
    if 0 < real < len(explainers):
        axes.axhline(real - 0.5, color="0.4", linewidth=0.8)
    axes.set_yticks(range(len(explainers)), explainers, fontsize=6.5)
    axes.set_ylim(len(explainers) - 0.5, -0.5)
    axes.set_xlim(-LIMIT, LIMIT)
    axes.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0], ["−1", "−½", "0", "½", "1"], fontsize=6.5)
    axes.grid(axis="y", visible=False)


def _dots(axes: Axes, rows: pd.DataFrame, place: int, colour: str, alpha: float) -> None:
    """One explainer under one metric: its seeds, their mean and interval, the published form."""
    seeds = rows.loc[rows["seed"] != MEAN, "pearson"].dropna().to_numpy()
    summary = rows[rows["seed"] == MEAN].iloc[0]
    if not len(seeds):
        why = "too few levels" if summary["n_levels"] < FEWEST_LEVELS else "constant"
        axes.text(0.0, place, why, fontsize=6, color="0.35", ha="center", va="center", gid="why",
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})  # fmt: skip
    else:
        axes.plot(seeds, np.full(len(seeds), place + SEEDS_AT), linestyle="", marker="o",
                  markersize=2.4, color=colour, alpha=0.7, markeredgewidth=0, gid="seeds",
                  zorder=3)  # fmt: skip
        axes.plot([summary["pearson_low"], summary["pearson_high"]], [place, place], color=colour,
                  linewidth=1.3, solid_capstyle="butt", gid="interval", zorder=2)  # fmt: skip
        differs = summary["p_adjusted"] < alpha
        axes.plot([summary["pearson"]], [place], linestyle="", marker="D", markersize=3.6,
                  markeredgecolor=colour, markerfacecolor=colour if differs else "white",
                  markeredgewidth=0.8, gid="mean", zorder=4)  # fmt: skip
        if summary["pearson_seeds"] < summary["n_seeds"]:
            text = f"{int(summary['pearson_seeds'])} of {int(summary['n_seeds'])} seeds"
            side = -1.0 if summary["pearson"] > 0 else 1.0
            axes.text(side, place, text, fontsize=5.5, color="0.35", va="center", gid="some",
                      ha="left" if side < 0 else "right")  # fmt: skip
    axes.plot([summary["published_form"]], [place + PUBLISHED_AT], linestyle="", marker="s",
              markersize=2.6, markerfacecolor="white", markeredgecolor=colour,
              markeredgewidth=0.8, gid="published", zorder=3)  # fmt: skip


def _legend(figure: Figure, seeds: Sequence[str], alpha: float) -> None:
    mean: dict[str, Any] = {"linewidth": 1.3, "marker": "D", "markersize": 4.0, "color": COLOUR}
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=3.0, color=COLOUR, alpha=0.7,
               label="one seed"),
        Line2D([], [], **mean, label=f"mean, differs from 0 (adjusted p < {alpha:.2g})"),
        Line2D([], [], **mean, markerfacecolor="white",
               label=f"mean of {len(seeds)} seeds, t interval"
               if len(seeds) > 1
               else "mean (one seed: no interval)"),
        Line2D([], [], linestyle="", marker="s", markersize=3.6, markerfacecolor="white",
               markeredgecolor=COLOUR, label="published form (seeds averaged first)"),
        Line2D([], [], linestyle="", marker="D", markersize=4.0, color=CONTROL, label="control"),
    ]  # fmt: skip
    legend_below(figure, handles)


#: of the stage `figure_correlation_table`: see `sparsight.study.versions`
CORRELATION_TABLE_VERSION = 1
CELL_WIDTH, CELL_HEIGHT = 0.52, 0.2
# As dark as each other: the sign is printed, the strength can be seen in grey.
POSITIVE, NEGATIVE = "#c8501e", "#2f6fb0"


def draw_correlation_table(
    correlations: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw mean Pearson r over seeds as a table: explainers by metrics, controls below a line.

    The tint says how strong r is, its hue and the number's sign which direction; bold numbers
    differ from 0 after adjustment. A dash stands where r is not defined, and in brackets are means
    of some of the seeds only. An `InputError` is raised where there is nothing to draw.

    From `correlations.csv`; `settings` are those of `draw_correlations`.
    """
    frame = correlation_rows(correlations, settings)
    with figure_style():
        save_figure(correlation_table_figure(frame, settings), outputs)


def correlation_table_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_correlation_table`, from its rows of `correlations.csv`."""
    explainers, metrics, controls = order_of(frame, settings)
    blocks = places(frame, settings)
    width = max(2.1 + CELL_WIDTH * len(metrics) + 0.7, 5.0)
    figure = new_figure(width, (CELL_HEIGHT * len(explainers) + 1.45) * len(blocks) + 0.5)
    name_figure(figure, settings, ", mean Pearson r with accuracy")
    alpha = 1 - float(settings.get("confidence", 0.95))
    panels = figure.subplots(len(blocks), 1, squeeze=False)[:, 0]
    means = frame[frame["seed"] == MEAN]
    for axes, (pruner, condition) in zip(panels, blocks, strict=True):
        here = means[(means["pruner"] == pruner) & (means["condition"] == condition)]
        for _, row in here.iterrows():
            place = (metrics.index(row["metric"]), explainers.index(row["explainer"]))
            _cell(axes, row, place, alpha)
        axes.set_yticks(range(len(explainers)), explainers, fontsize=7)
        axes.set_ylim(len(explainers) - 0.5, -0.5)
        axes.set_xticks(range(len(metrics)), metrics, fontsize=7, rotation=35, ha="left",
                        rotation_mode="anchor")  # fmt: skip
        axes.xaxis.tick_top()
        axes.tick_params(length=0, pad=2)
        axes.set_xlim(-0.5, len(metrics) - 0.5)
        axes.grid(visible=False)
        axes.set_xlabel(f"pruner {pruner}, {condition} images", fontsize=8, loc="left")
        real = len(explainers) - len(controls)
        if 0 < real < len(explainers):
            axes.axhline(real - 0.5, color="0.2", linewidth=1.0)
    return figure


def _cell(axes: Axes, row: "pd.Series[Any]", place: tuple[int, int], alpha: float) -> None:
    across, down = place
    value = row["pearson"]
    text, weight = "–", "normal"
    if value == value:
        text = f"{value:+.2f}".replace("-", "−")
        if row["pearson_seeds"] < row["n_seeds"]:
            text = f"({text})"
        hue = to_rgb(POSITIVE if value > 0 else NEGATIVE)
        strength = 0.6 * min(abs(float(value)), 1.0)
        tint = tuple(1 - strength * (1 - part) for part in hue)
        axes.add_patch(Rectangle((across - 0.5, down - 0.5), 1, 1, facecolor=tint,
                                 edgecolor="white", linewidth=0.8))  # fmt: skip
        weight = "bold" if row["p_adjusted"] < alpha else "normal"
    axes.text(across, down, text, fontsize=6.5, ha="center", va="center", fontweight=weight,
              gid="r")  # fmt: skip
