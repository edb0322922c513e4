"""Score files: curves become one number, rows become matrices, and what is refused."""

import math

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from sparsight.analysis.scores import REDUCERS, read_scalars
from sparsight.io.errors import InputError
from sparsight.io.tables import TableWriter, read_table, write_table

# f(x_0) = 1, then three perturbed steps
CURVE = [1.0, 0.5, 0.5, 0.25]
BY_HAND = {
    "mean": 0.5625,
    "sum": 2.25,
    "first": 1.0,
    "last": 0.25,
    # (.75 + .5 + .375) / 3
    "area": 1.625 / 3,
    # (0 + .5 + .5 + .75) / 4
    "aopc": 0.4375,
    # (0 + 0 + .25) / 4: against the first perturbed step
    "aopc_published": 0.0625,
}


def in_sql(values: np.ndarray, reducer: str) -> float:
    steps = np.arange(len(values))[::-1].copy()
    rows = pa.table({"step": steps, "value": values[::-1].copy()})
    with duckdb.connect() as database:
        database.register("rows", rows)
        return database.execute(f"SELECT {REDUCERS[reducer]} FROM rows").fetchone()[0]


@pytest.mark.parametrize(("reducer", "expected"), BY_HAND.items())
def test_by_hand(reducer: str, expected: float) -> None:
    assert in_sql(np.array(CURVE), reducer) == pytest.approx(expected)


def test_every_reducer_has_an_example() -> None:
    assert BY_HAND.keys() == REDUCERS.keys()


@pytest.mark.parametrize("reducer", ["mean", "sum", "area", "aopc", "aopc_published"])
def test_an_undefined_step_makes_the_number_undefined(reducer: str) -> None:
    curve = np.array([1.0, np.nan, 0.5])
    assert np.isnan(in_sql(curve, reducer))


def test_rows_in_any_order_become_a_matrix(write_scores):
    rows = [
        ("edges", "iou", 9, True, 0.1),
        ("cam", "mass", 2, False, 0.2),
        ("cam", "iou", 9, True, 0.3),
        ("edges", "mass", 2, False, 0.4),
        ("cam", "mass", 9, True, math.nan),
        ("cam", "iou", 2, False, 0.6),
        ("edges", "iou", 2, False, 0.7),
    ]
    file, (scalars,) = read_scalars(write_scores(rows, "magnitude", 3, density=0.5), {})
    assert (file.pruner, file.level) == ("magnitude", 3)
    assert scalars.columns == [("cam", "iou"), ("cam", "mass"), ("edges", "iou"), ("edges", "mass")]
    assert scalars.image_id.tolist() == [2, 9]
    assert scalars.correct.tolist() == [False, True]
    expected = [[0.6, 0.2, 0.7, 0.4], [0.3, math.nan, 0.1, math.nan]]
    assert scalars.values == pytest.approx(np.array(expected), nan_ok=True)
    assert scalars.scored.tolist() == [[True] * 4, [True, True, True, False]]


def test_columns_that_no_row_fills_do_not_appear(write_scores):
    path = write_scores([("cam", "iou", 1, True, 0.1), ("edges", "mass", 1, True, 0.2)])
    assert read_scalars(path, {}).scalars[0].columns == [("cam", "iou"), ("edges", "mass")]


@pytest.mark.parametrize(
    ("reducer", "expected"),
    [("mean", [2.0, 6.0]), ("sum", [6.0, 12.0]), ("first", [3.0, 5.0]), ("last", [1.0, 7.0])],
)
def test_curves_are_reduced(write_scores, reducer, expected):
    curve = [("cam", "road", 1, True, v, s) for s, v in ((20, 1.0), (0, 3.0), (10, 2.0))]
    curve += [("cam", "road", 2, True, v, s) for s, v in ((0, 5.0), (20, 7.0))]
    path = write_scores([*curve, ("cam", "iou", 1, True, 0.5)])
    (scalars,) = read_scalars(path, {"road": reducer}).scalars
    assert scalars.values[:, 1].tolist() == expected
    assert scalars.values[0, 0] == 0.5


def test_a_curve_without_reducer_is_refused(write_scores):
    path = write_scores([("cam", "road", 1, True, 0.5, 0)])
    with pytest.raises(InputError, match=r"road.*several steps.*reducers"):
        read_scalars(path, {"iou": "mean"})


def test_row_groups_with_dictionaries_of_their_own(tmp_path, write_scores):
    rows = [("cam", "iou", i, True, i / 10) for i in range(4)]
    rows += [("edges", "mass", i, True, i) for i in range(4)]
    plain = write_scores(rows)
    table = read_table(plain)
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [f.with_type(text) if pa.types.is_string(f.type) else f for f in table.schema]
    )
    with TableWriter(tmp_path / "groups.parquet", schema) as writer:
        for start in (4, 2, 6, 0):
            writer.append(table.slice(start, 2))
    (one,) = read_scalars(plain, {}).scalars
    (other,) = read_scalars(tmp_path / "groups.parquet", {}).scalars
    assert one.columns == other.columns == [("cam", "iou"), ("edges", "mass")]
    assert np.array_equal(one.values, other.values)


def test_an_image_scored_twice_is_refused(write_scores):
    path = write_scores([("cam", "iou", 7, True, 0.1), ("cam", "iou", 7, True, 0.1)])
    with pytest.raises(InputError, match="image 7 twice"):
        read_scalars(path, {})
    path = write_scores([("cam", "iou", 8, True, 0.1), ("cam", "iou", 8, True, 0.1, 0)])
    with pytest.raises(InputError, match="image 8 twice"):
        read_scalars(path, {"iou": "mean"})


def test_mixed_empty_and_foreign_files_are_refused(tmp_path, write_scores):
    path = write_scores([("cam", "iou", 1, True, 0.1), ("cam", "iou", 2, True, 0.1)])
    table = read_table(path)
    columns = {name: table[name] for name in table.column_names}
    write_table(path, {**columns, "level": [0, 1]})
    with pytest.raises(InputError, match="several checkpoints"):
        read_scalars(path, {})
    write_table(path, table.slice(0, 0))
    with pytest.raises(InputError, match="no rows"):
        read_scalars(path, {})
    write_table(path, {**columns, "value": ["high", "low"]})
    with pytest.raises(InputError, match="unexpected type"):
        read_scalars(path, {})
    write_table(path, {**columns, "explainer": ["cam", None]})
    with pytest.raises(InputError, match="rows without a name"):
        read_scalars(path, {})
