"""The numbers on coherence, each on a case worked out on paper."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.concepts.craft import (
    class_purity,
    class_purity_chance,
    correlations,
    cosine_coherence,
    importance_entropy,
    mask_purity,
    matched_by_chance,
    matched_concepts,
    of_most_important,
    reconstruction_error,
    top_crops,
)


def test_top_crops_leave_out_those_without_the_concept():
    coefficients = torch.tensor([[0.0, 1], [3, 1], [0, 1], [5, 0]])
    first, second = top_crops(coefficients, 3)
    assert first.tolist() == [3, 1]
    assert sorted(second.tolist()) == [0, 1, 2]
    assert [len(rows) for rows in top_crops(coefficients, 1)] == [1, 1]
    assert top_crops(torch.zeros(4, 1), 3)[0].tolist() == []


def test_ties_do_not_fall_to_the_first_rows():
    # 300 crops sorted by class; all but the last have the concept alike, up to rounding
    owners = torch.arange(300) // 30
    coefficients = torch.full((300, 1), 0.3)
    coefficients[::7] = torch.nextafter(coefficients[::7], torch.ones(1))
    coefficients[-1] = 0.5
    (rows,) = top_crops(coefficients, 100)
    assert rows[0] == 299
    assert len(rows.unique()) == 100
    # a hundred of ten classes by chance
    assert class_purity(owners[rows]) < 0.2
    assert torch.equal(top_crops(coefficients.expand(300, 2), 100)[1], rows)
    coefficients[-1] = 0.3
    assert top_crops(coefficients, 100)[0].tolist() == []
    assert [len(rows) for rows in top_crops(torch.empty(0, 2), 3)] == [0, 0]


def test_concepts_of_equal_importance_share_the_last_places():
    values = torch.tensor([1.0, 2, 4, 9, math.nan])
    found = of_most_important(values, torch.tensor([0.5, 0.1, 0.1, 0.3, 0.1]), 3)
    assert found.tolist() == [1, 9, 3]
    assert of_most_important(values, torch.zeros(5), 2).tolist() == [4, 4]
    assert of_most_important(values, torch.tensor([3.0, 5, 4, 1, 1]), 3).tolist() == [2, 4, 1]
    assert of_most_important(values[:2], torch.zeros(2), 5).tolist() == [1, 2]


def test_mask_purity_weighs_crops_by_their_heat():
    # 1 + 3 of 1 + 1 + 3 + 3 + 8: heat counts, not crops
    heat = torch.tensor([[[1.0, 1], [0, 0]], [[3, 3], [8, 0]]])
    masks = torch.tensor([[[1.0, 0], [0, 0]], [[1, 0], [0, 1]]])
    assert mask_purity(heat, masks) == pytest.approx(4 / 16)
    assert mask_purity(heat, torch.ones(2, 2, 2)) == 1
    assert mask_purity(heat * 1e-20, masks) == pytest.approx(4 / 16)
    # a single place covers the crop: the mask's share of it
    assert mask_purity(torch.tensor([[[7.0]]]), torch.tensor([[[1.0, 0], [0, 0]]])) == 0.25


def test_mask_purity_without_heat():
    assert math.isnan(mask_purity(torch.zeros(2, 3, 3), torch.ones(2, 6, 6)))
    assert math.isnan(mask_purity(torch.zeros(0, 3, 3), torch.ones(0, 6, 6)))


def test_class_purity():
    assert class_purity(torch.tensor([4, 4, 1, 4])) == 0.75
    assert class_purity(torch.tensor([2])) == 1
    assert math.isnan(class_purity(torch.tensor([], dtype=torch.int64)))


def test_class_purity_by_chance_on_paper():
    # two of two classes of two: of six pairs two are of one class, four of both
    assert class_purity_chance([2, 2], 2) == pytest.approx(2 / 6 * 1 + 4 / 6 * 0.5)
    # one crop is all of one class; all crops are as they are
    assert class_purity_chance([3, 9], 1) == pytest.approx(1)
    assert class_purity_chance([1, 3], 4) == pytest.approx(0.75)
    assert class_purity_chance([5], 3) == pytest.approx(1)
    assert math.isnan(class_purity_chance([2, 2], 0))


def test_class_purity_by_chance_is_the_mean_over_draws():
    sizes, draw = [30, 20, 10, 5], torch.Generator().manual_seed(0)
    owners = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))
    found = [class_purity(owners[torch.randperm(65, generator=draw)[:10]]) for _ in range(4000)]
    # the standard error of the mean is 0.002
    assert class_purity_chance(sizes, 10) == pytest.approx(sum(found) / len(found), abs=0.008)
    # many classes and crops do not overflow
    assert 0.01 < class_purity_chance([500] * 200, 100) < 0.06


def test_matching_by_chance_is_above_zero_and_falls_with_the_crops():
    draw = torch.Generator().manual_seed(0)
    few, many = (torch.rand((n, 4), generator=draw) for n in (20, 2000))
    by_chance = [float(matched_by_chance(x, x).mean()) for x in (few, many)]
    # the same crops in the same order: 1
    assert matched_concepts(few, few)[1].tolist() == pytest.approx([1] * 4)
    assert 0.1 < by_chance[0] < 0.5
    assert 0 < by_chance[1] < 0.05
    assert torch.equal(matched_by_chance(few, few), matched_by_chance(few, few))
    # a concept that is left over in every order has no chance level
    assert matched_by_chance(few[:, :1], few).isfinite().all()


def test_cosines_on_paper():
    # two crops at 60 degrees, two at right angles to both, in lengths that do not matter
    root = math.sqrt(3) / 2
    features = torch.tensor([[2.0, 0, 0], [0.5, root, 0], [0, 0, 1], [0, 0, 9]])
    within, between = cosine_coherence(features, [torch.tensor([0, 1]), torch.tensor([2, 3])])
    torch.testing.assert_close(within, torch.tensor([0.5, 1]))
    torch.testing.assert_close(between, torch.tensor([0.0, 0]), atol=1e-7, rtol=0)
    # a crop that two concepts share is not compared with itself
    within, between = cosine_coherence(features, [torch.tensor([0, 1]), torch.tensor([1, 2])])
    torch.testing.assert_close(within, torch.tensor([0.5, 0]), atol=1e-7, rtol=0)
    torch.testing.assert_close(between, torch.tensor([0.5 / 3] * 2), atol=1e-7, rtol=0)


def test_cosines_of_concepts_without_crops():
    members = [torch.tensor([0]), torch.tensor([], dtype=torch.int64)]
    for part in cosine_coherence(torch.rand(3, 4), members):
        assert part.isnan().all()


def test_correlations_with_what_does_not_vary_are_zero():
    own = torch.tensor([[1.0, 5], [2, 5], [3, 5]])
    reference = torch.tensor([[2.0, 3], [4, 2], [6, 1]])
    expected = torch.tensor([[1.0, -1], [0, 0]]).double()
    torch.testing.assert_close(correlations(own, reference), expected)
    assert correlations(torch.full((7, 1), 0.1), torch.rand(7, 1)).item() == 0
    rounded = torch.full((7, 1), 0.1)
    rounded[::2] = torch.nextafter(rounded[::2], torch.ones(1))
    assert correlations(rounded, torch.rand(7, 1)).item() == 0


def test_concepts_are_matched_for_the_highest_sum():
    # The first of `own` is most like the first of the reference, but so is the second, which has no
    # other: together 0.8 + 1 beats 1 + 0.
    draw = torch.Generator().manual_seed(0)
    orthogonal, _ = torch.linalg.qr(torch.randn((50, 3), generator=draw))
    orthogonal = orthogonal - orthogonal.mean(dim=0)
    orthogonal, _ = torch.linalg.qr(orthogonal)
    x, y, z = orthogonal.T
    own = torch.stack([0.6 * x + 0.8 * y, x], dim=1)
    reference = torch.stack([x, y, z], dim=1)
    partners, r = matched_concepts(own, reference)
    assert partners.tolist() == [1, 0]
    torch.testing.assert_close(r, torch.tensor([0.8, 1.0]))
    partners, r = matched_concepts(reference, own)
    assert partners.tolist() == [1, 0, -1]
    assert r.isnan().tolist() == [False, False, True]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_matching_does_not_mind_order_and_scale(seed):
    draw = torch.Generator().manual_seed(seed)
    own = torch.rand((40, 5), generator=draw)
    order = torch.randperm(5, generator=draw)
    other = own[:, order] * (1 + torch.rand(5, generator=draw)) + 3
    partners, r = matched_concepts(own, other)
    assert order[partners].tolist() == list(range(5))
    torch.testing.assert_close(r, torch.ones(5))
    noisy = other + 0.2 * torch.rand(other.shape, generator=draw)
    assert matched_concepts(own, noisy)[1].mean() < 0.999


def test_reconstruction_error():
    activations = torch.tensor([[3.0, 0], [0, 4]])
    # 4 of a length of 5 is missing
    coefficients, basis = torch.tensor([[3.0], [0]]), torch.tensor([[1.0, 0]])
    assert reconstruction_error(activations, coefficients, basis) == pytest.approx(4 / 5)
    assert reconstruction_error(activations, activations, torch.eye(2)) == 0
    assert math.isnan(reconstruction_error(0 * activations, coefficients, basis))


def test_importance_entropy():
    assert importance_entropy(torch.tensor([0.3, 0.3, 0.3, 0.3])) == pytest.approx(1)
    assert importance_entropy(torch.tensor([0.0, 2, 0, 0])) == 0
    # 1/2, 1/4, 1/4: 1.5 bits of log2(3)
    found = importance_entropy(torch.tensor([2.0, 1, 1]))
    assert found == pytest.approx(1.5 / math.log2(3))
    assert math.isnan(importance_entropy(torch.zeros(4)))
    assert math.isnan(importance_entropy(torch.ones(1)))
