"""Drift of the concepts behind single images, by how sure the reference was of them."""

import math

import pytest
import torch

from sparsight.concepts.base import Findings
from sparsight.concepts.pcbm import drift_by_difficulty, thirds
from sparsight.io.errors import InputError

CONCEPTS = ["a", "b", "c", "d"]


def found(scores: list[list[float]], margins: list[float]) -> Findings:
    arrays = {
        "weights": torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, -1.0]]),
        "scores": torch.tensor(scores),
        "labels": torch.tensor([0, 0, 1]),
        "image_ids": torch.tensor([7, 8, 9]),
        "network_margins": torch.tensor(margins),
    }
    return Findings([], [], arrays, {"concepts": CONCEPTS, "classes": ["p", "q"]})


def test_thirds_by_margin_then_by_image_id() -> None:
    strata = thirds(torch.tensor([2.0, 1.0, 1.0, 0.5]), torch.tensor([3, 9, 2, 5]))
    # ascending: 0.5; the two of 1.0 by id (2, then 9); 2.0; the first third takes what is left over
    assert [places.tolist() for places in strata] == [[3, 2], [1], [0]]


def test_worked_out_by_hand() -> None:
    reference = found([[3, 2, 1, 0], [3, 2, 1, 0], [1, 5, 5, 0]], [0.1, 0.5, 0.9])
    own = found([[0, 1, 2, 3], [9, 8, 7, 0], [1, 0, 0, 0]], [9.0, 9.0, 9.0])
    values = {row.measure: row.value for row in drift_by_difficulty(own, reference)}
    # image 7 shares b and c of a, b, c and b, c, d; image 8 all; image 9 has the concept a alone
    assert values == {
        "image_jaccard_hard": pytest.approx(0.5),
        "image_jaccard_medium": pytest.approx(1.0),
        "image_jaccard_easy": pytest.approx(1.0),
        "image_jaccard_hard_minus_easy": pytest.approx(-0.5),
    }


def test_an_image_without_concepts_has_no_index() -> None:
    none = found([[0.0] * 4] * 3, [0.1, 0.5, 0.9])
    assert all(math.isnan(row.value) for row in drift_by_difficulty(none, none))


def test_other_classes_are_refused() -> None:
    own = found([[1.0] * 4] * 3, [1.0] * 3)
    other = Findings([], [], own.arrays, {"concepts": CONCEPTS, "classes": ["q", "p"]})
    with pytest.raises(InputError, match="other classes"):
        drift_by_difficulty(own, other)
