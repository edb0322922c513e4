"""One score file as matrices of images by columns, fast enough for millions of rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sparsight.analysis.reducers import REDUCERS, collapse
from sparsight.analysis.scores import IDENTITY, SCHEMA
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

_NAMED = ("explainer", "condition", "metric")
_NUMBERED = ("image_id", "correct", "step", "value")


@dataclass(frozen=True)
class Scalars:
    """One number per image, explainer and metric, for one condition.

    Attributes
    ----------
    condition : "clean" or "noisy".
    columns : K pairs of explainer and metric, sorted.
    image_id : int64 [N], ascending.
    correct : bool [N], whether the network classifies the image correctly.
    values : float64 [N, K]; NaN where undefined.
    scored : bool [N, K], whether there is a row at all.
    """

    condition: str
    columns: list[tuple[str, str]]
    image_id: NDArray[np.int64]
    correct: NDArray[np.bool_]
    values: NDArray[np.float64]
    scored: NDArray[np.bool_]

    def on(self, other: "Scalars") -> NDArray[np.float64]:
        """These values for the images and columns of `other`: [N, K] of it, NaN where lacking."""
        found = np.full(other.values.shape, np.nan)
        if not len(self.image_id):
            return found
        place = np.searchsorted(self.image_id, other.image_id).clip(max=len(self.image_id) - 1)
        known = self.image_id[place] == other.image_id
        for column, name in enumerate(other.columns):
            if name in self.columns:
                values = self.values[place, self.columns.index(name)]
                found[:, column] = np.where(known, values, np.nan)
        return found


@dataclass(frozen=True)
class ScoredCheckpoint:
    """One file: whose scores it holds (values of `IDENTITY`), and they."""

    path: Path
    identity: Mapping[str, Any]
    scalars: list[Scalars]


def level_of(path: Path) -> int:
    """The level that a score file is of, from its footer alone; -1 where that does not say.

    Only to read files in a good order: whose scores they really are is checked by `read_scalars`.
    """
    try:
        with pq.ParquetFile(path) as file:
            column = file.metadata.row_group(0).column(file.schema_arrow.names.index("level"))
            return int(column.statistics.min)
    except (pa.ArrowException, OSError, ValueError, AttributeError, TypeError, IndexError):
        return -1


def read_scalars(path: Path, reducers: Mapping[str, str]) -> ScoredCheckpoint:
    """Read the scores of one checkpoint and family.

    Parameters
    ----------
    path : `scores/{family}.parquet`, columns as in `sparsight.analysis.scores.SCHEMA`.
    reducers : metric to how its steps become one number (a name in `REDUCERS`).

    Raises
    ------
    InputError
        When the file is missing, corrupt, empty, mixes checkpoints or scores an image twice, or
        when a metric with several steps has no reducer.
    """
    table = read_table(path, [*IDENTITY, *_NAMED, *_NUMBERED]).unify_dictionaries()
    identity = _identity(path, table)
    try:
        rows = {n: table[n].cast(SCHEMA.field(n).type).to_numpy() for n in _NUMBERED}
        named = {name: _codes(table[name]) for name in _NAMED}
    except (pa.ArrowException, TypeError) as error:
        raise InputError(
            f"{path} has a column of an unexpected type ({error}); score the explanations again"
        ) from error
    image_id, image = np.unique(rows["image_id"], return_inverse=True)
    names = [named[name][0] for name in _NAMED]
    shape = (*(len(some) for some in names), len(image_id))
    cell = np.ravel_multi_index((*(named[name][1] for name in _NAMED), image), shape)
    scored, values = _reduced(path, cell, rows, shape, _reducer_of(names[2], reducers))
    correct = np.ones(shape, dtype=np.bool_)
    correct.reshape(-1)[cell[~rows["correct"]]] = False
    # [explainer, condition, metric, image] -> per condition [image, explainer x metric]
    columns = [(explainer, metric) for explainer in names[0] for metric in names[2]]
    found = []
    for place, condition in enumerate(names[1]):
        there = scored[:, place].reshape(len(columns), -1).T
        filled, kept = (np.asarray(there.any(axis=axis)) for axis in (0, 1))
        found.append(
            Scalars(
                condition=condition,
                columns=[column for column, full in zip(columns, filled, strict=True) if full],
                image_id=image_id[kept],
                correct=np.asarray(correct[:, place].all(axis=(0, 1)))[kept],
                values=values[:, place].reshape(len(columns), -1).T[np.ix_(kept, filled)],
                scored=there[np.ix_(kept, filled)],
            )
        )
    return ScoredCheckpoint(path, identity, found)


def _identity(path: Path, table: pa.Table) -> dict[str, Any]:
    found = {name: table[name].unique().to_pylist() for name in IDENTITY}
    several = [name for name, values in found.items() if len(values) > 1]
    if several or not table.num_rows:
        fault = f"rows of several checkpoints ({several[0]})" if several else "no rows"
        raise InputError(f"{path} holds {fault} instead of those of one; score it again")
    return {name: values[0] for name, values in found.items()}


def _codes(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Sorted names of a column and, for each row, the index of its name."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    whole = column.combine_chunks()
    if whole.null_count:
        raise TypeError("a name is missing")
    dictionary = np.asarray(whole.dictionary.to_pylist(), dtype=str)
    indices = whole.indices.to_numpy().astype(np.int64)
    used = np.unique(indices)
    names, rank = np.unique(dictionary[used], return_inverse=True)
    translation = np.zeros(len(dictionary), dtype=np.int64)
    translation[used] = rank
    return names.tolist(), translation[indices]


def _reducer_of(metrics: list[str], reducers: Mapping[str, str]) -> list[tuple[str, str | None]]:
    return [(metric, reducers.get(metric)) for metric in metrics]


def _reduced(
    path: Path,
    cell: NDArray[np.int64],
    rows: Mapping[str, Any],
    shape: tuple[int, ...],
    reducers: list[tuple[str, str | None]],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each cell is scored, and its number; curves become one by their reducer."""
    values = np.full(int(np.prod(shape)), np.nan)
    single = rows["step"] < 0
    copies = np.bincount(cell[single], minlength=values.size)
    values[cell[single]] = rows["value"][single]
    if not single.all():
        # rows of one cell side by side, in the order of their steps
        curve = np.flatnonzero(~single)
        curve = curve[np.lexsort((rows["step"][curve], cell[curve]))]
        starts = np.flatnonzero(np.diff(cell[curve], prepend=-1))
        metric = np.unravel_index(cell[curve][starts], shape)[2]
        for index in np.unique(metric).tolist():
            name, reducer = reducers[index]
            if reducer not in REDUCERS:
                raise InputError(
                    f"the metric '{name}' in {path} scores several steps; "
                    f"name its reducer ({', '.join(REDUCERS)}) in settings 'reducers'"
                )
            mine = metric == index
            values[cell[curve][starts[mine]]] = collapse(
                rows["value"][curve], starts, str(reducer)
            )[mine]
        copies[cell[curve][starts]] += 1
    if copies.max() > 1:
        image = rows["image_id"][np.flatnonzero(cell == copies.argmax())[0]]
        raise InputError(f"{path} scores image {image} twice; score the explanations again")
    return copies.reshape(shape) > 0, values.reshape(shape)
