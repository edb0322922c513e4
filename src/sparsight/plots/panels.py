"""Small multiples: panels that fill the rows of a page, curves with intervals, and one legend.

A page is 180 mm wide and at most 247 mm tall; what does not fit goes on on the next one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import seaborn.objects as so
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from sparsight.analysis.curves import mean_over_seeds
from sparsight.analysis.tables import MEAN
from sparsight.io.errors import InputError
from sparsight.plots.labels import label_of
from sparsight.plots.pages import NOTHING, percent
from sparsight.plots.style import (
    CONTROL,
    INK,
    MARKERS,
    SIZE,
    TALLEST,
    WIDTH,
    Look,
    grouping,
    new_figure,
    places,
    text_width,
    title_of,
    wrap_lines,
)
from sparsight.rounding import FULL_BITS

_UNDEFINED = "No value is defined here, for want of networks or of maps that are not empty."
#: panels side by side at most
COLUMNS = 5
# inches: heading and facts of a page, heading of a block, title and tick labels of a row, its x
# label, a line of the legend
_TITLE, _HEADING, _TICKS, _ACROSS, _KEY = 0.32, 0.2, 0.48, 0.14, 0.155
# What is kept free for the legend.
_LEGEND = 0.95
# A wide panel is taller: height of a panel by the number of columns.
_HEIGHTS = {1: 2.0, 2: 1.7, 3: 1.45, 4: 1.25}
_LOWEST = 1.1
#: draws the x axis of a panel; whether without labels, and how many there is room for
Axis = Callable[[Axes, bool, int], None]
#: columns of the lower and the upper end of an interval
Ends = tuple[str, str]
#: the artists' `gid` to how the legend shows it and what it says; only what is drawn is said
_GREY: dict[str, Any] = {"color": "0.3"}
_POINT: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 3.6, "color": INK}
KEYS: dict[str, tuple[str, dict[str, Any]]] = {
    "mean": ("mean of networks", {**_GREY, "linewidth": 1.4}),
    "seed": ("one network", {**_GREY, "linewidth": 0.7, "alpha": 0.6, "marker": ".",
                             "markersize": 4.0}),
    "gapped": ("between: levels that were not measured", {**_GREY, "linestyle": (0, (1, 2))}),
    "filled": ("differs", _POINT),
    "open": ("otherwise", {**_POINT, "markerfacecolor": "white"}),
    "interval": ("t interval over networks", {**_GREY, "alpha": 0.35, "linewidth": 3.0}),
    "images": ("interval over images, for these networks", {**_GREY, "linewidth": 0.9}),
    "retrain floor": ("retrain floor: dense, retrained; t interval",
                      {"color": "0.25", "linestyle": (0, (5, 2)), "band": 0.28}),
    "seed floor": ("seed floor: dense, of other seeds; t interval",
                   {"color": "0.25", "linestyle": (0, (1, 1.5)), "band": 0.12}),
    "all levels": ("over all levels, with its t interval",
                   {"color": "0.45", "linestyle": (0, (4, 2)), "band": 0.22}),
    "chance": ("by chance", {"color": INK, "linestyle": "-.", "linewidth": 0.8}),
    "retrained": ("dense, retrained", {"color": "0.25", "linestyle": "", "marker": "D",
                                       "markersize": 3.0, "fillstyle": "none"}),
    "cut": ("interval goes on", {"color": "0.3", "linestyle": "", "marker": "^",
                                 "markersize": 3.0}),
}  # fmt: skip
#: marks that may reach out of their panel
_MAY_LEAVE = ("interval", "images", "retrain floor", "seed floor", "all levels")


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes
    ----------
    scale : panels of one scale share their limits of y; those of `None` keep what they draw.
    axis : draws the x axis, where it is not that of the block.
    """

    title: str
    draw: Callable[[Axes], None]
    scale: str | None = ""
    axis: Axis | None = None


@dataclass(frozen=True)
class Block:
    """Panels under one heading.

    Attributes
    ----------
    axis : draws the x axis of each.
    label, across : of the y and the x axis.
    names : what stands at the right of the panels.
    height : of a panel, in inches; 0: by the number of columns.
    """

    heading: str
    panels: Sequence[Panel]
    axis: Axis | None = None
    label: str = ""
    across: str = ""
    names: Sequence[Artist] = field(default=())
    height: float = 0.0


def pages(
    title: str,
    blocks: Sequence[Block],
    facts: str,
    words: Mapping[str, str] = {},
    extra: Sequence[Artist] = (),
    columns: int = COLUMNS,
) -> list[Figure]:
    """Pages of panels: each row is filled, each page says what its marks mean.

    Parameters
    ----------
    facts : how many networks, levels and images.
    words : what the legend says of a mark, where it is not what `KEYS` says; "" leaves it out.
    extra : what the legend says first.
    """
    sheets: list[list[tuple[Block, list[list[Panel]]]]] = [[]]
    room = free = TALLEST - _TITLE - _LEGEND - _KEY * (len(extra) // 3)
    for block in blocks:
        for number, row in enumerate(_rows(block.panels, columns)):
            need = _height(block, len(row)) + (_HEADING + _ACROSS if number == 0 else 0.0)
            if need > free and sheets[-1]:
                sheets.append([])
                free = room - _HEADING - _ACROSS
            if not sheets[-1] or sheets[-1][-1][0] is not block:
                sheets[-1].append((block, []))
            sheets[-1][-1][1].append(row)
            free -= need
    scales: dict[str, list[Axes]] = {}
    found = []
    for number, sheet in enumerate(sheets, start=1):
        which = f" ({number} of {len(sheets)})" if len(sheets) > 1 else ""
        heights = [
            sum(_height(block, len(row)) for row in rows) + _HEADING + _ACROSS
            for block, rows in sheet
        ]
        figure = new_figure(WIDTH, _TITLE + sum(heights))
        figure.suptitle(title + which, x=0.01, ha="left", fontweight="bold", fontsize=SIZE + 1)
        parts = figure.subfigures(len(sheet), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, (block, rows) in zip(parts, sheet, strict=True):
            for scale, axes in _draw_block(part, block, rows):
                scales.setdefault(scale, []).append(axes)
        found.append(figure)
    for shared in scales.values():
        share_limits(shared)
    for figure in found:
        for axes in figure.axes:
            _mark_cuts(axes)
        add_legend(figure, facts, words, extra)
    return found


def _rows(panels: Sequence[Panel], columns: int) -> list[list[Panel]]:
    """Panels in as few rows as there is room for, each as long as the others or one shorter."""
    count = -(-len(panels) // columns)
    edges = [round(len(panels) * row / count) for row in range(count + 1)]
    return [list(panels[start:stop]) for start, stop in pairwise(edges)]


def _height(block: Block, columns: int) -> float:
    return (block.height or _HEIGHTS.get(columns, _LOWEST)) + _TICKS


def _draw_block(
    part: SubFigure, block: Block, rows: list[list[Panel]]
) -> Iterable[tuple[str, Axes]]:
    """Draw a block, and give every panel that shares its limits with its scale."""
    part.suptitle(block.heading, x=0.01, ha="left", fontsize=SIZE)
    label = [part for line in block.label.split("\n") for part in wrap_lines(line, 1.35)]
    part.supylabel("\n".join(label), fontsize=SIZE)
    part.supxlabel(block.across, fontsize=SIZE)
    if block.names:
        part.legend(handles=list(block.names), loc="outside right upper", frameon=False,
                    handlelength=2.6, borderpad=0)  # fmt: skip
    sizes = [len(row) for row in rows]
    grid = part.add_gridspec(len(rows), 1)
    room = WIDTH - 0.6 - (1.6 if block.names else 0.0)
    for place, row in enumerate(rows):
        first = row[0].scale
        places = grid[place].subgridspec(1, len(row))
        for column, panel in enumerate(row):
            axes = part.add_subplot(places[column])
            panel.draw(axes)
            axes.set(xlabel="", ylabel="")
            # Under panels of another width there are no levels at the same place.
            bare = place + 1 < len(rows) and len(set(sizes)) == 1
            if axis := panel.axis or block.axis:
                axis(axes, bare, max(2, int(room / len(row) / 0.38)))
            # Where panels have limits of their own, each has its numbers.
            wide = room / len(row) - (0.12 if {one.scale for one in row} == {first} else 0.42)
            title = [x for line in panel.title.split("\n") for x in wrap_lines(line, wide)]
            axes.set_title("\n".join(title), loc="left", pad=2.5)
            axes.tick_params(pad=1.5, length=0)
            axes.tick_params(labelleft=column == 0 or panel.scale != first)
            if panel.scale is not None:
                yield panel.scale, axes


def share_limits(panels: Sequence[Axes]) -> None:
    """Give panels the limits that their lines and points need; intervals may be cut.

    Lines of controls count where they are near.
    """
    near: list[float] = []
    far: list[float] = []
    for axes in panels:
        for line in axes.lines:
            own = far if line.get_gid() == "control" else near
            own.extend(np.asarray(line.get_ydata(), dtype=np.float64).tolist())
        for points in axes.collections:
            if isinstance(points, PathCollection):
                near.extend(np.asarray(points.get_offsets())[:, 1].tolist())
    near = [value for value in near if value == value] or [v for v in far if v == v]
    low, high = min(near, default=-1.0), max(near, default=1.0)
    reach = max(high - low, 0.02 * abs(high), 1e-9)
    near += [value for value in far if low - reach / 2 <= value <= high + reach / 2]
    low, high = min(near, default=-1.0), max(near, default=1.0)
    margin = 0.12 * ((high - low) or max(abs(high), 1e-3))
    for axes in panels:
        axes.set_ylim(low - margin, high + margin)
        axes.locator_params(axis="y", nbins=5)


def _mark_cuts(axes: Axes) -> None:
    """A triangle at the edge of the panel where an interval goes on beyond it."""
    low, high = axes.get_ylim()
    ends: list[tuple[float, float]] = []
    for mark in axes.collections:
        if mark.get_gid() in _MAY_LEAVE and isinstance(mark, LineCollection | PolyCollection):
            corners = [np.asarray(path.vertices) for path in mark.get_paths()]
            ends += [(x, y) for found in corners for x, y in found.tolist()]
    for band in axes.patches:
        if band.get_gid() in _MAY_LEAVE and isinstance(band, Rectangle):
            left, right = axes.get_xlim()
            inside = left + 0.98 * (right - left)
            ends += [(inside, band.get_y()), (inside, band.get_y() + band.get_height())]
    for edge, marker, sign in ((high, "^", 1), (low, "v", -1)):
        places = sorted({x for x, y in ends if sign * (y - edge) > 1e-9 * abs(high - low)})
        if places and low < high:
            within = edge - sign * 0.02 * (high - low)
            axes.plot(places, [within] * len(places), linestyle="", marker=marker, markersize=2.6,
                      color="0.3", markeredgewidth=0, zorder=5, gid="cut")  # fmt: skip


def add_legend(
    figure: Figure, facts: str, words: Mapping[str, str] = {}, extra: Sequence[Artist] = ()
) -> None:
    """Say below all panels what was drawn, and how many networks, levels and images it is from."""
    drawn = {mark.get_gid() for axes in figure.axes for mark in axes.get_children()}
    handles = list(extra)
    for gid, (usual, style) in KEYS.items():
        text = words.get(gid, usual)
        if gid in drawn and text:
            look = {key: value for key, value in style.items() if key != "band"}
            handles.append(Line2D([], [], label=text, **look))
    widths = [text_width(str(handle.get_label())) + 0.55 for handle in handles]
    columns = next((n for n in range(min(len(widths), 6), 1, -1) if _wide(widths, n) < WIDTH), 1)
    figure.set_figheight(figure.get_figheight() + _KEY * (-(-len(handles) // columns) + 1) + 0.1)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=2.6,
                  title=facts, title_fontsize=SIZE, alignment="left", frameon=False)  # fmt: skip


def _wide(widths: Sequence[float], columns: int) -> float:
    """The width of a legend, which is filled column by column."""
    return sum(float(part.max()) for part in np.array_split(widths, columns))


def counts(frame: pd.DataFrame, settings: Mapping[str, Any]) -> str:
    """How many networks, levels and images a figure of these rows shows.

    Images are those of the table or, where it does not say, those of the settings' `test_images`.
    """
    seeds = set(frame["seed"]) - {MEAN} if "seed" in frame else set()
    networks = len(seeds) or int(frame["n_seeds"].max())
    found = [f"{networks} network{'s' if networks != 1 else ': no spread over networks'}"]
    if "level" in frame:
        levels = pd.to_numeric(frame["level"], errors="coerce").dropna().nunique()
        found.append(f"{levels} level{'s' if levels != 1 else ''}")
    elif "n_levels" in frame:
        found.append(f"{int(frame['n_levels'].max())} levels")
    images = settings.get("test_images")
    if {"n", "undefined"} <= set(frame):
        single = frame[frame["seed"] != MEAN] if len(seeds) else frame
        images = int((single["n"] + single["undefined"]).max() / (1 if len(seeds) else networks))
    if images is not None:
        found.append(f"{images} images" if images != "all" else "all images of the test split")
    return " · ".join(found)


def explainer_pages(
    frame: pd.DataFrame,
    settings: Mapping[str, Any],
    about: str,
    label: str,
    value: str,
    draw: Callable[..., None],
    axis: Callable[[pd.DataFrame], tuple[Axis, str]] | None = None,
    all_controls: bool = False,
    together: bool = False,
    **more: Any,
) -> list[Figure]:
    """Pages with a panel for each explainer that looks at a network; all share one y axis.

    Where no value is defined, the one page says so. An `InputError` is raised where no explainer
    that looks at a network has rows.

    Parameters
    ----------
    frame : rows with pruner, condition, explainer, level and density.
    settings : `dataset`, `model`; see `grouping` and `places`.
    value : the column that is drawn; without any there is no panel.
    draw : given axes and `rows`, draws those of one explainer under one pruner and condition.
    axis : gives the x axis and its label for the rows of a pruner and condition; by default that
        of pruning levels.
    all_controls : whether controls that look at no network have panels too, and all controls the
        last ones. Their maps do not change with the level; what is measured with them may.
    together : whether all pruners are in one panel.
    more : of `pages`.
    """
    controls = set(settings.get("controls", ()))
    grouped = grouping(frame["explainer"].unique(), settings)
    explainers, blocks, rows_there = grouped.explainers, [], False
    if all_controls:
        # Sorting keeps the order of those that are alike.
        explainers = sorted([*explainers, *grouped.everywhere], key=lambda name: name in controls)
    found = places(frame, settings)
    wanted = dict.fromkeys(("", condition) for _, condition in found) if together else found
    for pruner, condition in wanted:
        here = frame[frame["condition"] == condition]
        here = here if together else here[here["pruner"] == pruner]
        rows_there |= bool(here["explainer"].isin(explainers).any())
        own, across = (axis or level_axis)(here)
        panels = [
            Panel(explainer_title(name, settings),
                  partial(draw, rows=rows.sort_values("level", kind="stable")))
            for name in explainers
            if (rows := here[here["explainer"] == name])[value].notna().any()
        ]  # fmt: skip
        if panels:
            heading = place_title(pruner, condition, settings)
            blocks.append(Block(heading, panels, own, label, across))
    if not blocks and rows_there:
        return [nothing_to_show(settings, about)]
    if not blocks:
        raise InputError(
            f"no explainer that looks at a network has levels to draw ({about}); "
            "choose such an explainer and a pruner that removes weights"
        )
    return pages(f"{title_of(settings)}, {about}", blocks, **more)


def nothing_to_show(settings: Mapping[str, Any], about: str, why: str = _UNDEFINED) -> Figure:
    """A page of one sentence, which the report does not list."""
    figure = new_figure(WIDTH, 0.9)
    figure.suptitle(f"{title_of(settings)}, {about}", x=0.01, ha="left", fontweight="bold")
    figure.text(0.01, 0.3, why, gid=NOTHING)
    return figure


def look_handles(
    look: Mapping[str, Look], settings: Mapping[str, Any], column: str, **changes: Any
) -> list[Artist]:
    """What a legend says of looks; the names are those of a column of tables."""
    return [
        Line2D([], [], **{**of.line, **changes}, label=label_of(settings, column, name))
        for name, of in look.items()
    ]


def explainer_title(name: str, settings: Mapping[str, Any]) -> str:
    """The label of an explainer, which says whether it is a control."""
    label = label_of(settings, "explainer", name)
    control = name in settings.get("controls", ()) and "control" not in label.lower().split()
    return f"{label} (control)" if control else label


def place_title(pruner: str, condition: str, settings: Mapping[str, Any]) -> str:
    """Whose curves a block shows; without a pruner those of all."""
    whose = f"pruner {label_of(settings, 'pruner', pruner)}, " if pruner else ""
    return f"{whose}{condition} images"


def own_look(rows: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, Look]:
    """The look of the one explainer of a panel."""
    controls = set(settings.get("controls", ()))
    return {
        name: Look(CONTROL if name in controls else INK, "o", "-")
        for name in rows["explainer"].unique()
    }


def same_place(frame: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the frame with the explainer and the condition of a panel's rows."""
    first = rows.iloc[0]
    names = ["explainer", "condition"]
    return frame[(frame[names] == first[names]).all(axis=1)]


def level_axis(rows: pd.DataFrame) -> tuple[Axis, str]:
    """Levels of one pruner along x, with what tells them apart below some of them; and its label.

    That is the share of weights left, where it differs, and bits of weights. The last level is
    always named.
    """
    known = {0: 1.0, **densities(rows)}
    bits = distinct_bits(rows)
    bits = {0: FULL_BITS, **bits} if bits else {}
    facts = {
        ", weights left": {level: percent(share) for level, share in known.items()},
        ", bits": {level: f"{bits[level]:g} bits" for level in known if level in bits},
    }
    facts = {name: texts for name, texts in facts.items() if len(set(texts.values())) > 1}
    below = {n: "\n".join([str(n), *(texts.get(n, "") for texts in facts.values())]) for n in known}
    last = max(known)

    def draw(axes: Axes, bare: bool, labels: int) -> None:
        named = choose_levels(sorted(known), labels)
        axes.set_xlim(-0.1 * max(last, 1), last + 0.06 * max(last, 1))
        axes.set_xticks(named, ["" if bare else below[level] for level in named])

    return draw, f"pruning level{''.join(facts)}"


def choose_levels(levels: Sequence[int], count: int) -> list[int]:
    """At most `count` of the ascending levels whose labels do not touch; the last is among them."""
    last = levels[-1]
    for step in (1, 2, 5, 10, 20, 50, 100):
        found = [level for level in levels if level % step == 0 and last - level >= step] + [last]
        if len(found) <= count and all((b - a) * count >= last for a, b in pairwise(found)):
            return found
    return [levels[0], last]


def densities(rows: pd.DataFrame) -> dict[int, float]:
    """Level to the share of weights left, in [0, 1], the mean over what the rows say."""
    means = rows.groupby("level")["density"].mean().dropna()
    return dict(zip(means.index.tolist(), means.tolist(), strict=True))


def distinct_bits(rows: pd.DataFrame) -> dict[int, float]:
    """Level of one pruner to bits of its weights, the mean over what the rows say.

    Empty where the share of weights left tells levels apart, or bits are not known.
    """
    if "bits" not in rows:
        return {}
    means = rows.groupby("level")[["density", "bits"]].mean()
    if means.empty or means.groupby("density")["bits"].nunique().max() < 2:
        return {}
    return dict(zip(means.index.tolist(), means["bits"].tolist(), strict=True))


def has_gaps(levels: Iterable[int]) -> bool:
    """Whether levels were left out between the first and the last, so that no line is known."""
    found = sorted(set(levels))
    return any(after - before > 1 for before, after in pairwise(found))


def draw_curves(
    axes: Axes,
    rows: pd.DataFrame,
    look: Mapping[str, Look],
    *,
    hue: str,
    value: str,
    across: str = "level",
    ends: Ends = ("low", "high"),
    images: Ends | None = None,
    filled: str = "",
    ribbon: bool = False,
    dodge: float = 0.0,
    flat: bool = False,
) -> None:
    """A curve for each value of `hue`: networks, their mean, intervals over them and over images.

    What skips levels has points beside each other and a dotted line; undefined values break lines.

    Parameters
    ----------
    rows : of single networks and of means (`seed` is "mean"); with level, `value` and, of means,
        the other columns.
    look : of each value of `hue`, in their order.
    ends : columns of the lower and upper end of the t interval.
    images : columns of the lower and upper end of the interval over images.
    filled : column that says which means are filled; without it all are marked in their looks.
    ribbon : whether intervals are bands, where no level is skipped.
    dodge : how far apart curves stand, as a share of the axis.
    flat : whether values lie along x.
    """
    names = [name for name in look if name in set(rows[hue])]
    rows = rows[rows[hue].isin(names)].sort_values(across, ignore_index=True)
    gaps = {name: has_gaps(found["level"]) for name, found in rows.groupby(hue) if not flat}
    span = 1.0 if flat else max(1.0, float(rows[across].max()))
    step = {name: max(dodge, 0.016 if gaps.get(name) else 0.0) * span for name in names}
    aside = {name: (i - (len(names) - 1) / 2) * step[name] for i, name in enumerate(names)}
    place = rows[across] + rows[hue].map(aside).astype(float)
    rows = rows.assign(place=place, gap=[gaps.get(name, flat) for name in rows[hue]])
    mean, one = rows[rows["seed"] == MEAN], rows[rows["seed"] != MEAN]
    beside = one[one["gap"]].assign(
        place=lambda rows: rows["place"] + (-0.28 if flat else 0.02) * span
    )
    known, smooth = mean.dropna(subset=[value]), ~mean["gap"]
    spread = known.dropna(subset=[*ends]) if set(ends) <= set(known) else known[:0]
    along = "x" if flat else "y"

    def reach(columns: Ends) -> dict[str, str]:
        return {f"{along}min": columns[0], f"{along}max": columns[1], along: columns[0]}

    several = len(names) > 1
    line = {"linewidth": 1.4 if several else 1.1}
    layers: list[tuple[so.Mark, pd.DataFrame, dict[str, Any]]] = [
        (so.Path(linewidth=0.6, alpha=0.5, linestyle="-", marker="", **_as("seed", 2)),
         one[~one["gap"]], {"group": "seed", "linestyle": None, "marker": None}),
        (so.Dot(pointsize=2.2, alpha=0.6, marker="o", edgewidth=0, **_as("seed", 2)), beside,
         {"marker": None}),
        (so.Range(linewidth=2.2, alpha=0.3, linestyle="-", **_as("interval", 2)),
         spread[spread["gap"]] if ribbon else spread, {**reach(ends), "linestyle": None}),
        (so.Path(marker="", **line, **_as("mean", 2.6)), mean[smooth], {"marker": None}),
        (so.Path(marker="", linewidth=0.8, linestyle=(0, (1, 2)), **_as("gapped", 2.6)),
         known[known["gap"] & (not flat)], {"marker": None, "linestyle": None}),
    ]  # fmt: skip
    if images:
        layers.append((so.Range(linewidth=0.8, linestyle="-", **_as("images", 2.8)), known,
                       {**reach(images), "linestyle": None}))  # fmt: skip
    if filled:
        marked = known[filled].astype(bool)
        hollow = so.Dot(pointsize=3.2, color="w", edgewidth=0, **_as("", 3))
        layers += [(hollow, known[~marked], {"color": None})]
        layers += [(so.Dot(pointsize=3.2, **_as("filled", 3.2)), known[marked], {}),
                   (so.Dot(pointsize=3.0, fill=False, stroke=0.8, **_as("open", 3.1)),
                    known[~marked], {})]  # fmt: skip
    else:
        # Curves that lie upon each other show different markers.
        turn = known.groupby(hue).cumcount() + known[hue].map({n: i for i, n in enumerate(names)})
        every = np.where(known["gap"], 1, max(1, round(known["level"].nunique() / MARKERS)))
        layers.append((so.Dot(pointsize=4.0 if several else 3.0, edgewidth=0, **_as("point", 3)),
                       known[turn % every == 0], {}))  # fmt: skip
    base = {"x": "place", "y": value, "color": hue, "marker": hue, "linestyle": hue}
    if flat:
        base |= {"x": value, "y": "place"}
    # Layers that inherit columns of the plot would get its other rows as well.
    plot = so.Plot()
    for mark, data, variables in layers:
        if len(data):
            own = {key: name for key, name in {**base, **variables}.items() if name}
            plot = plot.add(mark, orient="y" if flat else "x", legend=False, data=data, **own)
    plot.scale(
        color=so.Nominal({name: look[name].colour for name in names}, order=names),
        marker=so.Nominal({name: look[name].marker for name in names}, order=names),
        linestyle=so.Nominal({name: look[name].dash for name in names}, order=names),
    ).on(axes).plot()
    if ribbon:
        for name, found in spread[~spread["gap"]].groupby(hue):
            axes.fill_between(found["place"], found[ends[0]], found[ends[1]], alpha=0.13,
                              color=look[str(name)].colour, linewidth=0, zorder=1,
                              gid="interval")  # fmt: skip


def _as(gid: str, zorder: float) -> dict[str, Any]:
    return {"artist_kws": {"gid": gid, "zorder": zorder}}


def draw_floor(
    axes: Axes, rows: pd.DataFrame, kind: str, value: str = "mean",
    ends: Ends = ("low", "high"),
) -> None:  # fmt: skip
    """A line across the panel for each distinct value, in the look of `KEYS`, and its interval."""
    style = KEYS[kind][1]
    for at, start, end in set(rows[[value, *ends]].dropna(subset=[value]).itertuples(False, None)):
        axes.axhline(at, color=style["color"], linestyle=style["linestyle"], linewidth=0.9,
                     zorder=1, gid=kind)  # fmt: skip
        if start == start:
            axes.axhspan(start, end, color=style["color"], alpha=style["band"], linewidth=0,
                         zorder=0.5, gid=kind)  # fmt: skip


def draw_zero(axes: Axes) -> None:
    """The line of no difference."""
    axes.axhline(0.0, color="0.35", linewidth=0.8, zorder=1.5, gid="zero")


def with_means(rows: pd.DataFrame, curve: Sequence[str], value: str) -> pd.DataFrame:
    """Rows of single networks and, with "mean" as their seed, the means over all of a curve's."""
    means = mean_over_seeds(rows, curve, value).assign(seed=MEAN)
    return pd.concat([rows.astype({"seed": "object"}), means], ignore_index=True)
