"""What pruning does to a network's concepts, with the trained network as unit."""

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsight.analysis.agreement import DENSE_PARENT, FLOORS, SEED_FLOOR, Floors
from sparsight.analysis.curves import DENSE, difference, with_bits
from sparsight.analysis.statistics import adjusted_p, one_sample_t
from sparsight.analysis.tables import COMPARED, FOUND, LONG, MEAN, SHORT, TABLES, write
from sparsight.concepts.identity import PASSES, identity_of
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

#: whose number it is, in the tables
PLACE = ["dataset", "model", "pruner", "level"]
#: one number over levels and seeds, in the tables; the name of a concept is its label there
MEASURE = ["concept", "method", "kind", "measure", "class", "concept_label"]


def read_measures(paths: Iterable[Path]) -> pd.DataFrame:
    """What methods measured in all checkpoints: `PLACE`, seed, density, `MEASURE`, value.

    `references` is 1 throughout, and `reference` is empty. An `InputError` is raised for files that
    are missing, doubled, damaged, or of several studies.
    """
    return _read(paths, FOUND).assign(references=1, reference="")


def read_drift(paths: Iterable[Path]) -> pd.DataFrame:
    """How all checkpoints differ from their references, as `read_measures`.

    `value` is the mean over the references with a value, `references` how many they are, and
    `reference` is "seed_floor" for dense networks, which are compared with those of other seeds,
    and "dense_parent" for all others.
    """
    frame = _read(paths, COMPARED)
    keys = [*PLACE, "seed", "density", *MEASURE]
    grouped = frame.groupby(keys, sort=False, dropna=False)["value"]
    found = grouped.agg(value="mean", references="count").reset_index()
    dense = found["pruner"] == DENSE
    return found.assign(reference=dense.map({True: SEED_FLOOR, False: DENSE_PARENT}))


def read_rankings(paths: Iterable[Path]) -> pd.DataFrame:
    """Orders of concepts of all checkpoints, as `read_measures`.

    The columns are `PLACE`, seed, density, concept, method, class, concept_label, rank, weight and
    value.
    """
    return _read(paths, "").drop(columns="kind")


def _read(paths: Iterable[Path], kind: str) -> pd.DataFrame:
    """Rows of all files with their identities; refused where they do not belong together."""
    parts: list[pd.DataFrame] = []
    owner: dict[tuple[str, ...], Path] = {}
    studies: set[str] = set()
    for path in map(Path, paths):
        table = read_table(path)
        identity = identity_of(table, path)
        studies.add(identity["study"])
        key = tuple(identity[name] for name in (*PLACE, "seed", "concept"))
        if key in owner:
            raise InputError(
                f"{owner[key]} and {path} both hold the concepts '{identity['concept']}' of one "
                "checkpoint; give each file once"
            )
        owner[key] = path
        parts.append(
            table.to_pandas()
            .rename(columns={"concept": "concept_label"})
            .assign(
                **{name: identity[name] for name in ("dataset", "model", "pruner", "concept")},
                level=int(identity["level"]),
                seed=int(identity["seed"]),
                density=float(identity["density"]),
                kind=kind,
            )
        )
    if len(studies) > 1:
        raise InputError(
            f"concepts of several studies ({', '.join(sorted(studies))}); summarise one study at a "
            "time"
        )
    columns = [*PLACE, "seed", "density", *MEASURE, "rank", "weight", "value"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


#: whose notes they are
OWNER = ["dataset", "model", "concept", "method"]


def concept_notes(paths: Iterable[Path]) -> pd.DataFrame:
    """The table `concept_notes.csv`: each sentence of a method once, with its networks.

    `paths` are the tables of measures of all checkpoints, of which only the metadata are read. The
    notes of a method that most networks have come first, then by their text.
    """
    notes: list[dict[str, str]] = []
    networks: list[dict[str, str]] = []
    for path in map(Path, paths):
        table = read_table(path, [])
        identity = identity_of(table, path)
        owner = {name: identity[name] for name in OWNER}
        networks.append(owner)
        found = (table.schema.metadata or {}).get(b"notes", b"[]").decode()
        # a method may say the same of two classes
        notes += [{**owner, "note": str(note)} for note in dict.fromkeys(json.loads(found))]
    counted = pd.DataFrame(notes, columns=[*OWNER, "note"]).groupby([*OWNER, "note"]).size()
    total = pd.DataFrame(networks, columns=OWNER).groupby(OWNER).size()
    whole = counted.reset_index(name="networks").merge(total.reset_index(name="of"), on=OWNER)
    order = [*OWNER, "networks", "note"]
    ascending = [name != "networks" for name in order]
    return whole.sort_values(order, ascending=ascending, ignore_index=True)


#: the measure by which a method reports whether its solvers reached their tolerance, 1 or 0
CONVERGED = "converged"


def convergence(concepts: pd.DataFrame) -> pd.DataFrame:
    """Whether the fits of each network converged, from rows of `concepts.csv`.

    The rows of single networks that report it: `dataset`, `model`, `pruner`, `level`, `seed`,
    `concept`, and `converged` (bool). Methods without a solver report nothing.
    """
    said = (concepts["kind"] == FOUND) & (concepts["measure"] == CONVERGED)
    rows = concepts[said & (concepts["seed"] != MEAN) & concepts["value"].notna()]
    found = rows[[*PLACE, "seed", "concept"]].assign(converged=rows["value"] == 1)
    return found.reset_index(drop=True)


def convergence_warnings(concepts: pd.DataFrame) -> list[str]:
    """One sentence for each data set, model and concept method with a fit that did not converge."""
    found = convergence(concepts).groupby(["dataset", "model", "concept"])["converged"]
    return [
        f"{concept} of {dataset} {model}: the fits of {int((~reached).sum())} of {len(reached)} "
        "networks had not converged, and claims that rest on them are not tested; give the method "
        "more 'iterations'"
        for (dataset, model, concept), reached in found
        if not reached.all()
    ]


def convergence_refusal(
    concepts: pd.DataFrame,
    dataset: str,
    model: str,
    pruners: Collection[str],
    names: Collection[str],
) -> str:
    """Why a claim about these networks cannot be tested: "k of n fits had not converged", or "".

    `concepts` are rows of `concepts.csv`, `names` configured concept methods; all levels of the
    pruners count.
    """
    rows = convergence(concepts)
    rows = rows[(rows["dataset"] == dataset) & (rows["model"] == model)]
    reached = rows[rows["pruner"].isin(pruners) & rows["concept"].isin(names)]["converged"]
    if reached.all():
        return ""
    return f"{int((~reached).sum())} of {len(reached)} fits had not converged"


KEYS = ["dataset", "model", "concept", "method", "pruner", "seed", "class", "level"]


def top_concepts(rankings: pd.DataFrame) -> pd.DataFrame:
    """The table `concept_tables.csv`, from the frame of `read_rankings`."""
    ordered = rankings[rankings["rank"] <= LONG].sort_values([*KEYS, "rank"])
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    names: dict[tuple[Any, ...], list[str]] = {}
    for key, rows in ordered.groupby(KEYS, sort=True):
        names[key] = rows["concept_label"].tolist()
        found[key] = {
            **dict(zip(KEYS, key, strict=True)),
            "density": rows["density"].iloc[0],
            **{f"top_{place}": label for place, label in enumerate(names[key], start=1)},
            **{f"weight_{place}": w for place, w in enumerate(rows["weight"], start=1)},
        }
    for key, row in found.items():
        of_dense = {**row, "pruner": DENSE, "level": 0}
        dense = names.get(tuple(of_dense[name] for name in KEYS))
        if dense is not None:
            for length in (SHORT, LONG):
                row[f"shared_top_{length}"] = len(set(names[key][:length]) & set(dense[:length]))
    return pd.DataFrame(list(found.values()), columns=TABLES["concept_tables"].names)


logger = logging.getLogger(__name__)
#: of the stage `concepts_table`: see `sparsight.study.versions`
VERSION = 2
#: measures whose mean is none of its kind
NOT_AVERAGED = ("p_value", "adjusted_p")
_COMPARISONS = ("difference", *(f"minus_{floor}" for floor in FLOORS))


def summarise_concepts(
    measures: Iterable[Path],
    drift: Iterable[Path],
    rankings: Iterable[Path],
    evaluations: Path,
    concepts: Path,
    tables: Path,
    notes: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `concepts.csv`, `concept_tables.csv` (`top_concepts`) and `concept_notes.csv`.

    One row per data set, model, pruner, level, configured concept method, measure, class, concept
    label and seed, and one with the seed "mean". The dense network's rows have the pruner "dense".

    Where a method gives a measure by class or concept alone, the row for the whole is their mean,
    over `averaged_over` defined numbers (in rows "mean" the fewest of a seed). A mean of p values
    is no p value, so these have no such row. Concepts that are only numbered in each network (not
    among `tables`) have rows of single networks alone, without difference or test: what two
    networks call "1" is not the same concept. The interval of the seed floor is over the
    jackknife's pseudo-values (`pseudo_values`); each comparison is a family of its own in the
    correction. The order of the files does not matter. An `InputError` is raised where files are
    missing, doubled, or do not belong together.

    Parameters
    ----------
    measures, drift, rankings : files of all checkpoints and methods.
    evaluations : `evaluations.parquet`, for the bits of the weights.
    settings : `confidence`, `retrain` (pruners that only retrain), `measures` (concept to kind to
        measure to (direction, unit)), `tables` (concepts whose orders can be set side by side).
    """
    measures = [Path(path) for path in measures]
    frame = pd.concat([read_measures(measures), read_drift(drift)], ignore_index=True)
    whole = pd.concat([frame.assign(averaged_over=1), _wholes(frame)], ignore_index=True)
    whole = whole.rename(columns={"value": "mean"}).assign(n_seeds=1)
    whole = whole.sort_values([*PLACE, *MEASURE, "seed"])
    alone = (whole["concept_label"] != "") & ~whole["concept"].isin(settings["tables"])
    rows = list(_with_means(whole[~alone], set(settings["retrain"]), float(settings["confidence"])))
    rows += _records(whole[alone])
    facts = settings["measures"]
    passes = {measure: list(of[:2]) for measure, of in PASSES.items()}
    for row in rows:
        known = {**facts.get(row["concept"], {}).get(row["kind"], {}), **passes}
        row["direction"], row["unit"] = known.get(row["measure"], ("", ""))
    names = TABLES["concepts"].names
    table = pd.DataFrame(rows).rename(columns={"mean": "value"}).reindex(columns=names)
    table = with_bits(table, evaluations)
    # How much was computed is no finding.
    tested = table[(table["seed"] == MEAN) & ~table["measure"].isin(list(PASSES))]
    for name in _COMPARISONS:
        table[f"{name}_p_adjusted"] = adjusted_p(tested, name=f"{name}_p")
    write("concepts", concepts, table)
    orders = read_rankings(rankings)
    orders = orders[orders["concept"].isin(settings["tables"])]
    write("concept_tables", tables, with_bits(top_concepts(orders), evaluations))
    write("concept_notes", notes, concept_notes(measures))
    for warning in convergence_warnings(table):
        logger.warning(warning)


def _wholes(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over classes and concepts, of the measures that lack a row for the whole network."""
    keys = [*PLACE, "seed", "density", "reference", *MEASURE[:4]]
    parts = (frame["class"] != "") | (frame["concept_label"] != "")
    named = pd.MultiIndex.from_frame(frame[keys])
    averaged = ~frame["measure"].isin(NOT_AVERAGED)
    missing = frame[parts & averaged & ~named.isin(named[~parts])]
    grouped = missing.groupby(keys, sort=False)
    found = grouped["value"].agg(value="mean", averaged_over="count")
    # a mean over classes counts a reference only where all of them have a value
    found["references"] = grouped["references"].min()
    return found.reset_index().assign(**{"class": "", "concept_label": ""})


def _with_means(
    frame: pd.DataFrame, retrain: set[str], confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of each number's level: the seeds in their order, then their mean."""
    of_network = ["dataset", "model", "seed", *MEASURE]
    found, dense = frame["kind"] == FOUND, frame["pruner"] == DENSE
    parents = frame[found & dense].set_index(of_network)["mean"].rename("parent")
    frame = frame.join(parents, on=of_network)
    changes = difference(frame["mean"].to_numpy(), frame["parent"].to_numpy())
    records = _records(frame.assign(difference=np.where(found & ~dense, changes, np.nan)))
    # A network's own numbers are no floor of other networks' numbers.
    compared = [row for row in records if row["kind"] == COMPARED or row["pruner"] != DENSE]
    floors = Floors(compared, retrain, MEASURE)
    for _, members in groupby(records, itemgetter(*PLACE, *MEASURE)):
        rows = list(members)
        yield from rows
        first = rows[0]
        row = floors.mean_row(rows, confidence)
        for floor in FLOORS:
            if not row.get(f"minus_{floor}_seeds"):
                row = {key: row[key] for key in row if not key.startswith(f"minus_{floor}")}
        if first["kind"] == FOUND and first["pruner"] != DENSE:
            test = one_sample_t([row["difference"] for row in rows], confidence)
            row |= {"difference": test.mean, "difference_p": test.p, "difference_seeds": test.n}
            row |= {"difference_low": test.low, "difference_high": test.high}
        yield {
            **{name: first[name] for name in (*PLACE, *MEASURE, "reference")},
            "averaged_over": min(row["averaged_over"] for row in rows),
            **row,
        }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
