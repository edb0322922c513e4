"""Small multiples: one little panel per explainer, a block of them per pruner and condition."""

import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsight.io.errors import InputError
from sparsight.plots.panels import beside, chain_axis, densities, grouping, has_gaps, places
from sparsight.plots.style import THIN, name_figure, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

COLUMNS = (5, 4, 3)
PANEL_WIDTH, PANEL_HEIGHT = 1.85, 1.15
LABELS = 4
# of a label along the y axis for each row of panels
LETTERS = 26
INK, CONTROL = "#1f2a6b", "0.4"

#: draws the rows of one explainer under one pruner and condition, in a colour
Draw = Callable[["Axes", pd.DataFrame, str], None]
#: draws the x axis of a panel from the rows of its pruner and condition; whether without labels
Axis = Callable[["Axes", pd.DataFrame, bool], None]


def multiples_figure(
    frame: pd.DataFrame,
    settings: Mapping[str, Any],
    label: str,
    about: str,
    draw: Draw,
    axis: Axis | None = None,
    all_controls: bool = False,
) -> "Figure":
    """A figure with a panel for each explainer that looks at a network; all share one y axis.

    Parameters
    ----------
    frame : rows with pruner, condition, explainer, level and density.
    settings : `dataset`, `model`; see `panels.grouping` and `panels.places`.
    label : of the y axis.
    about : what the figure shows, for its heading.
    draw : called for every panel.
    axis : draws the x axis of every panel; by default that of pruning levels.
    all_controls : whether controls that look at no network have panels too, and all controls the
        last ones. Their maps do not change with the level; what is measured with them may.

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    controls = set(settings.get("controls", ()))
    grouped = grouping(frame["explainer"].unique(), settings)
    explainers, blocks = grouped.explainers, places(frame, settings)
    if all_controls:
        # Sorting keeps the order of those that are alike.
        explainers = sorted([*explainers, *grouped.everywhere], key=lambda name: name in controls)
    if not explainers or not blocks:
        raise InputError(
            f"no explainer that looks at a network has levels to draw ({about.strip(', ')}); "
            "choose such an explainer and a pruner that removes weights"
        )
    columns = min(len(explainers), min(COLUMNS, key=lambda n: -len(explainers) % n))
    rows = -(-len(explainers) // columns)
    height = rows * (PANEL_HEIGHT + 0.25) + 0.75
    figure = new_figure(max(PANEL_WIDTH * columns + 0.7, 5.6), height * len(blocks) + 0.95)
    name_figure(figure, settings, about)
    parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
    for part, (pruner, condition) in zip(parts, blocks, strict=True):
        here = frame[(frame["pruner"] == pruner) & (frame["condition"] == condition)]
        part.suptitle(f"pruner {pruner}, {condition} images", fontsize=8, x=0.01, ha="left")
        for index, axes in enumerate(_grid(part, rows, columns, len(explainers))):
            name = explainers[index]
            found = here[here["explainer"] == name].sort_values("level")
            draw(axes, found, CONTROL if name in controls else INK)
            (axis or _levels)(axes, here, index + columns < len(explainers))
            title = f"{name} (control)" if name in controls else name
            axes.set_title(title, loc="left", fontsize=7, pad=2)
            axes.tick_params(axis="y", labelsize=6.5)
        part.supylabel(_wrapped(label, LETTERS * rows), fontsize=7.5)
    share_limits(figure.axes)
    return figure


def _wrapped(label: str, letters: int) -> str:
    """A label of several lines, none longer than there is room along the panels."""
    lines = [part for line in label.split("\n") for part in textwrap.wrap(line, letters)]
    return "\n".join(lines)


def _levels(axes: "Axes", rows: pd.DataFrame, bare: bool) -> None:
    chain_axis(axes, densities(rows), bare=bare, labels=LABELS)


def _grid(part: "SubFigure", rows: int, columns: int, count: int) -> "list[Axes]":
    grid = part.subplots(rows, columns, squeeze=False, sharey=True).flatten().tolist()
    for axes in grid[count:]:
        axes.remove()
    found: list[Axes] = grid[:count]
    return found


def share_limits(panels: "Iterable[Axes]") -> None:
    """Give all panels the limits that their lines and points need; intervals may be cut."""
    found = list(panels)
    shown = [line for axes in found for line in axes.lines]
    values = [v for line in shown for v in np.asarray(line.get_ydata(), dtype=np.float64).tolist()]
    values = [value for value in values if value == value]
    low, high = min(values, default=-1.0), max(values, default=1.0)
    margin = 0.12 * ((high - low) or max(abs(high), 1e-3))
    for axes in found:
        axes.set_ylim(low - margin, high + margin)


def draw_zero(axes: "Axes") -> None:
    """The line of no difference."""
    axes.axhline(0.0, color="0.35", linewidth=0.8, zorder=1.5, gid="zero")


def draw_estimates(
    axes: "Axes", rows: pd.DataFrame, colour: str, alpha: float, value: str = "difference"
) -> None:
    """An estimate per level, its t interval (pale bar) and its image interval (thin line).

    Filled where `p_adjusted` is below `alpha`, hollow elsewhere.
    """
    if not has_gaps(rows["level"]):
        axes.plot(rows["level"], rows[value], color=colour, linewidth=0.6, zorder=2.2, gid="mean")
    rows = rows.dropna(subset=[value])
    level = rows["level"]
    axes.vlines(level, rows[f"{value}_low"], rows[f"{value}_high"], color=colour, alpha=0.3,
                linewidth=2.2, zorder=2, gid="interval")  # fmt: skip
    axes.vlines(level, rows[f"{value}_images_low"], rows[f"{value}_images_high"], color=colour,
                linewidth=0.8, zorder=2.5, gid="images")  # fmt: skip
    significant = rows["p_adjusted"] < alpha
    for found, gid, face in ((rows[significant], "significant", colour),
                             (rows[~significant], "open", "white")):  # fmt: skip
        axes.plot(found["level"], found[value], linestyle="", marker="o", markersize=3.2,
                  markerfacecolor=face, markeredgecolor=colour, markeredgewidth=0.8, zorder=3,
                  gid=gid)  # fmt: skip


def draw_networks(axes: "Axes", rows: pd.DataFrame, colour: str, value: str) -> None:
    """Every network: a thin line, or dots beside the mean where levels were left out."""
    gaps = has_gaps(rows["level"])
    for _, found in rows.groupby("seed"):
        style = {**THIN, "linestyle": "", "markersize": 4.0} if gaps else THIN
        across = found["level"] + (beside(rows["level"], 2.6) if gaps else 0.0)
        axes.plot(across, found[value], color=colour, zorder=2, gid="seed", **style)


def estimate_handles(seeds: bool, alpha: float, tested: str) -> list[Any]:
    """What a legend says of `draw_estimates`; `seeds`: whether there are intervals over them."""
    from matplotlib.lines import Line2D

    point: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 3.6,
                             "markeredgecolor": INK}  # fmt: skip
    return [
        Line2D([], [], markerfacecolor=INK, label=f"{tested}, adjusted p < {alpha:.2g}", **point),
        Line2D([], [], markerfacecolor="white", label="otherwise", **point),
        Line2D([], [], color=INK, alpha=0.3, linewidth=3.0,
               label="t interval over seeds" if seeds else "one seed: no t interval"),
        Line2D([], [], color=INK, linewidth=0.9, label="image interval, for these networks"),
    ]  # fmt: skip
