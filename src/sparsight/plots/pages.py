"""Pages for browsers, self-contained and without scripts: claims, concept tables, the guide."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sparsight.analysis import verdicts
from sparsight.analysis.curves import DENSE
from sparsight.analysis.tables import SHORT, read, split_values
from sparsight.io.files import write_text
from sparsight.io.templates import templates
from sparsight.plots.labels import label_of, labelled, worded


def render(template: str, **values: Any) -> str:
    """A page from a template of this room; what is put in is escaped."""
    environment = templates("sparsight.plots", "templates", html=True)
    return environment.get_template(template).render(values)


class Sign(NamedTuple):
    """How a verdict is told from others without colour; `kind` is holds, against or neither."""

    symbol: str
    kind: str


SIGNS = {
    verdicts.REPLICATED: Sign("✓✓", "holds"),
    verdicts.SUPPORTED: Sign("✓", "holds"),
    verdicts.SUPPORTED_SMALLER: Sign("✓<", "holds"),
    verdicts.NO_EFFECT: Sign("≈0", "against"),
    verdicts.CONTRADICTED: Sign("✗", "against"),
    verdicts.LESS_THAN_HALF: Sign("<½", "against"),
    verdicts.SMALLER: Sign("<", "against"),
    verdicts.OPEN: Sign("○", "neither"),
    verdicts.NOT_TESTABLE: Sign("–", "neither"),
}
#: the `gid` of a figure that has nothing to show, which the report does not list
NOTHING = "nothing"
#: tier to its heading, and to what its verdicts are corrected for
TIERS = {
    "primary": ("Primary claims", "in their order, each at the full level while all before it are "
                "decided"),
    "secondary": ("Secondary claims", "corrected for their number (Holm), each once the claim that "
                  "it comes after is decided"),
    "exploratory": ("Exploratory claims", "not corrected for their number"),
}  # fmt: skip
#: parts of a standard error, as bars are filled: dark, hatched, white
PARTS = {"networks": "■", "images": "▨", "residual": "□"}


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


def claim_rows(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Records of `claims.csv` with labels in place of names; an undefined count is NaN too."""
    frame = labelled(read("claims", path), settings)
    for column in ("statistic", "remark"):
        frame[column] = [worded(text, settings) for text in frame[column]]
    defined = frame.astype(object).where(frame.notna(), float("nan"))
    return [{str(key): value for key, value in row.items()} for row in defined.to_dict("records")]


def by_tier(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Tier to its rows, primaries first; primaries in their order, all others as they stand."""
    parents = {row["name"]: row["after"] for row in rows}

    def ancestors(row: Mapping[str, Any]) -> int:
        found = [row["after"]]
        while found[-1] in parents and len(found) <= len(parents):
            found.append(parents[found[-1]])
        return len(found)

    grouped = {tier: [row for row in rows if row["tier"] == tier] for tier in TIERS}
    grouped["primary"].sort(key=ancestors)
    return {tier: found for tier, found in grouped.items() if found}


def place_of(row: Mapping[str, Any]) -> str:
    """The name of a claim, its tier, and what it comes after."""
    after = f", after {row['after']}" if row["after"] else ""
    if after and row["tier"] == "exploratory":
        after = f", since {row['after']} is not decided"
    return f"{row['name']} · {row['tier']}{after}"


def about(row: Mapping[str, Any]) -> str:
    """Whose claim a row is: data set, model, pruner, explainer, condition, subset.

    A pooled claim has those of several data sets and models.
    """
    subset = "" if row["subset"] == "all" else row["subset"]
    condition = f"{row['condition']} images" if row["condition"] else ""
    own = ("dataset", "model", "pruner") if row["test"] != "pooled" else ()
    names = (row[name] for name in (*own, "explainer"))
    return " · ".join(filter(None, [*names, condition, subset]))


def bounds(row: Mapping[str, Any]) -> str:
    """For which values of its quantity the claim is true; "" where it has no bounds."""
    low, high = number(row["holds_from"]), number(row["holds_to"])
    words = {
        (False, False): f"true from {low} to {high}",
        (False, True): f"true above {low}",
        (True, False): f"true below {high}",
        (True, True): "",
    }[math.isnan(row["holds_from"]), math.isnan(row["holds_to"])]
    # no number stands alone on a line
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def notes(row: Mapping[str, Any]) -> list[str]:
    """What stands below a claim: its quantity, its place, and why an effect matters."""
    quantity = ": ".join(filter(None, [row["statistic"], bounds(row)]))
    because = f"smallest effect {number(row['smallest'])}: {row['because']}"
    found = [quantity, about(row), place_of(row), because if row["because"] else "", row["remark"]]
    return [note for note in found if note]


def facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and words of the numbers beside an estimate; what is undefined is left out."""
    e_value, images = row["e_value"], row["n_images"]
    counted = f" × {images:,.0f} images" if images > 1 else ""
    found = [
        (f"{100 * (1 - row['alpha']):.4g}% interval", interval(row["low"], row["high"])),
        ("published", number(row["published"])),
        ("smallest effect", _if_defined(row["smallest"], f"±{number(row['smallest'])}")),
        ("over", f"{row['n_seeds']:.0f} networks{counted}"),
        ("empty maps", _if_defined(row["empty_share"], percent(row["empty_share"]))),
        ("e-value", "over 1,000" if e_value > 1000 else number(e_value)),
        ("look", number(row["look"] or math.nan)),
    ]
    return [(name, words) for name, words in found if words != "–"]


def _if_defined(value: float, words: str) -> str:
    return "–" if math.isnan(value) else words


def errors(row: Mapping[str, Any]) -> dict[str, float]:
    """The parts of the standard error that are known, by `PARTS`; networks alone for one image."""
    known = list(PARTS)[:1] if row["n_images"] == 1 else list(PARTS)
    found = {part: float(row[f"se_{part}"]) for part in known}
    return {part: error for part, error in found.items() if not math.isnan(error)}


def variance_shares(row: Mapping[str, Any]) -> dict[str, float]:
    """Parts of the standard error to their shares of the variance; none where nothing varies."""
    squares = {part: error**2 for part, error in errors(row).items()}
    total = sum(squares.values())
    return {part: square / total for part, square in squares.items()} if total > 0 else {}


def error_words(row: Mapping[str, Any]) -> list[str]:
    """The parts of the standard error, and that of retraining alone."""
    found = [f"{PARTS[part]} {part} {number(error)}" for part, error in errors(row).items()]
    retraining = row["se_retrain"]
    return found + ([] if math.isnan(retraining) else [f"retraining alone {number(retraining)}"])


def too_small(row: Mapping[str, Any]) -> tuple[float, float]:
    """From where to where an effect is too small to matter; NaN where that is not said.

    A claim that a quantity has its published value has the range round that value instead, which is
    where it is true.
    """
    return (math.nan, math.nan) if row["test"] == "value" else (-row["smallest"], row["smallest"])


def axis_limits(row: Mapping[str, Any]) -> tuple[float, float]:
    """The ends of an axis on which all numbers of a row can be seen."""
    keys = ("estimate", "low", "high", "published", "holds_from", "holds_to")
    given = [*(row[key] for key in keys), *too_small(row), *split_values(row["per_seed"])]
    found = [value for value in given if math.isfinite(value)] or [0.0]
    low, high = min(found), max(found)
    reach = high - low or max(abs(low), 1.0)
    return low - 0.08 * reach, high + 0.08 * reach


def claims_page(rows: list[dict[str, Any]], title: str) -> str:
    """A whole HTML document of the records of `claims.csv`."""
    return render(
        "claims.html",
        title=title,
        groups={TIERS[tier]: found for tier, found in by_tier(rows).items()},
        notes=notes,
        seeds=lambda row: ", ".join(number(value) for value in split_values(row["per_seed"])),
        facts=facts,
        number=number,
        marks=_marks,
        shares=variance_shares,
        error_words=error_words,
        signs=SIGNS,
    )


def _marks(row: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    """Kind, left edge and width of what is drawn of a row, in percent of its axis."""
    left, right = axis_limits(row)
    start, end = row["holds_from"], row["holds_to"]
    marks: list[tuple[str, float, float]] = [
        ("true", left if math.isnan(start) else start, right if math.isnan(end) else end),
        ("small", *too_small(row)),
        ("zero", 0.0, 0.0),
        *(("seed", value, value) for value in split_values(row["per_seed"])),
        ("interval", row["low"], row["high"]),
        ("mean", row["estimate"], row["estimate"]),
        ("published", row["published"], row["published"]),
    ]
    for kind, low, high in marks:
        # NaN is nowhere
        if left <= low <= high <= right:
            share = 100 / (right - left)
            yield kind, round(share * (low - left), 2), round(share * (high - low), 2)


#: of the stage `concept_tables_page`: see `sparsight.study.versions`
CONCEPT_TABLES_PAGE_VERSION = 2
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
    settings : `study`; `retrain` (pruners that only retrain), whose tables come last; `labels`.
    """
    table, retrain = read("concept_tables", tables), set(settings.get("retrain", ()))
    text = render(
        "concept_tables.html",
        title=f"Most important concepts of the study {settings.get('study', '')}".strip(),
        any_order=not table.empty,
        sections=list(_sections(table, read("concept_notes", notes), retrain, settings)),
        percent=percent,
        number=number,
        new=NEW,
        short=SHORT,
    )
    write_text(page, text)


def _sections(
    table: pd.DataFrame, notes: pd.DataFrame, retrain: set[str], settings: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """One for each network and concept method: its notes, and a table per pruner and seed."""
    keys = ["dataset", "model", "concept"]
    owned = [dict(list(frame.groupby(keys))) for frame in (table, notes)]
    for names in sorted({*owned[0], *owned[1]}):
        dataset, model, concept = (
            label_of(settings, column, str(name)) for column, name in zip(keys, names, strict=True)
        )
        rows = owned[0].get(names, table[:0])
        pruners = sorted(set(rows["pruner"]) - {DENSE}, key=lambda name: (name in retrain, name))
        yield {
            "heading": f"{concept}: {model} on {dataset}",
            "notes": owned[1].get(names, notes[:0]).to_dict("records"),
            "tables": [
                {
                    "pruner": label_of(settings, "pruner", pruner),
                    "seed": seed,
                    **_levels(rows[own & (rows["seed"] == seed)]),
                }
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
GUIDE_PAGE_VERSION = 3


def write_guide(page: Path, settings: Mapping[str, Any]) -> None:
    """Write the guide.

    `settings`: `study`, `confidence` in (0, 1), and `studied`: heading to names, in order.
    """
    title, confidence = f"Guide to the study {settings['study']}", 100 * settings["confidence"]
    text = render("guide.html", title=title, studied=settings["studied"], confidence=confidence)
    write_text(page, text)
