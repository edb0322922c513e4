"""What pruning does to a network's concepts, with the trained network as unit."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsight.analysis.agreement_floors import FLOORS, Floors, floor_spread
from sparsight.analysis.concept_files import (
    COMPARED,
    FOUND,
    MEASURE,
    PLACE,
    read_drift,
    read_measures,
    read_rankings,
)
from sparsight.analysis.concept_notes import concept_notes
from sparsight.analysis.concept_tables import top_concepts
from sparsight.analysis.convergence import convergence_warnings
from sparsight.analysis.curves import DENSE
from sparsight.analysis.inference import benjamini_hochberg, one_sample_t
from sparsight.analysis.multiplicity import FAMILY
from sparsight.analysis.networks import difference
from sparsight.analysis.statistics import student_interval
from sparsight.concepts.findings_files import PASSES
from sparsight.io.tables import write_csv

logger = logging.getLogger(__name__)
#: of the stage `concepts_table`: see `sparsight.study.versions`
VERSION = 1

MEAN = "mean"
#: measures whose mean is none of its kind
NOT_AVERAGED = ("p_value", "adjusted_p")
_DIFFERENCE = ("", "_low", "_high", "_seeds", "_p", "_p_adjusted")
_COMPARISONS = ["difference", *(f"minus_{floor}" for floor in FLOORS)]
CONCEPT_COLUMNS = [
    *PLACE,
    *MEASURE,
    *("direction", "unit", "reference", "seed", "density", "n_seeds", "averaged_over"),
    *("value", "low", "high"),
    *(f"{name}{part}" for name in _COMPARISONS for part in _DIFFERENCE),
]
_WHOLE = ("n_seeds", "averaged_over", *(f"{name}_seeds" for name in _COMPARISONS))


def summarise_concepts(
    measures: Iterable[Path],
    drift: Iterable[Path],
    rankings: Iterable[Path],
    concepts: Path,
    tables: Path,
    notes: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `concepts.csv`, `concept_tables.csv` (`top_concepts`) and `concept_notes.csv`.

    One row per data set, model, pruner, level, configured concept method, measure, class, concept
    label and seed, and one with the seed "mean". The dense network's rows have the pruner "dense".

    Columns
    -------
    concept, method : the configured name, and the method behind it.
    kind : "found", a number of the network's own concepts, or "compared", of how they differ from
        those of another network: of the dense network of its seed (`reference` is "dense_parent"),
        or, for dense networks, of all those of other seeds ("seed_floor").
    class, concept_label : what the number is about; empty for the network as a whole. Where a
        method gives a measure by class or concept alone, the row for the whole is their mean, over
        `averaged_over` defined numbers (in rows "mean" the fewest of a seed); else that is 1. A
        mean of p values is no p value, so these have no such row. Concepts that are only numbered
        in each network (not among `tables`) have rows of single networks alone, without difference
        or test: what two networks call "1" are not the same concept.
    direction, unit : which is better, if one is; see the method.
    value, low, high : in rows "mean" the mean over seeds and its Student t interval; for the seed
        floor over the jackknife's pseudo-values (`pseudo_values`).
    difference : (kind "found") value minus that of the dense network of the same seed; in rows
        "mean" with _low, _high and _p of the paired t over _seeds networks.
    minus_retrain_floor : value minus that of the networks of its seed that were only trained once
        more, paired likewise.
    minus_seed_floor : (kind "compared") value minus the seed floor.
    _p_adjusted : Benjamini-Hochberg within data set, model and pruner, one family per comparison.

    A cell is empty where the quantity is not defined. Rows are the same whatever the order of the
    files.

    Parameters
    ----------
    measures, drift, rankings : files of all checkpoints and methods.
    settings : `confidence`, `retrain` (pruners that only retrain), `measures` (concept to kind to
        measure to (direction, unit)), `tables` (concepts whose orders can be set side by side).

    Raises
    ------
    InputError
        When files are missing, doubled, or do not belong together.
    """
    measures = [Path(path) for path in measures]
    frame = pd.concat([read_measures(measures), read_drift(drift)], ignore_index=True)
    whole = pd.concat([frame.assign(averaged_over=1), _wholes(frame)], ignore_index=True)
    alone = (whole["concept_label"] != "") & ~whole["concept"].isin(settings["tables"])
    rows = list(_with_means(whole[~alone], set(settings["retrain"]), float(settings["confidence"])))
    rows += _unmatched(whole[alone])
    facts = settings["measures"]
    passes = {measure: list(of[:2]) for measure, of in PASSES.items()}
    for row in rows:
        known = {**facts.get(row["concept"], {}).get(row["kind"], {}), **passes}
        row["direction"], row["unit"] = known.get(row["measure"], ("", ""))
    table = _adjusted(pd.DataFrame(rows, columns=CONCEPT_COLUMNS))
    write_csv(concepts, table.astype(dict.fromkeys(_WHOLE, "Int64")))
    orders = read_rankings(rankings)
    write_csv(tables, top_concepts(orders[orders["concept"].isin(settings["tables"])]))
    write_csv(notes, concept_notes(measures))
    for warning in convergence_warnings(table):
        logger.warning(warning)


def _wholes(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over classes and concepts, of the measures that lack a row for the whole network."""
    keys = [*PLACE, "seed", "density", "reference", *MEASURE[:4]]
    parts = (frame["class"] != "") | (frame["concept_label"] != "")
    named = pd.MultiIndex.from_frame(frame[keys])
    averaged = ~frame["measure"].isin(NOT_AVERAGED)
    lacking = frame[parts & averaged & ~named.isin(named[~parts])]
    grouped = lacking.groupby(keys, sort=False)
    found = grouped["value"].agg(value="mean", averaged_over="count")
    # a mean over classes counts a reference only where all of them have a value
    found["references"] = grouped["references"].min()
    return found.reset_index().assign(**{"class": "", "concept_label": ""})


def _with_means(
    frame: pd.DataFrame, retrain: set[str], confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of each number's level: the seeds in their order, then their mean."""
    records = _records(frame)
    # A network's own numbers are no floor of other networks' numbers.
    floors = Floors(
        [row for row in records if row["kind"] == COMPARED or row["pruner"] != DENSE],
        retrain,
        MEASURE,
    )
    dense = {
        _key(row, MEASURE, "dataset", "model", "seed"): row["mean"]
        for row in records
        if row["pruner"] == DENSE and row["kind"] == FOUND
    }
    for _, members in groupby(records, lambda row: _key(row, [*PLACE, *MEASURE])):
        rows = list(members)
        first = rows[0]
        changes: list[float] = []
        if first["kind"] == FOUND and first["pruner"] != DENSE:
            parents = [
                dense.get(_key(row, MEASURE, "dataset", "model", "seed"), np.nan) for row in rows
            ]
            own = np.array([row["mean"] for row in rows])
            changes = difference(own, np.array(parents)).tolist()
        yield from _seeds(rows, changes)
        values = {row["seed"]: row["mean"] for row in rows}
        is_floor = first["pruner"] in (DENSE, *retrain)
        spread = values
        if first["kind"] == COMPARED and first["pruner"] == DENSE:
            spread = floor_spread(rows)
        interval = student_interval(list(spread.values()), confidence)
        defined = [value for value in values.values() if np.isfinite(value)]
        yield {
            **{name: first[name] for name in (*PLACE, *MEASURE, "reference")},
            "seed": MEAN,
            "density": float(np.mean([row["density"] for row in rows])),
            "n_seeds": len(defined),
            "averaged_over": min(row["averaged_over"] for row in rows),
            "value": float(np.mean(defined)) if defined else np.nan,
            "low": interval.low,
            "high": interval.high,
            **(_tested(changes, confidence) if changes else {}),
            **({} if is_floor else _beside(floors, first, values, confidence)),
        }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    frame = frame.rename(columns={"value": "mean"}).sort_values([*PLACE, *MEASURE, "seed"])
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _unmatched(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of single networks whose concepts have no counterpart in another."""
    return list(_seeds(_records(frame), []))


def _key(row: Mapping[str, Any], names: Sequence[str], *more: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in (*names, *more))


def _seeds(rows: Sequence[Mapping[str, Any]], changes: Sequence[float]) -> Iterator[dict[str, Any]]:
    """The rows of single networks."""
    names = (*PLACE, *MEASURE, "reference", "seed", "density", "averaged_over")
    for index, row in enumerate(rows):
        found = {**{name: row[name] for name in names}, "n_seeds": 1, "value": row["mean"]}
        yield {**found, "difference": changes[index]} if changes else found


def _tested(changes: Sequence[float], confidence: float) -> dict[str, float]:
    test = one_sample_t(list(changes), confidence)
    return {
        "difference": test.mean,
        "difference_low": test.low,
        "difference_high": test.high,
        "difference_seeds": test.n,
        "difference_p": test.p,
    }


def _beside(
    floors: Floors, row: Mapping[str, Any], values: Mapping[int, float], confidence: float
) -> dict[str, float]:
    """Differences to the floors that there are."""
    found = floors.differences(row, values, confidence)
    there = [floor for floor in FLOORS if found[f"minus_{floor}_seeds"]]
    return {
        name: value
        for name, value in found.items()
        if any(name.startswith(f"minus_{floor}") for floor in there)
    }


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Adjust the ps of each pruner's rows; each comparison is a family of its own."""
    numbers = [f"{name}{part}" for name in _COMPARISONS for part in _DIFFERENCE if part != "_seeds"]
    table = table.astype(dict.fromkeys(numbers, "float64"))
    # How much was computed is no finding.
    tested = table[(table["seed"] == MEAN) & ~table["measure"].isin(list(PASSES))]
    for _, rows in tested.groupby(list(FAMILY)):
        for name in _COMPARISONS:
            p = rows[f"{name}_p"].to_numpy(dtype=np.float64)
            table.loc[rows.index, f"{name}_p_adjusted"] = benjamini_hochberg(p)
    return table
