"""Pruners compared where their networks have lost as much accuracy, worked out on paper."""

import math

import numpy as np
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.decide import look_at
from sparsight.analysis.claims.equal_accuracy import at_loss
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.curves import ACCURACY, ACCURACY_ROWS, Curve

RIGHT, IOU = (ACCURACY_ROWS, ACCURACY, "all"), ("cam", "iou", "all")
#: accuracy and metric of three networks at the levels 0 to 3
OWN = [[0.9, 0.9, 0.86, 0.5], [0.9, 0.89, 0.87, 0.8], [0.9, 0.895, 0.89, 0.885]]
OWN_IOU = [[0.5, 0.4, 0.2, 0.1], [0.5, 0.4, 0.3, 0.1], [0.5, 0.4, 0.3, 0.2]]
OTHER = [[0.9, 0.89, 0.81, 0.7], [0.9, 0.88, 0.8, 0.7], [0.9, 0.89, 0.85, 0.7]]
OTHER_IOU = [[0.5, 0.3, 0.1, 0.1], [0.5, 0.2, 0.1, 0.1], [0.5, 0.4, 0.2, 0.1]]


def whole(curves, **images):
    found = curves({RIGHT: OWN, IOU: OWN_IOU}, **images)
    for pruner, lower in (("random", 0.0), ("snip", 0.1)):
        lowered = [[value - lower for value in row] for row in OTHER_IOU]
        found = found.joined(curves({RIGHT: OTHER, IOU: lowered}, pruner=pruner))
    return found


def about(claim, **keys):
    return claim("at_equal_accuracy", **{"of": "iou", "loss": 0.02, **keys})


def test_a_metric_where_both_have_lost_as_much(curves, claim):
    asked = about(claim, other_pruner="random")
    found = look_at(CLAIMS.load("at_equal_accuracy")(asked), ClaimCurves(whole(curves), asked))
    # half of the way from level 1 to 2: .3 and .35; the third network loses .015 at most.
    # An eighth of the way: .3 - .025; level 1 itself: .2
    expected = [0.3 - 0.275, 0.35 - 0.2, math.nan]
    evidence = found.evidence
    assert evidence.quantity.values.tolist() == pytest.approx(expected, nan_ok=True)
    assert found.estimate.value == pytest.approx((0.025 + 0.15) / 2)
    assert found.estimate.networks == 2
    assert (evidence.levels, evidence.other_levels) == ((1, 2), {"random": (1, 2)})
    assert evidence.statistic == (
        "iou at a loss of 0.02 in accuracy under magnitude minus that under random"
    )
    # levels are .04 and .02 apart; .08, 0 (a level itself) and .04
    assert evidence.remark == (
        "0.325 and 0.275; levels lie this far apart in accuracy: 0.03 (magnitude), 0.04 (random)"
    )


def test_the_mean_over_several_pruners_on_either_side(curves, claim):
    asked = about(claim, other_pruners=["random", "snip"])
    test = CLAIMS.load("at_equal_accuracy")
    found = test(asked).evidence(ClaimCurves(whole(curves), asked))
    # `snip` lies .1 below `random`
    assert found.quantity.values[:2].tolist() == pytest.approx([0.075, 0.2])
    asked = about(claim, pruners=["snip", "magnitude"], other_pruner="random")
    found = test(asked).evidence(ClaimCurves(whole(curves), asked))
    # means of .3 and .175, and of .35 and .1, minus .275 and .2
    assert found.quantity.values[:2].tolist() == pytest.approx([-0.0375, 0.025])
    assert math.isnan(found.quantity.values[2])


def test_maps_are_empty_at_the_levels_that_count(curves, claim):
    asked = about(claim, other_pruners=["random", "snip"], loss=0.1)
    test = CLAIMS.load("at_equal_accuracy")
    for empty, share in ((("snip", 1), 0.0), (("snip", 2), 0.3), (("magnitude", 3), 0.3)):
        studied = whole(curves, empty={empty: 0.3})
        assert look_at(test(asked), ClaimCurves(studied, asked)).empty_share == share


def test_an_image_moves_the_accuracy_and_with_it_the_place_that_is_read_off():
    """The linearised weights are those of leaving each image out, up to terms of its square."""
    images, generator = 4000, np.random.default_rng(0)
    right = generator.random((4, images)) < np.array([0.9, 0.89, 0.84, 0.7])[:, np.newaxis]
    scores = generator.random((4, images)) + np.array([0.6, 0.5, 0.2, 0.1])[:, np.newaxis]

    def curve(values):
        mean = values.mean(axis=1)
        without = (images * mean[:, np.newaxis] - values) / (images - 1)
        shape = (1, 4)
        return Curve(
            (1,), np.arange(4), mean[np.newaxis], np.ones(shape), without[np.newaxis],
            np.full(shape, images),
        )  # fmt: skip

    found, reached = at_loss(curve(scores), curve(right.astype(np.float64)), 0.04)
    first, last = (1 + int(place[0]) for place in (reached.lower, reached.upper))
    drawn = []
    for image in range(50):
        kept = np.arange(images) != image
        lost = right[0, kept].mean() - right[:, kept].mean(axis=1)
        mean = scores[:, kept].mean(axis=1)
        drawn.append(np.interp(0.04, lost[[first, last]], mean[[first, last]]))
    moved = np.array(drawn) - found.values[0]
    assert found.drawn[0, :50] - found.values[0] == pytest.approx(moved, abs=0.02 * np.ptp(moved))
    # with the accuracies held fixed, images would seem to move it less
    assert np.std(moved) > 1.2 * np.std(scores[last, :50]) / images


def test_a_subset_with_other_images_at_every_level_is_told_by_its_changes():
    levels, shape = np.arange(3), (1, 3)
    facts = {"density": np.ones(shape), "replicates": np.full((*shape, 2), 0.5),
             "n": np.full(shape, 2)}  # fmt: skip
    changes = Curve((1,), levels, np.array([[math.nan, -0.1, -0.3]]), **facts)
    curve = Curve((1,), levels, np.array([[0.9, 0.9, 0.9]]), **facts, changes=changes)
    accuracy = Curve((1,), levels, np.array([[0.9, 0.9, 0.8]]), **facts)
    assert at_loss(curve, accuracy, 0.05)[0].values.tolist() == pytest.approx([-0.2])
