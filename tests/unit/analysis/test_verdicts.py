"""Verdicts, their level, what would decide an open row, looks, e-values and power."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from sparsight.analysis import verdicts
from sparsight.analysis.crossed import Components, Crossed, Estimate, NetworkShare
from sparsight.analysis.statistics import CORRELATION, UNBOUNDED
from sparsight.analysis.verdicts import (
    Question,
    Row,
    Share,
    allocate,
    decide,
    detectable,
    e_value,
    excludable,
    images_needed,
    look_levels,
    networks_needed,
    networks_to_show,
    p_bound,
    p_decided,
    p_equivalent,
    verdict,
)

GAIN = Question(holds_from=0.0, published=0.10, smallest=0.01)
FALL = Question(holds_to=0.0, published=-0.10, smallest=0.01)
EXAMPLES = [
    (0.06, 0.12, verdicts.REPLICATED),
    (0.06, 0.09, verdicts.SUPPORTED_SMALLER),
    (0.02, 0.04, verdicts.SUPPORTED_SMALLER),
    # published inside, but not above its half
    (0.04, 0.12, verdicts.SUPPORTED),
    (0.11, 0.15, verdicts.SUPPORTED),
    (-0.005, 0.005, verdicts.NO_EFFECT),
    # the sign is sure in these, and does not matter
    (0.001, 0.005, verdicts.NO_EFFECT),
    (-0.005, -0.001, verdicts.NO_EFFECT),
    (-0.03, -0.001, verdicts.CONTRADICTED),
    (-0.02, 0.04, verdicts.LESS_THAN_HALF),
    (-0.02, 0.08, verdicts.SMALLER),
    (-0.02, 0.12, verdicts.OPEN),
    (math.nan, math.nan, verdicts.OPEN),
]


@pytest.mark.parametrize(("low", "high", "expected"), EXAMPLES)
def test_every_verdict_in_both_directions(low, high, expected):
    assert verdict(low, high, GAIN) == expected
    assert verdict(-high, -low, FALL) == expected


def test_without_a_published_value_or_a_smallest_effect():
    sign = Question(holds_from=0.0)
    assert verdict(0.001, 0.002, sign) == verdicts.SUPPORTED
    assert verdict(-0.02, 0.04, sign) == verdicts.OPEN
    assert verdict(-0.02, -0.01, sign) == verdicts.CONTRADICTED
    assert verdict(-0.02, 0.04, replace(sign, smallest=0.05)) == verdicts.NO_EFFECT


def test_published_with_the_other_sign_is_no_effect_to_compare_with():
    asked = replace(GAIN, published=-0.1)
    assert verdict(-0.3, 0.05, asked) == verdicts.OPEN
    assert verdict(-0.3, -0.2, asked) == verdicts.CONTRADICTED


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (5.5, 6.5, verdicts.REPLICATED),
        (6.5, 7.5, verdicts.SUPPORTED),
        (4.0, 6.5, verdicts.OPEN),
        (8.5, 9.5, verdicts.CONTRADICTED),
        (1.0, 4.0, verdicts.CONTRADICTED),
    ],
)
def test_a_claim_on_a_range(low, high, expected):
    assert verdict(low, high, Question(holds_from=5, holds_to=8, published=6)) == expected


def test_a_claim_of_no_loss():
    asked = Question(holds_to=0.01, published=0.0)
    assert verdict(-0.01, 0.005, asked) == verdicts.REPLICATED
    assert verdict(0.002, 0.005, asked) == verdicts.SUPPORTED
    assert verdict(-0.01, 0.02, asked) == verdicts.OPEN
    assert verdict(0.02, 0.03, asked) == verdicts.CONTRADICTED


questions = st.builds(
    lambda bounds, **more: Question(*bounds, **more),
    bounds=st.sampled_from([(math.nan, 0.0), (0.0, math.nan), (0.1, 0.3), (math.nan, 0.3)]),
    published=st.sampled_from([math.nan, -0.2, 0.2]),
    smallest=st.sampled_from([math.nan, 0.05]),
)


@given(
    questions, st.floats(-0.5, 0.5), st.floats(0.01, 0.3), st.sampled_from([UNBOUNDED, CORRELATION])
)
def test_p_is_the_level_at_which_the_row_is_decided(asked, value, error, bounds):
    estimate = Estimate(value, error**2, 4.0, 5, bounds)
    p = p_decided(estimate, asked)
    if p < 0.999:
        assert verdict(*estimate.interval(1 - p * 1.001 - 1e-12), asked) != verdicts.OPEN
    if p > 1e-9:
        assert verdict(*estimate.interval(1 - p * 0.999), asked) == verdicts.OPEN


def test_p_needs_four_networks_and_spread():
    estimate = Estimate(0.2, 1e-6, 4.0, 4)
    assert p_decided(estimate, GAIN) < 1e-6
    assert p_decided(replace(estimate, networks=3), GAIN) == 1
    assert p_decided(replace(estimate, variance=math.nan), GAIN) == 1
    assert p_decided(replace(estimate, variance=0.0), GAIN) == 1


def of_components(value: float, networks: int, images: int, *components: float) -> Crossed:
    parts = Components(*components)
    variance, df = parts.at(networks, images)
    return Crossed(value, variance, df, networks, UNBOUNDED, images, parts)


class TestDecide:
    def test_the_level_is_that_of_the_row(self):
        estimate = Estimate(0.2, 0.05**2, 4.0, 5)
        assert decide(estimate, Question(holds_from=0.0), 0.05) == (verdicts.SUPPORTED, "")
        assert decide(estimate, Question(holds_from=0.0), 0.005).verdict == verdicts.OPEN

    def test_not_testable(self):
        sure = Estimate(0.2, 1e-6, 4.0, 5)
        assert decide(sure, GAIN, 0.05, empty_share=0.1) == (verdicts.SUPPORTED, "")
        assert decide(sure, GAIN, 0.05, empty_share=math.nan) == (verdicts.SUPPORTED, "")
        for estimate, keys, reason in (
            (sure, {"empty_share": 0.37}, "maps are empty in 37% of the images"),
            (sure, {"reason": "the task was not learnt"}, "the task was not learnt"),
            (replace(sure, variance=0.0), {}, "the networks do not differ"),
            (replace(sure, value=math.nan, networks=0), {}, "undefined in all networks"),
        ):
            assert decide(estimate, GAIN, 0.05, **keys) == (verdicts.NOT_TESTABLE, reason)

    def test_three_networks_decide_nothing(self):
        sure = Estimate(0.2, 1e-6, 4.0, 3)
        for few in (sure, replace(sure, networks=1, variance=math.nan)):
            assert decide(few, GAIN, 0.05) == (verdicts.OPEN, "4 networks at least")

    def test_what_would_decide(self):
        asked = Question(holds_from=0.0)

        def reason(estimate):
            found = decide(estimate, asked, 0.05)
            assert found.verdict == verdicts.OPEN
            return found.reason

        # t(n-1) / sqrt(n) falls below .5 from 18 networks: 2.110 / 4.243 = .497
        networks = of_components(0.5, 5, 100, 1.0, 0.0, 0.0)
        assert reason(networks) == "18 networks would decide it"
        # df is 8: 2.306 sqrt(4 / n) < .5 from n = 86
        images = of_components(0.5, 5, 30, 0.0, 4.0, 0.0)
        assert reason(images) == "86 images would decide it"
        both = of_components(0.25, 5, 60, 0.02, 0.5, 4.0)
        expected = f"{networks_needed(both, asked, 0.05)} networks or "
        expected += f"{images_needed(both, asked, 0.05)} images would decide it"
        assert reason(both) == expected
        neither = of_components(0.1, 5, 60, 0.1, 2.0, 1.0)
        assert reason(neither) == "neither more networks nor more images alone would decide it"
        assert reason(Estimate(0.1, 0.1, 2.0, 9)) == "more data sets would decide it"

    def test_a_share_of_networks(self):
        asked = Question(holds_from=0.5)
        # (1/2)^5, twice, is above .05, of six networks it is not
        found = decide(NetworkShare.of([1.0] * 5), asked, 0.05)
        assert found == (verdicts.OPEN, "6 networks would decide it")
        assert decide(NetworkShare.of([1.0] * 6), asked, 0.05).verdict == verdicts.SUPPORTED
        assert decide(NetworkShare.of([0.0] * 6), asked, 0.05).verdict == verdicts.CONTRADICTED
        assert p_decided(NetworkShare.of([1.0] * 6), asked) == pytest.approx(2 / 64)


class TestP:
    """Standard error 1 and as good as normal: two-sided p of z."""

    @staticmethod
    def p(z):
        return pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-3)

    @staticmethod
    def at(value):
        return Estimate(value, 1.0, 1e6, 5)

    def test_against_the_bound(self):
        for asked in (Question(holds_from=1.0), Question(holds_to=1.0)):
            assert p_bound(self.at(3.0), asked) == self.p(2)
            assert p_bound(self.at(0.0), asked) == self.p(1)

    def test_against_two_bounds(self):
        asked = Question(holds_from=0.0, holds_to=4.0)
        # inside, that of the nearer one; outside, that of the one that is crossed
        assert p_bound(self.at(1.0), asked) == self.p(1)
        assert p_bound(self.at(7.0), asked) == self.p(3)
        assert p_bound(self.at(-1.0), asked) == self.p(1)

    def test_without_a_bound_or_an_interval(self):
        assert math.isnan(p_bound(self.at(1.0), Question()))
        nothing = replace(self.at(1.0), variance=math.nan)
        assert math.isnan(p_bound(nothing, Question(holds_from=0.0)))
        assert math.isnan(p_equivalent(nothing, Question(holds_from=0.0, smallest=2.0)))

    def test_of_equivalence(self):
        asked = Question(holds_from=0.0, smallest=3.0)
        # the nearer end
        assert p_equivalent(self.at(1.0), asked) == self.p(2)
        assert p_equivalent(self.at(-1.0), asked) == self.p(2)
        assert p_equivalent(self.at(3.0), asked) == 1
        assert math.isnan(p_equivalent(self.at(1.0), Question(holds_from=0.0)))


def test_what_is_needed_is_just_enough():
    asked = Question(holds_from=0.0, published=0.4)
    estimate = of_components(0.2, 5, 60, 0.002, 0.1, 3.0)
    for level in (0.05, 0.01):
        networks = networks_needed(estimate, asked, level)
        images = images_needed(estimate, asked, level)
        for enough, less in (
            (estimate.at(networks, 60), estimate.at(networks - 1, 60)),
            (estimate.at(5, images), estimate.at(5, images - 1)),
        ):
            assert verdict(*enough.interval(1 - level), asked) != verdicts.OPEN
            assert verdict(*less.interval(1 - level), asked) == verdicts.OPEN


def test_what_is_needed_where_nothing_is_known():
    asked = Question(holds_from=0.0)
    whole = of_components(0.5, 5, 1, 1.0, 0.0, 0.0)
    assert images_needed(whole, asked, 0.05) is None
    assert networks_needed(whole, asked, 0.05) == 18
    unknown = replace(whole, variance=math.nan)
    assert networks_needed(unknown, asked, 0.05) is None
    few = of_components(0.5, 3, 30, 0.0, 4.0, 0.0)
    assert images_needed(few, asked, 0.05) is None


@given(st.integers(0, 8), st.integers(1, 8), st.sampled_from([0.05, 0.01]))
def test_a_share_stays_decided_from_the_networks_that_are_needed(yes, no, level):
    asked = Question(holds_from=0.5)
    estimate = NetworkShare.of([1.0] * yes + [0.0] * no)
    needed = networks_needed(estimate, asked, level)
    decided = [
        verdict(*estimate.at(n, 1).interval(1 - level), asked) != verdicts.OPEN
        for n in range(4, 1001)
    ]
    if needed is None:
        assert not decided[-1]
    else:
        assert all(decided[needed - 4 :])
        assert needed == 4 or not decided[needed - 5]


PRIMARIES = [("a", 0.04), ("b", 0.2), ("c", 0.001)]


class TestAllocate:
    def test_primaries_stop_at_the_first_open_one(self):
        rows = [Row(name, "primary", "", p) for name, p in PRIMARIES]
        expected = [("primary", 0.05), ("primary", 0.05), ("exploratory", 0.05)]
        assert allocate(rows) == expected

    def test_secondaries_by_holm(self):
        rows = [Row("a", "primary", "", 0.01)]
        rows += [Row(str(p), "secondary", "a", p) for p in (0.03, 0.01, 0.02, 0.9)]
        # .05 / 4 for .01, then .05 / 3 is below .02: that is the level of all that are left
        levels = [0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3]
        expected = [Share("primary", 0.05), *(Share("secondary", level) for level in levels)]
        assert [share.tier for share in allocate(rows)] == [share.tier for share in expected]
        levels = [share.alpha for share in allocate(rows)]
        assert levels[1:] == pytest.approx([share.alpha for share in expected[1:]])

    def test_a_closed_gate(self):
        rows = [
            Row("a", "primary", "", 0.01),
            Row("b", "primary", "", 0.3),
            Row("of a", "secondary", "a", 0.02),
            Row("of b", "secondary", "b", 1e-9),
            Row("of it", "secondary", "of a", 0.03),
            Row("of that", "secondary", "of b", 1e-9),
            Row("none", "secondary", "", 1e-9),
            Row("free", "", "", 1e-9),
        ]
        found = dict(zip([row.name for row in rows], allocate(rows), strict=True))
        # those behind a gate count: .05 / 5 for the first
        assert found["of a"] == ("secondary", 0.01)
        assert {name for name, share in found.items() if share.tier == "exploratory"} == {
            "of b",
            "of it",
            "of that",
            "none",
            "free",
        }

    def test_a_secondary_opens_the_way_to_its_own(self):
        rows = [
            Row("a", "primary", "", 0.01),
            Row("first", "secondary", "a", 0.02),
            Row("second", "secondary", "first", 0.04),
        ]
        assert allocate(rows)[1:] == [("secondary", 0.025), ("secondary", 0.05)]

    def test_levels_of_a_look(self):
        rows = [Row("a", "primary", "", 0.03), Row("b", "secondary", "a", 0.001)]
        found = allocate(rows, nominal=lambda alpha: alpha / 2)
        assert found == [("primary", 0.025), ("exploratory", 0.025)]


class TestLooks:
    def test_known_levels(self):
        # by simulation: .0115, .0097, .0126, .0115, .0249
        expected = (0.0115, 0.0097, 0.0126, 0.0115, 0.0249)
        assert look_levels((3, 5, 8, 10, 20)) == pytest.approx(expected, abs=4e-4)

    def test_a_single_look_has_all(self):
        assert look_levels([7]) == pytest.approx([0.05])
        assert look_levels([7], alpha=0.01) == pytest.approx([0.01])

    def test_together_they_have_alpha(self):
        levels = look_levels((4, 8, 10))
        bounds = -stats.norm.ppf(np.array(levels) / 2)
        n = np.array([4, 8, 10])
        covariance = np.sqrt(np.minimum.outer(n, n) / np.maximum.outer(n, n))
        normal = stats.multivariate_normal(np.zeros(3), covariance)
        stays = normal.cdf(bounds, lower_limit=-bounds)
        assert 1 - stays == pytest.approx(0.05, abs=1e-4)

    @pytest.mark.parametrize("looks", [(3, 3), (5, 3), (0, 3)])
    def test_looks_ascend(self, looks):
        with pytest.raises(ValueError, match="must ascend"):
            look_levels(looks)


class TestEValue:
    def test_by_hand(self):
        # n = 3 and t² = 12: log E = -½ log 91 + 1.5 (log 7 - log(1 + 6 / 91))
        expected = 91**-0.5 * (7 / (1 + 6 / 91)) ** 1.5
        assert e_value([1.0, 2.0, 3.0]) == pytest.approx(expected)
        assert e_value([1.5, 2.5, np.nan, 3.5], bound=0.5) == pytest.approx(expected)

    def test_it_is_a_bayes_factor_of_t(self):
        x = np.array([0.3, 0.1, 0.5, 0.2, 0.6])
        t = x.mean() / (x.std(ddof=1) / math.sqrt(5))

        def weighted(effect):
            return stats.norm.pdf(effect, scale=math.sqrt(30)) * stats.nct.pdf(
                t, 4, effect * math.sqrt(5)
            )

        evidence = integrate.quad(weighted, -8, 8, limit=200)[0] / stats.t.pdf(t, 4)
        assert e_value(x) == pytest.approx(evidence, rel=1e-3)

    def test_little_says_nothing(self):
        assert e_value([]) == e_value([0.3]) == e_value([0.3, np.nan]) == 1
        assert math.isnan(e_value([0.3, 0.3 + 1e-9, 0.3], bound=0.3))

    def test_it_stays_finite(self):
        assert math.isfinite(e_value(1.0 + 1e-5 * np.arange(1000)))


class TestPower:
    """Between-network sd of 1, images without end: the numbers of one-sample t tests."""

    ONE = Components(1.0, 0.0, 0.0)

    @pytest.mark.parametrize(
        ("alpha", "expected"),
        [(0.05, (3.26, 1.68, 1.16, 1.00, 0.66)), (0.05 / 8, (9.26, 2.98, 1.74, 1.43, 0.89))],
    )
    def test_detectable_effects(self, alpha, expected):
        found = [detectable(*self.ONE.at(n, 100), alpha) for n in (3, 5, 8, 10, 20)]
        assert found == pytest.approx(expected, abs=0.006)

    def test_excludable_with_known_error(self):
        # Many networks: ±(1.96 + 1.28) standard errors, 1.28 being passed on either side by 10%.
        variance, df = self.ONE.at(1000, 100)
        assert excludable(variance, df, 0.05) == pytest.approx(3.2415 * 1000**-0.5, rel=2e-3)

    def test_excludable_with_few_networks(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((100_000, 5))
        half = stats.t.ppf(0.975, 4) * x.std(axis=1, ddof=1) / math.sqrt(5)
        reach = np.abs(x.mean(axis=1)) + half
        expected = np.quantile(reach, 0.8)
        assert excludable(*self.ONE.at(5, 100), 0.05) == pytest.approx(expected, rel=0.01)

    def test_networks_that_show_an_effect(self):
        assert networks_to_show(self.ONE, 100, -1.0, 0.05) == 10
        assert networks_to_show(self.ONE, 100, 1.16, 0.05) in (8, 9)
        assert networks_to_show(self.ONE, 100, 9.0, 0.05) == 4
        # whatever the networks, 1.96 + .84 standard errors of 25 images stay
        images = Components(1.0, 1.0, 0.0)
        assert networks_to_show(images, 25, 0.5, 0.05) is None
        assert networks_to_show(images, 400, 0.5, 0.05) is not None
