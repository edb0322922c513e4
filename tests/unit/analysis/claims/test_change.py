"""The change of a metric over levels, minus that of controls, worked out on paper."""

import math

import numpy as np
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.io.errors import InputError

IOU, OTHER = ("cam", "iou", "all"), ("edges", "iou", "all")
# over levels 1 to 2 minus level 0: 1, 2, 3
GAINS = [[0, 1, 1, 9], [1, 3, 3, 9], [2, 4, 6, 9]]


def evidence(networks, claim):
    return CLAIMS.load("change")(claim).evidence(ClaimCurves(networks, claim))


@pytest.mark.parametrize(
    ("expected", "bounds"), [("positive", (0.0, math.nan)), ("negative", (math.nan, 0.0))]
)
def test_mean_over_the_levels_minus_dense(curves, claim, expected, bounds):
    asked = claim("change", levels=[1, 2], expected=expected)
    networks = ClaimCurves(curves({IOU: GAINS}, spread=0.5, images=5), asked)
    found = CLAIMS.load("change")(asked).evidence(networks)
    assert found.quantity.values.tolist() == [1, 2, 3]
    assert found.statistic == "iou over levels 1 to 2 minus that of dense"
    assert (found.holds_from, found.holds_to) == pytest.approx(bounds, nan_ok=True)
    assert found.levels == (0, 1, 2)
    assert found.retrained is None
    # an image moves all levels together: the change does not change
    assert networks.differences(found.quantity)[1] == pytest.approx(
        np.repeat([[1.0], [2.0], [3.0]], 5, axis=1)
    )


def test_minus_another_explainer(curves, claim):
    table = curves({IOU: GAINS, OTHER: [[0, 1, 1, 0], [0, 1, 1, 0], [5, 5, 5, 5]]})
    found = evidence(table, claim("change", levels=[1, 2], minus_control="edges"))
    assert found.quantity.values.tolist() == [0, 1, 3]
    assert "minus the same of edges" in found.statistic
    assert found.remark.startswith("2 before")


def test_minus_another_pruner_over_all_its_levels(curves, claim):
    table = curves({IOU: GAINS}).joined(
        curves({IOU: [[0, 1, 3], [1, 1, 1], [2, 3, 3]]}, pruner="retrain")
    )
    found = evidence(table, claim("change", levels=[1, 2], minus_pruner="retrain"))
    assert found.quantity.values.tolist() == [1 - 2, 2 - 0, 3 - 1]
    assert found.retrained.tolist() == [2, 0, 1]
    # what is taken away must have maps at all its levels
    assert (found.levels, found.other_levels) == ((0, 1, 2), (0, 1, 2))
    assert "minus that of retrain" in found.statistic


def test_networks_that_cannot_be_paired(curves, claim):
    table = curves({IOU: GAINS}).joined(curves({IOU: [[0, 1], [1, 1]]}, pruner="retrain"))
    with pytest.raises(InputError, match="seeds are \\[1, 2\\], not \\[1, 2, 3\\]"):
        evidence(table, claim("change", levels=[1, 2], minus_pruner="retrain"))


def test_levels_that_were_not_explained_are_left_out_and_undefined_ones_are_not(curves, claim):
    found = evidence(
        curves({IOU: [[0, 1, 5], [0, 2, np.nan]]}, levels=[0, 2, 4]),
        claim("change", levels=[1, 4]),
    )
    assert found.quantity.values[0] == 3
    assert math.isnan(found.quantity.values[1])
    nothing = evidence(curves({IOU: [[0, 1]]}), claim("change", levels=[5, 7]))
    assert np.isnan(nothing.quantity.values).all()


def test_images_that_both_get_right_are_compared_with_themselves(curves, claim):
    # The means of the subset are of other images at every level; their difference would be 9.
    both, paired = ("cam", "iou", "correct_at_both"), ("cam", "iou", "change_at_both")
    table = curves(
        {both: [[0, 9, 9], [0, 9, 9], [0, 9, 9]], paired: [[0, 1, 3], [0, 2, 2], [0, 3, 3]]}
    )
    found = evidence(table, claim("change", levels=[1, 2], subset="correct_at_both"))
    assert found.quantity.values.tolist() == [2, 2, 3]


def test_both_controls_make_a_difference_of_differences(curves, claim):
    # Explainer and control gain the same under pruning, and the same under retraining: nothing
    # is left, whatever the two gains are.
    pruned, retrained = [[0, 3], [0, 4], [0, 5]], [[0, 1], [0, 7], [0, 2]]
    table = curves({IOU: pruned, OTHER: pruned}).joined(
        curves({IOU: retrained, OTHER: retrained}, pruner="retrain")
    )
    keys = {"minus_control": "edges", "minus_pruner": "retrain"}
    found = evidence(table, claim("change", levels=[1, 1], **keys))
    assert found.quantity.values.tolist() == [0, 0, 0]
