"""How a metric runs over its steps at every level: one metric, one panel per explainer."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sparsight.analysis import tables
from sparsight.analysis.tables import MEAN
from sparsight.plots.pages import percent
from sparsight.plots.style import (
    figure_style,
    legend_below,
    multiples_figure,
    of_network,
    save_figure,
)

#: of the stage `figure_curves`: see `sparsight.study.versions`
VERSION = 1

# The dense network lies broad and dark under the others, so that both can be seen where they meet.
DENSE: dict[str, Any] = {"linewidth": 2.6, "zorder": 2.5, "marker": "o", "markersize": 2.6,
                         "markeredgewidth": 0}  # fmt: skip
LEVEL: dict[str, Any] = {"linewidth": 1.0, "zorder": 3, "marker": ".", "markersize": 2.6}
RETRAINED: dict[str, Any] = {"color": "0.62", "linewidth": 1.0, "linestyle": (0, (3, 1.5)),
                             "zorder": 2.8}  # fmt: skip
BAND = 0.16
# The scale of densities: dark at 100%, and not so light at the other end that it fades on white.
SCALE, LIGHTEST = "plasma", 0.84
NAMED = 6
# Characters of a line next to a single row of panels.
WIDEST = 30


def draw_step_curves(curves: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the mean of a metric at each of its steps, a line per level, a panel per explainer.

    Lines are means over seeds, coloured by the share of weights left: from dark (dense, the broad
    line) to light. Bands are the t intervals over seeds of the dense network and of the sparsest
    level of the panel; they may leave it. Dashed: dense networks that were retrained. Controls
    stand last; those that look at no network have panels too, since what is measured with their
    maps changes with the network. An `InputError` is raised where there is nothing to draw.

    From `curves.csv`; `settings` hold `dataset`, `model`, `metric`; optional `metrics` (metric to
    its facts `unit` and `step_axis`), `retrain`, and those of `grouping` and `places`.
    """
    wanted = {"metric": settings["metric"], "seed": MEAN}
    frame = of_network(tables.read("curves", curves), curves, settings, **wanted)
    with figure_style():
        save_figure(step_curves_figure(frame, settings), outputs)


def step_curves_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_step_curves`, from its rows of the seed "mean" of `curves.csv`."""
    retrained = frame["pruner"].isin(list(settings.get("retrain", ())))
    floors = frame[retrained & (frame["level"] > 0)]
    curves = frame[~retrained]
    colour_of = _colours(curves["density"])
    facts = settings.get("metrics", {}).get(settings["metric"], {})

    def draw(axes: Axes, rows: pd.DataFrame, _: str) -> None:
        _levels(axes, rows, colour_of)
        if len(rows):
            own = floors[floors["explainer"] == rows["explainer"].iloc[0]]
            _floor(axes, own[own["condition"] == rows["condition"].iloc[0]])

    def steps(axes: Axes, rows: pd.DataFrame, bare: bool) -> None:
        _step_axis(axes, rows, str(facts.get("step_axis") or "step"), bare)

    metric = settings["metric"]
    figure = multiples_figure(curves, settings, _label(metric, facts), f", {metric} step by step",
                              draw, axis=steps, all_controls=True)  # fmt: skip
    _legend(figure, curves, colour_of, len(floors) > 0)
    return figure


def _label(metric: str, facts: Mapping[str, str]) -> str:
    """Metric and unit of a step; what the unit says of the number in tables is left out."""
    unit = facts.get("unit", "").partition(";")[0]
    return "\n".join([metric, *textwrap.wrap(unit, WIDEST)])


class _Colours:
    """The colour of a density in [0, 1], dark where most weights are left; on a log scale."""

    def __init__(self, scale: Colormap, densities: Sequence[float]) -> None:
        positive = [one for one in densities if one > 0] or [1.0]
        self._scale = scale
        self._highest, self._lowest = max(positive), min(positive)

    def __call__(self, density: float) -> Any:
        span = math.log(self._highest / self._lowest)
        # An empty network is beyond the scale's end.
        place = math.log(self._highest / max(density, self._lowest)) / span if span else 0.0
        return self._scale(LIGHTEST * place)


def _colours(densities: "pd.Series[float]") -> _Colours:
    return _Colours(matplotlib.colormaps[SCALE], densities.tolist())


def _levels(axes: Axes, rows: pd.DataFrame, colour_of: _Colours) -> None:
    found = list(rows.groupby("level", sort=True))
    for level, curve in found:
        curve = curve.sort_values("step")
        colour = colour_of(float(curve["density"].iloc[0]))
        style = LEVEL if level else DENSE
        axes.plot(curve["axis_value"], curve["mean"], color=colour, gid=f"level {level}", **style)
        if level in (0, found[-1][0]):
            axes.fill_between(curve["axis_value"], curve["low"], curve["high"], color=colour,
                              alpha=BAND, linewidth=0, zorder=1, gid="interval")  # fmt: skip


def _floor(axes: Axes, rows: pd.DataFrame) -> None:
    for _, curve in rows.groupby(["pruner", "level"], sort=True):
        curve = curve.sort_values("step")
        axes.plot(curve["axis_value"], curve["mean"], gid="retrained", **RETRAINED)


def _step_axis(axes: Axes, rows: pd.DataFrame, label: str, bare: bool) -> None:
    first, last = rows["axis_value"].min(), rows["axis_value"].max()
    margin = 0.04 * ((last - first) or 1.0)
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.tick_params(axis="x", labelsize=6.5, labelbottom=not bare)
    if not bare:
        axes.set_xlabel(label, fontsize=7, labelpad=1)


def _legend(figure: Figure, curves: pd.DataFrame, colour_of: _Colours, floor: bool) -> None:
    pruned = curves.loc[curves["level"] > 0, "density"]
    # Levels of several pruners may leave about as many weights.
    shares = {percent(one): one for one in sorted(pruned.unique(), reverse=True)}
    places = np.unique(np.linspace(0, len(shares) - 1, min(len(shares), NAMED)).round().astype(int))
    handles: list[Any] = []
    if (curves["level"] == 0).any():
        handles.append(Line2D([], [], color=colour_of(1.0), label="dense", **DENSE))
    handles += [
        Line2D([], [], color=colour_of(share), label=f"{name} of weights left", **LEVEL)
        for name, share in (list(shares.items())[place] for place in places)
    ]
    if floor:
        handles.append(Line2D([], [], label="dense, retrained", **RETRAINED))
    seeds = int(curves["n_seeds"].max())
    if curves["low"].notna().any():
        text = f"t interval over {seeds} seeds: dense, sparsest"
        handles.append(Patch(facecolor="0.4", alpha=2 * BAND, label=text))
    else:
        handles.append(Line2D([], [], linestyle="", label="one seed: no interval"))
    legend_below(figure, handles, column=1.9)
