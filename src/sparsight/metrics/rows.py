"""The tidy table of scores: its columns, and writing it with bounded memory."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from torch import Tensor

from sparsight.io.entries import (
    BETWEEN,
    Stored,
    Update,
    Wanted,
    digest,
    maps_digest,
    table_metadata,
)
from sparsight.io.errors import InputError
from sparsight.io.tables import TableWriter, table_parts, verify_table

logger = logging.getLogger(__name__)

TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("study", TEXT),
        ("dataset", TEXT),
        ("model", TEXT),
        ("pruner", TEXT),
        ("seed", pa.int32()),
        ("level", pa.int32()),
        ("density", pa.float64()),
        ("explainer", TEXT),
        ("condition", TEXT),
        ("target", pa.int32()),
        ("image_id", pa.int64()),
        ("label", pa.int32()),
        ("predicted", pa.int32()),
        ("correct", pa.bool_()),
        ("metric", TEXT),
        ("step", pa.int32()),
        ("value", pa.float32()),
    ]
)
#: of the table of agreement: which network each was compared with
AGREEMENT_SCHEMA = pa.schema(
    [
        *SCHEMA,
        ("reference_pruner", TEXT),
        ("reference_seed", pa.int32()),
        ("reference_level", pa.int32()),
    ]
)
IDENTITY = ("study", "dataset", "model", "pruner", "seed", "level", "density")
VARYING = ("explainer", "condition", "metric")
PER_IMAGE = ("target", "image_id", "label", "predicted", "correct")
# Rows kept before a row group is written: some 1 MB, and a few while they are encoded.
GROUP_ROWS = 16384
SCALAR_STEP = -1


@dataclass(frozen=True)
class ImageFacts:
    """Of N images under one condition: the class that was explained, and what is known of them."""

    target: NDArray[np.int64]
    image_id: NDArray[np.int64]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the prediction is the label."""
        found: NDArray[np.bool_] = self.predicted == self.label
        return found


@dataclass(frozen=True)
class Reference:
    """The network that another one is compared with."""

    pruner: str
    seed: int
    level: int


class ScoreRows:
    """Write score rows; the file appears only when the block ends well.

    Parameters
    ----------
    path : the parquet file.
    identity : the values of `IDENTITY`; InputError where one is missing.
    names : all names that may occur: of each `explainer`, `condition` and `metric`.
    metadata : strings to keep in the file.
    references : the networks that this one is compared with, for a table of agreement.
    """

    def __init__(
        self,
        path: Path | str,
        identity: Mapping[str, Any],
        names: Mapping[str, Sequence[str]],
        metadata: Mapping[str, str],
        references: Sequence[Reference] | None = None,
    ) -> None:
        for name in IDENTITY:
            if name not in identity:
                raise InputError(f"the scores of {path} need the identity value '{name}'")
        self._identity = {name: identity[name] for name in IDENTITY}
        self._names, self._references = names, references
        schema = SCHEMA if references is None else AGREEMENT_SCHEMA
        self._writer = TableWriter(path, schema, metadata)
        self._parts: list[dict[str, NDArray[Any]]] = []
        self._count = 0

    def add(
        self, names: Sequence[str], images: ImageFacts, values: Tensor, reference: int = 0
    ) -> None:
        """Add the scores of a batch.

        Parameters
        ----------
        names : of the explainer, the condition and the metric.
        images : N of them.
        values : float32 [N], or [N, steps] for a curve, which agreement has not.
        reference : its place among the references.
        """
        count, steps = len(images.image_id), values.shape[1:]
        curves = self._references is None
        if len(values) != count or len(steps) > curves:
            raise InputError(
                f"metric {names[2]} gave scores of shape {tuple(values.shape)} for {count} images; "
                f"it must give [N]{' or [N, steps]' if curves else ''}"
            )
        size = values.numel()
        codes = [self._names[kind].index(name) for kind, name in zip(VARYING, names, strict=True)]
        rows: dict[str, NDArray[Any]] = {
            kind: np.full(size, code, dtype=np.int32)
            for kind, code in zip((*VARYING, "reference"), (*codes, reference), strict=True)
        }
        for name in PER_IMAGE:
            rows[name] = np.repeat(getattr(images, name), steps[0] if steps else 1)
        rows["step"] = np.tile(np.arange(steps[0]) if steps else SCALAR_STEP, count)
        rows["value"] = values.detach().cpu().numpy().astype(np.float32).reshape(-1)
        self._parts.append(rows)
        self._count += size
        if self._count >= GROUP_ROWS:
            self._flush()

    def append(self, table: pa.Table) -> None:
        """Add rows that were written before, with all their columns."""
        self._writer.append(table)

    def _flush(self) -> None:
        if not self._count:
            return
        columns: dict[str, Any] = {
            name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]
        }
        for name in VARYING:
            columns[name] = _text(columns[name], self._names[name])
        chosen = columns.pop("reference")
        if self._references is not None:
            columns["reference_pruner"] = _text(chosen, [r.pruner for r in self._references])
            columns["reference_seed"] = np.array([r.seed for r in self._references])[chosen]
            columns["reference_level"] = np.array([r.level for r in self._references])[chosen]
        for name, value in self._identity.items():
            if SCHEMA.field(name).type == TEXT:
                columns[name] = _text(np.zeros(self._count, dtype=np.int32), [str(value)])
            else:
                columns[name] = np.full(self._count, value)
        self._writer.append(columns)
        self._parts, self._count = [], 0

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._flush()
        self._writer.__exit__(kind, error, trace)


def _text(codes: NDArray[np.int32], names: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(names), pa.string()))


class OldRows:
    """The rows of a table that a job updates, each belonging to an entry `explainer/metric`.

    All entries depend on the files `inputs`, an entry also on the maps of its explainer in the
    files `maps`; see `sparsight.io.entries.Update`.
    """

    def __init__(
        self,
        path: Path | str,
        wanted: Wanted,
        inputs: Mapping[str, Path | str],
        maps: Sequence[Path | str],
    ) -> None:
        self.path = Path(path)
        digests = {name: digest(file) for name, file in inputs.items()}
        own = maps_digest(maps)
        self._metadata = table_metadata(path) or {}
        self.update = Update(Stored.of(self._metadata), wanted, digests, own)
        try:
            # Before anything is computed: a damaged table is made again as a whole.
            if self.update.kept:
                verify_table(path)
        except InputError as error:
            logger.warning("%s; all of it is made again", error)
            self._metadata = {}
            self.update = Update(None, wanted, digests, own)

    def facts(self, key: str) -> dict[str, Any]:
        """What the metadata hold under `key` of the items of kept entries."""
        used = {name.partition(BETWEEN)[2] for name in self.update.kept}
        whole = json.loads(self._metadata.get(key, "{}"))
        return {name: whole[name] for name in whole if name in used}

    def missing_of(self, settings: Mapping[str, Any], *groups: str) -> dict[str, Any]:
        """The two groups of settings, of the items that entries are missing of."""
        found: dict[str, Any] = {}
        for place, group in enumerate(groups):
            used = {name.split(BETWEEN)[place] for name in self.update.missing}
            found[group] = {name: settings[group][name] for name in settings[group] if name in used}
        return found

    def missing_in(
        self, groups: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> dict[str, list[dict[str, Any]]]:
        """Of metrics that share passes, by explainer, those that are missing."""
        missing = frozenset(self.update.missing)
        found = {
            explainer: [
                {name: m for name, m in one.items() if f"{explainer}{BETWEEN}{name}" in missing}
                for one in some
            ]
            for explainer, some in groups.items()
        }
        return {explainer: [one for one in some if one] for explainer, some in found.items()}

    def kept_rows(self) -> Iterator[pa.Table]:
        """The rows of kept entries, a row group at a time."""
        if not self.update.kept:
            return
        wanted = pa.array(self.update.kept, pa.string())
        for part in table_parts(self.path):
            pairs = pc.binary_join_element_wise(
                part["explainer"].cast(pa.string()), part["metric"].cast(pa.string()), BETWEEN
            )
            chosen = part.filter(pc.is_in(pairs, wanted))
            if chosen.num_rows:
                yield chosen
