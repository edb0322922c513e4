"""The table of claims: each with its estimate, interval, parts of the error, and verdict."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sparsight.analysis.tables import split_values
from sparsight.io.errors import InputError
from sparsight.io.files import remedy, write_text
from sparsight.plots.pages import (
    SIGNS,
    TIERS,
    axis_limits,
    by_tier,
    claim_rows,
    claims_page,
    error_words,
    facts,
    notes,
    number,
    too_small,
    variance_shares,
)
from sparsight.plots.style import figure_style, new_figure, save_figure

#: of the stage `figure_claims`: see `sparsight.study.versions`
VERSION = 3

COLOUR = "#1f2a6b"
# Columns, in inches: claim, forest, numbers, standard error, verdict.
LEFT = (0.12, 3.95, 7.2, 8.9, 10.3)
#: of the texts in all columns but the second
TEXT_WIDTH, NUMBERS_WIDTH, ERRORS_WIDTH, VERDICT_WIDTH = 3.6, 1.6, 1.3, 1.75
FOREST_WIDTH, BAR_WIDTH, WIDTH = 3.05, 1.15, 12.2
TITLE, LEGEND, HEADS, TIER, GAP = 0.36, 0.3, 0.26, 0.3, 0.2
# Below a forest there are its numbers.
FOREST, TICKS, BAR = 0.6, 0.2, 0.11
# Lanes of a forest: every network, their mean, the published number.
SEEDS_AT, MEAN_AT, PUBLISHED_AT = 0.82, 0.5, 0.18
_VERDICTS: dict[str, dict[str, Any]] = {
    "holds": {"color": "white", "facecolor": COLOUR, "edgecolor": COLOUR},
    "against": {"color": "#8a1049", "facecolor": "white", "edgecolor": "#8a1049"},
    "neither": {"color": "0.15", "facecolor": "0.9", "edgecolor": "0.9"},
}
_MARKS: dict[str, dict[str, Any]] = {
    "seeds": {"linestyle": "", "marker": "o", "markersize": 3.2, "markeredgewidth": 0,
              "color": COLOUR, "alpha": 0.7},
    "mean": {"linestyle": "", "marker": "D", "markersize": 4.5, "color": COLOUR},
    "interval": {"linewidth": 1.6, "color": COLOUR, "solid_capstyle": "butt"},
    "published": {"linestyle": "", "marker": "s", "markersize": 4.2, "markerfacecolor": "white",
                  "markeredgecolor": "black", "markeredgewidth": 1.0},
}  # fmt: skip
_TRUE: dict[str, Any] = {"facecolor": "0.88", "edgecolor": "none", "linewidth": 0}
_SMALL_EFFECT: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.6", "linewidth": 0.6,
                                 "hatch": "////"}  # fmt: skip
_PARTS: dict[str, dict[str, Any]] = {
    "networks": {"facecolor": "0.2", "edgecolor": "0.2", "linewidth": 0.6},
    "images": {"facecolor": "white", "edgecolor": "0.2", "linewidth": 0.6, "hatch": "//////"},
    "residual": {"facecolor": "white", "edgecolor": "0.2", "linewidth": 0.6},
}


def draw_claims(
    claims: Path, figures: Iterable[Path], page: Path, settings: Mapping[str, Any]
) -> None:
    """Draw the table of claims, and write it as a page.

    Every row has its own axis. Shaded is where the claim would be true, hatched where an effect is
    too small to matter. An `InputError` is raised where the table is missing or damaged.

    Parameters
    ----------
    claims : `claims.csv`.
    figures : .svg, .png or .pdf files.
    page : .html file, with the same numbers as text.
    settings : optional `study` and `labels`.
    """
    rows = claim_rows(claims, settings)
    for column, known in (("verdict", SIGNS), ("tier", TIERS)):
        if unknown := sorted({row[column] for row in rows} - set(known)):
            raise InputError(f"{claims} has the {column} '{unknown[0]}'; {remedy(claims)}")
    title = f"Claims of the study {settings.get('study', '')}".strip()
    with figure_style():
        save_figure(claims_figure(rows, title), figures)
    write_text(page, claims_page(rows, title))


@dataclass(frozen=True)
class _Font:
    """Size in points, height of a line in inches, further properties."""

    size: float
    height: float
    style: Mapping[str, Any]


_STRONG = _Font(8.5, 0.155, {"fontweight": "bold"})
_PLAIN = _Font(6.8, 0.125, {"color": "0.25"})
_VERDICT = _Font(8.0, 0.15, {"fontweight": "bold"})
_Lines = list[tuple[str, _Font]]


def claims_figure(rows: list[dict[str, Any]], title: str) -> Figure:
    """The figure of `draw_claims`, from the records of `claims.csv`."""
    # widths of text do not depend on the size of the figure that measures them
    ruler = new_figure(WIDTH, 1.0)
    groups = {tier: [_Row(ruler, row) for row in found] for tier, found in by_tier(rows).items()}
    heights = [TIER + sum(row.height for row in found) for found in groups.values()]
    height = TITLE + LEGEND + HEADS + sum(heights) + 0.05
    figure = new_figure(WIDTH, height)
    # every place is given here
    figure.set_layout_engine("none")
    page = _Page(figure, height)
    page.text(LEFT[0], 0.1, title, _Font(10.0, 0.2, {"fontweight": "bold"}))
    if not rows:
        page.text(LEFT[0], TITLE + 0.1, "The study makes no claims.", _Font(8.5, 0.2, {}))
        return figure
    _legend(page)
    heads = ("claim", "networks, mean with interval, published", "numbers", "standard error")
    for left, head in zip(LEFT, (*heads, "verdict"), strict=True):
        page.text(left, TITLE + LEGEND, head, _PLAIN)
    top = TITLE + LEGEND + HEADS
    for tier, found in groups.items():
        heading, correction = TIERS[tier]
        page.rule(top - 0.06, "0.2")
        page.text(LEFT[0], top, heading, _Font(9.0, 0.2, {"fontweight": "bold"}))
        page.text(LEFT[1], top + 0.03, correction, _PLAIN)
        top += TIER
        for row in found:
            page.rule(top - 0.08, "0.75")
            row.draw(page, top)
            top += row.height
    return figure


class _Page:
    """A figure addressed in inches from its left and upper edge."""

    def __init__(self, figure: Figure, height: float) -> None:
        self.figure = figure
        self.height = height

    def text(self, left: float, top: float, text: str, font: _Font, **style: Any) -> None:
        """Text whose upper left corner is there; a dollar is a dollar."""
        self.figure.text(
            left / WIDTH, 1 - top / self.height, text, fontsize=font.size, va="top", ha="left",
            parse_math=False, **{**font.style, **style},
        )  # fmt: skip

    def lines(self, left: float, top: float, lines: _Lines, gid: str) -> None:
        """Lines below each other."""
        for text, font in lines:
            self.text(left, top, text, font, gid=gid)
            top += font.height

    def rule(self, top: float, colour: str) -> None:
        """A thin line across."""
        place = 1 - top / self.height
        edges = (LEFT[0] / WIDTH, 1 - LEFT[0] / WIDTH)
        self.figure.add_artist(Line2D(edges, (place, place), color=colour, linewidth=0.6))

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """A panel."""
        bottom = 1 - (top + height) / self.height
        return self.figure.add_axes((left / WIDTH, bottom, width / WIDTH, height / self.height))


class _Row:
    """A claim: its texts, wrapped, and the height in inches that it takes."""

    def __init__(self, ruler: Figure, row: Mapping[str, Any]) -> None:
        def wrapped(texts: Iterable[str], width: float, font: _Font) -> _Lines:
            return [(x, font) for text in texts for x in wrap_lines(ruler, text, width, font)]

        self.row = row
        self.claim = wrapped([row["claim"]], TEXT_WIDTH, _STRONG)
        self.claim += wrapped(notes(row), TEXT_WIDTH, _PLAIN)
        beside = (f"{name} {words}" for name, words in facts(row))
        self.numbers: _Lines = [(number(row["estimate"]), _STRONG)]
        self.numbers += wrapped(beside, NUMBERS_WIDTH, _PLAIN)
        self.errors = wrapped(error_words(row) or ["–"], ERRORS_WIDTH, _PLAIN)
        self.bar = BAR + 0.06 if variance_shares(row) else 0.0
        verdict = f"{SIGNS[row['verdict']].symbol} {row['verdict']}"
        self.verdict = wrap_lines(ruler, verdict, VERDICT_WIDTH - 0.15, _VERDICT)
        reason = filter(None, [row["verdict_reason"]])
        self.reason = wrapped(reason, VERDICT_WIDTH, _PLAIN)
        self.reason_at = 0.12 + len(self.verdict) * _VERDICT.height
        heights = (
            _height(self.claim),
            _height(self.numbers),
            self.bar + _height(self.errors),
            self.reason_at + _height(self.reason),
            FOREST + TICKS,
        )
        self.height = max(heights) + GAP

    def draw(self, page: _Page, top: float) -> None:
        page.lines(LEFT[0], top, self.claim, "claim")
        _forest(page.axes(LEFT[1], top, FOREST_WIDTH, FOREST), self.row)
        page.lines(LEFT[2], top, self.numbers, "numbers")
        if self.bar:
            _bar(page.axes(LEFT[3], top + 0.03, BAR_WIDTH, BAR), self.row)
        page.lines(LEFT[3], top + self.bar, self.errors, "errors")
        box = dict(_VERDICTS[SIGNS[self.row["verdict"]].kind])
        page.text(
            LEFT[4] + 0.06, top + 0.03, "\n".join(self.verdict), _VERDICT, gid="verdict",
            color=box.pop("color"), bbox={"boxstyle": "round,pad=0.35", "linewidth": 1.2, **box},
        )  # fmt: skip
        page.lines(LEFT[4], top + self.reason_at, self.reason, "reason")


def _height(lines: _Lines) -> float:
    return sum(font.height for _, font in lines)


def wrap_lines(ruler: Figure, text: str, width: float, font: _Font) -> list[str]:
    """Lines of a text that fit a width in inches, by the real width of its letters."""

    def fits(line: str) -> bool:
        artist = ruler.text(0, 0, line, fontsize=font.size, parse_math=False, **font.style)
        found = artist.get_window_extent().width / ruler.dpi
        artist.remove()
        return bool(found <= width)

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


def _forest(axes: Axes, row: Mapping[str, Any]) -> None:
    """One row's numbers on an axis of their own."""
    left, right = axis_limits(row)
    axes.set_xlim(left, right)
    axes.set_ylim(0.0, 1.0)
    limits = [row["holds_from"], row["holds_to"]]
    true = [edge if x != x else x for x, edge in zip(limits, (left, right), strict=True)]
    if true != [left, right]:
        axes.axvspan(*true, zorder=0, gid="true", **_TRUE)
    axes.axvspan(*too_small(row), zorder=0.5, gid="small", **_SMALL_EFFECT)
    for bound in limits:
        axes.axvline(bound, color="0.2", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    if row["estimate"] != row["estimate"]:
        axes.text(0.5, MEAN_AT, "undefined", transform=axes.transAxes, fontsize=7, color="0.2",
                  ha="center", va="center", backgroundcolor="white")  # fmt: skip
    drawn = (
        ("seeds", split_values(row["per_seed"]), SEEDS_AT),
        ("interval", [row["low"], row["high"]], MEAN_AT),
        ("mean", [row["estimate"]], MEAN_AT),
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


def _bar(axes: Axes, row: Mapping[str, Any]) -> None:
    """The parts of the variance."""
    start = 0.0
    for part, share in variance_shares(row).items():
        axes.add_patch(Rectangle((start, 0), share, 1, gid=part, **_PARTS[part]))
        start += share
    axes.set_axis_off()


def _legend(page: _Page) -> None:
    mean = {**_MARKS["mean"], **_MARKS["interval"], "linestyle": "-"}
    handles = [
        Line2D([], [], label="one network", **_MARKS["seeds"]),
        Line2D([], [], label="mean, and its interval at the row's own level", **mean),
        Line2D([], [], label="published", **_MARKS["published"]),
        Patch(label="where the claim is true", **_TRUE),
        Patch(label="too small to matter", **_SMALL_EFFECT),
        *(Patch(label=f"variance: {part}", **style) for part, style in _PARTS.items()),
    ]
    page.figure.legend(
        handles=handles, loc="upper left", ncols=len(handles), fontsize=7, frameon=False,
        borderaxespad=0.0, bbox_to_anchor=(LEFT[0] / WIDTH, 1 - TITLE / page.height),
        columnspacing=1.3, borderpad=0.0, handlelength=1.8,
    )  # fmt: skip
