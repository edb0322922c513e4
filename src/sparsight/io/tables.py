"""Tidy tables: parquet with page checksums for rows, CSV for small summaries."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import atomic_path, remedy

if TYPE_CHECKING:
    import pandas as pd

# zstd halves the size of score tables against snappy; page checksums are verified on reading.
_OPTIONS: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}


class TableWriter:
    """Write a parquet table row group by row group; it appears only when the block ends well."""

    def __init__(
        self, path: Path | str, schema: pa.Schema, metadata: Mapping[str, str] | None = None
    ) -> None:
        self.path = Path(path)
        self.schema = schema.with_metadata(dict(metadata or {}))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._writer = stack.enter_context(pq.ParquetWriter(temporary, self.schema, **_OPTIONS))
            self._stack = stack.pop_all()
        return self

    def append(self, columns: Mapping[str, Any] | pa.Table) -> None:
        """Append rows, one row group; `columns` maps each column of the schema to its values."""
        if isinstance(columns, pa.Table):
            table = columns.select(self.schema.names).cast(self.schema)
        else:
            table = pa.table(
                {name: columns[name] for name in self.schema.names}, schema=self.schema
            )
        self._writer.write_table(table.replace_schema_metadata(self.schema.metadata))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if error is not None:
                raise error


def write_table(
    path: Path | str,
    columns: Mapping[str, Any] | pa.Table,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a whole table (column name to values) as parquet, atomically."""
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    with TableWriter(path, table.schema, metadata) as writer:
        writer.append(table)


def read_table(path: Path | str, columns: Iterable[str] | None = None) -> pa.Table:
    """Read a parquet table (all columns by default).

    A missing file or column is an `InputError`, a damaged one a `CorruptFile`.
    """
    names = None if columns is None else list(columns)
    with checked_parquet(path) as file:
        # reading leaves unknown columns out silently
        for name in names or ():
            if name not in file.schema_arrow.names:
                raise InputError(f"{path} has no column '{name}'; {remedy(path)}")
        return file.read(columns=names)


def verify_table(path: Path | str) -> None:
    """Read a whole parquet table, a batch of rows at a time, and keep nothing."""
    with checked_parquet(path) as file:
        for _ in file.iter_batches():
            pass


def table_parts(path: Path | str) -> Iterator[pa.Table]:
    """Row groups of a parquet table, one at a time; for the errors see `read_table`."""
    with checked_parquet(path) as file:
        for index in range(file.num_row_groups):
            yield file.read_row_group(index)


@contextmanager
def checked_parquet(path: Path | str) -> Iterator[pq.ParquetFile]:
    """A parquet file whose pages are compared with their checksums as they are read."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    try:
        # ParquetFile and not read_table: the latter infers partitions from folder names.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorruptFile(f"{path} is corrupt (as parquet); {remedy(path)}") from error


def write_csv(path: Path | str, frame: "pd.DataFrame") -> None:
    """Write a frame as CSV, atomically: ten significant digits, undefined values empty."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.10g", lineterminator="\n")
