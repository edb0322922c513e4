"""Drift of margins and of feature spaces."""

import math

import pytest
import torch

from sparsight.concepts.base import Findings
from sparsight.concepts.cav import (
    drift_of_features,
    drift_of_margins,
    linear_cka,
    margin_correlation,
)
from sparsight.concepts.pcbm import drift_of_weights
from sparsight.io.errors import InputError


def test_feature_spaces_that_are_rotated_and_scaled_are_the_same() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(40, 6, generator=draw)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=draw))
    moved = 3 * features @ rotation + 5
    assert linear_cka(features, moved) == pytest.approx(1.0)
    assert linear_cka(features, moved, debiased=True) == pytest.approx(1.0)


def test_alignment_worked_out_by_hand() -> None:
    first = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    second = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    assert linear_cka(first, second) == pytest.approx(0.0)
    # X'Y has the entries 4 and 0, X'X is 4, Y'Y = 4 I: 16 / (4 · √32)
    both = torch.cat([first, second], dim=1)
    assert linear_cka(first, both) == pytest.approx(16 / (4 * math.sqrt(32)))
    assert math.isnan(linear_cka(first, torch.ones(4, 3)))
    assert math.isnan(linear_cka(first[:3], second[:3], debiased=True))


def test_unrelated_features_look_alike_only_with_the_bias() -> None:
    draw = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 50, 2000, generator=draw)
    assert linear_cka(first, second) > 0.9
    assert abs(linear_cka(first, second, debiased=True)) < 0.1


def test_correlation_of_margins() -> None:
    own = torch.tensor([[1.0, 1.0, 5.0], [2.0, 2.0, 5.0], [3.0, 4.0, 5.0]])
    other = torch.tensor([[2.0, 3.0, 1.0], [4.0, 2.0, 2.0], [6.0, 1.0, 3.0]])
    found = margin_correlation(own, other).tolist()
    # deviations (-4, -1, 5)/3 and (1, 0, -1): -9/3 / (√42/3 · √2)
    assert found[:2] == pytest.approx([1.0, -9 / math.sqrt(84)])
    assert math.isnan(found[2])
    assert margin_correlation(own[:2], other[:2]).isnan().all()


def found(names: list[str], margins: torch.Tensor, ids: list[int]) -> Findings:
    arrays = {"margins": margins, "image_ids": torch.tensor(ids)}
    arrays |= {"features": margins, "feature_ids": torch.tensor(ids)}
    arrays["weights"] = torch.eye(2, len(names))
    return Findings([], [], arrays, {"concepts": names, "classes": ["p", "q"]})


def test_concepts_are_matched_by_name() -> None:
    margins = torch.tensor([[1.0, 5.0], [2.0, -1.0], [4.0, 0.0], [0.0, 3.0]])
    own = found(["a", "b"], margins, [7, 8, 9, 10])
    other = found(["b", "a"], margins.flip(1), [7, 8, 9, 10])
    rows = {row.concept: row.value for row in drift_of_margins(own, other)}
    assert rows == pytest.approx({"a": 1.0, "b": 1.0, "": 1.0})
    values = {row.measure: row.value for row in drift_of_features(own, other)}
    assert values == pytest.approx({"feature_cka": 1.0, "feature_cka_debiased": 1.0})
    # class p has a in one and b in the other
    weights = {(r.measure, r.class_name): r.value for r in drift_of_weights(own, other, 0.5)}
    assert weights["top3_jaccard", "p"] == 0.0
    assert weights["top5_jaccard", ""] == 0.0
    # depth 1: none of two, depth 2: both
    assert weights["rank_biased_overlap", "q"] == pytest.approx(0.25 + 0.25)
    same = {(r.measure, r.class_name): r.value for r in drift_of_weights(own, own, 0.5)}
    assert set(same.values()) == {1.0}
    assert {measure for measure, _ in same} == {
        "top3_jaccard",
        "top5_jaccard",
        "rank_biased_overlap",
    }


def test_other_images_or_concepts_are_refused() -> None:
    margins = torch.rand(4, 2)
    own = found(["a", "b"], margins, [7, 8, 9, 10])
    with pytest.raises(InputError, match="different test images"):
        drift_of_margins(own, found(["a", "b"], margins, [7, 8, 9, 11]))
    with pytest.raises(InputError, match="share none of their concepts"):
        drift_of_margins(own, found(["c", "d"], margins, [7, 8, 9, 10]))
