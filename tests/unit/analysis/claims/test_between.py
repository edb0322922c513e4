"""One pruner against another at the same levels, worked out on paper."""

import math

import numpy as np
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.decide import look_at
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.curves import ACCURACY, ACCURACY_ROWS
from sparsight.io.errors import InputError

RIGHT, IOU = (ACCURACY_ROWS, ACCURACY, "all"), ("cam", "iou", "all")
OWN = [[0.9, 0.8, 0.6], [0.9, 0.8, 0.8], [0.9, 0.9, 0.9]]
OTHER = [[0.9, 0.7, 0.3], [0.9, 0.6, 0.4], [0.9, 0.6, 0.6]]


def evidence(curves, claim, other, spread=0.0, table=OWN, rows=RIGHT):
    whole = curves({rows: table}, spread=spread, images=3)
    whole = whole.joined(curves({rows: other}, pruner="buggy"))
    networks = ClaimCurves(whole, claim)
    found = CLAIMS.load("between_pruners")(claim).evidence(networks)
    return found, networks.differences(found.quantity)[1]


def about(claim, levels=(1, 2), **keys):
    found = claim("between_pruners", other_pruner="buggy", levels=list(levels), **keys)
    return {"of": "accuracy", **found}


@pytest.mark.parametrize(
    ("expected", "bounds"), [("positive", (0.0, math.nan)), ("negative", (math.nan, 0.0))]
)
def test_accuracy_paired_by_seed(curves, claim, expected, bounds):
    found, _ = evidence(curves, about(claim, expected=expected), OTHER)
    # .7 - .5, .8 - .5, .9 - .6
    assert found.quantity.values.tolist() == pytest.approx([0.2, 0.3, 0.3])
    assert (found.holds_from, found.holds_to) == pytest.approx(bounds, nan_ok=True)
    assert found.statistic == "accuracy at levels 1 to 2 under magnitude minus that under buggy"
    assert found.remark == "0.8 and 0.533"
    assert found.columns == {"explainer": ACCURACY_ROWS, "metric": ACCURACY, "subset": "all"}
    assert found.levels == (1, 2)


def test_what_an_image_does_to_both_pruners_cancels(curves, claim):
    _, matrix = evidence(curves, about(claim), OTHER, spread=0.1)
    assert matrix == pytest.approx(np.repeat([[0.2], [0.3], [0.3]], 3, axis=1))


def test_other_levels_of_the_other_pruner(curves, claim):
    found, _ = evidence(curves, about(claim, levels=(2, 2), other_levels=[0, 1]), OTHER)
    # .6 - .8, .8 - .75, .9 - .75
    assert found.quantity.values.tolist() == pytest.approx([-0.2, 0.05, 0.15])


@pytest.mark.parametrize(
    ("empty", "keys", "share"),
    [
        (("buggy", 2), {}, 0.3),
        (("buggy", 0), {}, 0),
        (("buggy", 0), {"other_levels": [0, 1]}, 0.3),
        (("buggy", 2), {"other_levels": [0, 1]}, 0),
        (("magnitude", 1), {"other_levels": [0, 0]}, 0.3),
    ],
)
def test_maps_of_both_pruners_must_not_be_empty(curves, claim, empty, keys, share):
    asked = about(claim, of="iou", **keys)
    whole = curves({IOU: OWN}, empty={empty: 0.3}).joined(curves({IOU: OTHER}, pruner="buggy"))
    found = look_at(CLAIMS.load("between_pruners")(asked), ClaimCurves(whole, asked))
    assert found.empty_share == share
    assert found.is_testable == (share == 0)


def test_a_single_level_of_a_metric(curves, claim):
    found, _ = evidence(curves, about(claim, levels=(2, 2), of="iou"), OTHER, rows=IOU)
    assert found.quantity.values.tolist() == pytest.approx([0.3, 0.4, 0.3])
    assert found.statistic.startswith("iou at level 2 under")
    assert found.columns == {"metric": "iou"}


def test_a_level_that_one_of_them_lacks_makes_it_undefined(curves, claim):
    found, _ = evidence(curves, about(claim), [row[:2] for row in OTHER])
    assert np.isnan(found.quantity.values).all()
    assert found.remark == "0.8 and undefined"


def test_seeds_that_cannot_be_paired(curves, claim):
    with pytest.raises(InputError, match="seeds are \\[1, 2\\], not \\[1, 2, 3\\]"):
        evidence(curves, about(claim), OTHER[:2])
