"""The most important concepts of every class and level as a page: plain, without scripts."""

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sparsight.analysis.concept_readers import read_concept_tables
from sparsight.analysis.concepts import SHORT, read_concept_notes
from sparsight.analysis.curves import DENSE
from sparsight.io.atomic import write_text
from sparsight.plots.claims_page import number
from sparsight.plots.html_page import html_page
from sparsight.plots.panels import percent

#: of the stage `concept_tables_page`: see `sparsight.study.versions`
VERSION = 1

#: a concept that the dense network does not have among its first is never told by colour alone
NEW = "+"
_STYLE = """
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
    found = read_concept_tables(tables), read_concept_notes(notes)
    write_text(page, concept_tables_page(*found, title, retrain))


def concept_tables_page(
    table: pd.DataFrame, notes: pd.DataFrame, title: str, retrain: set[str]
) -> str:
    """A whole HTML document, from the rows of `concept_tables.csv` and `concept_notes.csv`."""
    body = "\n".join(_sections(table, notes, retrain))
    if table.empty:
        body = f"<p>No method orders concepts.</p>\n{body}"
    return html_page(title, _STYLE, f"<h1>{html.escape(title)}</h1>\n{_ABOUT}\n{body}")


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
