"""What pruning for the sample does to each explainer's score, beside its controls."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sparsight.analysis import tables
from sparsight.analysis.sample_pruning import ALL_EXPLAINERS, UNPRUNED
from sparsight.io.errors import InputError
from sparsight.plots.style import (
    Look,
    figure_style,
    grid_of,
    legend_below,
    looks,
    name_figure,
    new_figure,
    of_network,
    save_figure,
)

#: of the stage `figure_sample_pruning`: see `sparsight.study.versions`
VERSION = 1

PANEL_WIDTH, LINE_HEIGHT = 2.3, 0.42
NAME_WIDTH = 1.5
#: metrics side by side
COLUMNS = 3


def draw_sample_pruning(table: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the difference to the explainer on the network itself, one panel per metric.

    Each sample pruner has a mark of its own per explainer: filled where the adjusted p is below 1
    minus the confidence. Pale bars are t intervals over networks, thin lines intervals over images
    for these networks. Behind an explainer's name stands its score on the network itself. An
    `InputError` is raised where there is nothing to draw.

    From `sample_pruning.csv`; `settings` hold `dataset`, `model`, `explainers`, `sample_pruners`
    (in their order), `metrics` (name to `direction`, `unit`), `confidence`.
    """
    wanted = {**settings, "explainers": [*settings["explainers"], ALL_EXPLAINERS]}
    frame = of_network(tables.read("sample_pruning", table), table, wanted, against=UNPRUNED)
    with figure_style():
        save_figure(sample_pruning_figure(frame, wanted), outputs)


def sample_pruning_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_sample_pruning`, from its rows."""
    metrics = [name for name in settings["metrics"] if name in set(frame["metric"])]
    if not metrics:
        raise InputError("no metric was scored on pruned copies; choose one that looks at maps")
    explainers = [n for n in settings["explainers"] if n in set(frame["explainer"])]
    pruners = [n for n in settings["sample_pruners"] if n in set(frame["sample_pruner"])]
    look = looks(pruners)
    places = sorted(set(zip(frame["pruner"], frame["level"], frame["condition"], strict=True)))
    lines = -(-len(metrics) // COLUMNS)
    across = min(COLUMNS, len(metrics))
    height = LINE_HEIGHT * len(explainers) + 0.75
    figure = new_figure(
        NAME_WIDTH + PANEL_WIDTH * across, height * lines * len(places) + 0.3 * len(places) + 1.0
    )
    name_figure(figure, settings, ", pruned for each image")
    parts = figure.subfigures(len(places), 1, squeeze=False)[:, 0]
    for part, (pruner, level, condition) in zip(parts, places, strict=True):
        title = "dense" if level == 0 else f"{pruner}, level {level}"
        part.suptitle(f"{title}, {condition} images", fontsize=8, x=0.01, ha="left")
        here = frame[(frame["pruner"] == pruner) & (frame["level"] == level)]
        here = here[here["condition"] == condition]
        grid = grid_of(part, lines, across, len(metrics))
        for axes, metric in zip(grid, metrics, strict=True):
            _panel(axes, here[here["metric"] == metric], explainers, look, settings)
            facts = settings["metrics"][metric]
            axes.set_title(metric, loc="left", fontsize=8, pad=3)
            better = {"higher": "right is better", "lower": "left is better"}
            axes.set_xlabel(
                f"difference ({better.get(facts['direction'], 'neither is better')})", fontsize=7
            )
    _legend(figure, look, frame["n_seeds"].max(), 1 - float(settings["confidence"]))
    return figure


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    explainers: Sequence[str],
    look: Mapping[str, Look],
    settings: Mapping[str, Any],
) -> None:
    alpha = 1 - float(settings["confidence"])
    axes.axvline(0.0, color="0.35", linewidth=0.8, zorder=1.5, gid="zero")
    labels = []
    for line, explainer in enumerate(explainers):
        found = rows[rows["explainer"] == explainer]
        start = found["against_mean"].mean()
        name = "mean of all" if explainer == ALL_EXPLAINERS else explainer
        labels.append(f"{name}\n{start:.3g}" if start == start else name)
        for index, (pruner, style) in enumerate(look.items()):
            mine = found[found["sample_pruner"] == pruner]
            if len(mine):
                step = 0.8 / max(len(look), 1)
                _mark(axes, mine.iloc[0], line - 0.4 + step * (index + 0.5), style, alpha)
    axes.set_yticks(range(len(explainers)), labels, fontsize=6.5)
    axes.set_ylim(len(explainers) - 0.45, -0.55)
    axes.tick_params(axis="x", labelsize=6.5)
    if ALL_EXPLAINERS in explainers:
        axes.axhline(len(explainers) - 1.5, color="0.6", linewidth=0.6)


def _mark(axes: Axes, row: "pd.Series[Any]", y: float, look: Look, alpha: float) -> None:
    axes.hlines(y, row["difference_low"], row["difference_high"], color=look.colour, alpha=0.3,
                linewidth=2.6, zorder=2, gid="interval")  # fmt: skip
    axes.hlines(y, row["images_low"], row["images_high"], color=look.colour, linewidth=0.8,
                zorder=2.5, gid="images")  # fmt: skip
    face = look.colour if row["p_adjusted"] < alpha else "white"
    axes.plot([row["difference"]], [y], linestyle="", marker=look.marker, markersize=3.8,
              markerfacecolor=face, markeredgecolor=look.colour, markeredgewidth=0.8, zorder=3,
              gid="estimate")  # fmt: skip


def _legend(figure: Figure, look: Mapping[str, Look], seeds: int, alpha: float) -> None:
    point: dict[str, Any] = {"linestyle": "", "markersize": 4.5, "markeredgewidth": 0.8}
    handles = [
        Line2D([], [], marker=style.marker, markerfacecolor="white", label=name,
               markeredgecolor=style.colour, **point)
        for name, style in look.items()
    ]  # fmt: skip
    handles += [
        Line2D([], [], marker="o", markerfacecolor="0.2", markeredgecolor="0.2",
               label=f"filled: adjusted p < {alpha:.2g}", **point),
        Line2D([], [], color="0.3", alpha=0.4, linewidth=3.0,
               label="t interval over seeds" if seeds > 1 else "one seed: no t interval"),
        Line2D([], [], color="0.3", linewidth=0.9, label="image interval, for these networks"),
    ]  # fmt: skip
    legend_below(figure, handles)
