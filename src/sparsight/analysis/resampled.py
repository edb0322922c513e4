"""`statistics.parquet`: a chain's means by subset with their replicates, written and read back.

A *chain* is one network's pruner, with the dense network as level 0.
"""

from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.remedies import remedy
from sparsight.io.tables import TableWriter

#: explainer of the rows that hold the accuracy
ACCURACY_ROWS = ""
ACCURACY = "accuracy"
#: all columns but `replicates`, whose type depends on their number
STATISTICS_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("study", "dataset", "model", "pruner")),
        ("seed", pa.int64()),
        ("level", pa.int32()),
        ("density", pa.float64()),
        *((name, pa.string()) for name in ("checkpoint_pruner", "explainer", "condition")),
        *((name, pa.string()) for name in ("metric", "subset")),
        ("n", pa.int64()),
        ("undefined", pa.int64()),
        ("mean", pa.float64()),
    ]
)
#: what names a chain
CHAIN = ["study", "dataset", "model", "pruner", "seed"]
#: order of the rows
ORDER = ["explainer", "condition", "metric", "subset", "level"]
_REPLICATES = "replicates"


def statistics_schema(replicates: int) -> pa.Schema:
    """`STATISTICS_SCHEMA` and the column `replicates`, a list of as many float32."""
    return STATISTICS_SCHEMA.append(pa.field(_REPLICATES, pa.list_(pa.float32(), replicates)))


class StatisticsWriter:
    """Write `statistics.parquet`, one row group per explainer; it appears when the block ends well.

    Parameters
    ----------
    path : the file.
    replicates, bootstrap_seed : of the draw; kept in the metadata.
    """

    def __init__(self, path: Path, replicates: int, bootstrap_seed: int) -> None:
        metadata = {"replicates": str(replicates), "bootstrap_seed": str(bootstrap_seed)}
        self._replicates = replicates
        self._writer = TableWriter(path, statistics_schema(replicates), metadata)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._writer)
            self._stack = stack.pop_all()
        return self

    def append(self, frame: pd.DataFrame, replicates: NDArray[np.float32]) -> None:
        """Append the rows of one explainer; call in the order of their names.

        Parameters
        ----------
        frame : columns of `STATISTICS_SCHEMA`, in any order of rows.
        replicates : float32 [rows, B], parallel to `frame`.
        """
        rows = frame.reset_index(drop=True).sort_values(ORDER, kind="stable")
        ordered = np.ascontiguousarray(replicates[rows.index.to_numpy()], dtype=np.float32)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(ordered.ravel()), self._replicates)
        table = pa.Table.from_pandas(rows, STATISTICS_SCHEMA, preserve_index=False)
        self._writer.append(table.append_column(_REPLICATES, lists))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def write_statistics(
    path: Path, frame: pd.DataFrame, replicates: NDArray[np.float32], bootstrap_seed: int
) -> None:
    """Write a whole `statistics.parquet`: columns of `STATISTICS_SCHEMA`, float32 [rows, B]."""
    whole = frame.reset_index(drop=True)
    with StatisticsWriter(path, replicates.shape[1], bootstrap_seed) as writer:
        for _, rows in whole.groupby("explainer", sort=True):
            writer.append(rows, replicates[rows.index.to_numpy()])


@dataclass(frozen=True)
class Curves:
    """Rows of one or more chains.

    Attributes
    ----------
    frame : columns of `STATISTICS_SCHEMA`, with a RangeIndex; sorted by chain, then as in the file.
    replicates : float32 [rows, B], parallel to the frame. Column b holds the same draw of images in
        all rows; NaN where the mean is undefined in it.
    """

    frame: pd.DataFrame
    replicates: NDArray[np.float32]


def read_curves(paths: Iterable[Path], explainers: Collection[str] | None = None) -> Curves:
    """Read chains, whole or some explainers of them.

    Parameters
    ----------
    paths : `statistics.parquet` of each chain, in any order.
    explainers : names; "" stands for the rows of the accuracy. None reads all. Only their row
        groups are read.

    Raises
    ------
    InputError
        When a file is missing, corrupt or no such table, when two files hold one chain, or when
        they do not come from one draw.
    """
    parts = sorted(_read(Path(path), explainers) for path in paths)
    if not parts:
        return Curves(pd.DataFrame(columns=STATISTICS_SCHEMA.names), np.empty((0, 0), np.float32))
    for first, second in pairwise(parts):
        if first.chain == second.chain:
            raise InputError(
                f"{first.path} and {second.path} hold the same chain; give each chain once"
            )
        if first.draw != second.draw:
            raise InputError(
                f"{first.path} and {second.path} were resampled with different draws; "
                "delete both and run snakemake again"
            )
    frame = pa.concat_tables([part.table for part in parts]).to_pandas()
    return Curves(frame, np.concatenate([part.replicates for part in parts]))


def read_explainers(paths: Iterable[Path]) -> list[str]:
    """Names of the explainers that the chains hold, sorted, without the rows of the accuracy."""
    found: set[str] = set()
    for path in paths:
        with _Open(Path(path)) as file:
            found.update(file.groups())
    return sorted(found - {ACCURACY_ROWS})


@dataclass(frozen=True, order=True)
class _Part:
    chain: tuple[Any, ...]
    draw: tuple[str, ...]
    path: Path
    table: pa.Table = field(compare=False)
    replicates: NDArray[np.float32] = field(compare=False)


def _read(path: Path, explainers: Collection[str] | None) -> _Part:
    with _Open(path) as file:
        wanted = [
            index
            for index, name in enumerate(file.groups())
            if explainers is None or name in explainers
        ]
        table = file.read(wanted)
        draw, chain = file.draw, file.chain()
    lists = table[_REPLICATES].combine_chunks()
    values = lists.flatten().to_numpy(zero_copy_only=False)
    replicates = values.reshape(table.num_rows, int(draw[0]))
    return _Part(chain, draw, path, table.drop_columns([_REPLICATES]), replicates)


class _Open:
    """One file, its errors put into one sentence."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        if not self.path.is_file():
            raise InputError(f"{self.path} does not exist; run snakemake again to make it")
        self._stack = ExitStack()
        try:
            # ParquetFile and not read_table: only wanted row groups are read
            self._file = self._stack.enter_context(
                pq.ParquetFile(self.path, page_checksum_verification=True)
            )
        except (pa.ArrowException, OSError) as error:
            raise CorruptFile(self._remedy("is corrupt")) from error
        schema = self._file.schema_arrow
        metadata = schema.metadata or {}
        try:
            self.draw = tuple(metadata[k].decode() for k in (b"replicates", b"bootstrap_seed"))
        except KeyError as error:
            raise InputError(self._remedy("does not say how it was resampled")) from error
        if not schema.equals(statistics_schema(int(self.draw[0]))):
            raise InputError(self._remedy("does not have the columns of statistics of a chain"))
        return self

    def _remedy(self, fault: str) -> str:
        return f"{self.path} {fault}; {remedy(self.path)}"

    def groups(self) -> list[str]:
        """The explainer of each row group."""
        column = STATISTICS_SCHEMA.names.index("explainer")
        metadata = self._file.metadata
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        # the writer gives every explainer a group of its own, so the first name is the only one
        return [group.column(column).statistics.min for group in groups]

    def chain(self) -> tuple[Any, ...]:
        """Whose rows the file holds."""
        row = self._checked(lambda: self._file.read_row_group(0, columns=CHAIN).slice(0, 1))
        return tuple(row.to_pylist()[0].values())

    def read(self, groups: list[int]) -> pa.Table:
        """Some row groups."""
        return self._checked(lambda: self._file.read_row_groups(groups))

    def _checked(self, read: Any) -> pa.Table:
        try:
            return read()
        except (pa.ArrowException, OSError) as error:
            raise CorruptFile(self._remedy("is corrupt")) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
