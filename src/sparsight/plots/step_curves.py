"""How a metric runs over its steps at every level: one metric, one panel per explainer."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn.objects as so
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sparsight.analysis import tables
from sparsight.analysis.tables import MEAN
from sparsight.plots.pages import percent
from sparsight.plots.panels import Axis, counts, explainer_pages, same_place
from sparsight.plots.style import figure_style, metric_of, of_network, save_figure

#: of the stage `figure_curves`: see `sparsight.study.versions`
VERSION = 2

RETRAINED: dict[str, Any] = {"color": "0.62", "linewidth": 1.0, "linestyle": (0, (3, 1.5)),
                             "zorder": 2.8}  # fmt: skip
# The scale of densities: dark at 100%, and not so light at the other end that it fades on white.
SCALE, LIGHTEST = "plasma", 0.84
NAMED = 6


def draw_step_curves(curves: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the mean of a metric at each of its steps, a line per level, a panel per explainer.

    Lines are means over seeds, coloured by the share of weights left: from dark (dense, the broad
    line) to light. Bands are the t intervals over seeds of the dense network and of the sparsest
    level of the panel. Dashed: dense networks that were retrained. Controls stand last; those that
    look at no network have panels too, since what is measured with their maps changes with the
    network. An `InputError` is raised where there is nothing to draw.

    From `curves.csv`; `settings` hold `dataset`, `model`, `metric`; optional `metrics` (metric to
    its facts `unit` and `step_axis`), `retrain`, and those of `grouping` and `places`.
    """
    wanted = {"metric": settings["metric"], "seed": MEAN}
    frame = of_network(tables.read("curves", curves), curves, settings, **wanted)
    with figure_style():
        save_figure(step_curves_pages(frame, settings), outputs)


def step_curves_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `draw_step_curves`, from its rows of the seed "mean" of `curves.csv`."""
    retrained = frame["pruner"].isin(list(settings.get("retrain", ())))
    floors = frame[retrained & (frame["level"] > 0)].sort_values("step")
    curves = frame[~retrained].sort_values("step")
    metric, seeds = settings["metric"], int(curves["n_seeds"].max())
    colours = _colours(curves["density"].tolist())
    facts = settings.get("metrics", {}).get(metric, {})

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        _draw_levels(axes, rows, colours)
        for _, curve in same_place(floors, rows).groupby(["pruner", "level"]):
            axes.plot(curve["axis_value"], curve["mean"], gid="retrained", **RETRAINED)

    def axis(rows: pd.DataFrame) -> tuple[Axis, str]:
        first, last = rows["axis_value"].min(), rows["axis_value"].max()
        margin = 0.04 * ((last - first) or 1.0)

        def steps(axes: Axes, bare: bool, labels: int) -> None:
            axes.set_xlim(first - margin, last + margin)
            axes.xaxis.set_major_locator(MaxNLocator(labels, integer=True, min_n_ticks=1))
            axes.tick_params(axis="x", labelbottom=not bare)

        return steps, str(facts.get("step_axis") or "step")

    # What the unit says of the number in tables is left out.
    label = "\n".join(filter(None, [metric_of(settings), facts.get("unit", "").partition(";")[0]]))
    words = {"interval": f"t interval over {seeds} networks: dense, sparsest", "retrained": ""}
    return explainer_pages(
        curves, settings, f"{metric_of(settings)} step by step", label, "mean", draw, axis,
        all_controls=True, facts=counts(curves, settings), words=words,
        extra=_handles(curves, colours, len(floors) > 0),
    )  # fmt: skip


def _colours(densities: list[float]) -> dict[float, Any]:
    """Density in [0, 1] to its colour, dark where most weights are left; on a log scale."""
    positive = [one for one in densities if one > 0] or [1.0]
    highest, lowest = max(positive), min(positive)
    span = math.log(highest / lowest) or 1.0
    # An empty network is beyond the scale's end.
    places = {one: math.log(highest / max(one, lowest)) / span for one in {*densities, 1.0}}
    scale = matplotlib.colormaps[SCALE]
    return {one: scale(LIGHTEST * min(max(place, 0.0), 1.0)) for one, place in places.items()}


def _draw_levels(axes: Axes, rows: pd.DataFrame, colours: Mapping[float, Any]) -> None:
    """The dense network lies broad and dark under the others: both can be seen where they meet."""
    by_level = rows.groupby("level")["density"].first()
    ends = {0, by_level.index.max()}
    colour = so.Nominal({level: colours[density] for level, density in by_level.items()})
    plot = so.Plot().scale(color=colour)
    layers: list[tuple[so.Mark, Any, dict[str, str]]] = [
        (so.Line(linewidth=2.6, marker="o", pointsize=2.6, edgewidth=0,
                 artist_kws={"gid": "dense", "zorder": 2.5}), rows["level"] == 0, {"y": "mean"}),
        (so.Line(linewidth=1.0, marker=".", pointsize=2.6,
                 artist_kws={"gid": "level", "zorder": 3}), rows["level"] > 0, {"y": "mean"}),
    ]  # fmt: skip
    for mark, chosen, values in layers:
        if chosen.any():
            plot = plot.add(mark, data=rows[chosen], legend=False, x="axis_value", color="level",
                            **values)  # fmt: skip
    plot.on(axes).plot()
    for level, curve in rows[rows["level"].isin(ends)].dropna(subset=["low"]).groupby("level"):
        axes.fill_between(curve["axis_value"], curve["low"], curve["high"], alpha=0.16, linewidth=0,
                          color=colours[by_level[level]], zorder=1, gid="interval")  # fmt: skip


def _handles(curves: pd.DataFrame, colours: Mapping[float, Any], floor: bool) -> list[Line2D]:
    pruned = curves.loc[curves["level"] > 0, "density"]
    # Levels of several pruners may leave about as many weights.
    shares = {percent(one): one for one in sorted(pruned.unique(), reverse=True)}
    chosen = np.unique(np.linspace(0, len(shares) - 1, min(len(shares), NAMED)).round().astype(int))
    handles = []
    if (curves["level"] == 0).any():
        handles.append(Line2D([], [], color=colours[1.0], linewidth=2.6, label="dense"))
    for name, share in [list(shares.items())[place] for place in chosen]:
        handles.append(Line2D([], [], color=colours[share], label=f"{name} of weights left"))
    if floor:
        handles.append(Line2D([], [], label="dense, retrained", **RETRAINED))
    return handles
