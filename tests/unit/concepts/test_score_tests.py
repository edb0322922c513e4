"""TCAV scores against those of random concepts."""

import numpy as np
import pytest
from scipy import stats

from sparsight.concepts.tcav import against_random


def test_each_concept_is_tested_and_adjusted_within_its_class() -> None:
    draw = np.random.default_rng(0)
    scores = draw.random((12, 2, 3))
    scores[:, 0, 1] += 3
    random = draw.random((9, 2))
    found = against_random(scores, random)
    for label in range(2):
        ps = [
            stats.ttest_ind(scores[:, label, k], random[:, label], equal_var=False).pvalue
            for k in range(3)
        ]
        assert found.p[label] == pytest.approx(ps)
        order = np.argsort(ps)
        # Benjamini & Hochberg by hand: the smallest of p · m / rank from here on
        steps = np.array(ps)[order] * 3 / np.arange(1, 4)
        expected = np.minimum.accumulate(steps[::-1])[::-1]
        assert found.adjusted[label][order] == pytest.approx(expected)
    assert found.adjusted[0, 1] < 1e-6
    assert found.effect[0, 1] > 3


def test_effect_size_by_hand() -> None:
    scores = np.array([1.0, 0.0, 1.0, 0.0])[:, None, None]
    random = np.array([0.25, 0.75, 0.25, 0.75])[:, None]
    # variances 1/3 and 1/12
    found = against_random(scores + 0.5, random)
    assert found.effect[0, 0] == pytest.approx(0.5 / np.sqrt((1 / 3 + 1 / 12) / 2))


def test_scores_without_spread_are_permuted() -> None:
    scores = np.ones((5, 3, 2))
    scores[:, 2, 1] = 0.0
    random = np.stack([np.zeros(4), np.array([0.0, 1.0, 0.0, 1.0]), np.zeros(4)], axis=1)
    found = against_random(scores, random)
    # of the 126 choices of 5 scores of 9, one is as far up and none as far down
    assert found.p[0] == pytest.approx(2 / 126)
    assert found.adjusted[0] == pytest.approx(2 / 126)
    assert np.isnan(found.effect[0]).all()
    # one side that varies is enough for t
    expected = stats.ttest_1samp(random[:, 1], 1.0).pvalue
    assert found.p[1] == pytest.approx(expected)
    # the same score in all draws is no difference, and counts in the adjustment
    assert found.p[2] == pytest.approx([2 / 126, 1.0])
    assert found.adjusted[2] == pytest.approx([4 / 126, 1.0])


def test_classes_without_images_have_no_test() -> None:
    scores, random = np.ones((5, 2, 2)), np.zeros((5, 2))
    scores[:, 1], random[:, 1] = np.nan, np.nan
    found = against_random(scores, random)
    assert all(np.isnan(part[1]).all() for part in found)
    assert (found.p[0] < 0.01).all()
