"""What all figures share: how they look, their axes and panels, and how they are written.

Equal tables give equal bytes. Colours also differ in lightness, and every curve has its own marker
and dash, so that figures can be read in grey and by the colour-blind.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from sparsight.analysis.curves import mean_over_seeds
from sparsight.io.errors import InputError
from sparsight.io.files import atomic_path
from sparsight.plots.pages import percent
from sparsight.rounding import FULL_BITS

DPI = 200
_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.edgecolor": "0.6",
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "savefig.dpi": DPI,
    # matplotlib names svg elements at random unless told what to derive the names from.
    "svg.hashsalt": "sparsight",
}

# A mean shows about this many markers, however many levels there are.
MARKERS = 9
# One network. Small dots keep a lone defined level between undefined ones visible.
THIN: dict[str, Any] = {
    "alpha": 0.5,
    "linewidth": 0.7,
    "marker": ".",
    "markersize": 2.5,
    "markeredgewidth": 0,
}
# One dense network that was retrained.
FLOOR: dict[str, Any] = {
    "linestyle": "",
    "marker": "D",
    "markersize": 3.0,
    "fillstyle": "none",
    "markeredgewidth": 0.8,
}

Dash = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """How one curve is drawn."""

    colour: str
    marker: str
    dash: Dash
    hollow: bool = False

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of matplotlib for a thick line in this look."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.dash,
            "linewidth": 1.7,
            "markersize": 4.5,
            "fillstyle": "none" if self.hollow else "full",
        }


# From dark to light, alternating in hue.
_COLOURS = ("#1f2a6b", "#a3195b", "#0072b2", "#c8501e", "#2a9d6f", "#d9a100", "#74b9e8", "#b79ad6")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[Dash, ...] = ("-", (0, (6, 1)), (0, (6, 1, 1, 1)), "-")
_CONTROL_COLOURS = ("0.20", "0.38", "0.50", "0.60")
_CONTROL_MARKERS = ("x", "+", "o", "s")
_CONTROL_DASHES: tuple[Dash, ...] = ((0, (4, 2)), (0, (1, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (2, 3)))


def looks(names: Sequence[str], controls: Iterable[str] = ()) -> dict[str, Look]:
    """A look for each name, controls grey and dashed; the same for the same list of names."""
    grey = [name for name in names if name in set(controls)]
    coloured = [name for name in names if name not in grey]
    found: dict[str, Look] = {}
    for index, name in enumerate(coloured):
        # Once colours repeat, markers and dashes do not repeat with them.
        turn = index // len(_COLOURS)
        found[name] = Look(
            _COLOURS[index % len(_COLOURS)],
            _MARKERS[(index + turn) % len(_MARKERS)],
            _DASHES[(index + turn) % len(_DASHES)],
        )
    for index, name in enumerate(grey):
        found[name] = Look(
            _CONTROL_COLOURS[index % len(_CONTROL_COLOURS)],
            _CONTROL_MARKERS[index % len(_CONTROL_MARKERS)],
            _CONTROL_DASHES[(index + index // 4) % len(_CONTROL_DASHES)],
            hollow=True,
        )
    return {name: found[name] for name in names}


def order_names(names: Iterable[str], first: Iterable[str], controls: Iterable[str]) -> list[str]:
    """Names as listed in `first`, then the others by name; controls after all others."""
    given = list(first)
    last = set(controls)
    rank = {name: index for index, name in enumerate(given)}
    return sorted(set(names), key=lambda name: (name in last, rank.get(name, len(given)), name))


@contextmanager
def figure_style() -> Iterator[None]:
    """Seaborn's white grid with our sizes; matplotlib's own settings come back afterwards."""
    with matplotlib.style.context(["seaborn-v0_8-whitegrid", _RC]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, bound to no screen and to no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_page(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure and one panel all over it, whose axes are inches from the upper left corner."""
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, width)
    axes.set_ylim(height, 0.0)
    axes.set_axis_off()
    return figure, axes


def save_figure(figure: Figure, outputs: Iterable[Path]) -> None:
    """Write a figure to each path, atomically, in the format of its suffix (svg, png or pdf).

    The files hold no date and no version, so that equal figures are equal files.

    Raises
    ------
    InputError
        When a suffix is none of these.
    """
    metadata: Mapping[str, dict[str, None]] = {
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    _settle(figure)
    for output in map(Path, outputs):
        kind = output.suffix.removeprefix(".")
        if kind not in metadata:
            raise InputError(f"{output} is no figure; its name must end in .svg, .png or .pdf")
        with atomic_path(output) as temporary:
            figure.savefig(temporary, format=kind, metadata=metadata[kind], dpi=DPI)


def _settle(figure: Figure) -> None:
    """Lay the figure out once and round the places of its panels.

    The layout's solver visits constraints in the order of memory addresses, so that its last digits
    differ between runs, and matplotlib derives names in an svg from all digits.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


def name_figure(figure: Figure, settings: Mapping[str, Any], about: str = "") -> None:
    """Write above a figure whose networks it shows, and what of them."""
    title = f"{settings['model']} on {settings['dataset']}{about}"
    figure.suptitle(title, fontsize=9, fontweight="bold", x=0.01, ha="left")


def markers(index: int, points: int) -> tuple[int, int]:
    """Which points of the curve number `index` show a marker: first, and every so many.

    Curves that lie upon each other show different markers, since these start staggered.
    """
    every = max(1, round(points / MARKERS))
    return (index % every, every)


def seed_handles(seeds: int) -> list[Line2D]:
    """What a legend says of thick and thin lines."""
    if seeds < 2:
        return [Line2D([], [], linestyle="", label="one seed: no spread to show")]
    return [
        Line2D([], [], color="0.3", linewidth=1.7, label=f"mean of {seeds} seeds"),
        Line2D([], [], color="0.3", label="one seed", **THIN),
    ]


def legend_below(figure: Figure, handles: Sequence[Any], column: float = 2.3) -> None:
    """A legend under all panels, in as many columns of `column` inches as there is room for."""
    room = max(1, int(figure.get_figwidth() / column))
    figure.legend(handles=list(handles), loc="outside lower center", ncols=min(room, len(handles)),
                  handlelength=3.0)  # fmt: skip


def level_axis(axes: Axes) -> None:
    """Pruning levels along x: whole numbers."""
    axes.set_xlabel("pruning level")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))


def density_axis(axes: Axes, densities: Sequence[float]) -> None:
    """Weights left along x: logarithmic, from dense on the left to sparse on the right.

    Parameters
    ----------
    densities : all that are drawn, in [0, 1]. An empty network (0) has no place on the axis; the
        panel over levels shows it.
    """
    axes.set_xscale("log", nonpositive="mask")
    axes.set_xlabel("weights left (log scale)")
    positive = [density for density in densities if density > 0]
    lowest, highest = (min(positive), max(positive)) if positive else (0.1, 1.0)
    if lowest == highest:
        lowest, highest = lowest / 1.5, highest * 1.5
    reach = (highest / lowest) ** 0.04
    axes.set_xlim(highest * reach, lowest / reach)
    steps: tuple[int, ...] = (1, 2, 5) if highest / lowest <= 150 else (1, 3)
    if highest / lowest > 3000:
        steps = (1,)
    ticks = [step * 10.0**power for power in range(-9, 1) for step in steps]
    inside = [tick for tick in ticks if lowest / reach <= tick <= highest * reach]
    if len(inside) < 2:
        inside = [lowest, highest]
    axes.xaxis.set_major_locator(FixedLocator(inside))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))


def bits_axis(axes: Axes, bits: Sequence[float]) -> None:
    """Bits of weights along x: logarithmic, from many on the left to few on the right.

    Parameters
    ----------
    bits : all that are drawn, from 2 to 32.
    """
    axes.set_xscale("log", base=2)
    axes.set_xlabel("bits of weights (log scale)")
    places = sorted({float(one) for one in bits})
    reach = (places[-1] / places[0]) ** 0.04 * 1.01
    axes.set_xlim(places[-1] * reach, places[0] / reach)
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


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
    rest = order_names(found - known, settings.get("explainers", ()), controls)
    whole = [name for members in families.values() if set(members) <= controls for name in members]
    whole += [name for name in rest if name in controls and not families]
    left = [name for name in rest if name not in whole]
    if left:
        families["others" if families else ""] = left
    members = {k: [n for n in v if n not in whole] for k, v in families.items()}
    members = {
        k: order_names(v, settings.get("explainers", v), controls) for k, v in members.items()
    }
    groups = [
        group
        for family, explainers in members.items()
        for group in _parts(family, [name for name in explainers if name in found])
    ]
    every = [name for explainers in members.values() for name in explainers]
    everywhere = order_names(whole, settings.get("explainers", whole), ())
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
    found = set(zip(frame["pruner"], frame["condition"], strict=True))
    conditions = sorted(frame["condition"].unique())
    pruners = pruners_of(frame, settings)
    return [place for place in product(pruners, conditions) if place in found]


def pruners_of(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[str]:
    """The `pruners` of the settings (without them, those of the table) that have a curve here."""
    there = set(frame["pruner"])
    floors = set(settings.get("retrain", ()))
    listed = list(settings.get("pruners", ())) or sorted(there)
    return [name for name in listed if name in there and name not in floors]


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


def distinct_bits(rows: pd.DataFrame) -> dict[int, float]:
    """Level of one pruner to bits of its weights, the mean over what the rows say.

    Empty where the share of weights left tells levels apart, or bits are not known.
    """
    if "bits" not in rows:
        return {}
    means = rows.groupby("level")[["density", "bits"]].mean()
    if means.empty or means.groupby("density")["bits"].nunique().max() < 2:
        return {}
    return {int(level): float(bits) for level, bits in zip(means.index, means["bits"], strict=True)}


def chain_axis(
    axes: Axes,
    known: Mapping[int, float],
    bare: bool = False,
    labels: int = TICKS,
    bits: Mapping[int, float] | None = None,
) -> None:
    """Levels of one pruner along x, with what tells them apart below some of them.

    That is the share of weights left, where it differs, and bits of weights.

    Parameters
    ----------
    known : level to the share of weights left, in [0, 1]; level 0 is dense.
    bare : without the labels, for panels that stand above others with the same axis.
    labels : how many levels are named at most; a few more may have a line.
    bits : see `distinct_bits`.
    """
    known, bits = {0: 1.0, **known}, {0: FULL_BITS, **bits} if bits else {}
    facts = {
        ", weights left": {level: percent(share) for level, share in known.items()},
        ", bits": {level: f"{bits[level]:g} bits" for level in known if level in bits},
    }
    facts = {name: texts for name, texts in facts.items() if len(set(texts.values())) > 1}
    last = max(known)
    span = max(last, 1)
    axes.set_xlim(-0.1 * span, last + 0.06 * span)
    lines, named = (_choose_levels(sorted(known), count) for count in (TICKS, labels))
    below = {n: "\n".join([str(n), *(texts.get(n, "") for texts in facts.values())]) for n in known}
    texts = [below[n] if n in named and not bare else "" for n in lines]
    axes.set_xticks(lines, texts, fontsize=LABEL_SIZE)
    if not bare:
        axes.set_xlabel(f"pruning level{''.join(facts)}", fontsize=7, labelpad=1)


def _choose_levels(levels: list[int], count: int) -> list[int]:
    """About `count` of the levels: all of a few that stand apart, else every so many."""
    gaps = [after - before for before, after in pairwise(levels)]
    if len(levels) <= count and min(gaps, default=1) * CLOSEST >= levels[-1]:
        return levels
    return [level for level in levels if level % _step(levels[-1], count) == 0]


def _step(last: int, count: int) -> int:
    return next((step for step in STEPS if last // step < count), max(last, 1))


def label_edge(
    axes: Axes, values: Mapping[str, float], height: float, colour: str = "0.35"
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
Draw = Callable[[Axes, pd.DataFrame, str], None]
#: draws the x axis of a panel from the rows of its pruner and condition; whether without labels
Axis = Callable[[Axes, pd.DataFrame, bool], None]


def multiples_figure(
    frame: pd.DataFrame,
    settings: Mapping[str, Any],
    label: str,
    about: str,
    draw: Draw,
    axis: Axis | None = None,
    all_controls: bool = False,
) -> Figure:
    """A figure with a panel for each explainer that looks at a network; all share one y axis.

    An `InputError` is raised where there is nothing to draw.

    Parameters
    ----------
    frame : rows with pruner, condition, explainer, level and density.
    settings : `dataset`, `model`; see `grouping` and `places`.
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
    rows, columns = grid_shape(len(explainers))
    height = rows * (PANEL_HEIGHT + 0.25) + 0.75
    figure = new_figure(max(PANEL_WIDTH * columns + 0.7, 5.6), height * len(blocks) + 0.95)
    name_figure(figure, settings, about)
    parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
    for part, (pruner, condition) in zip(parts, blocks, strict=True):
        here = frame[(frame["pruner"] == pruner) & (frame["condition"] == condition)]
        part.suptitle(f"pruner {pruner}, {condition} images", fontsize=8, x=0.01, ha="left")
        for index, axes in enumerate(grid_of(part, rows, columns, len(explainers), sharey=True)):
            name = explainers[index]
            found = here[here["explainer"] == name].sort_values("level")
            draw(axes, found, CONTROL if name in controls else INK)
            (axis or _levels)(axes, here, index + columns < len(explainers))
            title = f"{name} (control)" if name in controls else name
            axes.set_title(title, loc="left", fontsize=7, pad=2)
            axes.tick_params(axis="y", labelsize=6.5)
        part.supylabel(_wrap(label, LETTERS * rows), fontsize=7.5)
    share_limits(figure.axes)
    return figure


def _wrap(label: str, letters: int) -> str:
    """A label of several lines, none longer than there is room along the panels."""
    lines = [part for line in label.split("\n") for part in textwrap.wrap(line, letters)]
    return "\n".join(lines)


def _levels(axes: Axes, rows: pd.DataFrame, bare: bool) -> None:
    chain_axis(axes, densities(rows), bare=bare, labels=LABELS, bits=distinct_bits(rows))


def grid_shape(count: int, widths: Sequence[int] = COLUMNS) -> tuple[int, int]:
    """Rows and columns for `count` panels: of these widths the one that leaves fewest gaps."""
    columns = min(count, min(widths, key=lambda n: -count % n))
    return -(-count // columns), columns


def grid_of(part: SubFigure, rows: int, columns: int, count: int, **shared: Any) -> list[Axes]:
    """The first `count` panels of a grid; `shared` are `sharex` and `sharey` of matplotlib."""
    panels: list[Axes] = part.subplots(rows, columns, squeeze=False, **shared).flatten().tolist()
    for axes in panels[count:]:
        axes.remove()
    return panels[:count]


def share_limits(panels: Iterable[Axes]) -> None:
    """Give all panels the limits that their lines and points need; intervals may be cut."""
    found = list(panels)
    shown = [line for axes in found for line in axes.lines]
    values = [v for line in shown for v in np.asarray(line.get_ydata(), dtype=np.float64).tolist()]
    values = [value for value in values if value == value]
    low, high = min(values, default=-1.0), max(values, default=1.0)
    margin = 0.12 * ((high - low) or max(abs(high), 1e-3))
    for axes in found:
        axes.set_ylim(low - margin, high + margin)


def draw_zero(axes: Axes) -> None:
    """The line of no difference."""
    axes.axhline(0.0, color="0.35", linewidth=0.8, zorder=1.5, gid="zero")


def draw_estimates(
    axes: Axes, rows: pd.DataFrame, colour: str, alpha: float, value: str = "difference"
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
    draw_points(axes, rows, value, rows["p_adjusted"] < alpha, colour, 3.2, 3)


def draw_points(
    axes: Axes,
    rows: pd.DataFrame,
    value: str,
    significant: "pd.Series[bool]",
    colour: str,
    size: float,
    zorder: float,
) -> None:
    """A point per level, filled where it is significant, hollow elsewhere."""
    for found, gid, face in ((rows[significant], "significant", colour),
                             (rows[~significant], "open", "white")):  # fmt: skip
        axes.plot(found["level"], found[value], linestyle="", marker="o", markersize=size,
                  markerfacecolor=face, markeredgecolor=colour, markeredgewidth=0.8, zorder=zorder,
                  gid=gid)  # fmt: skip


def draw_mean_and_seeds(
    axes: Axes, curve: pd.DataFrame, across: str, value: str, look: Look, name: str, index: int
) -> None:
    """One pruner's curve, number `index` of the panel: thin lines of seeds, a thick mean."""
    for _, rows in curve.groupby("seed"):
        rows = rows.sort_values("level")
        axes.plot(rows[across], rows[value], color=look.colour, zorder=2, gid="seed", **THIN)
    mean = mean_over_seeds(curve, ["pruner"], value).sort_values("level")
    axes.plot(mean[across], mean[value], **look.line, markevery=markers(index, len(mean)),
              zorder=3, gid="mean", label=name)  # fmt: skip


def draw_networks(axes: Axes, rows: pd.DataFrame, colour: str, value: str) -> None:
    """Every network: a thin line, or dots beside the mean where levels were left out."""
    gaps = has_gaps(rows["level"])
    for _, found in rows.groupby("seed"):
        style = {**THIN, "linestyle": "", "markersize": 4.0} if gaps else THIN
        across = found["level"] + (beside(rows["level"], 2.6) if gaps else 0.0)
        axes.plot(across, found[value], color=colour, zorder=2, gid="seed", **style)


def estimate_handles(seeds: bool, alpha: float, tested: str) -> list[Any]:
    """What a legend says of `draw_estimates`; `seeds`: whether there are intervals over them."""
    point: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 3.6,
                             "markeredgecolor": INK}  # fmt: skip
    return [
        Line2D([], [], markerfacecolor=INK, label=f"{tested}, adjusted p < {alpha:.2g}", **point),
        Line2D([], [], markerfacecolor="white", label="otherwise", **point),
        Line2D([], [], color=INK, alpha=0.3, linewidth=3.0,
               label="t interval over seeds" if seeds else "one seed: no t interval"),
        Line2D([], [], color=INK, linewidth=0.9, label="image interval, for these networks"),
    ]  # fmt: skip
