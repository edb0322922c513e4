"""Associations, intervals, tests, their correction, and the bootstrap over images."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsight.analysis.statistics import (
    CORRELATION,
    CORRELATION_GAP,
    SHARE,
    UNBOUNDED,
    benjamini_hochberg,
    draw_counts,
    first_difference,
    is_constant,
    kendall,
    naive_p,
    one_sample_t,
    pearson,
    percentile_interval,
    rank_partial,
    replicate_means,
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


def test_bounded_interval_by_hand():
    # The mean is 0 and its error 0.1: tanh(± t(.975; 1) · 0.1), t = 12.706205.
    interval = student_interval([-0.1, 0.1], bounds=CORRELATION)
    assert interval.mean == pytest.approx(0.0)
    assert interval.high == pytest.approx(math.tanh(1.2706205), abs=1e-6)
    assert interval.low == pytest.approx(-math.tanh(1.2706205), abs=1e-6)
    # On the logit scale: mean 0.8 and error 0.1, logit(0.8) = ln 4, 0.1 / (0.8 · 0.2) = 0.625.
    share = student_interval([0.7, 0.9], bounds=SHARE)
    for limit, side in ((share.low, -1), (share.high, 1)):
        logit = math.log(limit / (1 - limit))
        assert logit == pytest.approx(math.log(4) + side * 12.706205 * 0.625, rel=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(0.5, 0.999))
def test_bounded_intervals_hold_the_mean_and_stay_in_range(values, confidence):
    interval = student_interval(values, confidence, CORRELATION)
    assert -1 <= interval.low <= interval.mean + 1e-12
    assert interval.mean - 1e-12 <= interval.high <= 1
    wider = student_interval([2 * value for value in values], confidence, CORRELATION_GAP)
    assert wider.high == pytest.approx(2 * interval.high, abs=1e-9)


@pytest.mark.parametrize("value", [1.0, -1.0, 0.3])
def test_a_bounded_interval_without_spread_is_the_mean(value):
    assert student_interval([value] * 3, bounds=CORRELATION)[:3] == pytest.approx([value] * 3)


def test_two_networks_that_contradict_each_other_say_nothing():
    """Untransformed the limits were -12.7 and 12.7."""
    assert student_interval([1.0, -1.0]).high > 12
    assert one_sample_t([1.0, -1.0], bounds=CORRELATION)[1:3] == pytest.approx((-1, 1))
    # The test is that of the values as they are.
    plain, bounded = (one_sample_t([0.9, 0.5, 0.7], bounds=one) for one in (UNBOUNDED, CORRELATION))
    assert (plain.p, plain.mean) == (bounded.p, bounded.mean)


def test_student_interval_of_one_or_none():
    one = student_interval([0.5])
    assert one.mean == 0.5
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    none = student_interval([math.nan])
    assert none.networks == 0
    assert math.isnan(none.mean)


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [-0.3, 0.1], [0.2, -0.4, -0.5, -0.1, -0.9]])
def test_against_scipy(values):
    test = one_sample_t(values, 0.9)
    library = stats.ttest_1samp(values, 0.0)
    limits = library.confidence_interval(0.9)
    assert test.p == pytest.approx(library.pvalue)
    assert (test.low, test.high) == pytest.approx((limits.low, limits.high))
    assert test.effect_size == pytest.approx(np.mean(values) / np.std(values, ddof=1))


def test_by_hand():
    # mean 2, sd 1: t = 2 sqrt(3) with 2 degrees of freedom, where cdf = 1/2 + t / 2 sqrt(2 + t^2)
    test = one_sample_t([1.0, 2.0, 3.0])
    assert test.p == pytest.approx(1 - math.sqrt(12 / 14))
    assert (test.mean, test.effect_size, test.n, test.up, test.down) == (2, 2, 3, 3, 0)


def test_undefined_networks_are_left_out_and_not_counted():
    assert one_sample_t([1.0, math.nan, 2.0, 4.0]) == one_sample_t([1.0, 2.0, 4.0])


def test_zeros_are_neither_up_nor_down():
    test = one_sample_t([0.0, 1.0, -2.0, -3.0])
    assert (test.n, test.up, test.down) == (4, 1, 2)


@pytest.mark.parametrize("values", [[], [0.5], [math.nan, 0.5]])
def test_fewer_than_two_networks_give_no_test(values):
    test = one_sample_t(values)
    assert np.isnan([test.p, test.effect_size, test.low]).all()
    assert test.n == len([value for value in values if value == value])


@pytest.mark.parametrize("value", [0.0, 0.1, -0.7])
def test_an_estimate_without_spread_has_no_test(value):
    # three times 0.1 have a standard deviation of 1e-17: p would be 1e-33
    test = one_sample_t([value] * 3)
    assert np.isnan([test.p, test.effect_size]).all()
    assert (test.mean, test.low, test.high) == pytest.approx((value, value, value))


def test_benjamini_hochberg_by_hand():
    # sorted .01 .02 .04 .8 times 4/1, 4/2, 4/3, 4/4: .04 .04 .0533 .8, never rising backwards
    found = benjamini_hochberg([0.8, 0.04, 0.01, 0.02])
    assert found == pytest.approx([0.8, 0.16 / 3, 0.04, 0.04])


def test_no_test_is_not_counted_and_stays_undefined():
    found = benjamini_hochberg([0.01, math.nan, 0.04])
    assert found[[0, 2]] == pytest.approx(benjamini_hochberg([0.01, 0.04]))
    assert np.isnan(found[1])


def test_nothing_to_correct():
    assert benjamini_hochberg([]).shape == (0,)
    assert np.isnan(benjamini_hochberg([math.nan])).all()
    p = np.array([0.01, 0.02])
    benjamini_hochberg(p)
    assert p.tolist() == [0.01, 0.02]


IDS = np.arange(50, dtype=np.int64)


def test_every_replicate_draws_as_many_images_as_there_are():
    counts = draw_counts(IDS, 200, 0)
    assert (counts.shape, counts.dtype) == ((200, 50), np.float32)
    assert (counts.sum(axis=1) == 50).all()
    assert (counts == np.rint(counts)).all()
    assert (counts >= 0).all()


def test_counts_have_the_moments_of_a_multinomial():
    counts = draw_counts(IDS, 20_000, 1)
    # variance N p (1 - p) = 0.98 and covariance -N p^2 = -0.02 for N = 50, p = 1/50
    error = 1 / np.sqrt(20_000)
    assert counts.mean(axis=0) == pytest.approx(1.0, abs=5 * error)
    assert counts.var(axis=0) == pytest.approx(0.98, abs=10 * error)
    covariance = np.cov(counts.T)[~np.eye(50, dtype=bool)]
    assert covariance.mean() == pytest.approx(-0.02, abs=error / 10)


def test_one_seed_gives_one_draw_and_another_gives_another():
    assert np.array_equal(draw_counts(IDS, 5, 3), draw_counts(IDS, 5, 3))
    assert not np.array_equal(draw_counts(IDS, 5, 3), draw_counts(IDS, 5, 4))


def test_more_replicates_go_on_with_the_same_draw():
    assert np.array_equal(draw_counts(IDS, 5, 3), draw_counts(IDS, 9, 3)[:5])


@pytest.mark.parametrize("ids", [[1, 3, 2], [1, 1, 2]])
def test_unsorted_or_doubled_ids_are_refused(ids):
    with pytest.raises(ValueError, match="ascend"):
        draw_counts(np.array(ids), 2, 0)


def test_replicate_means_by_hand():
    counts = np.array([[1, 1, 1], [0, 3, 0], [2, 0, 1]], dtype=np.float32)
    values = np.array([[1, 4], [2, np.nan], [6, 7]], dtype=np.float32)
    means = replicate_means(counts, values)
    assert means.dtype == np.float32
    assert means[:, 0] == pytest.approx([3, 2, 8 / 3])
    # the second replicate drew only the undefined image
    assert means[:, 1] == pytest.approx([5.5, np.nan, 5], nan_ok=True)


def test_infinite_values_are_undefined_as_in_the_table_of_levels():
    counts = np.ones((1, 3), dtype=np.float32)
    assert replicate_means(counts, np.array([[1], [np.inf], [3]], np.float32))[0, 0] == 2
    assert np.isnan(replicate_means(counts, np.full((3, 1), np.nan, np.float32)))


def test_a_constant_column_has_constant_replicates():
    # else the correlation with a model-independent control would be one with rounding errors
    means = replicate_means(draw_counts(IDS, 100, 0), np.full((50, 1), 0.1, np.float32))
    assert np.ptp(means) == 0


def test_a_small_spread_on_a_large_value_survives_float32():
    values = (1000 + 1e-3 * np.random.default_rng(0).standard_normal((50, 1))).astype(np.float32)
    counts = draw_counts(IDS, 300, 0)
    exact = counts.astype(np.float64) @ values.astype(np.float64) / 50
    # float32 numbers near 1000 lie 6e-5 apart: the mean is rounded once, not at every step
    assert replicate_means(counts, values) == pytest.approx(exact, abs=3.1e-5)


def test_interval_against_numpy():
    replicates = np.random.default_rng(0).standard_normal((3, 4, 501))
    low, high = percentile_interval(replicates, 0.9)
    assert low == pytest.approx(np.quantile(replicates, 0.05, axis=-1))
    assert high == pytest.approx(np.quantile(replicates, 0.95, axis=-1))


def test_interval_of_one_row_is_a_number():
    low, high = percentile_interval(np.arange(101.0), 0.9)
    assert (float(low), float(high)) == pytest.approx((5, 95))


def test_a_few_undefined_replicates_are_left_out_and_many_undo_the_interval():
    replicates = np.arange(1000.0)
    replicates[:10] = np.nan
    low, _ = percentile_interval(replicates, 0.9)
    assert low == pytest.approx(np.quantile(replicates[10:], 0.05))
    replicates[10] = np.inf
    assert np.isnan(percentile_interval(replicates, 0.9)).all()


def test_no_replicates_give_no_interval():
    low, high = percentile_interval(np.empty((2, 0)), 0.95)
    assert np.isnan([low, high]).all()
    assert low.shape == high.shape == (2,)
