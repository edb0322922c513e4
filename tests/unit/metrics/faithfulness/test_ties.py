"""Where a map does not tell pixels apart, they go in one random order of the image's own."""

import pytest
import torch

from sparsight.metrics.faithfulness import pixel_ranks, tie_order

COUNT, SIDE = 40, 28


@pytest.fixture
def images():
    return torch.rand((COUNT, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def rectified():
    """Maps of which three quarters are zero, spread over the image."""
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand((COUNT, SIDE, SIDE), generator=generator) + 0.1
    zero = torch.rand((COUNT, SIDE, SIDE), generator=generator) < 0.75
    return maps.masked_fill(zero, 0)


def test_ranks_descend_with_ties_in_the_order_of_the_image():
    images = torch.rand((1, 1, 2, 3), generator=torch.Generator().manual_seed(2))
    order = tie_order(images)[0].tolist()
    assert sorted(order) == list(range(6))
    values = [1.0, 3.0, 1.0, -2.0, 3.0, 1.0]
    expected = [0] * 6
    for rank, place in enumerate(sorted(order, key=lambda place: -values[place])):
        expected[place] = rank
    maps = torch.tensor(values).view(1, 2, 3)
    assert pixel_ranks(maps, images).flatten().tolist() == expected


@pytest.mark.parametrize("sign", [1, -1], ids=["most_first", "least_first"])
def test_zeros_go_evenly_from_all_halves_of_the_image(sign, images, rectified):
    """At 51% of the pixels, over 40 images: the share of the zeros that has gone is that of all.

    Drawn without replacement, the number in a half is hypergeometric. In reading order a half loses
    most of its zeros and the other none.
    """
    zero = rectified == 0
    gone = zero & (pixel_ranks(sign * rectified, images) < round(0.51 * SIDE * SIDE))
    for half in (slice(0, SIDE // 2), slice(SIDE // 2, SIDE)):
        for part in (gone[:, half], gone[:, :, half]):
            inside = (zero[:, half] if part.shape[1] < SIDE else zero[:, :, half]).sum((1, 2))
            total, taken = zero.sum((1, 2)), gone.sum((1, 2))
            share = taken / total
            spread = (inside * share * (1 - share) * (total - inside) / (total - 1)).sum().sqrt()
            surplus = (part.sum((1, 2)) - inside * share).sum()
            assert surplus.abs() < 3 * spread


def test_the_order_is_the_same_for_two_explainers_and_both_ends(images, rectified):
    """Two maps that are zero at the same places, and otherwise differ, rank the zeros alike."""
    other = rectified.square().flip(0).where(rectified.flip(0) > 0, 0)
    both = (rectified == 0) & (other == 0)
    for first, second in ((rectified, other), (rectified, -rectified), (3 * rectified, -other)):
        for row in range(COUNT):
            sequences = [
                pixel_ranks(maps, images)[row][both[row]].argsort() for maps in (first, second)
            ]
            assert torch.equal(*sequences)


def test_the_order_belongs_to_the_image_and_not_to_the_batch(images, rectified):
    whole = pixel_ranks(rectified, images)
    rows = [7, 3, 20]
    assert torch.equal(pixel_ranks(rectified[rows], images[rows]), whole[rows])
    assert torch.equal(pixel_ranks(rectified, images), whole)
    assert len(tie_order(images).unique(dim=0)) == COUNT
    state = torch.get_rng_state()
    assert tie_order(images[:0]).shape == (0, SIDE * SIDE)
    tie_order(images)
    assert torch.equal(torch.get_rng_state(), state)
