"""The table of claims: each with its estimate, both intervals, adjusted p and verdict."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sparsight.analysis import tables
from sparsight.analysis.tables import CONTRADICTED, SUPPORTED, UNDECIDED, split_values
from sparsight.io.errors import InputError
from sparsight.io.files import remedy, write_text
from sparsight.plots.pages import (
    SYMBOLS,
    about,
    bounds,
    claims_page,
    interval,
    number,
    p_words,
)
from sparsight.plots.style import figure_style, new_figure, save_figure

#: of the stage `figure_claims`: see `sparsight.study.versions`
VERSION = 1

COLOUR = "#1f2a6b"
# Columns, in inches: claim, forest, estimate, adjusted p, verdict.
LEFT = (0.12, 4.05, 7.35, 9.0, 9.75)
TEXT_WIDTH, FOREST_WIDTH, WIDTH = 3.65, 3.0, 11.05
TITLE, HEADS, LEGEND, GAP = 0.38, 0.28, 0.62, 0.16
# Below a forest there are its numbers.
FOREST, TICKS = 0.52, 0.2
# Lanes of a forest: every network, their mean, the draws of images, the published number.
SEEDS_AT, MEAN_AT, IMAGES_AT, PUBLISHED_AT = 0.85, 0.61, 0.37, 0.14
# Size in points, height of a line in inches, further properties.
_CLAIM: tuple[float, float, dict[str, Any]] = (8.5, 0.155, {"fontweight": "bold"})
_SMALL: tuple[float, float, dict[str, Any]] = (6.8, 0.122, {"color": "0.25"})
_VERDICTS: dict[str, dict[str, Any]] = {
    SUPPORTED: {"color": "white", "facecolor": COLOUR, "edgecolor": COLOUR},
    CONTRADICTED: {"color": "#8a1049", "facecolor": "white", "edgecolor": "#8a1049"},
    UNDECIDED: {"color": "0.2", "facecolor": "0.92", "edgecolor": "0.92"},
}
_MARKS: dict[str, dict[str, Any]] = {
    "seeds": {"linestyle": "", "marker": "o", "markersize": 3.2, "markeredgewidth": 0,
              "color": COLOUR, "alpha": 0.7},
    "mean": {"linestyle": "", "marker": "D", "markersize": 4.5, "color": COLOUR},
    "interval": {"linewidth": 1.6, "color": COLOUR, "solid_capstyle": "butt"},
    "images": {"linewidth": 1.0, "marker": "|", "markersize": 5.0, "color": "0.35"},
    "published": {"linestyle": "", "marker": "s", "markersize": 4.2, "markerfacecolor": "white",
                  "markeredgecolor": "black", "markeredgewidth": 1.0},
}  # fmt: skip


def draw_claims(
    claims: Path, figures: Iterable[Path], page: Path, settings: Mapping[str, Any]
) -> None:
    """Draw the table of claims, and write it as a page.

    Every row has its own axis. Shaded is where the claim would be true; the verdict does not come
    from the intervals, which are not corrected for the number of claims. An `InputError` is raised
    where the table is missing or damaged.

    Parameters
    ----------
    claims : `claims.csv`.
    figures : .svg, .png or .pdf files.
    page : .html file, with the same numbers as text.
    settings : `statistics` (with `confidence`), as in `check_claims`; optional `study`.
    """
    rows: list[dict[str, Any]] = [
        {str(key): value for key, value in row.items()}
        for row in tables.read("claims", claims).to_dict("records")
    ]
    unknown = sorted({row["verdict"] for row in rows} - set(SYMBOLS))
    if unknown:
        raise InputError(f"{claims} has the verdict '{unknown[0]}'; {remedy(claims)}")
    confidence = float(settings["statistics"]["confidence"])
    title = f"Claims of the study {settings.get('study', '')}".strip()
    with figure_style():
        save_figure(claims_figure(rows, title, confidence), figures)
    write_text(page, claims_page(rows, title, confidence))


@dataclass(frozen=True)
class _Line:
    text: str
    size: float
    height: float
    style: Mapping[str, Any]


def claims_figure(rows: list[dict[str, Any]], title: str, confidence: float) -> Figure:
    """The figure of `draw_claims`, from the records of `claims.csv`."""
    # widths of text do not depend on the size of the figure that measures them
    ruler = new_figure(WIDTH, 1.0)
    texts = [_lines(ruler, row) for row in rows]
    heights = [max(sum(x.height for x in text), FOREST + TICKS) + GAP for text in texts]
    height = TITLE + HEADS + sum(heights) + LEGEND
    figure = new_figure(WIDTH, height)
    # every place is given here
    figure.set_layout_engine("none")
    page = _Page(figure, height)
    page.text(LEFT[0], 0.12, title, 10.0, fontweight="bold")
    if not rows:
        page.text(LEFT[0], TITLE + 0.1, "The study makes no claims.", 8.5)
        return figure
    heads = ("claim", "estimate and intervals", "estimate", "adjusted p", "verdict")
    for left, head in zip(LEFT, heads, strict=True):
        page.text(left, TITLE, head, 7.5, color="0.25")
    top = TITLE + HEADS
    for row, text, space in zip(rows, texts, heights, strict=True):
        page.rule(top - 0.05)
        _draw_row(page, row, text, top)
        top += space
    page.rule(top - 0.05)
    _legend(page, top, confidence)
    return figure


class _Page:
    """A figure addressed in inches from its left and upper edge."""

    def __init__(self, figure: Figure, height: float) -> None:
        self.figure = figure
        self.height = height

    def text(self, left: float, top: float, text: str, size: float, **style: Any) -> None:
        """Text whose upper left corner is there; a dollar is a dollar."""
        self.figure.text(
            left / WIDTH, 1 - top / self.height, text, fontsize=size, va="top", ha="left",
            parse_math=False, **style,
        )  # fmt: skip

    def rule(self, top: float) -> None:
        """A thin line across."""
        from matplotlib.lines import Line2D

        place = 1 - top / self.height
        edges = (LEFT[0] / WIDTH, 1 - LEFT[0] / WIDTH)
        self.figure.add_artist(Line2D(edges, (place, place), color="0.75", linewidth=0.6))

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """A panel."""
        bottom = 1 - (top + height) / self.height
        return self.figure.add_axes(
            (left / WIDTH, bottom, width / WIDTH, height / self.height)
        )  # fmt: skip


def _lines(ruler: Figure, row: Mapping[str, Any]) -> list[_Line]:
    """The claim, what it is decided by, whose it is, and what is to be known."""
    parts = [(row["claim"], _CLAIM), (f"{row['statistic']}: {bounds(row)}", _SMALL)]
    parts.append((about(row), _SMALL))
    if row["remark"]:
        parts.append((row["remark"], (*_SMALL[:2], {**_SMALL[2], "fontstyle": "italic"})))
    return [
        _Line(line, size, height, style)
        for text, (size, height, style) in parts
        for line in wrap_lines(ruler, text, size, style)
    ]


def wrap_lines(ruler: Figure, text: str, size: float, style: Mapping[str, Any]) -> list[str]:
    """Lines of a text that fit the first column, by the real width of its letters."""

    def fits(line: str) -> bool:
        artist = ruler.text(0, 0, line, fontsize=size, parse_math=False, **style)
        width = artist.get_window_extent().width / ruler.dpi
        artist.remove()
        return bool(width <= TEXT_WIDTH)

    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}".strip()
        if fits(joined):
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        # a word that is wider than the column is broken
        for letter in word:
            if lines[-1] and not fits(lines[-1] + letter):
                lines.append("")
            lines[-1] += letter
    return lines


def _draw_row(page: _Page, row: Mapping[str, Any], text: list[_Line], top: float) -> None:
    place = top
    for line in text:
        page.text(LEFT[0], place, line.text, line.size, gid="claim", **line.style)
        place += line.height
    forest = page.axes(LEFT[1], top + 0.02, FOREST_WIDTH, FOREST)
    _forest(forest, row)
    page.text(LEFT[2], top + 0.02, number(row["estimate"]), 8.5, fontweight="bold")
    ranges = (
        ("trainings", interval(row["low"], row["high"])),
        ("images", interval(row["images_low"], row["images_high"])),
        ("published", number(row["published"])),
    )
    shown = [f"{name} {words}" for name, words in ranges if words != "–"]
    for index, words in enumerate(shown):
        page.text(LEFT[2], top + 0.19 + index * 0.125, words, 6.6, color="0.25")
    page.text(LEFT[3], top + 0.02, p_words(row["p_adjusted"]), 8.0)
    look = dict(_VERDICTS[row["verdict"]])
    page.text(
        LEFT[4] + 0.05, top + 0.04, f"{SYMBOLS[row['verdict']]} {row['verdict']}", 8.0,
        color=look.pop("color"), fontweight="bold", gid="verdict",
        bbox={"boxstyle": "round,pad=0.35", "linewidth": 1.2, **look},
    )  # fmt: skip


def _forest(axes: Axes, row: Mapping[str, Any]) -> None:
    """One row's numbers on an axis of their own."""
    ends = [row[key] for key in ("estimate", "low", "high", "images_low", "images_high")]
    limits = [row["holds_from"], row["holds_to"]]
    seeds = split_values(row["per_seed"])
    found = np.array([*ends, *limits, *seeds, row["published"]], dtype=np.float64)
    found = found[np.isfinite(found)]
    reach = float(np.ptp(found)) or max(abs(float(found[0])), 1.0)
    left, right = found.min() - 0.08 * reach, found.max() + 0.08 * reach
    axes.set_xlim(left, right)
    axes.set_ylim(0.0, 1.0)
    true = [edge if x != x else x for x, edge in zip(limits, (left, right), strict=True)]
    axes.axvspan(*true, color="0.9", linewidth=0, zorder=0, gid="true")
    for bound in limits:
        axes.axvline(bound, color="0.35", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    if row["estimate"] != row["estimate"]:
        axes.text(0.5, 0.5, "undefined", transform=axes.transAxes, fontsize=7, color="0.3",
                  ha="center", va="center")  # fmt: skip
    drawn = (
        ("seeds", seeds, SEEDS_AT),
        ("interval", [row["low"], row["high"]], MEAN_AT),
        ("mean", [row["estimate"]], MEAN_AT),
        ("images", [row["images_low"], row["images_high"]], IMAGES_AT),
        ("published", [row["published"]], PUBLISHED_AT),
    )
    for kind, values, height in drawn:
        axes.plot(values, [height] * len(values), gid=kind, zorder=3, **_MARKS[kind])
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(round(value, 10) + 0.0)))
    axes.tick_params(axis="x", labelsize=6.5, length=2, pad=1.5, bottom=True, color="0.5")
    axes.grid(visible=False)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _legend(page: _Page, top: float, confidence: float) -> None:
    cover = f"{100 * confidence:g}% interval"
    mean = {**_MARKS["mean"], **_MARKS["interval"], "linestyle": "-"}
    handles = [
        Line2D([], [], label="one network (seed)", **_MARKS["seeds"]),
        Line2D([], [], label=f"mean, {cover} over trainings (t)", **mean),
        Line2D([], [], label=f"{cover} over images, for these networks", **_MARKS["images"]),
        Line2D([], [], label="published", **_MARKS["published"]),
        Patch(facecolor="0.9", label="where the claim is true"),
    ]
    page.figure.legend(
        handles=handles, loc="upper left", ncols=5, fontsize=7, frameon=False, borderaxespad=0.0,
        bbox_to_anchor=(LEFT[0] / WIDTH, 1 - (top + 0.02) / page.height), columnspacing=1.4,
    )  # fmt: skip
    page.text(
        LEFT[0], top + 0.3,
        "Verdicts: p corrected for all rows together (Holm), "
        f"level {1 - confidence:.3g}. Intervals are not corrected. Undecided is not refuted.",
        7.0, color="0.25",
    )  # fmt: skip
