"""The pages in `docs/results/`: what came out, with every number drawn from a table.

They are made from the templates in `pages/results/`, the studies and the committed references, by
`make docs`. A template names a number by its table, column and row; none is written out.
"""

import math
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from sparsight.analysis import tables
from sparsight.analysis.verdict_table import (
    NOT_RUN,
    StudyClaims,
    count_verdicts,
    verdict_rows,
)
from sparsight.analysis.verdicts import (
    CONTRADICTED,
    LESS_THAN_HALF,
    NO_EFFECT,
    NOT_TESTABLE,
    OPEN,
    REPLICATED,
    SMALLER,
    SUPPORTED,
    SUPPORTED_SMALLER,
)
from sparsight.io.errors import InputError
from sparsight.io.files import write_text
from sparsight.io.templates import templates
from sparsight.plots.pages import number, percent
from sparsight.plots.verdicts import HEADS, verdict_cells
from sparsight.study.yaml_files import load_yaml

_NOTE = "<!-- Made by `make docs` from tables and src/sparsight/study/pages/results. -->\n\n"
PAGES = (
    "README.md",
    "verdicts.md",
    "thesis_mnist.md",
    "coginterp_imagenette_cpu.md",
    "coginterp_regrowth_cpu.md",
    "lth_cub200_cpu.md",
    "lth_ham10000_cpu.md",
    "norm_layer_ablation.md",
    "spade_imagenette_cpu.md",
    "four_datasets_small.md",
    "pruning_ways.md",
    "pruning_ways_photographs.md",
)
#: verdicts, those first that a reader of the studies expects least
SURPRISE = (
    CONTRADICTED,
    LESS_THAN_HALF,
    NO_EFFECT,
    SMALLER,
    SUPPORTED_SMALLER,
    SUPPORTED,
    REPLICATED,
)
#: rows of the table in README.md
SHOWN = 5


def known_studies(root: Path) -> dict[str, dict[str, Any]]:
    """`datasets` and `claims` of every study in `studies/` that claims something, by its name."""
    found = {}
    for path in sorted((root / "studies").glob("*.yaml")):
        study = load_yaml(path)
        if study.get("claims"):
            networks = study.get("networks", [])
            names = study.get("datasets") or [one["dataset"] for one in networks]
            found[path.stem] = {"datasets": names, "claims": study["claims"]}
    return found


def references(root: Path) -> list[Path]:
    """`claims.csv` of the committed references."""
    return sorted((root / "results" / "reference").glob("*/claims.csv"))


class Numbers:
    """The tables of the committed references, for templates.

    Parameters
    ----------
    root : folder of the project.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "results" / "reference"
        self._table = cache(self._read)
        files = {path.parent.name: path for path in references(root)}
        self.studies = {
            name: StudyClaims(
                name,
                of["datasets"],
                of["claims"],
                *([tables.read("claims", files[name])] if name in files else []),
            )
            for name, of in known_studies(root).items()
        }

    def _read(self, study: str, name: str) -> pd.DataFrame:
        paths = [self._folder / study / f"{name}{suffix}" for suffix in (".parquet", ".csv")]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise InputError(f"the reference {study} has no table {name}; name another")
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)

    def claim(self, study: str, name: str) -> dict[str, Any]:
        """The row of a claim in a reference's `claims.csv`."""
        table = self.studies[study].table
        rows = table[table["name"] == name] if len(table) else table
        if len(rows) != 1:
            raise InputError(f"the reference {study} has no claim '{name}'; name another")
        return {str(key): value for key, value in rows.iloc[0].to_dict().items()}

    def published(self, study: str, name: str) -> float:
        """The published number of a claim that a study configures, whether it has run or not."""
        found = [claim for claim in self.studies[study].claims if claim["name"] == name]
        if len(found) != 1 or "published" not in found[0]:
            raise InputError(f"the study {study} has no published number of '{name}'; name another")
        return float(found[0]["published"])

    def matrices(self, study: str) -> int:
        """For how many claims the numbers by network and image are committed."""
        return len(list((self._folder / study / "claims").glob("*.parquet")))

    def value(self, study: str, table: str, column: str, **where: Any) -> float:
        """Mean of a column over all rows that are so: one row, or one of each network."""
        frame = self._where(study, table, where)
        if frame.empty or frame[column].isna().all():
            raise InputError(f"the table {table} of {study} has no {column} where {where}")
        return float(frame[column].mean())

    def rows(self, study: str, table: str, **where: Any) -> list[dict[str, Any]]:
        """All rows that are so; there may be none."""
        return cast(
            "list[dict[str, Any]]", self._where(study, table, where).to_dict(orient="records")
        )

    def _where(self, study: str, table: str, where: Mapping[str, Any]) -> pd.DataFrame:
        frame = self._table(study, table)
        for key, wanted in where.items():
            if wanted is None:
                frame = frame[frame[key].isna()]
            elif isinstance(wanted, float):
                # large tables are kept in single precision
                frame = frame[np.isclose(frame[key], wanted)]
            else:
                frame = frame[frame[key] == wanted]
        return frame


def estimate(row: Mapping[str, Any]) -> str:
    """ "+.031 [.012, .050]", without the interval where there is none."""
    text = plain(row["estimate"])
    if math.isnan(row["low"]):
        return text
    return f"{text} [{plain(row['low'])}, {plain(row['high'])}]"


def plain(value: float) -> str:
    """Three digits that count, but no more than three decimals; without a zero before the point.

    A number that would be nothing but zeros has its first digit, a whole one no decimals.
    """
    if math.isnan(value):
        return "–"
    size = abs(value)
    if size >= 1 and value == round(value):
        return f"{value:.0f}".replace("-", "−")
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    if 0.0 < size < 0.0005:
        decimals = -math.floor(math.log10(size))
    text = f"{size:.{decimals}f}".removeprefix("0" if size < 1 else "")
    return f"−{text}" if value < 0 else text or "0"


def needed(row: Mapping[str, Any]) -> str:
    """What would decide an open row alone."""
    counts = {"networks": row["networks_needed"], "images": row["images_needed"]}
    words = [f"{count:,.0f} {what}" for what, count in counts.items() if count == count]
    if row["pooled"]:
        words = ["more data sets"]
    return " or ".join(words) or "more networks and more images"


def claims_of(study: StudyClaims) -> list[dict[str, Any]]:
    """Rows of `claims.csv` in the order of its file, primary claims first; then those not run."""
    return next(iter(verdict_rows([study], {study.name: (study.name,)}).values()), [])


def is_decided(row: Mapping[str, Any]) -> bool:
    """Whether the verdict says something of the claim."""
    return row["verdict"] not in (OPEN, NOT_TESTABLE, NOT_RUN)


def pages(root: Path) -> dict[str, str]:
    """All pages: file name in `docs/results/` to Markdown."""
    numbers = Numbers(root)
    environment = templates("sparsight.study", "pages/results")
    environment.filters |= {
        "cell": lambda text: str(text).replace("|", "\\|"),
        "estimate": estimate,
        "number": number,
        "percent": lambda value: f"{100 * value:.0f}%",
        "plain": plain,
        "share": percent,
        "signed": lambda value: f"{'+' if value > 0 else ''}{plain(value)}",
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
        "needed": needed,
        "decided": lambda rows: [row for row in rows if is_decided(row)],
        "stated": lambda rows, key: [row for row in rows if row[key] == row[key]],
        "with": lambda rows, *verdicts: [row for row in rows if row["verdict"] in verdicts],
    }
    environment.globals |= {
        "HEADS": HEADS,
        "NOT_RUN": NOT_RUN,
        "NOT_TESTABLE": NOT_TESTABLE,
        "OPEN": OPEN,
        "cells": verdict_cells,
        "claim": numbers.claim,
        "claims_of": lambda name: claims_of(numbers.studies[name]),
        "counts": count_verdicts,
        "groups": verdict_rows(numbers.studies.values()),
        "matrices": numbers.matrices,
        "published": numbers.published,
        "rows": numbers.rows,
        "value": numbers.value,
    }
    texts = {name: environment.get_template(name).render() for name in PAGES}
    return {name: _NOTE + _tidy(text) for name, text in texts.items()}


def _tidy(text: str) -> str:
    """Without spaces at ends of lines, and with one empty line between paragraphs."""
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).rstrip("\n") + "\n"


def write_pages(root: Path) -> None:
    """Write all pages into `docs/results/`, and the most surprising verdicts into `README.md`."""
    for name, text in pages(root).items():
        write_text(root / "docs" / "results" / name, text)
    readme = root / "README.md"
    write_text(readme, with_verdicts(readme.read_text(encoding="utf-8"), root))


def most_surprising(studies: Iterable[StudyClaims]) -> list[dict[str, Any]]:
    """Decided primary claims by `SURPRISE`, at most one a study and `SHOWN` in all.

    Of equal verdicts, those about a published number come first.
    """
    primary = [
        row
        for rows in verdict_rows(studies).values()
        for row in rows
        if row["tier"] == "primary" and is_decided(row)
    ]
    primary.sort(key=lambda row: (SURPRISE.index(row["verdict"]), math.isnan(row["published"])))
    first: dict[str, dict[str, Any]] = {}
    for row in primary:
        first.setdefault(row["study"], row)
    return list(first.values())[:SHOWN]


def with_verdicts(readme: str, root: Path) -> str:
    """`README.md` with its table of the most surprising verdicts, between two comments."""
    lines = ["| claim | published | here | verdict |", "| --- | --- | --- | --- |"]
    for row in most_surprising(Numbers(root).studies.values()):
        page = "spade_imagenette_cpu" if row["study"] == "spade_shapes" else row["study"]
        cells = (
            f"[{row['study']}](docs/results/{page}.md): {row['claim']}",
            plain(row["published"]),
            estimate(row),
            verdict_cells(row)[-1],
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    before, begin, rest = readme.partition("<!-- verdicts, by `make docs` -->\n")
    _, end, after = rest.partition("<!-- end of verdicts -->")
    table = "\n".join(lines)
    return f"{before}{begin}\n{table}\n\n{end}{after}"
