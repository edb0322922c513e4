"""The controls: what falls, and that nothing else changes."""

import pytest
import torch

from sparsight.io.errors import InputError
from sparsight.spade.solvers import SampleMagnitude, SampleRandom


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_the_smallest_fall_and_ties_go_in_order() -> None:
    weights = torch.tensor([[[3.0, -1.0], [1.0, -2.0]], [[3.0, -1.0], [1.0, -2.0]]])
    found = SampleMagnitude().solve(weights, None, torch.tensor([1, 3]), 1, None)
    assert found.tolist() == [[[3.0, 0.0], [1.0, -2.0]], [[3.0, 0.0], [0.0, 0.0]]]


def test_random_keeps_values_and_belongs_to_the_generator() -> None:
    weights = torch.randn((3, 20, 30), generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([200, 200, 200])
    found = SampleRandom().solve(weights, None, counts, 1, generators(5, 6, 5))
    kept = found != 0
    assert torch.equal(found[kept], weights[kept])
    assert torch.equal(kept[0], kept[2])
    # of two independent masks with a third fallen, 5/9 of the places agree
    agreement = (kept[0] == kept[1]).double().mean()
    assert 0.48 < agreement < 0.63
    # a larger count takes the same weights and more
    more = SampleRandom().solve(weights, None, counts + 100, 1, generators(5, 6, 5)) != 0
    assert bool((more <= kept).all())


def test_random_takes_all_places_alike() -> None:
    weights = torch.ones((400, 2, 5))
    found = SampleRandom().solve(weights, None, torch.full((400,), 3), 1, generators(*range(400)))
    # 0.3 in 400 draws: a standard deviation is 0.023
    assert (found == 0).double().mean(dim=0) == pytest.approx(torch.full((2, 5), 0.3), abs=0.1)


@pytest.mark.parametrize("number", [None, 1])
def test_random_needs_a_generator_for_each_image(number: int | None) -> None:
    given = None if number is None else generators(*range(number))
    with pytest.raises(InputError, match=f"has {number or 0} generators for 2 images"):
        SampleRandom().solve(torch.ones(2, 1, 3), None, torch.tensor([1, 1]), 1, given)
