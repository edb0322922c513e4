"""One explainer against another on the same networks, worked out on paper."""

import math

import numpy as np
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.registry import CLAIMS

OWN, OTHER = ("fast__saliency", "auc", "all"), ("saliency", "auc", "all")
PRUNED = [[0.9, 0.1], [0.9, 0.1], [1.0, 0.1]]
UNPRUNED = [[0.7, 0.5], [0.6, 0.5], [0.7, 0.5]]


def evidence(curves, claim, spread=0.0, unpruned=UNPRUNED, **keys):
    found = claim("between_explainers", other_explainer="saliency", **keys)
    found |= {"explainer": "fast__saliency", "metric": "auc"}
    networks = ClaimCurves(curves({OWN: PRUNED, OTHER: unpruned}, spread=spread), found)
    test = CLAIMS.load("between_explainers")(found)
    return test, test.evidence(networks)


@pytest.mark.parametrize("expected", ["positive", "negative"])
def test_the_difference_is_paired_by_network(curves, claim, p_above, expected):
    test, found = evidence(curves, claim, expected=expected)
    assert test.explainers() == {"fast__saliency", "saliency"}
    # level 0 by default: .9 - .7, .9 - .6, 1 - .7
    assert found.values.tolist() == pytest.approx([0.2, 0.3, 0.3])
    # mean .8 / 3, standard error .1 / 3
    p = p_above(8)
    ps = (p, 1 - p) if expected == "positive" else (1 - p, p)
    assert (found.p_for, found.p_against) == pytest.approx(ps)
    assert found.statistic == "auc of fast__saliency at level 0 minus that of saliency"
    assert found.remark == "0.933 and 0.667"


def test_draws_of_images_cancel_where_both_have_them(curves, claim):
    _, found = evidence(curves, claim, spread=0.1)
    assert found.replicates.tolist() == pytest.approx([0.8 / 3] * 3)


def test_another_level_can_be_asked_for(curves, claim):
    _, found = evidence(curves, claim, level=1)
    assert found.values.tolist() == pytest.approx([-0.4] * 3)
    # Networks that do not differ have no test.
    assert math.isnan(found.p_for)


def test_a_level_that_was_not_explained_is_undefined(curves, claim):
    _, found = evidence(curves, claim, unpruned=[[math.nan, 0.5]] * 3)
    assert np.isnan(found.values).all()
