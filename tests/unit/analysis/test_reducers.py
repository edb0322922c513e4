"""Curves become one number: worked out by hand, and equally in SQL and numpy."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from sparsight.analysis.scores import REDUCERS, collapse

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
    curve = np.array(CURVE)
    assert collapse(curve, np.array([0]), reducer) == pytest.approx([expected])
    assert in_sql(curve, reducer) == pytest.approx(expected)


def test_every_reducer_has_an_example() -> None:
    assert BY_HAND.keys() == REDUCERS.keys()


@pytest.mark.parametrize("reducer", REDUCERS)
def test_sql_and_numpy_agree_on_curves_of_different_lengths(reducer: str) -> None:
    draw = np.random.default_rng(0)
    curves = [draw.normal(size=length) for length in (2, 5, 11)]
    starts = np.array([0, 2, 7])
    expected = [in_sql(curve, reducer) for curve in curves]
    np.testing.assert_allclose(collapse(np.concatenate(curves), starts, reducer), expected)


@pytest.mark.parametrize("reducer", ["mean", "sum", "area", "aopc", "aopc_published"])
def test_an_undefined_step_makes_the_number_undefined(reducer: str) -> None:
    curve = np.array([1.0, np.nan, 0.5])
    assert np.isnan(collapse(curve, np.array([0]), reducer)).all()
    assert np.isnan(in_sql(curve, reducer))
