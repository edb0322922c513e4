"""The change of a metric over levels, minus that of controls, worked out on paper."""

import math

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.curves import ChainRows
from sparsight.io.errors import InputError

IOU, OTHER = ("cam", "iou", "all"), ("edges", "iou", "all")
# over levels 1 to 2 minus level 0: 1, 2, 3
GAINS = [[0, 1, 1, 9], [1, 3, 3, 9], [2, 4, 6, 9]]
ROOT3 = math.sqrt(3.0)


def joined(*parts):
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    return ChainRows(frame, np.concatenate([part.replicates for part in parts]))


def evidence(curves, claim):
    return CLAIMS.load("change")(claim).evidence(ClaimCurves(curves, claim))


@pytest.mark.parametrize("expected", ["positive", "negative"])
def test_mean_over_the_levels_minus_dense(curves, claim, p_above, expected):
    found = evidence(
        curves({IOU: GAINS}, spread=0.5), claim("change", levels=[1, 2], expected=expected)
    )
    assert found.values.tolist() == [1, 2, 3]
    assert found.statistic == "iou over levels 1 to 2 minus that of dense"
    # mean 2, sd 1, three networks: t = 2 sqrt(3)
    p = p_above(2 * ROOT3)
    ps = (p, 1 - p) if expected == "positive" else (1 - p, p)
    assert (found.p_for, found.p_against) == pytest.approx(ps)
    # all levels move together in a draw of images: the change does not
    assert found.replicates.tolist() == pytest.approx([2, 2, 2])


def test_minus_another_explainer(curves, claim):
    table = curves({IOU: GAINS, OTHER: [[0, 1, 1, 0], [0, 1, 1, 0], [5, 5, 5, 5]]})
    found = evidence(table, claim("change", levels=[1, 2], minus_control="edges"))
    assert found.values.tolist() == [0, 1, 3]
    assert "minus the same of edges" in found.statistic
    assert found.remark.startswith("2 before")


def test_minus_another_pruner_over_all_its_levels(curves, claim):
    table = joined(
        curves({IOU: GAINS}),
        curves({IOU: [[0, 1, 3], [1, 1, 1], [2, 3, 3]]}, pruner="retrain"),
    )
    found = evidence(table, claim("change", levels=[1, 2], minus_pruner="retrain"))
    assert found.values.tolist() == [1 - 2, 2 - 0, 3 - 1]
    assert "minus that of retrain" in found.statistic


def test_networks_that_cannot_be_paired(curves, claim):
    table = joined(curves({IOU: GAINS}), curves({IOU: [[0, 1], [1, 1]]}, pruner="retrain"))
    with pytest.raises(InputError, match="seeds are \\[1, 2\\], not \\[1, 2, 3\\]"):
        evidence(table, claim("change", levels=[1, 2], minus_pruner="retrain"))


def test_levels_that_were_not_explained_are_left_out_and_undefined_ones_are_not(curves, claim):
    found = evidence(
        curves({IOU: [[0, 1, 5], [0, 2, np.nan]]}, levels=[0, 2, 4]),
        claim("change", levels=[1, 4]),
    )
    assert found.values[0] == 3
    assert math.isnan(found.values[1])
    nothing = evidence(curves({IOU: [[0, 1]]}), claim("change", levels=[5, 7]))
    assert np.isnan(nothing.values).all()


def test_images_that_both_get_right_are_compared_with_themselves(curves, claim):
    # The means of the subset are of other images at every level; their difference would be 9.
    both, paired = ("cam", "iou", "correct_at_both"), ("cam", "iou", "change_at_both")
    table = curves(
        {both: [[0, 9, 9], [0, 9, 9], [0, 9, 9]], paired: [[0, 1, 3], [0, 2, 2], [0, 3, 3]]}
    )
    found = evidence(table, claim("change", levels=[1, 2], subset="correct_at_both"))
    assert found.values.tolist() == [2, 2, 3]


def test_both_controls_make_a_difference_of_differences(curves, claim):
    # Explainer and control gain the same under pruning, and the same under retraining: nothing
    # is left, whatever the two gains are.
    pruned, retrained = [[0, 3], [0, 4], [0, 5]], [[0, 1], [0, 7], [0, 2]]
    table = joined(
        curves({IOU: pruned, OTHER: pruned}),
        curves({IOU: retrained, OTHER: retrained}, pruner="retrain"),
    )
    keys = {"minus_control": "edges", "minus_pruner": "retrain"}
    found = evidence(table, claim("change", levels=[1, 1], **keys))
    assert found.values.tolist() == [0, 0, 0]
