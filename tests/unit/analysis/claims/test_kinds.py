"""Each kind of claim on numbers whose answer can be worked out on paper."""

import math

import numpy as np
import pytest

from sparsight.analysis.claims.base import ClaimCurves, p_both, sign
from sparsight.analysis.claims.decide import claims_table
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.statistics import first_difference, kendall, pearson, spearman
from sparsight.io.errors import InputError

ACCURACY = ("", "accuracy", "all")
IOU = ("cam", "iou", "all")
AFFINE = ("cam", "affine", "all")
ROOT3 = math.sqrt(3.0)


@pytest.fixture
def evidence(curves):
    def find(claim, means, **keys):
        test = CLAIMS.load(claim["test"])(claim)
        return test.evidence(ClaimCurves(curves(means, **keys), claim))

    return find


def test_sign_and_its_opposite(p_above):
    values = np.array([1.0, 2.0, 3.0])  # mean 2, sd 1: t = 2 sqrt(3)
    p = p_above(2 * ROOT3)
    assert sign(values, "positive")[:3] == pytest.approx((p, 1 - p, 0.0))
    found = sign(values, "negative")
    assert (found.p_for, found.p_against, found.holds_to) == pytest.approx((1 - p, p, 0.0))
    assert math.isnan(found.holds_from)
    for undefined in ([2.0, 2.0, 2.0], [2.0], [np.nan, 1.0], []):
        assert math.isnan(sign(np.array(undefined), "positive").p_for)


def test_both_takes_the_weaker_for_and_corrects_against():
    assert p_both((0.01, 0.99), (0.2, 0.8)) == pytest.approx((0.2, 1.0))
    assert p_both((0.99, 0.01), (0.7, 0.3)) == pytest.approx((0.99, 0.02))
    assert all(math.isnan(p) for p in p_both((0.01, 0.99), (math.nan, math.nan)))


RISING = [[1, 2, 3, 5], [1, 2, 4, 3], [1, 3, 2, 5]]
ACCURACIES = [[4, 5, 7, 8], [1, 2, 3, 4], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("coefficient", "function"),
    [
        ("pearson", pearson),
        ("spearman", spearman),
        ("kendall", kendall),
        ("first_difference", first_difference),
    ],
)
def test_correlation_is_one_coefficient_a_network(evidence, claim, coefficient, function):
    x, y = np.array(RISING, float), np.array(ACCURACIES, float)
    found = evidence(claim("correlation", coefficient=coefficient), {IOU: x, ACCURACY: y})
    wanted = [function(a, b) for a, b in zip(x, y, strict=True)]
    assert found.values == pytest.approx(wanted, nan_ok=True)
    # The others have no sound interval over images.
    if coefficient in ("pearson", "spearman"):
        assert found.replicates == pytest.approx([np.mean(wanted)] * 3)
    else:
        assert found.replicates.size == 0
    if coefficient != "first_difference":
        assert found.p_for < found.p_against
    assert found.holds_from == 0.0
    assert math.isnan(found.holds_to)


@pytest.mark.parametrize(("control", "widest"), [("", 1.0), ("other", 2.0)])
def test_intervals_of_correlations_stay_in_range(curves, claim, control, widest):
    """Two networks that contradict each other; untransformed, t reaches 12 times as far."""
    levels = [1.0, 2.0, 3.0, 4.0]
    means = {
        IOU: [levels, levels[::-1]],
        ("other", "iou", "all"): [levels[::-1], levels],
        ACCURACY: [levels, levels],
    }
    test = CLAIMS.load("correlation")(claim("correlation", minus_control=control))
    networks = ClaimCurves(curves(means), test.claim)
    row = claims_table([test], [networks], 0.95).iloc[0]
    assert row["estimate"] == pytest.approx(0.0)
    assert (row["low"], row["high"]) == pytest.approx((-widest, widest))
    assert max(abs(row["low"]), abs(row["high"])) <= widest


def test_spearman_on_paper(evidence, claim):
    # ranks 1 2 4 3 against 1 2 3 4: 1 - 6 (1 + 1) / (4 x 15) = 0.8
    found = evidence(
        claim("correlation", coefficient="spearman"), {IOU: RISING, ACCURACY: ACCURACIES}
    )
    assert found.values == pytest.approx([1.0, 0.8, 0.8])


def test_rank_partial_knows_the_density(evidence, claim):
    # both fall with the density; what is left of them moves in opposite directions
    iou, accuracy = [[5, 4, 2, 3, 1, 0]] * 2, [[5, 4, 3, 2, 0, 1]] * 2
    found = evidence(
        claim("correlation", coefficient="rank_partial"), {IOU: iou, ACCURACY: accuracy}
    )
    xy, xz, yz = 1 - 6 * 4 / 210, 1 - 6 * 2 / 210, 1 - 6 * 2 / 210
    assert found.values == pytest.approx(
        [(xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))] * 2
    )


def test_correlation_minus_that_of_a_control(evidence, claim):
    beside = ("edges", "iou", "all")
    means = {
        IOU: RISING,
        ACCURACY: ACCURACIES,
        beside: np.array(ACCURACIES) * [[1], [1], [-1]],
    }
    test = claim("correlation", coefficient="spearman", minus_control="edges")
    found = evidence(test, means)
    assert found.values == pytest.approx([1.0 - 1.0, 0.8 - 1.0, 0.8 + 1.0])
    assert "minus the same of edges" in found.statistic
    assert CLAIMS.load("correlation")(test).explainers() == {"cam", "edges"}


def test_a_control_that_never_changes_leaves_nothing_to_subtract(evidence, claim):
    means = {IOU: RISING, ACCURACY: ACCURACIES, ("edges", "iou", "all"): np.full((3, 4), 0.3)}
    found = evidence(claim("correlation", minus_control="edges"), means)
    assert np.isnan(found.values).all()
    assert math.isnan(found.p_for)


def test_the_floor_is_met_by_every_network(evidence, claim):
    # the last level of seed 2 lies below .25: it is left out for all
    iou, accuracy = [[1, 2, 3, 9], [1, 3, 2, 9]], [[1, 2, 3, 0], [1, 2, 3, 0]]
    density = [[1.0, 0.5, 0.25, 0.25], [1.0, 0.5, 0.25, 0.2499]]
    found = evidence(
        claim("correlation", density_floor=0.25), {IOU: iou, ACCURACY: accuracy}, density=density
    )
    assert found.values == pytest.approx([1.0, 0.5])
    assert "3 levels that keep at least 25%" in found.statistic


def test_accuracy_at_levels_that_are_not_explained_is_left_out(curves, claim):
    whole = curves({ACCURACY: [[1, 2, 3, 4]] * 2, IOU: [[1, 9, 9, 9]] * 2})
    frame = whole.frame[~((whole.frame["explainer"] == "cam") & (whole.frame["level"] == 3))]
    test = claim("correlation")
    found = CLAIMS.load("correlation")(test).evidence(
        ClaimCurves(type(whole)(frame, whole.replicates), test)
    )
    assert "over 3 levels" in found.statistic
    assert found.values == pytest.approx([math.sqrt(3) / 2] * 2)


def test_the_published_form_averages_seeds_first(evidence, claim):
    means = {IOU: [[1, 2, 3], [3, 2, 4]], ACCURACY: [[1, 2, 3]] * 2}
    found = evidence(claim("correlation", published=0.9), means)
    # means 2, 2, 3.5 against 1, 2, 3
    assert found.remark == "seeds averaged first: 0.866"
    assert evidence(claim("correlation"), means).remark == ""


def test_no_loss_of_accuracy(evidence, claim, p_above):
    # losses .002, .003, .004 against a margin of .01: margin - loss has mean .007 and sd .001
    accuracy = [[0.98, 0.99, 0.978, 0.5], [0.98, 0.99, 0.977, 0.5], [0.98, 0.99, 0.976, 0.5]]
    found = evidence(
        claim("no_loss", of="accuracy", density=0.2, smallest=0.01), {ACCURACY: accuracy}
    )
    assert found.values == pytest.approx([0.002, 0.003, 0.004])
    assert found.p_for == pytest.approx(p_above(7 * ROOT3), rel=1e-6)
    assert found.p_against == pytest.approx(1 - found.p_for)
    assert found.holds_to == 0.01
    assert found.statistic == "fall of accuracy from dense to level 2 (25% of weights left)"
    assert found.columns == {"explainer": "", "metric": "accuracy", "subset": "all"}


def test_a_loss_beyond_the_margin_speaks_against(evidence, claim, p_above):
    iou = [[0.2, 0.18], [0.2, 0.17], [0.2, 0.16]]
    found = evidence(claim("no_loss", of="iou", density=0.5, smallest=0.01), {IOU: iou})
    # loss - margin: .01, .02, .03
    assert found.p_against == pytest.approx(p_above(2 * ROOT3), rel=1e-6)


def test_no_level_is_dense_enough(evidence, claim):
    test = claim("no_loss", of="accuracy", density=0.9, smallest=0.01)
    with pytest.raises(InputError, match=r"'a' asks for a level .* share 0.9"):
        evidence(test, {ACCURACY: [[1.0, 0.9]] * 2})


def test_peak_within_a_range(evidence, claim, p_above):
    # peaks 2, 3, 4: mean 3, sd 1; from 1: t = 2 sqrt(3); to 4: t = 1 sqrt(3)
    iou = [[0, 1, 5, 2, 1], [0, 1, 2, 5, 1], [0, 1, 2, 3, 5]]
    found = evidence(claim("peak", between=[1, 4]), {IOU: iou})
    assert found.values.tolist() == [2, 3, 4]
    assert found.p_for == pytest.approx(p_above(ROOT3))
    assert found.p_against == pytest.approx(1.0)
    assert (found.holds_from, found.holds_to) == (1, 4)


def test_peak_outside_the_range(evidence, claim, p_above):
    iou = [[0, 1, 5, 2, 1], [0, 1, 2, 5, 1], [0, 1, 2, 3, 5]]
    found = evidence(claim("peak", between=[0, 1]), {IOU: iou})
    # above 1 by 2 sqrt(3), doubled since the side was not foretold
    assert found.p_against == pytest.approx(2 * p_above(2 * ROOT3))
    assert found.p_for > 0.9


def test_peak_takes_the_first_of_equals_and_skips_undefined_levels(evidence, claim):
    iou = [[1, 5, 5, np.nan], [np.nan, 1, 2, 3], [np.nan] * 4]
    found = evidence(claim("peak", between=[0, 2]), {IOU: iou}, levels=[0, 2, 4, 6])
    assert found.values[:2].tolist() == [2, 6]
    assert math.isnan(found.values[2])
    assert found.replicates.tolist() == [4, 4, 4]


def test_networks_that_agree_on_the_peak_have_no_test(evidence, claim):
    found = evidence(claim("peak", between=[0, 2]), {IOU: [[0, 1, 0]] * 3})
    assert found.values.tolist() == [1, 1, 1]
    assert math.isnan(found.p_for)
    assert math.isnan(found.p_against)


def test_rise_needs_both_differences(evidence, claim, p_above):
    # level 1 minus level 0: 1, 2, 3; minus level 3: 11, 12, 13
    iou = [[0, 1, 7, -10], [0, 2, 7, -10], [0, 3, 7, -10]]
    found = evidence(claim("rise", at=1, later=3), {IOU: iou})
    assert found.values.tolist() == [1, 2, 3]
    assert found.p_for == pytest.approx(p_above(2 * ROOT3))
    assert found.statistic == "iou at level 1 minus that at level 0"
    assert found.remark == "the other difference, to level 3: 12"
    # level 2 lies above: minus level 2 is -6, -5, -4
    found = evidence(claim("rise", at=1, later=2), {IOU: iou})
    assert found.values.tolist() == [-6, -5, -4]
    assert found.p_against == pytest.approx(2 * p_above(5 * ROOT3))
    assert found.p_for > 0.98


def test_rise_to_a_level_that_was_not_measured(evidence, claim):
    found = evidence(claim("rise", at=1, later=9), {IOU: [[0, 1], [0, 2]]})
    assert np.isnan(found.values).all()


def test_gain_explained(evidence, claim, p_above):
    # gains 10, 12, 14; of the other fit 4, 4, 4: half of the gain minus it is 1, 2, 3
    means = {IOU: [[0, 10], [0, 12], [0, 14]], AFFINE: [[1, 5]] * 3}
    found = evidence(claim("gain_explained", matched_metric="affine", to_level=1), means)
    assert found.values == pytest.approx([1, 2, 3])
    # the gain itself has mean 12 and sd 2: its p is smaller
    assert found.p_for == pytest.approx(p_above(2 * ROOT3))
    assert found.remark == "iou gains 12, affine 4 (33%)"
    assert "0.5 × gain of iou from level 0 to 1" in found.statistic


def test_an_uncertain_gain_is_not_explained(evidence, claim, p_above):
    # gains -1, 0, 2 and their other fits far below: the difference is certain, the gain is not
    means = {IOU: [[0, -1], [0, 0], [0, 2]], AFFINE: [[0, -10.5], [0, -10], [0, -9]]}
    found = evidence(claim("gain_explained", matched_metric="affine", to_level=1), means)
    gain = np.array([-1.0, 0.0, 2.0])
    assert found.values.tolist() == [10, 10, 10]
    assert math.isnan(found.p_for)
    means[AFFINE] = [[0, -11], [0, -10], [0, -9]]
    found = evidence(claim("gain_explained", matched_metric="affine", to_level=1), means)
    assert found.p_for == pytest.approx(p_above(gain.mean() / gain.std(ddof=1) * ROOT3))


def test_without_a_gain_the_claim_is_moot(evidence, claim):
    means = {IOU: [[0, -1], [0, -2], [0, 2]], AFFINE: [[0, -7], [0, -8], [0, -10]]}
    found = evidence(claim("gain_explained", matched_metric="affine", to_level=1), means)
    assert found.remark.startswith("moot: iou does not gain")
    assert math.isnan(found.p_for)
    assert math.isnan(found.p_against)


def test_correct_minus_incorrect_uses_levels_that_have_both(evidence, claim, p_above):
    nan = np.nan
    means = {
        ("cam", "iou", "correct_matched"): [[5, 5, 9], [5, 6, 9], [5, 7, 9]],
        ("cam", "iou", "incorrect_matched"): [[nan, 4, 8], [4, 3, 7], [nan, 4, 6]],
    }
    found = evidence(claim("correct_minus_incorrect"), means)
    # (1 + 1) / 2, (1 + 3 + 2) / 3, (3 + 3) / 2
    assert found.values == pytest.approx([1, 2, 3])
    assert found.p_for == pytest.approx(p_above(2 * ROOT3))
    assert "over 3 levels" in found.statistic
    # levels 0 and 1 only: 1, (1 + 3) / 2, 3
    found = evidence(claim("correct_minus_incorrect", density_floor=0.5), means)
    assert found.values == pytest.approx([1, 2, 3])
    assert "over 2 levels that keep at least 50%" in found.statistic


def test_draws_of_images_are_averaged_over_networks(evidence, claim):
    means = {ACCURACY: [[0.9, 0.8], [0.9, 0.6]]}
    test = claim("no_loss", of="accuracy", density=0.5, smallest=0.1)
    found = evidence(test, means, spread=0.01)
    # one draw for both levels: what it does to them cancels
    assert found.replicates == pytest.approx([0.2, 0.2, 0.2], abs=1e-6)
    found = evidence(claim("peak", between=[0, 1]), {IOU: [[0, 1], [1, 0]]}, spread=0.1)
    assert found.replicates.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("key", "value"), [("pruner", "other"), ("condition", "clean"), ("metric", "mass")]
)
def test_what_the_statistics_lack_is_named(evidence, claim, key, value):
    with pytest.raises(InputError, match=f"'a' is about the {key} '{value}'"):
        evidence(claim("correlation", **{key: value}), {IOU: RISING, ACCURACY: ACCURACIES})
