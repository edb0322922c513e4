"""One explainer against another on the same networks, worked out on paper."""

import math
from typing import ClassVar

import numpy as np
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.decide import look_at
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.io.errors import InputError

OWN, OTHER = ("fast__saliency", "auc", "all"), ("saliency", "auc", "all")
PRUNED = [[0.9, 0.1], [0.9, 0.1], [1.0, 0.1]]
UNPRUNED = [[0.7, 0.5], [0.6, 0.5], [0.7, 0.5]]


def evidence(curves, claim, spread=0.0, unpruned=UNPRUNED, **keys):
    asked = claim("between_explainers", other_explainer="saliency", **keys)
    asked |= {"explainer": "fast__saliency", "metric": "auc"}
    means = {OWN: PRUNED, OTHER: unpruned}
    networks = ClaimCurves(curves(means, spread=spread, images=3), asked)
    test = CLAIMS.load("between_explainers")(asked)
    return look_at(test, networks)


@pytest.mark.parametrize(
    ("expected", "bounds"), [("positive", (0.0, math.nan)), ("negative", (math.nan, 0.0))]
)
def test_the_difference_is_paired_by_network(curves, claim, expected, bounds):
    found = evidence(curves, claim, expected=expected)
    assert found.test.explainers() == {"fast__saliency", "saliency"}
    # level 0 by default: .9 - .7, .9 - .6, 1 - .7
    assert found.evidence.quantity.values.tolist() == pytest.approx([0.2, 0.3, 0.3])
    assert (found.asked.holds_from, found.asked.holds_to) == pytest.approx(bounds, nan_ok=True)
    assert found.evidence.statistic == "auc of fast__saliency at level 0 minus that of saliency"
    assert found.evidence.remark == "0.933 and 0.667"
    assert found.evidence.levels == (0,)


def test_what_an_image_does_to_both_cancels(curves, claim):
    found = evidence(curves, claim, spread=0.1)
    assert found.matrix == pytest.approx(np.repeat([[0.2], [0.3], [0.3]], 3, axis=1))


def test_another_level_can_be_asked_for(curves, claim):
    found = evidence(curves, claim, level=1)
    assert found.evidence.quantity.values.tolist() == pytest.approx([-0.4] * 3)
    # Networks that do not differ have no test.
    assert not found.estimate.has_test


def test_a_level_that_was_not_explained_is_undefined(curves, claim):
    found = evidence(curves, claim, unpruned=[[math.nan, 0.5]] * 3)
    assert np.isnan(found.evidence.quantity.values).all()
    assert (found.estimate.networks, found.evidence.remark) == (0, "0.933 and undefined")


class TestBetweenCopies:
    MEANS: ClassVar = {
        ("fast__a", "auc", "all"): [[0.9, 0.5], [0.8, 0.5]],
        ("fast__b", "auc", "all"): [[0.7, 0.5], [0.8, 0.6]],
        ("slow__a", "auc", "all"): [[0.6, 0.1], [0.6, 0.1]],
        ("slow__b", "auc", "all"): [[0.6, 0.1], [0.8, 0.2]],
        ("a", "auc", "all"): [[0.5, 0.0], [0.5, 0.0]],
        ("b", "auc", "all"): [[0.5, 0.0], [0.7, 0.0]],
    }

    def look(self, curves, claim, means=None, **keys):
        asked = claim("between_copies", sample_pruner="fast", explainers=["a", "b"], **keys)
        asked = {**asked, "metric": "auc"}
        del asked["explainer"]
        test = CLAIMS.load("between_copies")(asked)
        networks = ClaimCurves(curves(means or self.MEANS, spread=0.1, images=3), asked)
        return look_at(test, networks)

    def test_the_mean_of_explainers_minus_that_on_the_network_itself(self, curves, claim):
        found = self.look(curves, claim)
        assert found.test.explainers() == {"fast__a", "fast__b", "a", "b"}
        # (.9 + .7) / 2 - .5 and .8 - .6
        assert found.evidence.quantity.values == pytest.approx([0.3, 0.2])
        assert found.matrix == pytest.approx(np.repeat([[0.3], [0.2]], 3, axis=1))
        assert found.evidence.statistic == (
            "auc on copies of fast minus that on the network itself, mean of 2 explainers"
        )
        assert found.evidence.remark == "0.8 and 0.55"
        assert found.evidence.columns == {"explainer": "fast__*"}
        assert found.asked.holds_from == 0

    def test_minus_that_on_other_copies_at_another_level(self, curves, claim):
        keys = {"other_sample_pruner": "slow", "level": 1, "expected": "negative"}
        found = self.look(curves, claim, **keys)
        assert found.test.explainers() == {"fast__a", "fast__b", "slow__a", "slow__b"}
        # .5 - .1 and .55 - .15
        assert found.evidence.quantity.values == pytest.approx([0.4, 0.4])
        assert found.asked.holds_to == 0
        assert "copies of slow" in found.evidence.statistic

    def test_without_one_of_the_explainers_there_is_no_mean(self, curves, claim):
        means = {**self.MEANS, ("b", "auc", "all"): [[math.nan, 0.0], [0.7, 0.0]]}
        found = self.look(curves, claim, means)
        assert found.evidence.quantity.values == pytest.approx([math.nan, 0.2], nan_ok=True)
        assert found.estimate.networks == 1
        short = {key: row for key, row in self.MEANS.items() if key[0] != "fast__b"}
        with pytest.raises(InputError, match="fast__b"):
            self.look(curves, claim, short)
