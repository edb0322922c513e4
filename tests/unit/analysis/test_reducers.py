"""Curves become one number: worked out by hand."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from sparsight.analysis.scores import REDUCERS

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
