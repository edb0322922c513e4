"""Numbers on a bottleneck, worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional

from sparsight.concepts.cav import class_means
from sparsight.concepts.features import SplitFeatures
from sparsight.concepts.pcbm import (
    bottleneck_measures,
    chance,
    completeness,
)


def test_completeness_is_a_share_of_what_lies_above_chance() -> None:
    assert completeness(0.7, 0.9, 0.5) == pytest.approx(0.5)
    assert completeness(0.4, 0.9, 0.5) == pytest.approx(-0.25)
    assert completeness(0.6, 0.6, 0.5) == pytest.approx(1.0)
    assert math.isnan(completeness(0.7, 0.59, 0.5))
    assert chance(torch.tensor([0, 0, 0, 1, 2])) == pytest.approx(0.6)


def test_measures_of_ten_images() -> None:
    labels = torch.tensor([0] * 6 + [1] * 4)
    # f is wrong in one image of class 0; g in the same one and in two of class 1
    says = torch.tensor([1, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    means = torch.tensor([1, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    logits = functional.one_hot(says, 2).float()
    test = SplitFeatures(torch.zeros(10, 1), logits, labels, torch.arange(10))
    weights = torch.tensor([[0.0, 1.0], [-2.0, 0.0]])
    outputs = {"logits": functional.one_hot(means, 2).float()}
    found = {row.measure: row.value for row in bottleneck_measures(test, outputs, weights)}
    assert found.pop("hybrid_accuracy") != found.pop("hybrid_balanced_accuracy")  # both NaN
    assert found == pytest.approx(
        {
            "network_accuracy": 0.9,
            "network_balanced_accuracy": (5 / 6 + 1) / 2,
            "bottleneck_accuracy": 0.7,
            "bottleneck_balanced_accuracy": (5 / 6 + 1 / 2) / 2,
            "accuracy_gap": -0.2,
            "agreement": 0.8,
            "completeness": (0.7 - 0.6) / (0.9 - 0.6),
            "nonzero_weights": 2,
        }
    )
    outputs["hybrid_logits"] = logits
    found = {row.measure: row.value for row in bottleneck_measures(test, outputs, weights)}
    assert found["hybrid_accuracy"] == pytest.approx(0.9)


def test_means_of_classes() -> None:
    scores = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, -6.0]])
    found = class_means(scores, torch.tensor([0, 0, 2]), 3)
    assert found[0].tolist() == [2.0, 3.0]
    assert found[1].isnan().all()
    assert found[2].tolist() == [5.0, -6.0]
