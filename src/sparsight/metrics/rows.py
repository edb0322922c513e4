"""The tidy table of scores: its columns, and writing it with bounded memory."""

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
IDENTITY = ("study", "dataset", "model", "pruner", "seed", "level", "density")
VARYING = ("explainer", "condition", "metric")
PER_IMAGE = ("target", "image_id", "label", "predicted", "correct")
# Rows kept before a row group is written: some 1 MB, and a few while they are encoded.
GROUP_ROWS = 16384
SCALAR_STEP = -1


@dataclass(frozen=True)
class ImageFacts:
    """What is known of the images of a batch under one condition; each array has N values.

    Attributes
    ----------
    target : the class that was explained.
    image_id, label : of the image.
    predicted : what the network predicts under this condition.
    """

    target: NDArray[np.int64]
    image_id: NDArray[np.int64]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the prediction is the label."""
        found: NDArray[np.bool_] = self.predicted == self.label
        return found


class ScoreRows:
    """Write score rows; the file appears only when the block ends well.

    Parameters
    ----------
    path : the parquet file.
    identity : the values of `IDENTITY`.
    explainers, conditions, metrics : all names that may occur.
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
        explainers: Sequence[str],
        conditions: Sequence[str],
        metrics: Sequence[str],
        metadata: Mapping[str, str],
    ) -> None:
        missing = [name for name in IDENTITY if name not in identity]
        if missing:
            raise InputError(f"the scores of {path} lack the identity value '{missing[0]}'")
        self._identity = {name: identity[name] for name in IDENTITY}
        self._names = dict(zip(VARYING, (explainers, conditions, metrics), strict=True))
        self._writer = TableWriter(path, SCHEMA, metadata)
        self._kept: list[dict[str, NDArray[Any]]] = []
        self._count = 0

    def add(
        self, explainer: str, condition: str, metric: str, images: ImageFacts, values: Tensor
    ) -> None:
        """Add the scores of a batch: `values` float32 [N], or [N, steps] for a curve."""
        count = len(images.image_id)
        if values.ndim not in (1, 2) or len(values) != count:
            raise InputError(
                f"metric {metric} gave scores of shape {tuple(values.shape)} for {count} images; "
                "it must give [N] or [N, steps]"
            )
        steps = values.shape[1] if values.ndim == 2 else 1
        step = np.arange(steps) if values.ndim == 2 else np.array([SCALAR_STEP])
        chosen = {"explainer": explainer, "condition": condition, "metric": metric}
        rows: dict[str, NDArray[Any]] = {
            name: np.full(count * steps, self._names[name].index(value), dtype=np.int32)
            for name, value in chosen.items()
        }
        rows |= {name: np.repeat(getattr(images, name), steps) for name in PER_IMAGE}
        rows["step"] = np.tile(step, count)
        rows["value"] = values.detach().cpu().numpy().astype(np.float32).reshape(-1)
        self._kept.append(rows)
        self._count += count * steps
        if self._count >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._count:
            return
        columns: dict[str, Any] = {
            name: np.concatenate([rows[name] for rows in self._kept]) for name in self._kept[0]
        }
        for name in VARYING:
            columns[name] = _text(columns[name], self._names[name])
        for name, value in self._identity.items():
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
