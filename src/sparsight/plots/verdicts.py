"""The table of verdicts across studies: cells for pages, and the page for browsers."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sparsight.analysis import tables
from sparsight.analysis.verdict_table import StudyClaims, count_verdicts, verdict_rows
from sparsight.io.files import write_text
from sparsight.plots.pages import interval, number, render

#: of the stage `verdicts_page`: see `sparsight.study.versions`
VERSION = 2
#: heads of the columns of `verdict_cells`
HEADS = (
    *("study", "claim", "published", "estimate", "interval", "networks × images", "scale"),
    "verdict",
)


def verdict_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What the table says of a row of `verdict_rows`, by `HEADS`."""
    reason = f": {row['verdict_reason']}" if row["verdict_reason"] else ""
    return (
        row["study"],
        row["claim"],
        number(row["published"]),
        number(row["estimate"]),
        interval(row["low"], row["high"]),
        _counts(row),
        row["scale"],
        row["verdict"] + reason,
    )


def _counts(row: Mapping[str, Any]) -> str:
    """Networks × images; the images of networks as a whole are not counted."""
    if math.isnan(row["n_seeds"]):
        return "–"
    text = f"{row['n_seeds']:.0f}"
    if row["n_images"] > 1:
        text += f" × {row['n_images']:,.0f}"
    return f"{text}, pooled" if row["pooled"] else text


def write_verdicts(
    claims: Path, references: Iterable[Path], page: Path, settings: Mapping[str, Any]
) -> None:
    """Write the page: the verdicts of a study, and below them those of others.

    Parameters
    ----------
    claims : `claims.csv` of the study.
    references : `claims.csv` of other studies, in folders with their names.
    page : .html file.
    settings : `study`, its name; a reference of that name is left out.
    """
    name = str(settings["study"])
    own = StudyClaims.of_table(name, tables.read("claims", claims))
    others = [
        StudyClaims.of_table(path.parent.name, tables.read("claims", path))
        for path in references
        if path.parent.name != name
    ]
    groups = {**verdict_rows([own], {f"This study: {name}": (name,)}), **verdict_rows(others)}
    text = render(
        "verdicts.html",
        title=f"Verdicts of the study {name}, beside those of the references",
        groups=groups,
        heads=HEADS,
        cells=verdict_cells,
        counts=count_verdicts,
    )
    write_text(page, text)
