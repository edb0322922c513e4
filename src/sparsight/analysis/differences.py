"""What differs between the tables of two studies: settings, verdicts, numbers, and rows."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sparsight.analysis.results import Results
from sparsight.analysis.tables import MEAN, TABLES

#: table to the numbers of it that are compared
MEASURES = {
    "contrasts": ("mean", "difference"),
    "curves": ("mean",),
    "agreement": ("mean",),
    "correlations": ("pearson",),
    "sample_pruning": ("difference",),
    "concepts": ("value",),
}
#: what "mean" and "value" have as the names of their bounds where they do not stand before them
_BOUNDS = {("curves", "mean"): "", ("agreement", "mean"): "", ("concepts", "value"): ""}
#: names that are matched where each study has one that the other lacks
MATCHED = ("dataset", "model", "pruner")
#: settings that no number depends on
_ASIDE = ("study", "data_folder", "disk_budget_gb", "track_code")
#: settings that come last
_LAST = ("catalogue", "claims", "made with")
#: lists of two studies with no more names together are shown whole
_SHORT = 12
#: relative difference of numbers that count as equal: tables hold at least single precision
_EQUAL = 1e-6


@dataclass(frozen=True)
class Differences:
    """What two studies, A and B, do not share.

    Attributes
    ----------
    settings : `key`, and what A (`a`) and B (`b`) state for it, in words; a row for each setting
        that differs, and for commits and versions of libraries and stages.
    settings_known : whether both studies say what their settings are.
    verdicts : `claim`, and in `a` and `b` a verdict with estimate and interval; "–" where a study
        does not make the claim. Claims with equal verdicts are left out.
    same_verdicts : claims that both make, with equal verdicts.
    matched : column to its value in A and in B, which were taken for the same.
    numbers : rows that both have, with intervals, and whose numbers are not equal: `table`,
        `number` (the column), the key columns as text, `a`, `a_low`, `a_high`, `b`, `b_low`,
        `b_high`, `difference` (B minus A), `low`, `high` (its interval), `beyond` (whether that
        leaves out 0), and `density_a`, `density_b`. Those furthest beyond come first.
    compared, equal, without_interval : rows that both have and that have intervals; those that are
        equal; those without an interval over networks (one network, or a control).
    confidence : of the intervals, in (0, 1); that of A.
    only : `table`, `study` ("A" or "B"), `rows` (how many only it has), and `values` in words:
        which values of key columns only it has.
    """

    settings: pd.DataFrame
    settings_known: bool
    verdicts: pd.DataFrame
    same_verdicts: int
    matched: dict[str, tuple[str, str]]
    numbers: pd.DataFrame
    compared: int
    equal: int
    without_interval: int
    confidence: float
    only: pd.DataFrame

    @property
    def beyond(self) -> pd.DataFrame:
        """Rows of `numbers` that differ by more than their intervals."""
        return self.numbers[self.numbers["beyond"]]


def differences(a: Results, b: Results) -> Differences:
    """Compare two studies; see `Differences`.

    The interval of a difference is made from those of both numbers as for independent estimates
    (Zou and Donner 2008, doi:10.1002/sim.3095, equation 7): studies that share networks differ
    less than it says. Nothing is corrected for the number of rows. `InputError` where a table
    cannot be read.
    """
    tables = {name: (_rows(a, name), _rows(b, name)) for name in MEASURES if name in {*a, *b}}
    matched = _matched(tables.values())
    changes = {column: {old: new} for column, (new, old) in matched.items()}
    tables = {name: (left, right.replace(changes)) for name, (left, right) in tables.items()}
    pairs = [
        _paired(name, number, left, right)
        for name, (left, right) in tables.items()
        for number in MEASURES[name]
        if name in a and name in b
    ]
    numbers = pd.concat(pairs, ignore_index=True) if pairs else _paired_columns()
    # an interval over networks says nothing of a control, which looks at none: it has no width
    widths = [numbers[f"{side}_high"] - numbers[f"{side}_low"] for side in "ab"]
    judged = numbers[widths[0] + widths[1] > 0]
    equal = np.isclose(judged["a"], judged["b"], rtol=_EQUAL, atol=0)
    verdicts, same = _verdicts(a, b)
    known = bool(a.configuration) and bool(b.configuration)
    return Differences(
        settings=_settings(a, b) if known else _frame("key", "a", "b"),
        settings_known=known,
        verdicts=verdicts,
        same_verdicts=same,
        matched=matched,
        numbers=_judged(judged[~equal]),
        compared=len(judged),
        equal=int(equal.sum()),
        without_interval=len(numbers) - len(judged),
        confidence=float(a.configuration.get("statistics", {}).get("confidence", 0.95)),
        only=pd.DataFrame(
            [row for name, sides in tables.items() for row in _only(name, *sides)],
            columns=["table", "study", "rows", "values"],
        ),
    )


def _frame(*columns: str) -> pd.DataFrame:
    return pd.DataFrame({column: pd.Series(dtype=object) for column in columns})


def _rows(results: Results, name: str) -> pd.DataFrame:
    """Rows of a table over all networks, with key columns as text; none where it has no table."""
    if name not in results:
        return _frame(*_keys(name), "density", *_numbers(name))
    rows = results[name]
    if "seed" in rows:
        rows = rows[rows["seed"] == MEAN]
    if name == "concepts":
        # of the network as a whole: those of single concepts are too many to look through
        rows = rows[(rows["class"] == "") & (rows["concept_label"] == "")]
    keys = _keys(name)
    found = rows[[*keys, *_numbers(name)]].astype(dict.fromkeys(keys, str))
    return found.assign(density=rows.get("density", np.nan))


def _keys(name: str) -> list[str]:
    return [key for key in TABLES[name].keys if key not in ("seed", "class", "concept_label")]


def _numbers(name: str) -> list[str]:
    return [column for number in MEASURES[name] for column in (number, *_bounds(name, number))]


def _bounds(name: str, number: str) -> tuple[str, str]:
    prefix = _BOUNDS.get((name, number), f"{number}_")
    return f"{prefix}low", f"{prefix}high"


def _matched(tables: Iterable[tuple[pd.DataFrame, pd.DataFrame]]) -> dict[str, tuple[str, str]]:
    """Names of which each study has exactly one that the other lacks."""
    sides = list(tables)
    found = {}
    for column in MATCHED:
        left, right = (
            {name for pair in sides for name in pair[side][column].unique()} for side in (0, 1)
        )
        if len(left - right) == len(right - left) == 1:
            found[column] = (*(left - right), *(right - left))
    return found


def _paired_columns() -> pd.DataFrame:
    names = ["a", "a_low", "a_high", "b", "b_low", "b_high", "density_a", "density_b"]
    numbers = pd.DataFrame({name: pd.Series(dtype=float) for name in names})
    return pd.concat([_frame("table", "number"), numbers], axis=1)


def _paired(name: str, number: str, left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """The rows that both have and in which the number is defined."""
    keys = _keys(name)
    low, high = _bounds(name, number)
    sides = []
    for side, rows in (("a", left), ("b", right)):
        names = {number: side, low: f"{side}_low", high: f"{side}_high"}
        chosen = rows[[*keys, *names, "density"]].rename(columns=names)
        sides.append(chosen.rename(columns={"density": f"density_{side}"}))
    both = sides[0].merge(sides[1], on=keys).dropna(subset=["a", "b"])
    return both.assign(table=name, number=number)


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """With the difference and its interval; those furthest beyond it come first."""
    difference = rows["b"] - rows["a"]
    below = np.hypot(rows["b"] - rows["b_low"], rows["a_high"] - rows["a"])
    above = np.hypot(rows["b_high"] - rows["b"], rows["a"] - rows["a_low"])
    low, high = difference - below, difference + above
    beyond = (low > 0) | (high < 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = np.abs(difference) / np.where(difference > 0, below, above)
    found = rows.assign(difference=difference, low=low, high=high, beyond=beyond)
    order = np.argsort(-np.asarray(strength, dtype=float), kind="stable")
    return found.iloc[order].reset_index(drop=True)


def _only(name: str, left: pd.DataFrame, right: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """How many rows only one study has, and which values of their keys the other lacks."""
    keys = _keys(name)
    both = left[keys].merge(right[keys], on=keys, how="outer", indicator=True)
    for study, side, own, other in (
        ("A", "left_only", left, right),
        ("B", "right_only", right, left),
    ):
        count = int((both["_merge"] == side).sum())
        if count:
            yield name, study, count, _values(keys, own, other)


def _values(keys: Iterable[str], own: pd.DataFrame, other: pd.DataFrame) -> str:
    if other.empty:
        return "the other has none"
    found = []
    for key in keys:
        values = sorted(
            {*own[key]} - {*other[key]}, key=lambda v: (len(v), v) if v.isdigit() else (0, v)
        )
        if values:
            found.append(f"{key} {', '.join(value or '(none)' for value in values)}")
    return "; ".join(found) or "combinations of names that both have"


def _verdicts(a: Results, b: Results) -> tuple[pd.DataFrame, int]:
    """Claims whose verdict differs, or that only one makes; and how many verdicts are equal."""
    sides = [
        {row["name"]: row for row in results["claims"].to_dict("records")}
        if "claims" in results
        else {}
        for results in (a, b)
    ]
    rows, same = [], 0
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        left, right = (side.get(name) for side in sides)
        if left and right and left["verdict"] == right["verdict"]:
            same += 1
            continue
        rows.append((name, _verdict(left), _verdict(right)))
    return pd.DataFrame(rows, columns=["claim", "a", "b"]), same


def _verdict(row: Mapping[Any, Any] | None) -> str:
    if row is None:
        return "–"
    numbers = [f"{row[key]:.3g}".replace("-", "−") for key in ("estimate", "low", "high")]
    if numbers[0] == "nan":
        return str(row["verdict"])
    estimate, low, high = numbers
    return f"{row['verdict']}, {estimate}" + (
        f" [{low}, {high}]" if "nan" not in (low, high) else ""
    )


def _settings(a: Results, b: Results) -> pd.DataFrame:
    sides = [
        {
            **{key: value for key, value in one.configuration.items() if key not in _ASIDE},
            "made with": one.origin,
        }
        for one in (a, b)
    ]
    # what a study states itself comes before what its names stand for
    rows = sorted(_unequal("", *sides), key=lambda row: row[0].startswith(_LAST))
    return pd.DataFrame(rows, columns=["key", "a", "b"])


#: what a study states that another does not know
_MISSING = object()


def _unequal(place: str, a: Any, b: Any) -> Iterator[tuple[str, str, str]]:
    """Key, and what each states, of the innermost settings that differ."""
    a, b = _by_name(a), _by_name(b)
    if a == b:
        return
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys([*a, *b]):
            inner = f"{place}.{key}" if place else str(key)
            yield from _unequal(inner, a.get(key, _MISSING), b.get(key, _MISSING))
    elif _is_names(a) and _is_names(b) and len(a) + len(b) > _SHORT and {*a} != {*b}:
        left, right = (
            ", ".join(str(name) for name in side if name not in other) or "no others"
            for side, other in ((a, b), (b, a))
        )
        both = len({*a} & {*b})
        beside = f" (and {both} that both have)" if both else ""
        yield place, left + beside, right + beside
    else:
        yield place, _words(a), _words(b)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(part, (dict, list)) for part in value)


def _by_name(value: Any) -> Any:
    """Claims by their names, since their order means nothing; the only entry of a list of facts."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        value = value[0] if "name" not in value[0] else value
    named = (
        isinstance(value, list)
        and value
        and all(isinstance(part, Mapping) and "name" in part for part in value)
    )
    return {part["name"]: part for part in value} if named else value


def _words(value: Any) -> str:
    if value is _MISSING:
        return "–"
    if isinstance(value, Mapping) and not value:
        return "none"
    if isinstance(value, Mapping):
        return "stated" if len(json.dumps(value)) > 60 else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return ", ".join(map(str, value)) if _is_names(value) and value else json.dumps(value)
    return str(value) if isinstance(value, str) else json.dumps(value)
