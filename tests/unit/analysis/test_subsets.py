"""Subsets of images: by hand, and their replicates against a slow loop over the definition."""

import numpy as np
import pytest

from sparsight.analysis.resample import SUBSETS, describe_subsets, members_of_subsets
from sparsight.analysis.statistics import draw_counts


def ids(count):
    return np.arange(count, dtype=np.int64)


def test_strata_are_thirds_of_the_dense_margin_and_ties_go_by_image():
    margin = np.array([5.0, 1.0, 1.0, 1.0, 9.0, 7.0, 3.0])
    right = np.ones(7, dtype=bool)
    members = members_of_subsets(ids(7), right, right, margin)
    # by margin: images 1 2 3 (tied) 6 0 5 4; seven in thirds: 3 2 2
    assert np.flatnonzero(members["hard"]).tolist() == [1, 2, 3]
    assert np.flatnonzero(members["medium"]).tolist() == [0, 6]
    assert np.flatnonzero(members["easy"]).tolist() == [4, 5]
    tied = members_of_subsets(ids(3)[::-1], right[:3], right[:3], np.ones(3))
    assert tied["hard"].tolist() == [False, False, True]


def test_strata_do_not_depend_on_what_this_network_gets_right():
    margin = np.random.default_rng(0).random(9)
    right = np.ones(9, dtype=bool)
    for correct in (right, ~right):
        members = members_of_subsets(ids(9), correct, right, margin)
        assert [members[name].sum() for name in ("hard", "medium", "easy")] == [3, 3, 3]
        assert margin[members["hard"]].max() < margin[members["medium"]].min()


def test_an_image_without_margin_is_in_no_stratum():
    margin = np.array([1.0, np.nan, 3.0, 2.0])
    right = np.ones(4, dtype=bool)
    members = members_of_subsets(ids(4), right, right, margin)
    assert [np.flatnonzero(members[n]).tolist() for n in ("hard", "medium", "easy")] == [
        [0],
        [3],
        [2],
    ]


def test_membership_by_correctness():
    correct, dense = np.array([1, 1, 0, 0], dtype=bool), np.array([1, 0, 1, 0], dtype=bool)
    members = members_of_subsets(ids(4), correct, dense, np.zeros(4))
    assert tuple(members) == SUBSETS
    assert members["correct_at_both"].tolist() == [True, False, False, False]
    assert members["correct_matched"].tolist() == correct.tolist()
    assert members["incorrect_matched"].tolist() == (~correct).tolist()


def describe(values, label, correct, counts=None, scored=None):
    values = np.asarray(values, dtype=np.float64).reshape(len(label), -1)
    correct = np.asarray(correct, dtype=bool)
    members = members_of_subsets(ids(len(label)), correct, correct, np.arange(len(label)) / 1.0)
    counts = np.ones((1, len(label)), np.float32) if counts is None else counts
    scored = np.ones(values.shape, dtype=bool) if scored is None else scored
    return describe_subsets(values, scored, np.asarray(label), members, counts)


def test_matched_means_by_hand():
    # label 0: right 1 and 3 (mean 2), wrong 5; label 1: right 10, wrong 20 and 40 (mean 30);
    # label 2 is never wrong, label 3 never right. Weights 1 and 2 (wrong images).
    label = [0, 0, 0, 1, 1, 1, 2, 3]
    correct = [1, 1, 0, 1, 0, 0, 1, 0]
    found = describe([1, 3, 5, 10, 20, 40, 1000, -1000], label, correct)
    assert found["correct_matched"].mean == pytest.approx([(1 * 2 + 2 * 10) / 3])
    assert found["incorrect_matched"].mean == pytest.approx([(5 + 20 + 40) / 3])
    assert (found["correct_matched"].n, found["incorrect_matched"].n) == (3, 3)
    assert found["correct_matched"].replicates == pytest.approx(22 / 3)


def test_matching_removes_what_the_label_explains():
    # values depend on the label alone, and so does the error rate
    rng = np.random.default_rng(0)
    label = rng.integers(5, size=500)
    correct = rng.random(500) < 0.5 + 0.1 * label
    found = describe(label.astype(float), label, correct)
    raw = label[correct].mean() - label[~correct].mean()
    assert raw > 0.5
    assert found["correct_matched"].mean == pytest.approx(found["incorrect_matched"].mean)


def test_a_label_whose_wrong_images_are_undefined_does_not_enter():
    found = describe([1.0, 2.0, 5.0, np.nan], [0, 0, 1, 1], [1, 0, 1, 0])
    assert found["correct_matched"].mean == pytest.approx([1.0])
    assert (found["correct_matched"].n, found["incorrect_matched"].n) == (1, 1)
    assert (found["correct_matched"].undefined, found["incorrect_matched"].undefined) == (0, 1)


def test_a_label_enters_for_the_columns_that_have_both():
    values = [[1.0, 1.0], [2.0, 2.0], [5.0, 5.0], [np.nan, 8.0]]
    found = describe(values, [0, 0, 1, 1], [1, 0, 1, 0])
    assert found["correct_matched"].n.tolist() == [1, 2]
    assert found["correct_matched"].mean == pytest.approx([1.0, 3.0])
    assert found["incorrect_matched"].mean == pytest.approx([2.0, 5.0])


def test_no_errors_leave_the_matched_means_undefined():
    found = describe([1.0, 2.0], [0, 1], [1, 1])
    for name in ("correct_matched", "incorrect_matched"):
        assert np.isnan(found[name].mean).all()
        assert np.isnan(found[name].replicates).all()
        assert found[name].n == 0
    assert found["all"].mean == pytest.approx([1.5])


def test_what_was_not_scored_is_not_undefined():
    values, scored = np.array([[1.0], [np.nan], [np.nan]]), np.array([[True], [True], [False]])
    found = describe(values, [0, 0, 0], [1, 1, 1], scored=scored)
    assert (found["all"].n, found["all"].undefined) == (1, 1)


def weighted(values, weights, chosen):
    kept = chosen & np.isfinite(values)
    total = weights[kept].sum()
    return (weights[kept] * values[kept]).sum() / total if total else np.nan


def matched(values, weights, label, correct):
    sums, total = np.zeros(2), 0.0
    for one in np.unique(label):
        sides = [(label == one) & side & np.isfinite(values) for side in (correct, ~correct)]
        if all(weights[side].sum() > 0 for side in sides):
            wrong = weights[sides[1]].sum()
            sums += [wrong * weighted(values, weights, side) for side in sides]
            total += wrong
    return sums / total if total else np.full(2, np.nan)


@pytest.mark.parametrize("classes", [1, 4])
def test_replicates_against_the_definition(classes):
    rng = np.random.default_rng(classes)
    count = 60
    label, correct = rng.integers(classes, size=count), rng.random(count) < 0.8
    dense, margin = rng.random(count) < 0.9, rng.random(count).round(1)
    values = rng.standard_normal((count, 3)) + 5
    values[rng.random(count) < 0.2, 1] = np.nan
    values[:, 2] = np.where(correct, values[:, 2], np.inf)
    members = members_of_subsets(ids(count), correct, dense, margin)
    counts = draw_counts(ids(count), 25, 0)
    found = describe_subsets(values, np.ones(values.shape, bool), label, members, counts)
    for column in range(3):
        for b, weights in enumerate(counts.astype(np.float64)):
            for name in SUBSETS[:-2]:
                expected = weighted(values[:, column], weights, members[name])
                got = found[name].replicates[b, column]
                assert got == pytest.approx(expected, rel=1e-5, nan_ok=True)
            expected = matched(values[:, column], weights, label, correct)
            got = [found[name].replicates[b, column] for name in SUBSETS[-2:]]
            assert got == pytest.approx(expected, rel=1e-5, nan_ok=True)
        whole = matched(values[:, column], np.ones(count), label, correct)
        got = [found[name].mean[column] for name in SUBSETS[-2:]]
        assert got == pytest.approx(whole, nan_ok=True)
