"""Pages for browsers, self-contained and without scripts: claims, concept tables, the guide."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sparsight.analysis.curves import DENSE
from sparsight.analysis.tables import CONTRADICTED, SHORT, SUPPORTED, UNDECIDED, read, split_values
from sparsight.io.files import write_text


def render(template: str, **values: Any) -> str:
    """A page from a template of this room; what is put in is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sparsight.plots"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)


#: a verdict is never told by colour alone
SYMBOLS = {SUPPORTED: "✓", CONTRADICTED: "✗", UNDECIDED: "○"}


def number(value: float) -> str:
    """Three digits with a real minus; a dash where there is no number."""
    return "–" if math.isnan(value) else f"{value:.3g}".replace("-", "−")


def interval(low: float, high: float) -> str:
    """ "0.1 to 0.2"; a dash where there is none."""
    return "–" if math.isnan(low) or math.isnan(high) else f"{number(low)} to {number(high)}"


def percent(share: float) -> str:
    """A share as a percentage with two figures that count: 100%, 33%, 0.086%."""
    value = 100 * share
    return f"{value:.0f}%" if value >= 9.95 else f"{value:.2g}%"


def p_words(p: float) -> str:
    """An adjusted p in words: three decimals, "< 0.001", or "no test"."""
    if math.isnan(p):
        return "no test"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def about(row: Mapping[str, Any]) -> str:
    """Whose claim a row is: data set, model, pruner, explainer, condition, subset."""
    subset = "" if row["subset"] == "all" else row["subset"]
    names = (row[name] for name in ("dataset", "model", "pruner", "explainer"))
    return " · ".join(filter(None, [*names, f"{row['condition']} images", subset]))


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
    """A whole HTML document of the records of `claims.csv`.

    `confidence` is the coverage of the intervals, in (0, 1).
    """
    return render(
        "claims.html",
        title=title,
        rows=rows,
        notes=_notes_of,
        cells=_cells_of,
        symbols=SYMBOLS,
        confidence=confidence,
    )


def _notes_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    seeds = ", ".join(number(value) for value in split_values(row["per_seed"])) or "none"
    networks = f"{row['n_seeds']:g} networks: {seeds}"
    return f"{row['statistic']}: {bounds(row)}", about(row), networks, row["remark"]


def _cells_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        number(row["estimate"]),
        interval(row["low"], row["high"]),
        interval(row["images_low"], row["images_high"]),
        number(row["published"]),
        p_words(row["p_adjusted"]),
    )


#: of the stage `concept_tables_page`: see `sparsight.study.versions`
CONCEPT_TABLES_PAGE_VERSION = 1
#: a concept that the dense network does not have among its first is never told by colour alone
NEW = "+"


def write_concept_tables(
    tables: Path, notes: Path, page: Path, settings: Mapping[str, Any]
) -> None:
    """Write the page: one table per network, concept method, pruner and seed.

    Rows are classes, columns levels, dense first. Above them stands what the method notes. An
    `InputError` is raised where a table is missing or damaged.

    Parameters
    ----------
    tables, notes : `concept_tables.csv`, `concept_notes.csv`.
    page : .html file.
    settings : `study`; `retrain` (pruners that only retrain), whose tables come last.
    """
    table, retrain = read("concept_tables", tables), set(settings.get("retrain", ()))
    text = render(
        "concept_tables.html",
        title=f"Most important concepts of the study {settings.get('study', '')}".strip(),
        any_order=not table.empty,
        sections=list(_sections(table, read("concept_notes", notes), retrain)),
        percent=percent,
        number=number,
        new=NEW,
        short=SHORT,
    )
    write_text(page, text)


def _sections(
    table: pd.DataFrame, notes: pd.DataFrame, retrain: set[str]
) -> Iterator[dict[str, Any]]:
    """One for each network and concept method: its notes, and a table per pruner and seed."""
    keys = ["dataset", "model", "concept"]
    owned = [dict(list(frame.groupby(keys))) for frame in (table, notes)]
    for names in sorted({*owned[0], *owned[1]}):
        dataset, model, concept = names
        rows = owned[0].get(names, table[:0])
        pruners = sorted(set(rows["pruner"]) - {DENSE}, key=lambda name: (name in retrain, name))
        yield {
            "heading": f"{concept}: {model} on {dataset}",
            "notes": owned[1].get(names, notes[:0]).to_dict("records"),
            "tables": [
                {"pruner": pruner, "seed": seed, **_levels(rows[own & (rows["seed"] == seed)])}
                for pruner in pruners or [DENSE]
                for own in [rows["pruner"].isin([DENSE, pruner])]
                for seed in sorted(set(rows["seed"]), key=int)
            ],
        }


def _levels(rows: pd.DataFrame) -> dict[str, Any]:
    """Of one network and pruner: density by level, and (name, weight) by class and level."""
    classes: dict[str, dict[int, list[tuple[str, float]]]] = {}
    for row in rows.to_dict("records"):
        places = range(1, SHORT + 1)
        found = [(str(row[f"top_{n}"]), float(row[f"weight_{n}"])) for n in places]
        classes.setdefault(str(row["class"]), {})[int(row["level"])] = [x for x in found if x[0]]
    return {"levels": rows.groupby("level")["density"].mean().to_dict(), "classes": classes}


#: of the stage `guide_page`: see `sparsight.study.versions`
GUIDE_PAGE_VERSION = 1


def write_guide(page: Path, settings: Mapping[str, Any]) -> None:
    """Write the guide.

    `settings`: `study`, `confidence` in (0, 1), and `studied`: heading to names, in order.
    """
    title, confidence = f"Guide to the study {settings['study']}", 100 * settings["confidence"]
    text = render("guide.html", title=title, studied=settings["studied"], confidence=confidence)
    write_text(page, text)
