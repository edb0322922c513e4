"""Files of findings and of drift, read as rows of tables."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sparsight.analysis.curves import DENSE
from sparsight.concepts.findings_files import identity_of
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

#: whose number it is, in the tables
PLACE = ["dataset", "model", "pruner", "level"]
#: one number over levels and seeds, in the tables; the name of a concept is its label there
MEASURE = ["concept", "method", "kind", "measure", "class", "concept_label"]
#: kinds of numbers: of a network's concepts themselves, and of how they differ from another's
FOUND, COMPARED = "found", "compared"
DENSE_PARENT, SEED_FLOOR = "dense_parent", "seed_floor"


def read_measures(paths: Iterable[Path]) -> pd.DataFrame:
    """What methods measured in all checkpoints: `PLACE`, seed, density, `MEASURE`, value.

    `references` is 1 throughout, and `reference` is empty.

    Raises
    ------
    InputError
        When files are missing, doubled, damaged, or of several studies.
    """
    return _read(paths, FOUND).assign(references=1, reference="")


def read_drift(paths: Iterable[Path]) -> pd.DataFrame:
    """How all checkpoints differ from their references, as `read_measures`.

    `value` is the mean over the references with a value, `references` how many they are, and
    `reference` is "seed_floor" for dense networks, which are compared with those of other seeds,
    and "dense_parent" for all others.

    Raises
    ------
    InputError
        As `read_measures`.
    """
    frame = _read(paths, COMPARED)
    keys = [*PLACE, "seed", "density", *MEASURE]
    grouped = frame.groupby(keys, sort=False, dropna=False)["value"]
    found = grouped.agg(value="mean", references="count").reset_index()
    dense = found["pruner"] == DENSE
    return found.assign(reference=dense.map({True: SEED_FLOOR, False: DENSE_PARENT}))


def read_rankings(paths: Iterable[Path]) -> pd.DataFrame:
    """Orders of concepts of all checkpoints: `PLACE`, seed, density, concept, method, class,
    concept_label, rank, weight and value.

    Raises
    ------
    InputError
        As `read_measures`.
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
