"""The table of claims: each with its estimate, interval, parts of the error, and verdict."""

from collections.abc import Iterable, Mapping
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
from sparsight.plots.style import (
    INK,
    SIZE,
    TALLEST,
    WIDTH,
    Page,
    figure_style,
    save_figure,
    wrap_lines,
)

#: of the stage `figure_claims`: see `sparsight.study.versions`
VERSION = 5

# Columns, in inches: claim, forest, numbers, verdict; and how wide their texts are.
LEFT = (0.1, 2.72, 4.62, 6.08)
WIDTHS = (2.5, 1.72, 1.36, 0.92)
TITLE, HEADS, TIER, GAP, LINE, STRONG = 0.3, 0.24, 0.3, 0.18, 0.122, 0.145
_LEGEND = 0.62
# Below a forest there are its numbers.
FOREST, TICKS, BAR = 0.55, 0.2, 0.1
# Lanes of a forest: every network, their mean, the published number.
SEEDS_AT, MEAN_AT, PUBLISHED_AT = 0.82, 0.5, 0.18
_VERDICTS: dict[str, dict[str, Any]] = {
    "holds": {"color": "white", "facecolor": INK, "edgecolor": INK},
    "against": {"color": "#8a1049", "facecolor": "white", "edgecolor": "#8a1049"},
    "neither": {"color": "0.15", "facecolor": "0.9", "edgecolor": "0.9"},
}
_MARKS: dict[str, dict[str, Any]] = {
    "seeds": {"linestyle": "", "marker": "o", "markersize": 3.2, "markeredgewidth": 0,
              "color": INK, "alpha": 0.7},
    "mean": {"linestyle": "", "marker": "D", "markersize": 4.5, "color": INK},
    "interval": {"linewidth": 1.6, "color": INK, "solid_capstyle": "butt"},
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
        save_figure(claims_pages(rows, title), figures)
    write_text(page, claims_page(rows, title))


def claims_pages(rows: list[dict[str, Any]], title: str) -> list[Figure]:
    """The pages of `draw_claims`, from the records of `claims.csv`."""
    if not rows:
        page = Page(1.0)
        page.text(LEFT[0], 0.1, title, SIZE + 1, fontweight="bold")
        page.text(LEFT[0], 0.5, "The study makes no claims.")
        return [page.figure]
    sheets: list[list[tuple[str, list[_Row]]]] = [[]]
    room = free = TALLEST - TITLE - HEADS - _LEGEND
    for tier, found in by_tier(rows).items():
        for row in map(_Row, found):
            new = not sheets[-1] or sheets[-1][-1][0] != tier
            if sheets[-1] and row.height + TIER * new > free:
                sheets.append([])
                free, new = room, True
            if new:
                sheets[-1].append((tier, []))
            sheets[-1][-1][1].append(row)
            free -= row.height + TIER * new
    return [
        _page(title + (f" ({n} of {len(sheets)})" if len(sheets) > 1 else ""), sheet)
        for n, sheet in enumerate(sheets, start=1)
    ]


def _page(title: str, sheet: list[tuple[str, list["_Row"]]]) -> Figure:
    heights = [TIER + sum(row.height for row in found) for _, found in sheet]
    page = Page(TITLE + HEADS + sum(heights) + _LEGEND)
    page.text(LEFT[0], 0.1, title, SIZE + 1, fontweight="bold")
    heads = ("claim", "networks, mean with interval, published", "numbers", "verdict")
    for left, width, head in zip(LEFT, WIDTHS, heads, strict=True):
        page.text(left, TITLE, "\n".join(wrap_lines(head, width)), color="0.25")
    top = TITLE + HEADS + 0.06
    for tier, found in sheet:
        heading, correction = TIERS[tier]
        page.rule(top - 0.04, "0.2")
        page.text(LEFT[0], top, heading, SIZE + 1, fontweight="bold")
        page.text(LEFT[1], top + 0.01, correction, color="0.25")
        top += TIER - 0.06
        for row in found:
            page.rule(top - 0.06)
            row.draw(page, top)
            top += row.height
        top += 0.06
    _legend(page)
    return page.frame()


class _Row:
    """A claim: its texts, wrapped, and the height in inches that it takes."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        def wrapped(texts: Iterable[str], width: float) -> list[str]:
            return [line for text in texts for line in wrap_lines(text, width)]

        self.row = row
        self.claim = wrap_lines(row["claim"], WIDTHS[0], weight="bold")
        self.notes = wrapped(notes(row), WIDTHS[0])
        self.numbers = wrapped((f"{name} {words}" for name, words in facts(row)), WIDTHS[2])
        self.errors = wrapped(error_words(row), WIDTHS[1])
        self.bar = BAR + 0.06 if variance_shares(row) else 0.0
        verdict = f"{SIGNS[row['verdict']].symbol} {row['verdict']}"
        self.verdict = wrap_lines(verdict, WIDTHS[3] - 0.12, weight="bold")
        self.reason = wrapped(filter(None, [row["verdict_reason"]]), WIDTHS[3])
        self.reason_at = 0.14 + len(self.verdict) * LINE
        self.height = GAP + max(
            STRONG * len(self.claim) + LINE * len(self.notes),
            STRONG + LINE * len(self.numbers),
            self.reason_at + LINE * len(self.reason),
            FOREST + TICKS + self.bar + LINE * len(self.errors),
        )

    def draw(self, page: Page, top: float) -> None:
        left = LEFT[0]
        _lines(page, left, top, self.claim, "claim", STRONG, fontweight="bold")
        _lines(page, left, top + STRONG * len(self.claim), self.notes, "claim")
        _forest(page.panel(LEFT[1], top, WIDTHS[1], FOREST), self.row)
        page.text(LEFT[2], top, number(self.row["estimate"]), fontweight="bold", gid="numbers")
        _lines(page, LEFT[2], top + STRONG, self.numbers, "numbers")
        at = top + FOREST + TICKS + 0.02
        if self.bar:
            _bar(page.panel(LEFT[1], at, WIDTHS[1], BAR), self.row)
        _lines(page, LEFT[1], at + self.bar, self.errors, "errors")
        box = dict(_VERDICTS[SIGNS[self.row["verdict"]].kind])
        page.text(
            LEFT[3] + 0.04, top + 0.02, "\n".join(self.verdict), gid="verdict", fontweight="bold",
            color=box.pop("color"), bbox={"boxstyle": "round,pad=0.3", "linewidth": 1.0, **box},
        )  # fmt: skip
        _lines(page, LEFT[3], top + self.reason_at, self.reason, "reason")


def _lines(
    page: Page, left: float, top: float, lines: Iterable[str], gid: str, height: float = LINE,
    **style: Any,
) -> None:  # fmt: skip
    for place, line in enumerate(lines):
        page.text(left, top + height * place, line, gid=gid, **{"color": "0.2", **style})


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
        axes.text(0.5, MEAN_AT, "undefined", transform=axes.transAxes, color="0.2",
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
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(round(value, 10) + 0.0)))
    axes.tick_params(axis="x", length=2, pad=1.5, bottom=True, color="0.5")
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


def _legend(page: Page) -> None:
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
        handles=handles, loc="lower left", ncols=3, frameon=False, borderaxespad=0.0,
        bbox_to_anchor=(LEFT[0] / WIDTH, 0.06 / page.height), handlelength=1.8,
    )  # fmt: skip
