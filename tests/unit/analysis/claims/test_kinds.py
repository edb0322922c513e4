"""Each kind of claim on numbers whose answer can be worked out on paper."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.decide import claims_table, look_at, pooled
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.crossed import crossed
from sparsight.analysis.statistics import (
    SHARE,
    UNBOUNDED,
    first_difference,
    kendall,
    pearson,
    spearman,
)
from sparsight.io.errors import InputError

ACCURACY = ("", "accuracy", "all")
IOU = ("cam", "iou", "all")
AFFINE = ("cam", "affine", "all")


@pytest.fixture
def look(curves):
    """Function from a claim and means to what `look_at` finds; keys go to the networks."""

    def find(claim, means, **keys):
        test = CLAIMS.load(claim["test"])(claim)
        return look_at(test, ClaimCurves(curves(means, **keys), claim))

    return find


@pytest.fixture
def evidence(look):
    return lambda *args, **keys: look(*args, **keys).evidence


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
    assert found.quantity.values == pytest.approx(wanted, nan_ok=True)
    # the others jump with ranks, and leave no images to be left out
    smooth = coefficient in ("pearson", "first_difference")
    assert (found.quantity.drawn.shape[1] > 0) == smooth
    assert found.holds_from == 0.0
    assert math.isnan(found.holds_to)
    assert found.levels == (0, 1, 2, 3)


@pytest.mark.parametrize(("control", "widest"), [("", 1.0), ("other", 2.0)])
def test_intervals_of_correlations_stay_in_range(look, claim, control, widest):
    """Two networks that contradict each other; untransformed, t reaches 12 times as far."""
    levels = [1.0, 2.0, 3.0, 4.0]
    means = {
        IOU: [levels, levels[::-1]],
        ("other", "iou", "all"): [levels[::-1], levels],
        ACCURACY: [levels, levels],
    }
    found = look(claim("correlation", minus_control=control), means)
    row = claims_table([found]).iloc[0]
    assert row["estimate"] == pytest.approx(0.0)
    assert (row["low"], row["high"]) == pytest.approx((-widest, widest))
    assert max(abs(row["low"]), abs(row["high"])) <= widest


def test_spearman_on_paper(evidence, claim):
    # ranks 1 2 4 3 against 1 2 3 4: 1 - 6 (1 + 1) / (4 x 15) = 0.8
    found = evidence(
        claim("correlation", coefficient="spearman"), {IOU: RISING, ACCURACY: ACCURACIES}
    )
    assert found.quantity.values == pytest.approx([1.0, 0.8, 0.8])


def test_rank_partial_knows_the_density(evidence, claim):
    # both fall with the density; what is left of them moves in opposite directions
    iou, accuracy = [[5, 4, 2, 3, 1, 0]] * 2, [[5, 4, 3, 2, 0, 1]] * 2
    found = evidence(
        claim("correlation", coefficient="rank_partial"), {IOU: iou, ACCURACY: accuracy}
    )
    xy, xz, yz = 1 - 6 * 4 / 210, 1 - 6 * 2 / 210, 1 - 6 * 2 / 210
    assert found.quantity.values == pytest.approx(
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
    assert found.quantity.values == pytest.approx([1.0 - 1.0, 0.8 - 1.0, 0.8 + 1.0])
    assert "minus the same of edges" in found.statistic
    assert CLAIMS.load("correlation")(test).explainers() == {"cam", "edges"}


def test_a_control_that_never_changes_leaves_nothing_to_subtract(evidence, claim):
    means = {IOU: RISING, ACCURACY: ACCURACIES, ("edges", "iou", "all"): np.full((3, 4), 0.3)}
    found = evidence(claim("correlation", minus_control="edges"), means)
    assert np.isnan(found.quantity.values).all()


def test_the_floor_is_met_by_every_network(evidence, claim):
    # the last level of seed 2 lies below .25: it is left out for all
    iou, accuracy = [[1, 2, 3, 9], [1, 3, 2, 9]], [[1, 2, 3, 0], [1, 2, 3, 0]]
    density = [[1.0, 0.5, 0.25, 0.25], [1.0, 0.5, 0.25, 0.2499]]
    found = evidence(
        claim("correlation", density_floor=0.25), {IOU: iou, ACCURACY: accuracy}, density=density
    )
    assert found.quantity.values == pytest.approx([1.0, 0.5])
    assert "3 levels that keep at least 25%" in found.statistic


def test_accuracy_at_levels_that_are_not_explained_is_left_out(curves, claim):
    class Explained(curves):
        """The explainer was run at the first three levels only."""

        def curve(self, of, explainer, metric, subset):
            found = super().curve(of, explainer, metric, subset)
            if explainer == "":
                return found
            part = {key: getattr(found, key)[:, :3] for key in ("mean", "density", "replicates")}
            return replace(found, levels=found.levels[:3], n=found.n[:, :3], **part)

    test = claim("correlation")
    means = {ACCURACY: [[1, 2, 3, 4]] * 2, IOU: [[1, 9, 9, 9]] * 2}
    found = CLAIMS.load("correlation")(test).evidence(ClaimCurves(Explained(means), test))
    assert "over 3 levels" in found.statistic
    assert found.quantity.values == pytest.approx([math.sqrt(3) / 2] * 2)


def test_the_published_form_averages_seeds_first(evidence, claim):
    means = {IOU: [[1, 2, 3], [3, 2, 4]], ACCURACY: [[1, 2, 3]] * 2}
    found = evidence(claim("correlation", published=0.9), means)
    # means 2, 2, 3.5 against 1, 2, 3
    assert found.remark == "seeds averaged first: 0.866"
    assert evidence(claim("correlation"), means).remark == ""


def test_no_loss_of_accuracy(look, claim):
    accuracy = [[0.98, 0.99, 0.978, 0.5], [0.98, 0.99, 0.977, 0.5], [0.98, 0.99, 0.976, 0.5]]
    found = look(claim("no_loss", of="accuracy", density=0.2, smallest=0.01), {ACCURACY: accuracy})
    assert found.evidence.quantity.values == pytest.approx([0.002, 0.003, 0.004])
    # the loss that counts is the bound, and no effect to be excluded on both sides
    assert found.asked.holds_to == 0.01
    assert np.isnan([found.asked.holds_from, found.asked.smallest]).all()
    assert found.evidence.levels == (0, 2)
    assert found.evidence.statistic == (
        "fall of accuracy from dense to level 2 (25% of weights left)"
    )
    assert found.evidence.columns == {"explainer": "", "metric": "accuracy", "subset": "all"}


def test_no_level_is_dense_enough(evidence, claim):
    test = claim("no_loss", of="accuracy", density=0.9, smallest=0.01)
    with pytest.raises(InputError, match=r"'a' asks for a level .* share 0.9"):
        evidence(test, {ACCURACY: [[1.0, 0.9]] * 2})


def test_peak_within_a_range(look, claim):
    iou = [[0, 1, 5, 2, 1], [0, 1, 2, 5, 1], [0, 1, 2, 3, 5]]
    found = look(claim("peak", between=[1, 4]), {IOU: iou}, images=5, spread=0.1)
    assert found.evidence.quantity.values.tolist() == [2, 3, 4]
    assert (found.asked.holds_from, found.asked.holds_to) == (1, 4)
    assert found.evidence.levels == (2, 3, 4)
    # it jumps: one number a network
    assert found.image_id.tolist() == [-1]
    assert found.matrix.tolist() == [[2], [3], [4]]


def test_the_first_level_as_a_bound_does_not_make_the_peak_an_effect(look, claim):
    found = look(claim("peak", between=[0, 2], smallest=9.0), {IOU: [[0, 1], [1, 0]]})
    assert found.asked.holds_from == 0
    assert math.isnan(found.asked.smallest)


def test_peak_takes_the_first_of_equals_and_skips_undefined_levels(evidence, claim):
    iou = [[1, 5, 5, np.nan], [np.nan, 1, 2, 3], [np.nan] * 4]
    found = evidence(claim("peak", between=[0, 2]), {IOU: iou}, levels=[0, 2, 4, 6])
    assert found.quantity.values[:2].tolist() == [2, 6]
    assert math.isnan(found.quantity.values[2])


def test_networks_that_agree_on_the_peak_have_no_test(look, claim):
    found = look(claim("peak", between=[0, 2]), {IOU: [[0, 1, 0]] * 4})
    assert found.evidence.quantity.values.tolist() == [1, 1, 1, 1]
    assert not found.estimate.has_test
    assert found.decide(0.05) == ("not testable here", "the networks do not differ")


class TestRise:
    # level 1 minus level 0: 1, 2, 3, 4; minus level 3: 11, 12, 13, 14; minus level 2: -6, …, -3
    ROWS = ([0, 1, 7, -10], [0, 2, 7, -10], [0, 3, 7, -10], [0, 4, 7, -10])

    def test_the_row_is_the_smaller_difference(self, look, claim):
        found = look(claim("rise", at=1, later=3), {IOU: self.ROWS})
        assert found.evidence.quantity.values.tolist() == [1, 2, 3, 4]
        assert found.evidence.also.values.tolist() == [11, 12, 13, 14]
        assert (found.evidence.choices, found.evidence.levels) == (2, (1, 0, 3))
        assert found.evidence.statistic == "iou at level 1 minus that at level 0"
        assert found.evidence.remark == "the other difference, to level 3: 12.5"
        found = look(claim("rise", at=1, later=2), {IOU: self.ROWS})
        assert found.evidence.quantity.values.tolist() == [-6, -5, -4, -3]
        assert found.evidence.statistic == "iou at level 1 minus that at level 2"

    def test_p_is_corrected_for_the_choice(self, look, claim):
        found = look(claim("rise", at=1, later=3), {IOU: self.ROWS})
        assert found.p == pytest.approx(2 * crossed([[1], [2], [3], [4]]).p(0.0))
        (row,) = claims_table([found]).to_dict("records")
        assert row["alpha"] == 0.025
        assert (row["low"], row["high"]) == found.estimate.interval(0.975)
        assert row["p"] == pytest.approx(found.p / 2)

    def test_the_other_difference_must_be_shown_too(self, look, claim):
        # to level 2 it is 0.9, 1, 1.1, 1; to level 0 on average more, but from 3 to -1
        rows = [[0, 3, 2.1], [0, -1, -2], [0, 3, 1.9], [0, -0.5, -1.5]]
        found = look(claim("rise", at=1, later=2), {IOU: rows})
        assert found.evidence.statistic == "iou at level 1 minus that at level 2"
        also = crossed([[3], [-1], [3], [-0.5]])
        assert also.value > 1
        assert also.p(0.0) > 0.2
        assert found.p == pytest.approx(also.p(0.0))
        assert found.decide(0.05) == ("open", "it is not shown that it is above level 0")

    def test_what_is_refuted_needs_no_other_difference(self, look, claim):
        # falls to level 1 in all; the difference to level 2 may be anything
        rows = [[5, 1, 3], [5, 2, -3], [5, 1, 2], [5, 2, -1]]
        found = look(claim("rise", at=1, later=2), {IOU: rows})
        assert found.decide(0.05).verdict == "contradicted"
        assert found.p == pytest.approx(2 * crossed([[-4], [-3], [-4], [-3]]).p(0.0))

    def test_another_verdict_does_not_hang_on_the_other_difference(self, look, claim):
        # the rise from level 0 is shown, and far below published; that to level 2 is not shown
        rows = [[0, 1.0, 1.5], [0, 1.1, -5.0], [0, 0.9, -3.0], [0, 1.0, 1.5]]
        asked = claim("rise", at=1, later=2, published=10.0)
        found = look(asked, {IOU: rows})
        assert found.evidence.statistic == "iou at level 1 minus that at level 0"
        assert found.decide(0.05).verdict == "less than half of published"
        assert found.p < 1e-3
        assert look({**asked, "published": 1.0}, {IOU: rows}).decide(0.05).verdict == "open"

    def test_an_undefined_other_difference_is_not_shown(self, look, claim):
        found = look(claim("rise", at=1, later=2), {IOU: [[0, k, k - 9] for k in (1, 2, 3, 4)]})
        # all networks fall by 9 from level 1 to level 2: no spread, no test
        assert not found.also.has_test
        assert found.decide(0.05).verdict == "open"
        assert found.p == 1

    def test_networks_without_one_of_them_are_left_out_of_both(self, look, claim):
        rows = [*self.ROWS, [0, 100, 7, np.nan]]
        found = look(claim("rise", at=1, later=3), {IOU: rows}, images=3, spread=0.1)
        assert (found.estimate.networks, found.also.networks) == (4, 4)
        assert found.estimate.value == pytest.approx(2.5)

    def test_to_a_level_that_was_not_measured(self, look, claim):
        found = look(claim("rise", at=1, later=9), {IOU: [[0, 1], [0, 2]]})
        assert np.isnan(found.evidence.quantity.values).all()
        assert found.evidence.remark == ""
        assert found.decide(0.05) == ("not testable here", "undefined in all networks")


class TestGainExplained:
    # gains 10, 12, 14; of the other fit 4, 4, 4: half of the gain minus it is 1, 2, 3
    MEANS = ({IOU: [[0, 10], [0, 12], [0, 14]], AFFINE: [[1, 5]] * 3},)

    def test_on_paper(self, look, claim):
        found = look(claim("gain_explained", matched_metric="affine", to_level=1), *self.MEANS)
        assert found.evidence.quantity.values == pytest.approx([1, 2, 3])
        assert found.evidence.also.values == pytest.approx([10, 12, 14])
        assert found.evidence.remark == "iou gains 12, affine 4 (33%)"
        assert "0.5 × gain of iou from level 0 to 1" in found.evidence.statistic
        assert found.evidence.levels == (0, 1)
        assert found.asked.holds_from == 0
        assert found.evidence.choices == 1

    def test_an_uncertain_gain_is_not_explained(self, look, claim):
        # gains -1, 0, 2, 1 and their other fits far below: the difference is certain
        gains, lefts = [-1, 0, 2, 1], [-11, -10, -9, -10]
        means = {IOU: [[0, x] for x in gains], AFFINE: [[0, x] for x in lefts]}
        found = look(claim("gain_explained", matched_metric="affine", to_level=1), means)
        gain = crossed(np.reshape(gains, (4, 1)))
        assert found.estimate.p(0.0) < 0.001
        assert found.p == pytest.approx(gain.p(0.0))
        assert found.decide(0.05) == ("open", "it is not shown that iou gains")

    def test_without_a_gain_there_is_nothing_to_explain(self, look, claim):
        means = {IOU: [[0, -1], [0, -2], [0, 2]], AFFINE: [[0, -7], [0, -8], [0, -10]]}
        found = look(claim("gain_explained", matched_metric="affine", to_level=1), means)
        assert found.evidence.moot == "iou does not gain (mean change -0.333)"
        assert found.decide(0.05) == ("not testable here", found.evidence.moot)
        assert found.p == 1


def test_correct_minus_incorrect_uses_levels_that_have_both(evidence, claim):
    nan = np.nan
    means = {
        ("cam", "iou", "correct_matched"): [[5, 5, 9], [5, 6, 9], [5, 7, 9]],
        ("cam", "iou", "incorrect_matched"): [[nan, 4, 8], [4, 3, 7], [nan, 4, 6]],
    }
    found = evidence(claim("correct_minus_incorrect"), means)
    # (1 + 1) / 2, (1 + 3 + 2) / 3, (3 + 3) / 2
    assert found.quantity.values == pytest.approx([1, 2, 3])
    assert "over 3 levels" in found.statistic
    # levels 0 and 1 only: 1, (1 + 3) / 2, 3
    found = evidence(claim("correct_minus_incorrect", density_floor=0.5), means)
    assert found.quantity.values == pytest.approx([1, 2, 3])
    assert "over 2 levels that keep at least 50%" in found.statistic


class TestValue:
    MEANS = ({ACCURACY: [[0.9, 0.70], [0.9, 0.72], [0.9, 0.71], [0.9, 0.71]]},)

    def about(self, claim, **keys):
        return claim("value", **{"of": "accuracy", "level": 1, **keys})

    def test_within_the_smallest_effect_of_published(self, look, claim):
        found = look(self.about(claim, published=0.72, smallest=0.05), *self.MEANS)
        assert found.evidence.quantity.values == pytest.approx([0.70, 0.72, 0.71, 0.71])
        bounds = found.asked.holds_from, found.asked.holds_to
        assert bounds == pytest.approx((0.67, 0.77))
        # neither a sign nor an effect to be excluded
        assert math.isnan(found.asked.smallest)
        assert not found.asked.has_size
        assert found.evidence.levels == (1,)
        assert found.evidence.statistic == "accuracy at level 1"
        # on the scale of shares
        assert found.estimate == crossed(found.matrix, SHARE)
        assert found.decide(0.05).verdict == "replicated"

    def test_beside_published_but_within_it(self, look, claim):
        found = look(self.about(claim, published=0.74, smallest=0.05), *self.MEANS)
        assert found.decide(0.05).verdict == "supported"

    def test_outside(self, look, claim):
        found = look(self.about(claim, published=0.80, smallest=0.05), *self.MEANS)
        assert found.decide(0.05).verdict == "contradicted"

    def test_of_a_metric(self, look, claim):
        asked = self.about(claim, of="iou", level=0, published=0.2, smallest=0.2)
        found = look(asked, {IOU: [[0.25], [0.15], [0.2], [0.21]]})
        assert found.estimate.bounds == UNBOUNDED
        assert found.evidence.columns == {"metric": "iou"}
        # a bound that happens to be 0 makes no effect of it, whose size could be negligible
        assert found.asked.holds_from == 0
        assert math.isnan(found.asked.smallest)
        assert found.decide(0.05).verdict == "replicated"


class TestPooled:
    def parts(self, look, claim, **changes):
        """Three claims: effects .1, .3, .5 on average, whose networks differ little."""
        found = {}
        for name, centre in (("a", 0.1), ("b", 0.3), ("c", 0.5)):
            rows = [[0, centre + away] for away in (-0.001, 0.001, 0.0)]
            asked = claim("change", levels=[1, 1], minus_pruner="", **{"name": name})
            found[name] = look(asked, {IOU: rows}, **changes.get(name, {}))
        return found

    def of(self, names, **keys):
        asked = {"name": "all", "claim": "It is so everywhere.", "test": "pooled", "of": names}
        return CLAIMS.load("pooled")({**asked, **keys})

    def test_the_mean_of_data_sets(self, look, claim):
        found = pooled(self.of(["a", "b", "c"], smallest=0.05), self.parts(look, claim))
        # t over the data sets, which differ far more than their networks
        wanted = crossed([[0.1], [0.3], [0.5]])
        assert found.estimate.value == pytest.approx(0.3)
        assert found.estimate.interval(0.95) == pytest.approx(wanted.interval(0.95), rel=1e-3)
        (row,) = claims_table([found]).to_dict("records")
        assert (row["n_seeds"], row["df"]) == (9, 2)
        assert math.isnan(row["n_images"])
        assert row["per_seed"] == ""
        assert np.isnan([row["se_networks"], row["se_images"], row["se_residual"]]).all()
        assert np.isnan([row["networks_needed"], row["images_needed"], row["e_value"]]).all()
        assert row["statistic"] == (
            "pooled over a, b, c: iou over levels 1 to 1 minus that of dense"
        )
        assert (row["smallest"], row["holds_from"]) == (0.05, 0)
        assert (row["dataset"], row["model"], row["pruner"], row["metric"]) == ("", "", "", "")
        assert (row["verdict"], row["verdict_reason"]) == ("open", "more data sets would decide it")

    def test_its_own_published_number(self, look, claim):
        parts = self.parts(look, claim)
        found = pooled(self.of(["a", "b", "c"], published=5.0), parts)
        assert found.asked.published == 5.0
        assert found.decide(0.05).verdict == "less than half of published"

    def test_claims_without_a_test_are_left_out(self, look, claim):
        parts = self.parts(look, claim, c={"empty": {1: 0.4}})
        found = pooled(self.of(["a", "b", "c"]), parts)
        assert found.estimate == pooled(self.of(["a", "b"]), parts).estimate
        assert found.estimate.networks == 6
        assert found.evidence.remark == "without c"

    def test_a_single_claim_is_no_pool(self, look, claim):
        parts = self.parts(look, claim, b={"empty": {1: 0.4}}, c={"empty": {1: 0.4}})
        found = pooled(self.of(["a", "b", "c"]), parts)
        assert found.decide(0.05) == (
            "not testable here",
            "fewer than two of the pooled claims have a test",
        )
        assert found.p == 1

    def test_the_error_of_retraining_is_none_of_the_first_claims(self, curves, claim):
        parts = {}
        for name in "ab":
            asked = claim("change", name=name, levels=[1, 1], minus_pruner="retrain")
            whole = curves({IOU: [[0, 1], [0, 2], [0, 3 if name == "a" else 9]]})
            whole = whole.joined(curves({IOU: [[0, 0.1], [0, 0.3], [0, 0.2]]}, pruner="retrain"))
            parts[name] = look_at(CLAIMS.load("change")(asked), ClaimCurves(whole, asked))
        rows = claims_table([*parts.values(), pooled(self.of(["a", "b"]), parts)])
        assert rows["se_retrain"].tolist() == pytest.approx(
            [0.1 / math.sqrt(3)] * 2 + [math.nan], nan_ok=True
        )

    def test_claims_without_an_estimate_of_their_own(self, look, claim):
        parts = {n: look(claim("rise", name=n, at=1, later=2), {IOU: TestRise.ROWS}) for n in "ab"}
        with pytest.raises(InputError, match="'of'"):
            pooled(self.of(["a", "b"]), parts)

    def test_what_must_be_shown_too_is_pooled_as_well(self, look, claim):
        parts = {}
        for name, gains in (("a", [10, 12, 14]), ("b", [11, 13, 14.4])):
            asked = claim("gain_explained", name=name, matched_metric="affine", to_level=1)
            parts[name] = look(asked, {IOU: [[0, x] for x in gains], AFFINE: [[1, 5]] * 3})
        found = pooled(self.of(["a", "b"]), parts)
        assert 12 < found.also.value < 12.8
        assert (found.also.df, found.also.networks) == (1, 6)


def test_an_image_that_moves_all_levels_does_not_move_their_difference(look, claim):
    means = {ACCURACY: [[0.9, 0.8], [0.9, 0.6]]}
    asked = claim("no_loss", of="accuracy", density=0.5, smallest=0.1)
    found = look(asked, means, spread=0.01, images=4)
    assert found.matrix == pytest.approx(np.repeat([[0.1], [0.3]], 4, axis=1))


@pytest.mark.parametrize(
    ("key", "value"), [("pruner", "other"), ("condition", "clean"), ("metric", "mass")]
)
def test_what_the_study_lacks_is_named(evidence, claim, key, value):
    with pytest.raises(InputError, match=value):
        evidence(claim("correlation", **{key: value}), {IOU: RISING, ACCURACY: ACCURACIES})
