"""What a concept method is, what it finds in a checkpoint, and the files that hold this."""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import torch
from torch import Tensor

from sparsight.concepts.features import Features
from sparsight.concepts.identity import IDENTITY, PASSES
from sparsight.io.arrays import read_arrays, read_metadata, write_arrays
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table, write_table
from sparsight.models.base import Architecture
from sparsight.registration import checked_parameters

#: stands in a measure or a ranking for all classes, or for no single concept
WHOLE = ""


@dataclass(frozen=True)
class Ranked:
    """One concept in one class's order of concepts; a row of `concepts/{concept}.parquet`."""

    class_name: str  # name of the class; `WHOLE` where one order holds for all classes
    concept: str  # name of the concept
    rank: int  # place in that order, 1 first
    weight: float  # what the order is by: importance, weight in the bottleneck, TCAV score, ...
    # one more number of the pair that the method explains in its docstring; NaN without
    value: float = float("nan")


@dataclass(frozen=True)
class Measured:
    """One number about a checkpoint's concepts; a row of `concepts/{concept}_measures.parquet`."""

    measure: str  # a key of the method's `measures`
    value: float  # NaN where it is not defined
    # what it is about; both `WHOLE` for the checkpoint as a whole
    class_name: str = WHOLE
    concept: str = WHOLE


def with_mean(
    measure: str, values: Tensor, *, concepts: Sequence[str] = (), classes: Sequence[str] = ()
) -> list[Measured]:
    """A row for each concept or for each class, and one for their mean over the defined values."""
    about = [(WHOLE, concept) for concept in concepts] or [(name, WHOLE) for name in classes]
    rows = [
        Measured(measure, value, *names)
        for names, value in zip(about, values.tolist(), strict=True)
    ]
    return [*rows, Measured(measure, torch.nanmean(values).item())]


@dataclass(frozen=True)
class Findings:
    """What a method found in one checkpoint."""

    ranked: Sequence[Ranked]  # the order of the concepts of each class; may be empty
    measured: Sequence[Measured]  # numbers; of each measure at least one row
    # bases, vectors, coefficients, crops, ... by name, on the CPU; kept in
    # `concepts/{concept}.safetensors` for comparisons and figures.
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    # lists of names along the dimensions of the arrays ("concepts", "classes"), by name; kept
    # with the arrays, in the file's metadata
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # notes for the log and the report (concepts that were dropped or merged, ...)
    notes: Sequence[str] = ()
    # how many images went forward through the network, a backward pass counts as two, beyond those
    # of the shared features
    passes: int = 0


@dataclass(frozen=True)
class StudiedNetwork:
    """All that a concept method may look at."""

    # in evaluation mode with frozen parameters, on `device`; `features(images)` gives maps [N, D,
    # h, w] and `head(maps)` logits [N, classes]
    network: Architecture
    features: Features  # the shared features of the network, see `Features`
    # packed files of the network's data set by split (train, validation, test)
    splits: Mapping[str, Path]
    # packed files, by split, of the data set whose concept labels are used: often the same
    bank: Mapping[str, Path]
    seed: int  # of the network; all that is random is drawn from it and from names or image ids
    batch_size: int  # images at a time; bounds the memory
    # how many images of the shared evaluation subset of the test split methods may look at beyond
    # their pooled features
    images: int
    device: torch.device  # where the network is


class ConceptMethod(ABC):
    """Finds concepts in a network; a subclass states its facts as literal class attributes.

    Attributes
    ----------
    name : as in the registry.
    version : raised when its numbers change, see `sparsight.study.versions`.
    reference : paper, with DOI or arXiv id.
    needs : of "concept_labels" (of the bank), "masks", "part_masks" (of the test split), those
        without which it cannot work.
    measures : name of each number that `find` gives to (direction, unit and range, meaning).
        Direction is "higher" or "lower", whichever is better, "" where neither is.
    comparisons : the same for the numbers that `compare` gives.
    chance : a measure or comparison to the one that says what it is by chance; figures show both
        in one panel.
    shared_names : whether a concept's name means the same in every network, so that orders of
        concepts can be set side by side; not where a network's concepts are only numbered.
    sheet : whether `arrays` hold what a sheet of concepts shows, see
        `sparsight.plots.concept_sheet`.
    parameters : name to default; "required" where there is none.
    allowed : parameter to its values, see `sparsight.registration.parameter_problems`.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[dict[str, tuple[str, str, str]]]
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {}
    chance: ClassVar[dict[str, str]] = {}
    shared_names: ClassVar[bool] = True
    sheet: ClassVar[bool] = False
    parameters: ClassVar[dict[str, Any]] = {}
    allowed: ClassVar[dict[str, Any]] = {}

    def __init__(self, **parameters: Any) -> None:
        self.settings = checked_parameters(
            f"concept method {self.name}", self.parameters, parameters, self.allowed
        )

    @abstractmethod
    def find(self, checkpoint: StudiedNetwork) -> Findings:
        """Find the concepts of one checkpoint; InputError when data or settings cannot be used."""

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        """Numbers on how a checkpoint's concepts differ from those of another network.

        `own`: of the checkpoint, read back from its files (`passes` is then 0, `notes` empty);
        `reference`: of its dense parent, of a retrained network, or of another seed. Returns one
        row or more of each of `comparisons`; by default none.
        """
        return []


_TEXT, _NUMBER = pa.string(), pa.float64()
RANKING_SCHEMA = pa.schema(
    {"method": _TEXT, "class": _TEXT, "concept": _TEXT}
    | {"rank": pa.int32(), "weight": _NUMBER, "value": _NUMBER}
)
MEASURES_SCHEMA = pa.schema(
    {"method": _TEXT, "measure": _TEXT, "class": _TEXT, "concept": _TEXT, "value": _NUMBER}
)
_REFERENCE = {"pruner": _TEXT, "seed": pa.int64(), "level": pa.int32()}
DRIFT_SCHEMA = pa.schema(
    [*MEASURES_SCHEMA, *((f"reference_{name}", dtype) for name, dtype in _REFERENCE.items())]
)


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

    Raises InputError when the findings are not what the method's facts say.

    Parameters
    ----------
    identity : values of `IDENTITY` but `method`; kept in the metadata of all files, with
        `feature_passes`, `own_passes` and `notes` (a JSON list). The file of arrays has `texts`
        too (a JSON object).
    feature_passes : images that went forward for the shared features.
    """
    by_class: dict[str, list[Ranked]] = {}
    for row in findings.ranked:
        by_class.setdefault(row.class_name, []).append(row)
    for name, rows in by_class.items():
        ranks = sorted(row.rank for row in rows)
        if ranks != list(range(1, len(rows) + 1)) or len({r.concept for r in rows}) != len(rows):
            raise InputError(
                f"concept method {method.name} gave the class '{name}' no order: ranks must go "
                "from 1 up without a gap, and each concept must have one"
            )
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
    arrays = {name: tensor.detach().cpu() for name, tensor in findings.arrays.items()}
    write_arrays(files.arrays, arrays, {**metadata, "texts": texts})
    tables: tuple[tuple[Path | str, pa.Schema, Sequence[Ranked | Measured]], ...] = (
        (files.ranking, RANKING_SCHEMA, findings.ranked),
        (files.measures, MEASURES_SCHEMA, [*findings.measured, *counted]),
    )
    for path, schema, rows_of in tables:
        table = pa.Table.from_pylist(_dicts(method, rows_of), schema=schema)
        write_table(path, table, metadata)


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
    rows: list[dict[str, Any]] = []
    for reference, measured in found:
        check_measured(method.name, "compare", method.comparisons, measured)
        known = {f"reference_{name}": reference[name] for name in _REFERENCE}
        rows += [{**row, **known} for row in _dicts(method, measured)]
    table = pa.Table.from_pylist(rows, schema=DRIFT_SCHEMA)
    write_table(path, table, {name: metadata[name] for name in IDENTITY})


def _dicts(method: ConceptMethod, rows: Iterable[Ranked | Measured]) -> list[dict[str, Any]]:
    """Columns of each row; `class` is a word of Python."""
    return [
        {**vars(row), "method": method.name, "class": row.class_name, "value": float(row.value)}
        for row in rows
    ]


def check_measured(
    method: str, where: str, known: Mapping[str, Any], measured: Sequence[Measured]
) -> None:
    """InputError when a measure is not among the `known` ones that the method's facts name, when
    one of these is missing, or when a number is given twice."""
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
    seen = Counter((row.measure, row.class_name, row.concept) for row in measured)
    for (measure, class_name, concept), count in seen.items():
        if count > 1:
            raise InputError(
                f"{where} of concept method {method} gave '{measure}' twice for class "
                f"'{class_name}' and concept '{concept}'; give it once"
            )


def read_findings(files: FindingsFiles) -> Findings:
    """Read findings back, for comparisons: without notes, and with no passes.

    Raises InputError when a file is missing or corrupt.
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
