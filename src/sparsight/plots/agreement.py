"""How far explanations move from the dense network's, next to how far they move for less."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sparsight.analysis import tables
from sparsight.analysis.tables import MEAN
from sparsight.plots.style import (
    THIN,
    draw_networks,
    figure_style,
    has_gaps,
    legend_below,
    multiples_figure,
    of_network,
    save_figure,
)

#: of the stage `figure_agreement`: see `sparsight.study.versions`
VERSION = 1

SEED_FLOOR = "seed_floor"
# Kind of floor to the line, the band, and on which side of the line its name stands.
FLOORS: dict[str, dict[str, Any]] = {
    "retrained": {"linestyle": (0, (5, 2)), "alpha": 0.28, "name": (1.5, "bottom")},
    "other seeds": {"linestyle": (0, (1, 1.5)), "alpha": 0.12, "name": (-1.5, "top")},
}
FLOOR_COLOUR = "0.25"


def draw_agreement(agreement: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the agreement with the dense network's explanations at every level, and its two floors.

    Every network (seed) is a thin line or a dot, the mean a thick one with its t interval over
    seeds. Dashed, with a darker band: dense networks that were only retrained, against their dense
    parent. Dotted, with a paler band: dense networks of other seeds against each other. Bands are t
    intervals over seeds. An `InputError` is raised where there is nothing to draw.

    From `agreement.csv`; `settings` hold `dataset`, `model`, `metric` (of agreement); optional
    `retrain` and those of `grouping` and `places`.
    """
    frame = tables.read("agreement", agreement)
    frame = of_network(frame, agreement, settings, metric=settings["metric"])
    with figure_style():
        save_figure(agreement_figure(frame, settings), outputs)


def agreement_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_agreement`, from its rows of `agreement.csv`."""
    retrained = frame["pruner"].isin(list(settings.get("retrain", ())))
    other = frame["reference"] == SEED_FLOOR
    floors = {"retrained": frame[retrained & ~other], "other seeds": frame[other]}
    curves = frame[~retrained & ~other]

    def draw(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
        if len(rows):
            first = rows.iloc[0]
            for kind, found in floors.items():
                own = found[found["explainer"] == first["explainer"]]
                draw_floor(axes, own[own["condition"] == first["condition"]], kind)
        _curve(axes, rows, colour)

    metric = settings["metric"]
    label = f"{metric} with the dense network's map\n1 is equal"
    figure = multiples_figure(curves, settings, label, f", agreement by {metric}", draw)
    seeds = curves.loc[curves["seed"] != MEAN, "seed"].nunique()
    _legend(figure, seeds, [kind for kind, found in floors.items() if len(found)])
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    gaps = has_gaps(rows["level"])
    draw_networks(axes, rows[rows["seed"] != MEAN], colour, "mean")
    mean = rows[rows["seed"] == MEAN]
    axes.vlines(mean["level"], mean["low"], mean["high"], color=colour, alpha=0.3, linewidth=2.2,
                zorder=2, gid="interval")  # fmt: skip
    axes.plot(mean["level"], mean["mean"], color=colour, linestyle="" if gaps else "-",
              linewidth=1.3, marker="o", markersize=2.8, zorder=3, gid="mean")  # fmt: skip


def draw_floor(axes: Axes, rows: pd.DataFrame, kind: str) -> None:
    """Draw a floor: the mean over networks as a line, its t interval as a band, and its name.

    Parameters
    ----------
    rows : with seed, mean, low and high; those of single seeds are not drawn.
    kind : one of `FLOORS`.
    """
    style = FLOORS[kind]
    for _, row in rows[rows["seed"] == MEAN].dropna(subset=["mean"]).iterrows():
        axes.axhline(row["mean"], color=FLOOR_COLOUR, linestyle=style["linestyle"],
                     linewidth=0.9, zorder=1, gid="floor")  # fmt: skip
        if row["low"] == row["low"]:
            axes.axhspan(row["low"], row["high"], color=FLOOR_COLOUR, alpha=style["alpha"],
                         linewidth=0, zorder=0.5, gid=kind)  # fmt: skip
        # At the left, where nothing is: level 0 is not compared with itself.
        above, side = style["name"]
        axes.annotate(kind, (0.02, row["mean"]), xycoords=("axes fraction", "data"),
                      xytext=(0, above), textcoords="offset points", fontsize=5.5, color="0.2",
                      ha="left", va=side, gid="floor name", zorder=4)  # fmt: skip


def _legend(figure: Figure, seeds: int, floors: Iterable[str]) -> None:
    colour = "0.3"
    mean = f"mean of {seeds} seeds, t interval" if seeds > 1 else "one seed: no interval"
    handles = [Line2D([], [], color=colour, marker="o", markersize=3, label=mean)]
    if seeds > 1:
        handles.append(Line2D([], [], color=colour, label="one seed", **THIN))
    legend_below(figure, [*handles, *floor_handles(floors)])


def floor_handles(kinds: Iterable[str]) -> list[Any]:
    """What a legend says of floors."""
    names = {"retrained": "retrain floor: dense, retrained",
             "other seeds": "seed floor: dense, of other seeds"}  # fmt: skip
    return [
        Line2D([], [], color=FLOOR_COLOUR, linestyle=FLOORS[kind]["linestyle"], label=names[kind])
        for kind in kinds
    ]
