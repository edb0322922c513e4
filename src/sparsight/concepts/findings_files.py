"""The files of what a method found in a checkpoint, and of how it differs from other networks'."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sparsight.concepts.base import ConceptMethod, Findings, Measured, Ranked
from sparsight.io.arrays import read_arrays, read_metadata, write_arrays
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table, write_table

RANKING_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("method", "class", "concept")),
        ("rank", pa.int32()),
        ("weight", pa.float64()),
        ("value", pa.float64()),
    ]
)
MEASURES_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("method", "measure", "class", "concept")),
        ("value", pa.float64()),
    ]
)
DRIFT_SCHEMA = pa.schema(
    [
        *MEASURES_SCHEMA,
        ("reference_pruner", pa.string()),
        ("reference_seed", pa.int64()),
        ("reference_level", pa.int32()),
    ]
)
#: in the metadata of all tables: whose concepts they hold
IDENTITY = ("study", "dataset", "model", "pruner", "seed", "level", "density", "concept", "method")
#: measures that every method has: images that went forward for it and for the shared features, and
#: the part of them that all methods share
PASSES = {
    "forward_passes": ("lower", "images", "forward passes, a backward pass counts as two"),
    "shared_passes": ("lower", "images", "those of them that all methods of a checkpoint share"),
}


@dataclass(frozen=True)
class FindingsFiles:
    """Paths of one checkpoint's findings: two parquet tables and the arrays."""

    ranking: Path | str
    measures: Path | str
    arrays: Path | str


def write_findings(
    files: FindingsFiles,
    method: ConceptMethod,
    findings: Findings,
    identity: Mapping[str, Any],
    feature_passes: int,
) -> None:
    """Check what a method found and write it; each file appears whole or not at all.

    Parameters
    ----------
    files : where to.
    method : whose findings they are.
    findings : what `find` gave.
    identity : values of `IDENTITY` but `method`; kept in the metadata of all files, with
        `feature_passes`, `own_passes` and `notes` (a JSON list). The file of arrays has `texts`
        too (a JSON object).
    feature_passes : images that went forward for the shared features.

    Raises
    ------
    InputError
        When the findings are not what the method's facts say.
    """
    _check_ranking(method.name, findings.ranked)
    check_measured(method.name, "find", method.measures, findings.measured)
    metadata = {
        **{name: str({**identity, "method": method.name}[name]) for name in IDENTITY},
        "feature_passes": str(feature_passes),
        "own_passes": str(findings.passes),
        "notes": json.dumps(list(findings.notes)),
    }
    texts = json.dumps({name: list(words) for name, words in findings.texts.items()})
    passes = {"forward_passes": feature_passes + findings.passes, "shared_passes": feature_passes}
    counted = [Measured(measure, float(count)) for measure, count in passes.items()]
    ranking = {
        "class": [row.class_name for row in findings.ranked],
        **{
            name: [getattr(row, name) for row in findings.ranked]
            for name in ("concept", "rank", "weight", "value")
        },
    }
    arrays = {name: tensor.detach().cpu() for name, tensor in findings.arrays.items()}
    write_arrays(files.arrays, arrays, {**metadata, "texts": texts})
    _write(files.ranking, RANKING_SCHEMA, method.name, ranking, metadata)
    measures = measured_columns([*findings.measured, *counted])
    _write(files.measures, MEASURES_SCHEMA, method.name, measures, metadata)


def write_drift(
    path: Path,
    method: ConceptMethod,
    found: Iterable[tuple[Mapping[str, Any], Sequence[Measured]]],
    metadata: Mapping[str, str],
) -> None:
    """Check and write what `compare` gave for each reference network.

    Parameters
    ----------
    path : the parquet table, `DRIFT_SCHEMA`.
    found : (`pruner`, `seed` and `level` of the reference, what was measured) of each.
    metadata : of the checkpoint's own findings, see `read_identity`.
    """
    columns: dict[str, list[Any]] = {name: [] for name in DRIFT_SCHEMA.names if name != "method"}
    for reference, measured in found:
        check_measured(method.name, "compare", method.comparisons, measured)
        for name, values in measured_columns(measured).items():
            columns[name].extend(values)
        for name in ("pruner", "seed", "level"):
            columns[f"reference_{name}"].extend([reference[name]] * len(measured))
    kept = {name: metadata[name] for name in IDENTITY}
    _write(path, DRIFT_SCHEMA, method.name, columns, kept)


def measured_columns(measured: Iterable[Measured]) -> dict[str, list[Any]]:
    """Columns `measure`, `class`, `concept` and `value` of measured numbers."""
    rows = list(measured)
    return {
        "measure": [row.measure for row in rows],
        "class": [row.class_name for row in rows],
        "concept": [row.concept for row in rows],
        "value": [float(row.value) for row in rows],
    }


def _write(
    path: Path | str,
    schema: pa.Schema,
    method: str,
    columns: Mapping[str, list[Any]],
    metadata: Mapping[str, str],
) -> None:
    whole = {**columns, "method": [method] * len(columns["class"])}
    table = pa.table({name: whole[name] for name in schema.names}, schema=schema)
    write_table(path, table, metadata)


def check_measured(
    method: str, where: str, known: Mapping[str, Any], measured: Sequence[Measured]
) -> None:
    """Hold measured numbers against a method's facts.

    Raises
    ------
    InputError
        When a measure is not among `known`, one of them lacks, or a number is given twice.
    """
    names = {row.measure for row in measured}
    for name in sorted(names - set(known)):
        raise InputError(
            f"{where} of concept method {method} gave the measure '{name}', which its facts do "
            "not name; add it there"
        )
    for name in sorted(set(known) - names):
        raise InputError(
            f"{where} of concept method {method} gave no row of its measure '{name}'; give one, "
            "NaN where it is not defined"
        )
    seen: set[tuple[str, str, str]] = set()
    for row in measured:
        key = (row.measure, row.class_name, row.concept)
        if key in seen:
            raise InputError(
                f"{where} of concept method {method} gave '{row.measure}' twice for class "
                f"'{row.class_name}' and concept '{row.concept}'; give it once"
            )
        seen.add(key)


def _check_ranking(method: str, ranked: Sequence[Ranked]) -> None:
    """Every class has ranks from 1 without a gap, and each concept once."""
    ranks: dict[str, list[int]] = {}
    names: dict[str, list[str]] = {}
    for row in ranked:
        ranks.setdefault(row.class_name, []).append(row.rank)
        names.setdefault(row.class_name, []).append(row.concept)
    for name, found in ranks.items():
        if sorted(found) != list(range(1, len(found) + 1)) or len(set(names[name])) != len(found):
            raise InputError(
                f"concept method {method} gave the class '{name}' no order: ranks must go from 1 "
                "up without a gap, and each concept must have one"
            )


def read_identity(path: Path | str) -> dict[str, str]:
    """Whose concepts a table of findings or drift holds, from its metadata.

    Raises
    ------
    InputError
        When the file is missing, corrupt, or of another kind.
    """
    return identity_of(read_table(path, []), path)


def identity_of(table: pa.Table, path: Path | str) -> dict[str, str]:
    """`read_identity` of a table that was read already."""
    metadata = table.schema.metadata or {}
    found = {key.decode(): value.decode() for key, value in metadata.items()}
    lacking = [name for name in IDENTITY if name not in found]
    if lacking:
        raise InputError(
            f"{path} does not say whose concepts it holds (no '{lacking[0]}'); delete it and run "
            "snakemake again"
        )
    return {name: found[name] for name in IDENTITY}


def read_findings(files: FindingsFiles) -> Findings:
    """Read findings back, for comparisons: without notes, and with no passes.

    Raises
    ------
    InputError
        When a file is missing or corrupt.
    """
    ranking = read_table(files.ranking, RANKING_SCHEMA.names).to_pylist()
    measures = read_table(files.measures, MEASURES_SCHEMA.names).to_pylist()
    return Findings(
        ranked=[
            Ranked(row["class"], row["concept"], row["rank"], row["weight"], row["value"])
            for row in ranking
        ],
        measured=[
            Measured(row["measure"], row["value"], row["class"], row["concept"])
            for row in measures
            if row["measure"] not in PASSES
        ],
        arrays=read_arrays(files.arrays),
        texts=json.loads(read_metadata(files.arrays).get("texts", "{}")),
    )
