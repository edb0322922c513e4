"""What figures of many explainers share: grouping, axes, labels at the edge, small multiples."""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsight.io.errors import InputError
from sparsight.plots.style import THIN, Look, looks, name_figure, new_figure, ordered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


# More curves than this in one panel cannot be told apart.
CURVES = 6
TICKS = 6
# Labels of levels this part of the axis apart do not touch.
CLOSEST = 6
STEPS = (1, 2, 5, 10, 20, 50, 100)
LABEL_SIZE = 6.5
# Height of a label at the edge, in inches.
LABEL_HEIGHT = 0.135


@dataclass(frozen=True)
class Group:
    """Explainers that share a panel: all of a family, or a part of it."""

    title: str
    explainers: tuple[str, ...]


@dataclass(frozen=True)
class Grouping:
    """Which explainer is drawn where.

    Attributes
    ----------
    groups : of up to `CURVES` explainers, families in the order of the settings.
    everywhere : controls that look at no network. They are the yardstick of every panel.
    look : of each explainer, the same in all figures of a study.
    """

    groups: tuple[Group, ...]
    everywhere: tuple[str, ...]
    look: Mapping[str, Look]

    @property
    def explainers(self) -> list[str]:
        """All but those of `everywhere`, group by group."""
        return [name for group in self.groups for name in group.explainers]


def grouping(names: Iterable[str], settings: Mapping[str, Any]) -> Grouping:
    """Group the explainers of a table by family.

    Parameters
    ----------
    names : the explainers of the table; others get a look, but no place.
    settings : optional `families` (family to explainers), `controls` (names), `explainers` (their
        order). A family that holds nothing but controls is one of explainers without a network;
        without `families` every control counts as such.
    """
    found = set(names)
    controls = set(settings.get("controls", ()))
    families = {k: list(v) for k, v in settings.get("families", {}).items()}
    known = {name for members in families.values() for name in members}
    rest = ordered(found - known, settings.get("explainers", ()), controls)
    whole = [name for members in families.values() if set(members) <= controls for name in members]
    whole += [name for name in rest if name in controls and not families]
    left = [name for name in rest if name not in whole]
    if left:
        families["others" if families else ""] = left
    members = {k: [n for n in v if n not in whole] for k, v in families.items()}
    members = {k: ordered(v, settings.get("explainers", v), controls) for k, v in members.items()}
    groups = [
        group
        for family, explainers in members.items()
        for group in _parts(family, [name for name in explainers if name in found])
    ]
    every = [name for explainers in members.values() for name in explainers]
    everywhere = ordered(whole, settings.get("explainers", whole), ())
    return Grouping(
        tuple(groups),
        tuple(name for name in everywhere if name in found),
        looks([*every, *everywhere], controls),
    )


def _parts(family: str, explainers: Sequence[str]) -> list[Group]:
    """A family's explainers in as many panels of about equal size as they need."""
    count = -(-len(explainers) // CURVES)
    found = []
    for index in range(count):
        start, stop = (len(explainers) * i // count for i in (index, index + 1))
        title = family if count == 1 else f"{family} ({index + 1} of {count})".strip()
        found.append(Group(title, tuple(explainers[start:stop])))
    return found


def of_network(
    frame: pd.DataFrame, source: Path, settings: Mapping[str, Any], **wanted: str
) -> pd.DataFrame:
    """Rows of the settings' `dataset` and `model` with these values.

    Of the explainers those of the settings' `explainers`, where they are listed; what belongs to
    no explainer stays.

    Raises
    ------
    InputError
        When no row is left.
    """
    for name, value in {
        "dataset": settings["dataset"],
        "model": settings["model"],
        **wanted,
    }.items():
        frame = frame[frame[name] == value]
        if frame.empty:
            raise InputError(f"{source} has no rows left with {name} '{value}' to draw")
    if "explainer" in frame and "explainers" in settings:
        listed = frame["explainer"].isin([*settings["explainers"], ""])
        frame = frame[listed | frame["explainer"].isna()]
    return frame


def places(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pruner and condition of each curve: the `pruners` of the settings, never those of `retrain`.

    A pruner that only retrains has no curve; it is the floor of the others. Without `pruners` all
    of the table are taken.
    """
    floors = set(settings.get("retrain", ()))
    pruners = list(settings.get("pruners", ())) or sorted(frame["pruner"].unique())
    found = set(zip(frame["pruner"], frame["condition"], strict=True))
    return [
        (pruner, condition)
        for pruner in pruners
        for condition in sorted(frame["condition"].unique())
        if pruner not in floors and (pruner, condition) in found
    ]


def has_gaps(levels: Iterable[int]) -> bool:
    """Whether levels were left out between the first and the last, so that no line is known."""
    found = sorted(set(levels))
    return any(after - before > 1 for before, after in pairwise(found))


def beside(levels: Iterable[int], steps: float) -> float:
    """How far along x a mark stands from its level so as not to hide another: small in any panel.

    Parameters
    ----------
    levels : all of the curve.
    steps : 1 is about a third of a marker's width.
    """
    return steps * 0.009 * max([1, *levels])


def densities(rows: pd.DataFrame) -> dict[int, float]:
    """Level to the share of weights left, in [0, 1], the mean over what the rows say."""
    means = rows.groupby("level")["density"].mean().dropna()
    return {int(level): float(share) for level, share in zip(means.index, means, strict=True)}


def chain_axis(
    axes: "Axes", known: Mapping[int, float], bare: bool = False, labels: int = TICKS
) -> None:
    """Levels of one pruner along x, with the share of weights left below some of them.

    Parameters
    ----------
    known : level to the share of weights left, in [0, 1]; level 0 is dense.
    bare : without the labels, for panels that stand above others with the same axis.
    labels : how many levels are named at most; a few more may have a line.
    """
    known = {0: 1.0, **known}
    last = max(known)
    span = max(last, 1)
    axes.set_xlim(-0.1 * span, last + 0.06 * span)
    lines, named = (_shown(sorted(known), count) for count in (TICKS, labels))
    texts = [f"{n}\n{percent(known[n])}" if n in named and not bare else "" for n in lines]
    axes.set_xticks(lines, texts, fontsize=LABEL_SIZE)
    if not bare:
        axes.set_xlabel("pruning level, weights left", fontsize=7, labelpad=1)


def _shown(levels: list[int], count: int) -> list[int]:
    """About `count` of the levels: all of a few that stand apart, else every so many."""
    gaps = [after - before for before, after in pairwise(levels)]
    if len(levels) <= count and min(gaps, default=1) * CLOSEST >= levels[-1]:
        return levels
    return [level for level in levels if level % _step(levels[-1], count) == 0]


def _step(last: int, count: int) -> int:
    return next((step for step in STEPS if last // step < count), max(last, 1))


def percent(share: float) -> str:
    """A share as a percentage with two figures that count: 100%, 33%, 0.086%."""
    value = 100 * share
    return f"{value:.0f}%" if value >= 9.95 else f"{value:.2g}%"


def label_edge(
    axes: "Axes", values: Mapping[str, float], height: float, colour: str = "0.35"
) -> None:
    """Name horizontal lines at the right edge of a panel, without overlaps.

    Values outside the panel are named with their number and an arrow at the side where they lie.

    Parameters
    ----------
    axes : with its final limits of y.
    values : name to where its line ends.
    height : of the panel, in inches.
    """
    low, high = axes.get_ylim()
    gap = LABEL_HEIGHT / height
    known = {name: value for name, value in values.items() if value == value}
    at = {name: (value - low) / (high - low) for name, value in known.items()}
    names = sorted(at, key=lambda name: (at[name], name))
    wanted = [min(max(at[name], gap / 2), 1 - gap / 2) for name in names]
    for name, place in zip(names, _spread(wanted, gap), strict=True):
        outside = not 0 <= at[name] <= 1
        arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0,
                 "relpos": (0.0, 0.5)}  # fmt: skip
        text = f"{name} {known[name]:.3g} {'↑' if at[name] > 1 else '↓'}" if outside else name
        axes.annotate(
            text,
            (1.0, place if outside else at[name]),
            xytext=(1.03, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            arrowprops=None if outside else arrow,
            fontsize=LABEL_SIZE,
            color=colour,
            va="center",
            ha="left",
            gid="edge",
            annotation_clip=False,
        )


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Ascending places, at least `gap` apart and as near to what is wanted as passes allow."""
    found = list(wanted)
    for _ in range(100):
        moved = False
        for i in range(len(found) - 1):
            lack = gap - (found[i + 1] - found[i])
            if lack > 1e-6:
                found[i] -= lack / 2
                found[i + 1] += lack / 2
                moved = True
        if found and found[0] < gap / 2:
            found[0] = gap / 2
        if found and found[-1] > 1 - gap / 2:
            found[-1] = 1 - gap / 2
        if not moved:
            break
    return found


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

    An `InputError` is raised where there is nothing to draw.

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
