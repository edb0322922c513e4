"""The table of claims as a page for browsers: plain, self-contained, no scripts."""

import html
import math
from collections.abc import Mapping
from typing import Any

from sparsight.analysis.claims.table import CONTRADICTED, SUPPORTED, UNDECIDED, split
from sparsight.plots.html_page import html_page

#: a verdict is never told by colour alone
SYMBOLS = {SUPPORTED: "✓", CONTRADICTED: "✗", UNDECIDED: "○"}
_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 1.5rem; }
table { border-collapse: collapse; }
caption { text-align: left; font-weight: 600; padding-bottom: .6rem; }
th, td { border-bottom: 1px solid #bbb; padding: .5rem .8rem .5rem 0; text-align: left;
  vertical-align: top; }
thead th { border-bottom: 2px solid #333; }
tbody th { font-weight: 600; min-width: 16rem; max-width: 26rem; }
small { font-weight: 400; color: #444; display: block; font-size: .85em; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.verdict { white-space: nowrap; font-weight: 600; }
.supported { color: #1f2a6b; }
.contradicted { color: #a3195b; text-decoration: underline; }
.undecided { color: #444; font-style: italic; }
p { max-width: 46rem; }
"""
_HEADS = (
    "Claim",
    "Estimate",
    "Interval over trainings",
    "Interval over images, these networks",
    "Published",
    "Adjusted p",
    "Verdict",
)


def number(value: float) -> str:
    """Three digits with a real minus; a dash where there is no number."""
    return "–" if math.isnan(value) else f"{value:.3g}".replace("-", "−")


def interval(low: float, high: float) -> str:
    """ "0.1 to 0.2"; a dash where there is none."""
    return "–" if math.isnan(low) or math.isnan(high) else f"{number(low)} to {number(high)}"


def p_words(p: float) -> str:
    """An adjusted p in words: three decimals, "< 0.001", or "no test"."""
    if math.isnan(p):
        return "no test"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def about(row: Mapping[str, Any]) -> str:
    """Whose claim a row is: data set, model, pruner, explainer, condition, subset."""
    parts = [row["dataset"], row["model"], row["pruner"], row["explainer"]]
    parts.append(f"{row['condition']} images")
    parts += [row["subset"]] if row["subset"] != "all" else []
    return " · ".join(part for part in parts if part)


def bounds(row: Mapping[str, Any]) -> str:
    """For which values of its quantity the claim is true."""
    low, high = number(row["holds_from"]), number(row["holds_to"])
    if math.isnan(row["holds_from"]):
        words = f"true below {high}"
    elif math.isnan(row["holds_to"]):
        words = f"true above {low}"
    else:
        words = f"true from {low} to {high}"
    # no number stands alone on a line
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def claims_page(rows: list[dict[str, Any]], title: str, confidence: float) -> str:
    """A whole HTML document.

    Parameters
    ----------
    rows : records of `claims.csv`.
    title : of the page, as plain text.
    confidence : coverage of the intervals, in (0, 1).
    """
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    body = "\n".join(_row(row) for row in rows)
    level = f"{1 - confidence:.3g}"
    whole = f"""<table>
<caption>{html.escape(title)}</caption>
<thead><tr>{heads}</tr></thead>
<tbody>
{body}
</tbody>
</table>
<p>A claim is supported or contradicted where its p, corrected for all rows together (Holm), is
below {level}. Undecided is not refuted: with few networks only large effects can be shown. The
intervals cover {100 * confidence:g}% and are not corrected. The first speaks of other trainings
of the same recipe (Student t over networks), the second of other images shown to these
networks (bootstrap).</p>"""
    return html_page(title, _STYLE, whole)


def _row(row: Mapping[str, Any]) -> str:
    seeds = ", ".join(number(value) for value in split(row["per_seed"])) or "none"
    notes = [
        f"{row['statistic']}: {bounds(row)}",
        about(row),
        f"{row['n_seeds']:g} networks: {seeds}",
        row["remark"],
    ]
    small = "".join(f"<small>{html.escape(note)}</small>" for note in notes if note)
    numbers = (
        number(row["estimate"]),
        interval(row["low"], row["high"]),
        interval(row["images_low"], row["images_high"]),
        number(row["published"]),
        p_words(row["p_adjusted"]),
    )
    cells = "".join(f'<td class="number">{html.escape(cell)}</td>' for cell in numbers)
    word = row["verdict"]
    return (
        f'<tr><th scope="row">{html.escape(row["claim"])}{small}</th>{cells}'
        f'<td class="verdict {word}"><span aria-hidden="true">{SYMBOLS[word]}</span> {word}</td>'
        "</tr>"
    )
