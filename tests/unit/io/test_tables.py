"""Tables: round trips, streaming, damaged files, and the format of the CSV files."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.tables import TableWriter, read_table, write_csv, write_table

SCHEMA = pa.schema([("image_id", pa.int64()), ("value", pa.float32()), ("metric", pa.string())])


def columns(start: int, stop: int) -> dict[str, object]:
    """Rows of a small score table."""
    return {
        "image_id": np.arange(start, stop),
        "value": np.arange(start, stop, dtype=np.float32) / 7,
        "metric": [f"metric_{index % 3}" for index in range(start, stop)],
    }


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of 200 rows."""
    path = tmp_path / "scores.parquet"
    write_table(path, columns(0, 200))
    return path


def test_a_table_comes_back(table: Path) -> None:
    found = read_table(table)
    assert found.column_names == ["image_id", "value", "metric"]
    assert found["image_id"].to_pylist() == list(range(200))
    assert np.array_equal(found["value"].to_numpy(), np.arange(200, dtype=np.float32) / 7)
    assert found["metric"].to_pylist()[:4] == ["metric_0", "metric_1", "metric_2", "metric_0"]


def test_undefined_values_and_missing_ones_come_back(tmp_path: Path) -> None:
    values = pa.array([math.nan, None, 1.0], pa.float32())
    write_table(tmp_path / "x.parquet", {"value": values})
    found = read_table(tmp_path / "x.parquet")["value"].to_pylist()
    assert math.isnan(found[0])
    assert found[1:] == [None, 1.0]


def test_some_columns(table: Path) -> None:
    assert read_table(table, ["metric", "image_id"]).column_names == ["metric", "image_id"]


def test_a_column_that_is_not_there_is_one_sentence(table: Path) -> None:
    with pytest.raises(InputError, match=r"scores\.parquet has no column 'step'"):
        read_table(table, ["image_id", "step"])


def test_streaming_gives_the_rows_in_order_one_group_each(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with TableWriter(path, SCHEMA, {"study": "thesis"}) as writer:
        writer.append(columns(0, 50))
        writer.append(pa.table(columns(50, 60)))
        assert not path.exists()
    found = read_table(path)
    assert found.cast(SCHEMA).equals(pa.table(columns(0, 60), schema=SCHEMA))
    assert found.schema.metadata[b"study"] == b"thesis"
    assert pq.ParquetFile(path).metadata.num_row_groups == 2


def test_tables_are_brought_to_the_schema(tmp_path: Path) -> None:
    given = pa.table({"extra": [1], "metric": ["a"], "value": [0.5], "image_id": [3]})
    with TableWriter(tmp_path / "x.parquet", SCHEMA) as writer:
        writer.append(given)
    found = read_table(tmp_path / "x.parquet")
    assert found.schema.equals(SCHEMA)
    assert found.to_pylist() == [{"image_id": 3, "value": 0.5, "metric": "a"}]


def test_a_table_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "x.parquet", SCHEMA):
        pass
    found = read_table(tmp_path / "x.parquet")
    assert found.num_rows == 0
    assert found.schema.equals(SCHEMA)


def test_a_failing_block_leaves_the_old_table(table: Path) -> None:
    before = table.read_bytes()

    def failing() -> None:
        with TableWriter(table, SCHEMA) as writer:
            writer.append(columns(0, 5))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        failing()
    assert table.read_bytes() == before
    assert list(table.parent.iterdir()) == [table]


@pytest.mark.parametrize("rows", [{"image_id": [1]}, {**columns(0, 3), "value": ["a", "b", "c"]}])
def test_rows_that_do_not_fit_leave_nothing_behind(tmp_path: Path, rows: dict[str, object]) -> None:
    with (
        pytest.raises((KeyError, pa.ArrowInvalid, pa.ArrowTypeError)),
        TableWriter(tmp_path / "x.parquet", SCHEMA) as writer,
    ):
        writer.append(rows)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_cannot_close_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = pq.ParquetWriter.close

    def full(self: pq.ParquetWriter) -> None:
        close(self)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "close", full)
    # the error is kept here, and with it all that it refers to
    with pytest.raises(OSError, match="No space left") as _kept:
        write_table(tmp_path / "x.parquet", columns(0, 5))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.parquet does not exist"):
        read_table(tmp_path / "none.parquet")


def test_a_truncated_table_is_corrupt(table: Path) -> None:
    raw = table.read_bytes()
    for length in (0, 3, 8, len(raw) // 2, len(raw) - 9, len(raw) - 1):
        table.write_bytes(raw[:length])
        with pytest.raises(CorruptFile, match=r"scores\.parquet is corrupt"):
            read_table(table)


def test_flipped_bits_of_the_values_are_noticed(table: Path) -> None:
    raw = table.read_bytes()
    group = pq.ParquetFile(table).metadata.row_group(0)
    spans = []
    for index in range(group.num_columns):
        chunk = group.column(index)
        first = chunk.dictionary_page_offset or chunk.data_page_offset
        spans.append((first, first + chunk.total_compressed_size))
    tried = noticed = 0
    for start, stop in spans:
        for place in range(start, stop, max((stop - start) // 40, 1)):
            damaged = bytearray(raw)
            damaged[place] ^= 4
            table.write_bytes(damaged)
            try:
                found = read_table(table)
            except CorruptFile:
                noticed += 1
            else:
                # page headers hold statistics, which reading does not use
                assert found.equals(pa.table(columns(0, 200)))
            tried += 1
    assert noticed > tried / 2 > 50


def test_every_page_has_its_checksum(table: Path) -> None:
    # the last bytes of a column are values, not a header
    raw = table.read_bytes()
    group = pq.ParquetFile(table).metadata.row_group(0)
    for index in range(group.num_columns):
        chunk = group.column(index)
        first = chunk.dictionary_page_offset or chunk.data_page_offset
        damaged = bytearray(raw)
        damaged[first + chunk.total_compressed_size - 1] ^= 1
        table.write_bytes(damaged)
        with pytest.raises(CorruptFile, match=r"scores\.parquet is corrupt"):
            read_table(table)


def test_a_column_name_that_is_no_text_is_corrupt(table: Path) -> None:
    # the footer has no checksum; a bit flipped in a name breaks its encoding
    raw = table.read_bytes()
    footer = raw.rindex(b"PAR1") - 4 - int.from_bytes(raw[-8:-4], "little")
    damaged = bytearray(raw)
    damaged[raw.index(b"image_id", footer)] ^= 128
    table.write_bytes(damaged)
    with pytest.raises(CorruptFile, match=r"scores\.parquet is corrupt"):
        read_table(table)


def test_something_else_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("image_id,value\n1,2\n" * 20)
    with pytest.raises(CorruptFile, match=r"x\.parquet is corrupt"):
        read_table(tmp_path / "x.parquet")


def test_folder_names_do_not_become_columns(tmp_path: Path) -> None:
    path = tmp_path / "level=3" / "x.parquet"
    write_table(path, {"image_id": [1]})
    assert read_table(path).column_names == ["image_id"]


def test_csv_has_ten_digits_empty_holes_and_unix_lines(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {"level": [0, 1], "value": [1 / 3, math.nan], "name": ["a, b", "c"]}, index=[7, 8]
    )
    write_csv(tmp_path / "x.csv", frame)
    assert (tmp_path / "x.csv").read_bytes() == (b'level,value,name\n0,0.3333333333,"a, b"\n1,,c\n')
