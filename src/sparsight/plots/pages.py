"""Pages for browsers, self-contained and without scripts: claims, concept tables, the guide."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sparsight.analysis.curves import DENSE
from sparsight.analysis.tables import CONTRADICTED, SHORT, SUPPORTED, UNDECIDED, read, split
from sparsight.io.files import write_text
from sparsight.plots.panels import percent


def html_page(title: str, style: str, body: str) -> str:
    """A whole HTML document.

    Parameters
    ----------
    title : plain text.
    style : CSS.
    body : HTML.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


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


#: of the stage `concept_tables_page`: see `sparsight.study.versions`
CONCEPT_TABLES_PAGE_VERSION = 1
#: a concept that the dense network does not have among its first is never told by colour alone
NEW = "+"
_CONCEPTS_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 1.5rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 1.8rem; }
p, ul { max-width: 48rem; }
summary { cursor: pointer; font-weight: 600; padding: .3rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .3rem 0 1rem; }
caption { text-align: left; color: #444; padding-bottom: .3rem; }
th, td { border-bottom: 1px solid #bbb; padding: .35rem .9rem .35rem 0; text-align: left;
  vertical-align: top; }
thead th { border-bottom: 2px solid #333; white-space: nowrap; }
tbody th { position: sticky; left: 0; background: #fff; }
ol { margin: 0; padding: 0; list-style: none; }
small { color: #444; font-variant-numeric: tabular-nums; }
.new { font-weight: 700; color: #a3195b; }
"""
_ABOUT = f"""<p>Each cell holds a class's {SHORT} most important concepts, the first one first, with
their weights. Marked with <span class="new">{NEW}</span> and in bold: concepts that are not among
the {SHORT} of the dense network of the same seed. How many classes keep all of theirs, and whether
that is more than training once more changes, is in the tables and figures of drift; single cells
are no evidence. Columns are pruning levels with the share of weights that is left.</p>"""


def write_concept_tables(
    tables: Path, notes: Path, page: Path, settings: Mapping[str, Any]
) -> None:
    """Write the page: one table per network, concept method, pruner and seed.

    Rows are classes, columns levels, dense first. Above them stands what the method notes.

    Parameters
    ----------
    tables, notes : `concept_tables.csv`, `concept_notes.csv`.
    page : .html file.
    settings : `study`; `retrain` (pruners that only retrain), whose tables come last.

    Raises
    ------
    InputError
        When a table is missing or damaged.
    """
    title = f"Most important concepts of the study {settings.get('study', '')}".strip()
    retrain = set(settings.get("retrain", ()))
    found = read("concept_tables", tables), read("concept_notes", notes)
    write_text(page, concept_tables_page(*found, title, retrain))


def concept_tables_page(
    table: pd.DataFrame, notes: pd.DataFrame, title: str, retrain: set[str]
) -> str:
    """A whole HTML document, from the rows of `concept_tables.csv` and `concept_notes.csv`."""
    body = "\n".join(_sections(table, notes, retrain))
    if table.empty:
        body = f"<p>No method orders concepts.</p>\n{body}"
    return html_page(title, _CONCEPTS_STYLE, f"<h1>{html.escape(title)}</h1>\n{_ABOUT}\n{body}")


def _sections(table: pd.DataFrame, notes: pd.DataFrame, retrain: set[str]) -> Iterator[str]:
    """One for each network and concept method; the first table of each is open."""
    keys = ["dataset", "model", "concept"]
    owned = [dict(list(frame.groupby(keys))) for frame in (table, notes)]
    for names in sorted({*owned[0], *owned[1]}):
        dataset, model, concept = (html.escape(str(part)) for part in names)
        yield f"<h2>{concept}: {model} on {dataset}</h2>"
        yield from _notes(owned[1].get(names, notes[:0]))
        rows = owned[0].get(names, table[:0])
        if rows.empty:
            yield "<p>It has no named concepts to set side by side.</p>"
            continue
        pruners = sorted(set(rows["pruner"]) - {DENSE}, key=lambda name: (name in retrain, name))
        opened = " open"
        for pruner in pruners or [DENSE]:
            for seed in sorted(set(rows["seed"]), key=int):
                found = rows[(rows["seed"] == seed) & rows["pruner"].isin([DENSE, pruner])]
                yield (
                    f"<details{opened}><summary>{html.escape(pruner)}, seed {seed}</summary>"
                    f'<div class="wide">{_table(found)}</div></details>'
                )
                opened = ""


def _notes(notes: pd.DataFrame) -> Iterator[str]:
    """What a method says of its work, and how many networks it says it of."""
    if notes.empty:
        return
    items = (
        f"<li>{html.escape(str(row['note']))} <small>({row['networks']} of {row['of']} networks)"
        "</small></li>"
        for row in notes.to_dict("records")
    )
    yield f"<p>Notes:</p><ul>{''.join(items)}</ul>"


def _table(rows: pd.DataFrame) -> str:
    """One pruner's levels of one network."""
    shares = rows.groupby("level")["density"].mean()
    heads = "".join(
        f'<th scope="col">level {level}<br><small>{percent(share)} left</small></th>'
        for level, share in shares.items()
    )
    cells: dict[str, dict[int, list[tuple[str, float]]]] = {}
    for row in rows.to_dict("records"):
        places = range(1, SHORT + 1)
        found = [(str(row[f"top_{n}"]), float(row[f"weight_{n}"])) for n in places]
        cells.setdefault(str(row["class"]), {})[int(row["level"])] = [x for x in found if x[0]]
    levels = [int(str(level)) for level in shares.index]
    body = "\n".join(
        f'<tr><th scope="row">{html.escape(name) or "all classes"}</th>'
        + "".join(_cell(by_level, level) for level in levels)
        + "</tr>"
        for name, by_level in cells.items()
    )
    return (
        f'<table><thead><tr><th scope="col">class</th>{heads}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table>"
    )


def _cell(by_level: Mapping[int, Sequence[tuple[str, float]]], level: int) -> str:
    """The first concepts at a level; those that dense does not have are marked."""
    if not by_level.get(level):
        return "<td>–</td>"
    dense = {label for label, _ in by_level[0]} if 0 in by_level else None
    items = []
    for label, weight in by_level[level]:
        text = html.escape(label)
        if dense is not None and label not in dense:
            text = f'<span class="new">{NEW} {text}</span>'
        items.append(f"<li>{text} <small>{number(weight)}</small></li>")
    return f"<td><ol>{''.join(items)}</ol></td>"


#: of the stage `guide_page`: see `sparsight.study.versions`
GUIDE_PAGE_VERSION = 1
_GUIDE_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 1.5rem auto;
  max-width: 46rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 1.4rem 0 .2rem; } p { margin: .3rem 0; }
table { border-collapse: collapse; } th { text-align: left; }
th, td { border-bottom: 1px solid #bbb; padding: .3rem 1rem .3rem 0; vertical-align: top; }
"""
_SECTIONS = (
    (
        "Where to begin",
        "Begin with the claims: they were fixed before the data were seen, and they are few. "
        "Then look at the accuracy. At a level at which the network has collapsed, "
        "explanations describe a network that knows nothing, and its scores say nothing about "
        "explanations in general. Then look at the heatmaps, at the metrics, and at the "
        "correlations last.",
    ),
    (
        "Verdicts",
        "A claim is supported or contradicted when the trained networks say so beyond chance, "
        "with one correction (Holm) for all claims of the study. Undecided means that these "
        "networks cannot tell; it does not mean that the claim is false. Few networks show "
        "only large effects.",
    ),
    (
        "The unit is the trained network",
        "Three networks with a thousand images each are three observations of a level, not "
        "three thousand. Figures show each network (seed) by itself wherever there is room.",
    ),
    (
        "Two kinds of intervals ({confidence:g}%)",
        "A Student t interval over seeds says how another training of the same recipe on the "
        "same data would turn out. Among few seeds it is wide, and with one seed there is "
        "none. An interval over images is always called “for these networks”: it says how "
        "other images of the same kind would turn out for the networks at hand, and is no "
        "evidence about others.",
    ),
    (
        "Floors",
        "A dense network that is trained again, with its batches in another order, explains "
        "itself differently too. This retrain floor is the yardstick for every change: what "
        "stays within it is not caused by pruning. The seed floor, between dense networks of "
        "different seeds, is the other end.",
    ),
    (
        "Controls",
        "Explainers that never look at the network (random values, edges, a central blob, the "
        "image itself) are scored like all others. A score or a correlation that a control "
        "also reaches is not evidence about the network. The mean activation looks at the "
        "network but at no class: what it reaches is not evidence about the explained class.",
    ),
    (
        "Level and density",
        "Level 0 is the dense network, retrained as the others are and shared by all pruners. "
        "Density is the share of prunable weights that are left, counted in the masks.",
    ),
    (
        "What is a test here",
        "The claims are. All else is exploratory: p values in the tables are adjusted "
        "(Benjamini and Hochberg) within a data set, model and pruner, so that they can be "
        "compared with each other; they confirm nothing. All numbers behind the figures are "
        "in the tables; begin with levels.csv.",
    ),
)


def write_guide(page: Path, settings: Mapping[str, Any]) -> None:
    """Write the guide.

    Parameters
    ----------
    page : HTML file.
    settings : `study`, `confidence` in (0, 1), and `studied`: heading to names, in order.
    """
    rows = "".join(
        f'<tr><th scope="row">{html.escape(head)}</th><td>{html.escape(", ".join(names))}</td></tr>'
        for head, names in settings["studied"].items()
        if names
    )
    title = f"Guide to the study {settings['study']}"
    body = f"<h1>{html.escape(title)}</h1>\n<table>{rows}</table>\n"
    for head, text in _SECTIONS:
        head = head.format(confidence=100 * settings["confidence"])
        body += f"<h2>{html.escape(head)}</h2>\n<p>{html.escape(text)}</p>\n"
    write_text(page, html_page(title, _GUIDE_STYLE, body))
