"""The draw of images, means of replicates and percentile intervals."""

import numpy as np
import pytest

from sparsight.analysis.statistics import draw_counts, percentile_interval, replicate_means

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
