"""Networks and images both random: mean squares, variance, degrees of freedom, scales, pooling."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import binomtest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from sparsight.analysis.crossed import (
    Components,
    Estimate,
    NetworkShare,
    crossed,
    jackknife,
    pool,
)
from sparsight.analysis.statistics import CORRELATION, SHARE, UNBOUNDED, one_sample_t


def matrix(networks: int, images: int, sds=(1.0, 1.0, 1.0), seed: int = 0) -> np.ndarray:
    """Values [S, N] with sds of networks, images and residual, round .5."""
    rng = np.random.default_rng(seed)
    shapes = ((networks, 1), (1, images), (networks, images))
    return 0.5 + sum(sd * rng.standard_normal(shape) for sd, shape in zip(sds, shapes, strict=True))


def test_worked_by_hand():
    # Rows have means 1 and 4, columns 2, 2 and 3.5; what is left is (0, -1, 1; 0, 1, -1) / 2.
    found = crossed([[0.5, 0.0, 2.5], [3.5, 4.0, 4.5]])
    # MS_S = 3 (1.5² + 1.5²), MS_I = 2 (.5² + .5² + 1²) / 2, MS_E = 4 (1/4) / 2
    between, shared, residual = 13.5, 1.5, 0.5
    assert found.value == pytest.approx(2.5)
    assert found.components == pytest.approx((13.0 / 3, 1.0 / 2, 0.5))
    assert found.variance == pytest.approx((between + shared - residual) / 6)
    df = 14.5**2 / (between**2 / 1 + shared**2 / 2 + residual**2 / 2)
    assert found.df == pytest.approx(df)
    assert 1 < df < 2
    reach = stats.t.ppf(0.975, df) * math.sqrt(14.5 / 6)
    assert found.interval(0.95) == pytest.approx((2.5 - reach, 2.5 + reach))
    assert (found.networks, found.images) == (2, 3)


@pytest.mark.parametrize("sds", [(1.0, 0.3, 0.5), (0.1, 2.0, 0.5), (0.0, 0.0, 1.0)])
def test_components_are_those_of_a_two_way_analysis_of_variance(sds):
    values = matrix(4, 12, sds)
    frame = pd.DataFrame(values).stack().rename("value").reset_index()
    frame.columns = ["network", "image", "value"]
    table = anova_lm(ols("value ~ C(network) + C(image)", frame).fit())
    squares = (table["sum_sq"] / table["df"]).to_numpy()
    between, shared, residual = squares
    found = crossed(values)
    expected = (max(between - residual, 0) / 12, max(shared - residual, 0) / 4, residual)
    assert found.components == pytest.approx(expected)
    variance = (max(between, residual) + max(shared - residual, 0)) / 48
    assert found.variance == pytest.approx(variance)
    assert found.df <= 6


def test_parts_of_the_error_sum_to_it():
    for sds in ((1.0, 0.3, 0.5), (0.0, 2.0, 0.5), (0.0, 0.0, 1.0)):
        found = crossed(matrix(5, 40, sds))
        assert np.square(found.standard_errors()).sum() == pytest.approx(found.variance)
    assert found.standard_errors().networks < found.standard_errors().residual


def test_of_many_images_only_networks_are_left():
    values = matrix(5, 20_000, (1.0, 0.5, 0.5))
    expected = one_sample_t(values.mean(axis=1))
    assert crossed(values).interval(0.95) == pytest.approx((expected.low, expected.high), abs=1e-3)


def test_where_images_dominate_it_is_their_interval():
    values = matrix(20, 30, (0.0, 5.0, 0.01))
    found, images = crossed(values), values.mean(axis=0)
    assert found.variance == pytest.approx(images.var(ddof=1) / 30, rel=1e-3)
    assert found.df == pytest.approx(29, rel=1e-3)
    expected = one_sample_t(images)
    assert found.interval(0.95) == pytest.approx((expected.low, expected.high), rel=1e-3)


def test_degrees_of_freedom_end_at_twice_those_of_the_networks():
    assert crossed(matrix(3, 500, (0.0, 5.0, 0.01))).df == 4


def test_a_quantity_of_the_whole_network_has_students_interval():
    values = [0.1, 0.5, 0.2, 0.9]
    found, expected = crossed(np.reshape(values, (4, 1))), one_sample_t(values)
    assert found.interval(0.95) == pytest.approx((expected.low, expected.high))
    assert found.p(0.0) == pytest.approx(expected.p)
    assert (found.df, found.images) == (pytest.approx(3), 1)
    assert found.components.images == 0


def test_p_is_where_the_interval_ends():
    for bounds in (UNBOUNDED, CORRELATION, SHARE):
        found = crossed(matrix(5, 30, (0.05, 0.05, 0.05)), bounds)
        for confidence in (0.5, 0.95, 0.99):
            for limit in found.interval(confidence):
                assert found.p(limit) == pytest.approx(1 - confidence)
    assert math.isnan(found.p(math.nan))


def test_other_numbers_of_networks_and_images():
    found = crossed(matrix(5, 40))
    assert found.at(5, 40).interval(0.95) == pytest.approx(found.interval(0.95))
    wider, narrower = found.at(5, 20), found.at(10, 40)
    assert narrower.variance < found.variance < wider.variance
    assert (narrower.networks, wider.images) == (10, 20)
    networks, images, residual = Components(4.0, 9.0, 16.0)
    variance, df = Components(4.0, 9.0, 16.0).at(4, 6)
    assert variance == pytest.approx(networks / 4 + images / 6 + residual / 24)
    between, shared = 6 * networks + residual, 4 * images + residual
    total = between + shared - residual
    assert df == pytest.approx(total**2 / (between**2 / 3 + shared**2 / 5 + residual**2 / 15))


class TestUndefined:
    def test_cells_are_left_out_of_their_networks_mean(self):
        values = matrix(4, 30)
        values[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
        found = crossed(values)
        assert found.value == pytest.approx(np.nanmean(values, axis=1).mean())
        assert (found.networks, found.images) == (4, 30)

    def test_by_hand(self):
        # Pseudo-values of the second network's mean 3: 3 + (3 - 1) / (2 - 1) (x - 3), and 3.
        found = crossed([[1.0, 2.0, 6.0], [2.0, 4.0, np.nan]])
        assert found == crossed([[1.0, 2.0, 6.0], [1.0, 5.0, 3.0]])

    def test_an_image_or_network_without_values_changes_nothing(self):
        values = matrix(4, 30)
        more = np.full((5, 31), np.nan)
        more[1:, :30] = values
        assert crossed(more) == crossed(values)

    def test_a_network_with_one_value_beside_gaps_is_left_out(self):
        values = matrix(4, 30)
        values[0, 1:] = np.nan
        found, others = crossed(values), crossed(values[1:])
        assert found.networks == 3
        assert found.components == pytest.approx(others.components)

    def test_one_network_has_no_interval(self):
        found = crossed(matrix(1, 30))
        assert found.value == pytest.approx(matrix(1, 30).mean())
        assert np.isnan([found.variance, found.df, *found.interval(0.95), found.p(0.0)]).all()
        assert np.isnan(found.standard_errors()).all()

    def test_no_network_has_no_value(self):
        found = crossed(np.full((3, 4), np.nan))
        assert math.isnan(found.value)
        assert found.networks == 0
        assert not found.has_test
        assert np.isnan(found.standard_errors()).all()

    def test_no_spread_is_no_certainty(self):
        found = crossed(0.1 + 1e-9 * matrix(4, 30))
        assert found.variance == 0
        assert np.isnan([*found.interval(0.95), found.p(0.0)]).all()


class TestNetworkShare:
    @pytest.mark.parametrize(("yes", "networks"), [(0, 4), (1, 5), (4, 4), (6, 6), (7, 20)])
    def test_interval_and_p_are_exact(self, yes, networks):
        found = NetworkShare.of([1.0] * yes + [0.0] * (networks - yes) + [np.nan])
        assert (found.value, found.networks, found.images) == (yes / networks, networks, 1)
        for confidence in (0.5, 0.95, 0.99):
            wanted = binomtest(yes, networks).proportion_ci(confidence, method="exact")
            assert found.interval(confidence) == pytest.approx((wanted.low, wanted.high))
        # twice the smaller side: scipy's own two-sided p is by likelihood
        sides = [binomtest(yes, networks, 0.4, side).pvalue for side in ("less", "greater")]
        assert found.p(0.4) == pytest.approx(min(1.0, 2 * min(sides)))

    def test_p_is_where_the_interval_ends(self):
        for yes, networks in ((1, 5), (4, 4), (7, 20)):
            found = NetworkShare.of([1.0] * yes + [0.0] * (networks - yes))
            for confidence in (0.5, 0.95):
                for limit in found.interval(confidence):
                    if 0 < limit < 1:
                        assert found.p(limit) == pytest.approx(1 - confidence)

    def test_networks_that_agree_have_a_test(self):
        assert NetworkShare.of([1.0] * 4).has_test
        # (1/2)^6, twice, is below .05; (1/2)^4 is not
        assert NetworkShare.of([1.0] * 6).p(0.5) == pytest.approx(2 / 64)
        assert NetworkShare.of([1.0] * 4).p(0.5) == pytest.approx(2 / 16)
        assert NetworkShare.of([0.0] * 6).p(0.5) == pytest.approx(2 / 64)

    def test_without_networks_nothing_is_known(self):
        found = NetworkShare.of([np.nan, np.nan])
        assert not found.has_test
        assert np.isnan([found.value, *found.interval(0.95), found.p(0.5)]).all()

    def test_more_networks_that_say_yes_as_often(self):
        found = NetworkShare.of([1, 1, 1, 0]).at(8, 1)
        assert (found.value, found.networks) == (0.75, 8)
        assert found.interval(0.95) == NetworkShare.of([1] * 6 + [0] * 2).interval(0.95)
        # between whole numbers of networks, between their intervals
        limits = [NetworkShare.of([1] * yes + [0] * (10 - yes)).interval(0.95) for yes in (7, 8)]
        for limit, low, high in zip(found.at(10, 1).interval(0.95), *limits, strict=True):
            assert low < limit < high


class TestScales:
    def test_limits_stay_in_the_range(self):
        values = np.reshape([0.82, -0.91, -0.95], (3, 1))
        low, high = crossed(values, CORRELATION).interval(0.95)
        assert -1 < low < -0.9
        assert 0.9 < high < 1
        assert crossed(values).interval(0.95)[0] < -1
        shares = np.reshape([1.0, 0.99, 0.9], (3, 1))
        assert crossed(shares).interval(0.95)[1] > 1
        low, high = crossed(shares, SHARE).interval(0.95)
        assert 0 < low < 0.9
        assert 0.963 < high < 1

    def test_by_hand(self):
        # V = .0001 and df = 4; the slope of logit at .8 is 1 / (.8 × .2), that of artanh 1 / .36
        error, reach = 0.01, stats.t.ppf(0.975, 4)
        low, _ = Estimate(0.8, error**2, 4.0, 5, SHARE).interval(0.95)
        logit = math.log(4.0) - reach * error / 0.16
        assert low == pytest.approx(1 / (1 + math.exp(-logit)))
        low, _ = Estimate(0.8, error**2, 4.0, 5, CORRELATION).interval(0.95)
        assert low == pytest.approx(math.tanh(math.atanh(0.8) - reach * error / 0.36))

    def test_a_value_at_or_beyond_the_end_is_excluded(self):
        found = Estimate(0.8, 1e-4, 4.0, 5, SHARE)
        assert found.p(1.0) == found.p(1.5) == found.p(-0.1) == 0
        assert found.p(0.99) > 0

    def test_an_estimate_beyond_the_range_says_nothing(self):
        low, high = Estimate(1.01, 1e-4, 4.0, 5, CORRELATION).interval(0.95)
        assert low == pytest.approx(-1)
        assert high == pytest.approx(1)


class TestJackknife:
    def test_of_a_mean_are_the_values(self):
        values = matrix(3, 10)
        found = jackknife(lambda means: means[..., 0], values[..., np.newaxis])
        np.testing.assert_allclose(found, values)

    def test_against_leaving_out_one_by_one(self):
        rng = np.random.default_rng(2)
        x = rng.standard_normal((3, 40, 4)) + np.arange(4)

        def slope(means):
            return means[..., 3] * means[..., 1] / means[..., 2] ** 2

        expected = np.empty((3, 40))
        for network in range(3):
            whole = slope(x[network].mean(axis=0))
            for image in range(40):
                without = slope(np.delete(x[network], image, axis=0).mean(axis=0))
                expected[network, image] = 40 * whole - 39 * without
        np.testing.assert_allclose(jackknife(slope, x), expected)

    def test_the_variance_of_a_ratio_is_that_of_its_linear_form(self):
        rng = np.random.default_rng(3)
        data = np.stack([2.0 + rng.standard_normal((4, 2000)), 4.0 + matrix(4, 2000)], axis=-1)
        found = crossed(jackknife(lambda means: means[..., 0] / means[..., 1], data))
        top, bottom = data.mean(axis=1).T[:, :, np.newaxis]
        linear = crossed(top / bottom + (data[..., 0] - top / bottom * data[..., 1]) / bottom)
        assert found.variance == pytest.approx(linear.variance, rel=0.01)

    def test_an_undefined_value_is_left_out_of_its_mean(self):
        data = matrix(2, 5)[..., np.newaxis]
        data[0, 0] = np.nan
        found = jackknife(lambda means: means[..., 0], data)
        assert found[0].mean() == pytest.approx(np.nanmean(data[0]))
        assert found[0, 0] == pytest.approx(np.nanmean(data[0]))

    def test_a_statistic_that_hangs_on_one_image_is_undefined(self):
        data = np.ones((1, 3, 1))
        data[0, 1:] = np.nan
        found = jackknife(lambda means: means[..., 0], data)
        assert np.isnan(found[0, 0])


class TestPool:
    def test_data_sets_that_differ(self):
        # Equal variances: the mean, with the standard error and t of the estimates themselves.
        values = [0.1, 0.3, 0.9]
        found = pool([Estimate(value, 1e-4, 4.0, 3) for value in values])
        expected = one_sample_t(values)
        assert found.interval(0.95) == pytest.approx((expected.low, expected.high), rel=1e-4)
        assert (found.networks, found.df) == (9, 2)

    def test_data_sets_that_agree_are_not_surer_than_their_errors(self):
        found = pool([Estimate(0.3, 0.01, 4.0, 3), Estimate(0.3001, 0.01, 4.0, 3)])
        assert found.variance == pytest.approx(0.005)
        assert found.df == 1

    def test_the_sharper_counts_more_where_effects_agree(self):
        found = pool([Estimate(0.1, 0.01, 4.0, 3), Estimate(0.2, 0.03, 4.0, 3)])
        assert found.value == pytest.approx(0.125)

    def test_those_without_variance_are_left_out(self):
        whole = Estimate(0.1, 0.01, 4.0, 3, CORRELATION)
        nothing = Estimate(0.7, math.nan, math.nan, 1, CORRELATION)
        assert pool([whole, whole, nothing]) == pool([whole, whole])
        assert pool([whole, whole]).bounds == CORRELATION
        found = pool([whole, nothing])
        assert found.value == 0.1
        assert math.isnan(found.variance)
        assert math.isnan(pool([]).value)
