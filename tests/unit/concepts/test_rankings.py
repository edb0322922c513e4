"""Overlaps of orders, worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.concepts.pcbm import rank_biased_overlap, top_jaccard


def test_jaccard_of_the_top() -> None:
    own = torch.tensor([[4.0, 3.0, 2.0, 1.0], [4.0, 0.0, -1.0, -2.0], [0.0, 0.0, 0.0, -1.0]])
    other = torch.tensor([[4.0, 1.0, 2.0, 3.0], [3.0, 2.0, -9.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    found = top_jaccard(own, other, 3).tolist()
    # {0,1,2} and {0,3,2}; {0} and {0,1}, since only positive weights count; nothing in either
    assert found[:2] == [0.5, 0.5]
    assert math.isnan(found[2])
    assert top_jaccard(own, other, 1).tolist()[:2] == [1.0, 1.0]
    assert top_jaccard(own, -own, 2)[0] == 0.0


def test_weights_tied_for_the_last_place_have_no_top() -> None:
    equal = torch.full((1, 5), 0.1)
    rounded = torch.where(torch.arange(5) < 3, torch.nextafter(equal, torch.ones(1)), equal)
    ordered = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0]])
    for tied in (equal, rounded, torch.tensor([[0.3, 0.2, 0.1, 0.1, 0.0]])):
        assert top_jaccard(tied, tied, 3).isnan().all()
        assert top_jaccard(ordered, tied, 3).isnan().all()
        assert top_jaccard(tied, ordered, 5).isfinite().all()
    # a tie above the last place, or of weights that do not count, leaves the top as it is
    assert top_jaccard(torch.tensor([[2.0, 2.0, 1.0, 0.0, 0.0]]), ordered, 3).tolist() == [1.0]
    assert top_jaccard(torch.tensor([[2.0, 0.0, 0.0, 0.0, 0.0]]), ordered, 2).tolist() == [0.5]
    assert math.isnan(rank_biased_overlap(rounded[0], ordered[0], 0.5))


def test_rank_biased_overlap_of_three_concepts() -> None:
    down, up = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 3.0])
    # agreement at depths 1, 2, 3: 0, 1/2, 1; with p = 1/2
    # 1 (1/2)³ + 1 (0 · 1/2 + 1/2 · 1/4 + 1 · 1/8)
    assert rank_biased_overlap(down, up, 0.5) == pytest.approx(0.375)
    assert rank_biased_overlap(down, down, 0.5) == pytest.approx(1.0)
    # agreement 1, 1/2, 1: (1/8) + (1/2 + 1/8 + 1/8)
    assert rank_biased_overlap(down, torch.tensor([3.0, 1.0, 2.0]), 0.5) == pytest.approx(0.875)


def test_tied_concepts_have_no_order() -> None:
    own, tied = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([5.0, 5.0, 0.0])
    # depth 1: {0} and {0,1}: 2·1/3; depth 2: {0,1} twice: 1; depth 3: 1
    expected = 0.125 + (2 / 3 * 0.5 + 0.25 + 0.125)
    assert rank_biased_overlap(own, tied, 0.5) == pytest.approx(expected)
    assert rank_biased_overlap(torch.tensor([2.0, 3.0, 1.0]), tied, 0.5) == pytest.approx(expected)
    assert rank_biased_overlap(tied, tied, 0.5) == pytest.approx(1.0)
    # what is all the same is no order
    assert math.isnan(rank_biased_overlap(own, torch.zeros(3), 0.5))


weights = st.lists(st.integers(-3, 3), min_size=6, max_size=6).filter(lambda w: len(set(w)) > 1)


@settings(max_examples=60, deadline=None)
@given(weights, weights, st.sampled_from([0.3, 0.8, 0.95]), st.permutations(range(6)))
def test_overlap_is_symmetric_and_knows_no_names(
    first: list[int], second: list[int], persistence: float, order: list[int]
) -> None:
    one, other = torch.tensor(first).double(), torch.tensor(second).double()
    found = rank_biased_overlap(one, other, persistence)
    assert 0 < found <= 1 + 1e-12
    assert rank_biased_overlap(other, one, persistence) == pytest.approx(found)
    assert rank_biased_overlap(one[order], other[order], persistence) == pytest.approx(found)
    # only the order counts
    assert rank_biased_overlap(one**3, other * 7 - 2, persistence) == pytest.approx(found)


def test_the_top_weighs_more_than_the_bottom() -> None:
    reference = torch.arange(10, 0, -1).double()
    top, bottom = reference.clone(), reference.clone()
    top[[0, 1]] = reference[[1, 0]]
    bottom[[8, 9]] = reference[[9, 8]]
    values = [rank_biased_overlap(reference, other, 0.8) for other in (top, bottom)]
    assert values[0] < values[1] < 1
