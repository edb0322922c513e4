"""Say what differs between two studies: `sparsight compare A B`, or `python -m sparsight …`.

A and B are folders of studies (`results/NAME`) or of references (`results/reference/NAME`).
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from sparsight.analysis.differences import MATCHED, Differences, differences
from sparsight.analysis.results import load_results
from sparsight.io.errors import InputError
from sparsight.io.files import write_text
from sparsight.plots.pages import interval, number, percent, render

#: rows of each part that the console shows; the page has all
MOST_ROWS = 20
#: characters of a cell on the console
_WIDEST = 72


def console_text(a: str, b: str, found: Differences) -> str:
    """What differs between studies A and B, which are named `a` and `b`, for a console."""
    parts = [f"A: {a}\nB: {b}", *summary(found)]
    tables = {
        "Settings that differ": found.settings,
        "Claims whose verdict differs": found.verdicts,
        "Numbers that differ by more than their intervals, those furthest beyond first": (
            _joined(shown_numbers(found.beyond))
        ),
        "Rows that only one has": found.only,
    }
    for title, rows in tables.items():
        if len(rows):
            parts.append(f"{title}\n{_console_table(rows)}")
    return "\n\n".join(parts) + "\n"


def _joined(rows: pd.DataFrame) -> pd.DataFrame:
    """The names of a row in one cell, and its three numbers."""
    numbers = list(rows.columns[-3:])
    names = rows.drop(columns=numbers).astype(str)
    if "level" in names:
        names["level"] = "level " + names["level"].where(names["level"] != "", "–")
    cells = [" ".join(filter(None, row)) for row in names.itertuples(index=False)]
    return rows[numbers].assign(row=cells)[["row", *numbers]]


def _console_table(rows: pd.DataFrame) -> str:
    text = rows.head(MOST_ROWS).map(lambda cell: _cut(str(cell))).to_string(index=False)
    more = len(rows) - MOST_ROWS
    return text + (f"\n… and {more} more, which --page FILE.html shows" if more > 0 else "")


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def summary(found: Differences) -> Iterator[str]:
    """Sentences that say how much differs, and how rows were matched."""
    if found.matched:
        pairs = (f"{key} {a} of A with {b} of B" for key, (a, b) in found.matched.items())
        yield f"Rows are matched across {'; '.join(pairs)}."
    if not found.settings_known:
        yield "Settings are not compared: one of the two has no provenance.json."
    else:
        yield f"{_count(len(found.settings), 'setting')} differ."
    yield (
        f"Verdicts: {len(found.verdicts)} differ or stand in one study only, "
        f"{found.same_verdicts} are equal."
    )
    if not found.compared:
        yield "No row of numbers with an interval is in both."
        return
    beyond, chance = len(found.beyond), percent(1 - found.confidence)
    densities = found.numbers["density_a"] - found.numbers["density_b"]
    apart = int((densities.abs() > 0.01).sum())
    yield (
        f"Numbers: of {_count(found.compared, 'row')} that both have, {found.equal} are equal, and "
        f"{beyond} differ by more than their {percent(found.confidence)} intervals; where nothing "
        f"differs, about {chance} of the rows do so by chance."
        + (
            f" {found.without_interval} rows have no interval over networks."
            if found.without_interval
            else ""
        )
        + (f" In {apart} rows the level has another density in B than in A." if apart else "")
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("s" if number != 1 else "")


def shown_numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `Differences.numbers` in words; names that all of them share are left out."""
    numbers = ("a", "b", "density_a", "density_b", "difference", "low", "high", "beyond")
    bounds = ("a_low", "a_high", "b_low", "b_high")
    names = [column for column in rows if column not in (*numbers, *bounds)]
    shown = rows[names].fillna("")
    told = [name for name in names if shown[name].nunique() > 1 or name == "level"]
    first = [name for name in ("table", "number", "explainer", "metric", "level") if name in told]
    order = [*first, *(name for name in told if name not in (*first, *MATCHED))]
    shown = shown[[*(name for name in MATCHED if name in told), *order]]
    for side in "ab":
        shown[side.upper()] = [
            f"{number(value)} [{interval(low, high)}]"
            for value, low, high in zip(
                rows[side], rows[f"{side}_low"], rows[f"{side}_high"], strict=True
            )
        ]
    shown["B − A"] = [
        f"{number(value)} [{interval(low, high)}]"
        for value, low, high in zip(rows["difference"], rows["low"], rows["high"], strict=True)
    ]
    return shown


def write_page(page: Path, a: str, b: str, found: Differences) -> None:
    """Write all that differs as one HTML file, which needs nothing else."""
    text = render(
        "comparison.html",
        title=f"{a} and {b}",
        a=a,
        b=b,
        summary=list(summary(found)),
        tables={
            "Settings that differ": found.settings,
            "Claims whose verdict differs": found.verdicts,
            **{
                f"Numbers that differ: {number} of {table}": shown_numbers(rows)
                for (table, number), rows in found.beyond.groupby(["table", "number"], sort=False)
            },
            "Rows that only one has": found.only,
        },
    )
    write_text(page, text)


def main(arguments: Sequence[str]) -> None:
    """Entry point; leaves with an error message where a folder or the page cannot be used."""
    parser = argparse.ArgumentParser(
        "sparsight compare", description="What differs between two studies."
    )
    parser.add_argument(
        "a", metavar="A", help="folder of a study or reference, such as results/NAME"
    )
    parser.add_argument("b", metavar="B", help="another one")
    parser.add_argument(
        "--page", metavar="FILE", type=Path, help="write all of it as an HTML page, too"
    )
    given = parser.parse_args(arguments)
    try:
        found = differences(load_results(given.a), load_results(given.b))
        sys.stdout.write(console_text(given.a, given.b, found))
        if given.page:
            write_page(given.page, given.a, given.b, found)
            sys.stdout.write(f"\nPage: {given.page}\n")
    except InputError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename} cannot be written ({error.strerror}); give another --page")
