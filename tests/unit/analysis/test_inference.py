"""Tests over networks against scipy and by hand; corrections by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from sparsight.analysis.statistics import benjamini_hochberg, holm, one_sample_t


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [-0.3, 0.1], [0.2, -0.4, -0.5, -0.1, -0.9]])
def test_against_scipy(values):
    test = one_sample_t(values, 0.9)
    library = stats.ttest_1samp(values, 0.0)
    limits = library.confidence_interval(0.9)
    assert test.p == pytest.approx(library.pvalue)
    assert (test.low, test.high) == pytest.approx((limits.low, limits.high))
    assert test.p_greater == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater")[1])
    assert test.p_less == pytest.approx(stats.ttest_1samp(values, 0, alternative="less")[1])
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
    assert np.isnan([test.p, test.p_greater, test.p_less, test.effect_size, test.low]).all()
    assert test.n == len([value for value in values if value == value])


@pytest.mark.parametrize("value", [0.0, 0.1, -0.7])
def test_an_estimate_without_spread_has_no_test(value):
    # three times 0.1 have a standard deviation of 1e-17: p would be 1e-33
    test = one_sample_t([value] * 3)
    assert np.isnan([test.p, test.p_greater, test.p_less, test.effect_size]).all()
    assert (test.mean, test.low, test.high) == pytest.approx((value, value, value))


def test_holm_by_hand():
    # sorted .01 .02 .04 times 3, 2, 1, never falling
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])


def test_benjamini_hochberg_by_hand():
    # sorted .01 .02 .04 .8 times 4/1, 4/2, 4/3, 4/4: .04 .04 .0533 .8, never rising backwards
    found = benjamini_hochberg([0.8, 0.04, 0.01, 0.02])
    assert found == pytest.approx([0.8, 0.16 / 3, 0.04, 0.04])


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_no_test_is_not_counted_and_stays_undefined(correct):
    found = correct([0.01, math.nan, 0.04])
    assert found[[0, 2]] == pytest.approx(correct([0.01, 0.04]))
    assert np.isnan(found[1])


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_nothing_to_correct(correct):
    assert correct([]).shape == (0,)
    assert np.isnan(correct([math.nan])).all()
    p = np.array([0.01, 0.02])
    correct(p)
    assert p.tolist() == [0.01, 0.02]
