"""Correlations against numbers worked by hand, against scipy, and where they are not defined."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsight.analysis.statistics import (
    first_difference,
    is_constant,
    kendall,
    naive_p,
    pearson,
    rank_partial,
    spearman,
    student_interval,
)

X = np.array([1.0, 2.0, 3.0, 4.0])
Y = np.array([1.0, 3.0, 2.0, 4.0])


def test_worked_by_hand():
    # Deviations -1.5 -.5 .5 1.5 and -1.5 .5 -.5 1.5: 4 / 5.
    assert pearson(X, Y) == pytest.approx(0.8)
    assert spearman(X, Y) == pytest.approx(0.8)
    # Five of six pairs agree: (5 - 1) / 6.
    assert kendall(X, Y) == pytest.approx(4 / 6)
    # t = .8 sqrt(2 / .36) = 1.8856 with two degrees of freedom: p = .2 (for n = 4, p = 1 - |r|).
    assert naive_p(X, Y) == pytest.approx(0.2)


def test_first_differences_do_not_see_a_shared_trend():
    trend = np.arange(6.0)
    x = trend + np.array([0.0, 0.1, 0.0, 0.1, 0.0, 0.1])
    y = trend + np.array([0.1, 0.0, 0.1, 0.0, 0.1, 0.0])
    assert pearson(x, y) > 0.99
    assert first_difference(x, y) == pytest.approx(-1.0)


def test_first_differences_of_a_straight_line_are_undefined():
    line = 0.9 - 0.1 * np.arange(6)
    assert math.isnan(first_difference(line, np.array([0.1, 0.3, 0.2, 0.5, 0.1, 0.0])))


def test_first_differences_of_a_flat_float32_line_are_undefined():
    # It climbs by 1e-5 a level; its steps differ by rounding alone.
    line = np.float32(0.5 + 1e-5 * np.arange(6)).astype(np.float64)
    assert not is_constant(line)
    assert np.ptp(np.diff(line)) > 0
    assert math.isnan(first_difference(line, np.array([0.1, 0.3, 0.2, 0.5, 0.1, 0.0])))


def test_rank_partial_by_hand():
    density = np.array([1.0, 0.8, 0.6, 0.4, 0.2])
    x = np.array([5.0, 3.0, 4.0, 2.0, 1.0])
    y = np.array([4.0, 5.0, 3.0, 1.0, 2.0])
    # Ranks: r_xz = r_yz' = .9 and .8, r_xy = 1 - 6 (1 + 4 + 1 + 1 + 1) / 120 = .6
    xz, yz, xy = 0.9, 0.8, 0.6
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert rank_partial(x, y, density) == pytest.approx(expected)


def test_rank_partial_is_undefined_when_density_explains_all():
    density = np.array([1.0, 0.8, 0.6, 0.4, 0.2])
    assert math.isnan(rank_partial(density**2, np.array([5.0, 1.0, 4.0, 2.0, 3.0]), density))


@pytest.mark.parametrize("statistic", [pearson, spearman, kendall, first_difference, naive_p])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.full(6, 0.21), np.arange(6.0)),
        (np.arange(6.0), np.full(6, 0.21)),
        # Constant up to the rounding of float32 scores.
        (np.float64(0.21) + 1e-9 * np.array([0, 1, 0, -1, 0, 1.0]), np.arange(6.0)),
        (np.zeros(6), np.arange(6.0)),
        (np.array([1.0, 2.0]), np.array([2.0, 1.0])),
        (np.array([]), np.array([])),
    ],
)
def test_undefined_is_nan_and_never_zero(statistic, x, y):
    assert math.isnan(statistic(x, y))


def test_small_but_real_variation_is_not_constant():
    assert not is_constant(0.21 + 1e-5 * np.arange(6))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=26))
def test_equals_scipy_with_ties(pairs):
    x, y = np.array(pairs, dtype=np.float64).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(pearson(x, y))
        assert math.isnan(spearman(x, y))
        return
    assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_student_interval_by_hand():
    # sd of 1, 2, 3 is 1, its error 1 / sqrt(3), t(.975; 2) = 4.302653.
    interval = student_interval([1.0, 2.0, 3.0, math.nan])
    assert interval.networks == 3
    assert interval.mean == pytest.approx(2.0)
    assert interval.high == pytest.approx(2.0 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert interval.low == pytest.approx(2.0 - 4.302653 / math.sqrt(3), abs=1e-6)


def test_student_interval_of_one_or_none():
    one = student_interval([0.5])
    assert one.mean == 0.5
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    none = student_interval([math.nan])
    assert none.networks == 0
    assert math.isnan(none.mean)
