"""Faithfulness correlation of linear networks, and its random subsets."""

import pytest
import torch

from sparsight.metrics import faithfulness
from sparsight.metrics.base import MapBatch, row_correlation
from sparsight.metrics.faithfulness import FaithfulnessCorrelation, random_subsets

TARGETS = torch.zeros(5, dtype=torch.int64)


@pytest.fixture
def contributions(linear):
    """A linear network of one class, five images, and what each pixel contributes."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn((1, 2, 6, 6), generator=generator)
    images = torch.rand((5, 2, 6, 6), generator=generator)
    return linear(weights), images, (weights * images).sum(dim=1)


def score(maps, images, network, **parameters):
    metric = FaithfulnessCorrelation(**{"samples": 30, "subset_size": 9, **parameters})
    return metric.score(MapBatch(maps, images, TARGETS, None, network))


def test_contributions_of_a_linear_network_correlate_fully(contributions):
    network, images, exact = contributions
    torch.testing.assert_close(score(exact, images, network), torch.ones(5))
    torch.testing.assert_close(score(-exact, images, network), -torch.ones(5))
    torch.testing.assert_close(score(3 * exact + 1, images, network), torch.ones(5))


def test_the_exact_gradient_is_no_contribution(linear, monkeypatch):
    """Logit x₁ + 2 x₂ + 2 x₃ at (1, 1/2, 1/4), pixel by pixel: losses 1, 1, 1/2; slopes 1, 2, 2."""
    singles = [torch.tensor([[place]]) for place in range(3)]
    monkeypatch.setattr(faithfulness, "random_subsets", lambda *_: iter(singles))
    network = linear(torch.tensor([[[[1.0, 2.0, 2.0]]]]))
    images = torch.tensor([[[[1.0, 0.5, 0.25]]]])
    metric = FaithfulnessCorrelation(samples=3, subset_size=1)
    for values, expected in (([1, 1, 0.5], 1), ([1, 2, 2], -0.5)):
        found = metric.score(MapBatch(torch.tensor([[values]]), images, TARGETS[:1], None, network))
        assert found.item() == pytest.approx(expected)


def test_a_map_that_knows_nothing_correlates_little(contributions):
    network, images, _ = contributions
    other = torch.randn((5, 6, 6), generator=torch.Generator().manual_seed(7))
    found = score(other, images, network, samples=400)
    assert found.abs().max() < 0.6
    assert found.abs().max() > 0


def test_the_mean_is_another_baseline(contributions):
    """Against the mean colour, a pixel of w·x contributes w·(x - mean)."""
    network, images, exact = contributions
    mean = images.mean(dim=(2, 3), keepdim=True)
    away = (network.weights * (images - mean)).sum(dim=1)
    torch.testing.assert_close(score(away, images, network, baseline="mean"), torch.ones(5))
    assert (score(exact, images, network, baseline="mean") < 0.99).all()


def test_a_network_without_response_is_undefined(contributions, linear):
    _, images, exact = contributions
    assert score(exact, images, linear(torch.zeros(1, 2, 6, 6))).isnan().all()


def test_subsets_are_drawn_without_replacement_and_belong_to_the_image():
    images = torch.rand(3, 1, 5, 5)
    drawn = list(random_subsets(images, 7, 4, "a"))
    assert [tuple(one.shape) for one in drawn] == [(3, 7)] * 4
    assert all(len(set(row)) == 7 for one in drawn for row in one.tolist())
    assert len({tuple(row) for one in drawn for row in one.tolist()}) == 12
    alone = list(random_subsets(images[2:], 7, 4, "a"))
    assert all(torch.equal(one[2:], other) for one, other in zip(drawn, alone, strict=True))
    named = list(random_subsets(images, 7, 4, "b"))
    assert not any(torch.equal(one, other) for one, other in zip(drawn, named, strict=True))


def test_subsets_cover_pixels_evenly():
    """Of 25 pixels 5 are drawn: each with probability 1/5, here 4000 times."""
    counts = torch.zeros(25)
    for subset in random_subsets(torch.rand(4, 1, 5, 5), 5, 1000, "even"):
        counts.index_add_(0, subset.flatten(), torch.ones(20))
    deviation = (4000 * 0.2 * 0.8) ** 0.5
    assert ((counts - 800).abs() < 5 * deviation).all()


def test_row_correlation_by_hand():
    # The mean of three times 0.1 is not 0.1 in float64.
    first = torch.tensor([[1, 2, 3], [1, 1, 1], [1, 2, 3], [0.1, 0.1, 0.1]], dtype=torch.float64)
    second = torch.tensor([[1.0, 3, 2], [1, 2, 3], [5, 5, 5], [1, 2, 4]])
    assert first[3].mean() != 0.1
    found = row_correlation(first, second)
    assert found[0].item() == pytest.approx(0.5)
    assert found[1:].isnan().all()
