"""Margins and shares that can be worked out on paper."""

import math

import pytest
import torch
from torch import Tensor

from sparsight.concepts.cav import (
    LinearConcepts,
    Standardiser,
    accuracy,
    balanced_accuracy,
    quality,
)

CONCEPTS = LinearConcepts(
    ("a", "b"), torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([5.0, -1.0])
)


def test_margins_are_signed_distances() -> None:
    features = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-3.0, -4.0]])
    # the line 3x + 4y + 5 = 0 lies at distance 1 from the origin
    assert CONCEPTS.margins(features)[:, 0].tolist() == pytest.approx([1.0, 2.4, -4.0])
    assert CONCEPTS.scores(features)[:, 1].tolist() == [-1.0] * 3
    # a vector without length has no side
    assert CONCEPTS.margins(features)[:, 1].tolist() == [0.0] * 3


def measured(
    concepts: LinearConcepts, features: Tensor, shown: Tensor, known: Tensor
) -> dict[tuple[str, str], float]:
    rows = quality(concepts, features, shown, known)
    return {(row.measure, row.concept): row.value for row in rows}


def test_accuracy_counts_images_and_balanced_accuracy_sides() -> None:
    concepts = LinearConcepts(("a", "b"), torch.eye(2), torch.zeros(2))
    features = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    shown = torch.tensor([[True, True], [True, True], [True, True], [False, True]])
    shown[2, 0] = False
    known = torch.ones_like(shown)
    rows = measured(concepts, features, shown, known)
    assert rows["concept_accuracy", "a"] == 0.75
    assert rows["concept_accuracy", "b"] == 0.5
    assert rows["concept_accuracy", ""] == 0.625
    # of the two images with the concept both, of the two without it one
    assert rows["concept_balanced_accuracy", "a"] == 0.75
    assert math.isnan(rows["concept_balanced_accuracy", "b"])
    assert rows["concept_balanced_accuracy", ""] == 0.75
    shown[:, 0] = torch.tensor([True, False, False, False])
    rows = measured(concepts, features, shown, known)
    assert rows["concept_accuracy", "a"] == 0.5
    assert rows["concept_balanced_accuracy", "a"] == pytest.approx((1 + 1 / 3) / 2)


def test_accuracy_is_that_of_known_labels() -> None:
    concepts = LinearConcepts(("a", "b", "c"), torch.eye(3), torch.zeros(3))
    features = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0, 1.0])[:, None].expand(6, 3)
    shown = torch.tensor([True, False, False, True, False, False])[:, None].repeat(1, 3)
    known = torch.tensor([True, True, True, True, False, False])[:, None].repeat(1, 3)
    # of b nothing is known but one image that shows it, of c nothing
    known[:, 1] = torch.arange(6) == 0
    known[:, 2] = False
    # labels that are not known may be anything
    for labels in (shown, shown ^ ~known):
        rows = measured(concepts, features, labels, known)
        # right are the first and the third of four, one on each side; of all six it would be 1/3
        assert rows["concept_accuracy", "a"] == 0.5
        assert rows["concept_balanced_accuracy", "a"] == 0.5
        assert rows["concept_accuracy", "b"] == 1
        assert math.isnan(rows["concept_balanced_accuracy", "b"])
        assert math.isnan(rows["concept_accuracy", "c"])
        assert math.isnan(rows["concept_balanced_accuracy", "c"])
        assert rows["concept_accuracy", ""] == 0.75
        assert rows["concept_balanced_accuracy", ""] == 0.5


def test_where_all_is_known_the_shares_are_those_of_before() -> None:
    draw = torch.Generator().manual_seed(0)
    right, labels = (torch.rand(37, 5, generator=draw) < 0.3 for _ in range(2))
    known = torch.ones_like(labels)
    assert torch.equal(accuracy(right, known), right.double().mean(dim=0))
    hits, misses = (right & labels).sum(dim=0), (right & ~labels).sum(dim=0)
    sides = (hits / labels.sum(dim=0) + misses / (~labels).sum(dim=0)).double() / 2
    assert torch.equal(balanced_accuracy(right, labels, known), sides)


def test_a_function_of_standardised_features_is_folded_back() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(20, 3, generator=draw) * torch.tensor([1.0, 50.0, 0.0]) + 7
    scale = Standardiser.of(features)
    inputs = scale(features)
    assert torch.allclose(inputs.mean(dim=0), torch.zeros(3).double(), atol=1e-6)
    assert inputs[:, :2].std(dim=0, correction=0).tolist() == pytest.approx([1, 1])
    # a feature that does not vary is not blown up
    assert inputs[:, 2].abs().max() < 1e-5
    vectors, intercepts = torch.randn(2, 3, generator=draw), torch.randn(2, generator=draw)
    raw, shifted = scale.fold(vectors, intercepts)
    expected = inputs @ vectors.double().T + intercepts.double()
    assert torch.allclose(features.double() @ raw.T + shifted, expected)
