"""Margins and shares that can be worked out on paper."""

import math

import pytest
import torch

from sparsight.concepts.labelled.linear_concepts import LinearConcepts, quality
from sparsight.concepts.labelled.standardise import Standardiser, varies

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


def test_accuracy_counts_images_and_balanced_accuracy_sides() -> None:
    concepts = LinearConcepts(("a", "b"), torch.eye(2), torch.zeros(2))
    features = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    shown = torch.tensor([[True, True], [True, True], [True, True], [False, True]])
    shown[2, 0] = False
    rows = {(row.measure, row.concept): row.value for row in quality(concepts, features, shown)}
    assert rows["concept_accuracy", "a"] == 0.75
    assert rows["concept_accuracy", "b"] == 0.5
    assert rows["concept_accuracy", ""] == 0.625
    # of the two images with the concept both, of the two without it one
    assert rows["concept_balanced_accuracy", "a"] == 0.75
    assert math.isnan(rows["concept_balanced_accuracy", "b"])
    assert rows["concept_balanced_accuracy", ""] == 0.75
    shown[:, 0] = torch.tensor([True, False, False, False])
    rows = {(row.measure, row.concept): row.value for row in quality(concepts, features, shown)}
    assert rows["concept_accuracy", "a"] == 0.5
    assert rows["concept_balanced_accuracy", "a"] == pytest.approx((1 + 1 / 3) / 2)


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


def test_what_differs_only_by_rounding_does_not_vary() -> None:
    one = torch.ones(5)
    values = torch.stack([one, one * (1 + 1e-7 * torch.arange(5)), 1 + torch.arange(5) * 1e-3], 1)
    assert varies(values).tolist() == [False, False, True]
