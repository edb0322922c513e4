"""The tidy table of agreement: score rows, and which network each was compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.io.tables import TableWriter
from sparsight.metrics.rows import GROUP_ROWS, IDENTITY, PER_IMAGE, SCALAR_STEP, TEXT, ImageFacts
from sparsight.metrics.rows import SCHEMA as SCORE_SCHEMA

REFERENCE = ("reference_pruner", "reference_seed", "reference_level")
SCHEMA = pa.schema(
    [
        *SCORE_SCHEMA,
        ("reference_pruner", TEXT),
        ("reference_seed", pa.int32()),
        ("reference_level", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Reference:
    """The network that another one is compared with."""

    pruner: str
    seed: int
    level: int


class AgreementRows:
    """Write rows of agreement; the file appears only when the block ends well.

    Parameters
    ----------
    path : the parquet file, columns `SCHEMA`.
    identity : the values of `sparsight.metrics.rows.IDENTITY` of the network in question.
    names : all names that may occur: of each `explainer`, `condition` and `metric`.
    references : the networks that it is compared with.
    metadata : strings to keep in the file.

    Raises
    ------
    InputError
        When the identity lacks a value.
    """

    def __init__(
        self,
        path: Path | str,
        identity: Mapping[str, Any],
        names: Mapping[str, Sequence[str]],
        references: Sequence[Reference],
        metadata: Mapping[str, str],
    ) -> None:
        missing = [name for name in IDENTITY if name not in identity]
        if missing:
            raise InputError(f"the agreement of {path} lacks the identity value '{missing[0]}'")
        self._constant = {**{name: identity[name] for name in IDENTITY}, "step": SCALAR_STEP}
        self._names = names
        self._references = references
        self._writer = TableWriter(path, SCHEMA, metadata)
        self._kept: list[dict[str, NDArray[Any]]] = []
        self._count = 0

    def add(
        self, names: Mapping[str, str], reference: int, images: ImageFacts, values: Tensor
    ) -> None:
        """Add the agreement of a batch with one of the references.

        Parameters
        ----------
        names : the `explainer`, `condition` and `metric`.
        reference : its place among the references.
        images : of the network in question, N values each.
        values : float32 [N].
        """
        count = len(images.image_id)
        if tuple(values.shape) != (count,):
            raise InputError(
                f"agreement metric {names['metric']} gave values of shape {tuple(values.shape)} "
                f"for {count} images; it must give [N]"
            )
        codes = {name: known.index(names[name]) for name, known in self._names.items()}
        rows: dict[str, NDArray[Any]] = {
            name: np.full(count, code, dtype=np.int32)
            for name, code in {**codes, "reference": reference}.items()
        }
        rows |= {name: getattr(images, name) for name in PER_IMAGE}
        rows["value"] = values.detach().cpu().numpy().astype(np.float32)
        self._kept.append(rows)
        self._count += count
        if self._count >= GROUP_ROWS:
            self._flush()

    def append(self, table: pa.Table) -> None:
        """Add rows that were written before, with all their columns."""
        self._writer.append(table)

    def _flush(self) -> None:
        if not self._count:
            return
        columns: dict[str, Any] = {
            name: np.concatenate([rows[name] for rows in self._kept]) for name in self._kept[0]
        }
        for name, known in self._names.items():
            columns[name] = _text(columns[name], known)
        chosen = columns.pop("reference")
        columns["reference_pruner"] = _text(chosen, [r.pruner for r in self._references])
        columns["reference_seed"] = np.array([r.seed for r in self._references])[chosen]
        columns["reference_level"] = np.array([r.level for r in self._references])[chosen]
        for name, value in self._constant.items():
            if SCHEMA.field(name).type == TEXT:
                columns[name] = _text(np.zeros(self._count, dtype=np.int32), [str(value)])
            else:
                columns[name] = np.full(self._count, value)
        self._writer.append(columns)
        self._kept, self._count = [], 0

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
