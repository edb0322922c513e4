"""Sufficiency of networks that look at known pixels."""

import pytest
import torch

from sparsight.metrics.base import MapBatch
from sparsight.metrics.faithfulness import Sufficiency

HOW = pytest.mark.parametrize("surroundings", ["shuffled", "uniform"])


@pytest.fixture
def corner(linear):
    """A network that looks at the pixel in the upper left only: class 1 where it is above 0.5."""
    weights = torch.zeros(2, 1, 4, 4)
    weights[1, 0, 0, 0] = 1
    return linear(weights, offsets=torch.tensor([0.5, 0.0]))


def highlighting(row, column, count=1):
    maps = torch.zeros(count, 4, 4)
    maps[:, row, column] = 1
    return maps


@HOW
def test_the_one_pixel_that_counts_is_sufficient(surroundings, corner):
    images = torch.rand(5, 1, 4, 4)
    targets = torch.zeros(5, dtype=torch.int64)
    metric = Sufficiency(share=1 / 16, samples=30, surroundings=surroundings)
    found = metric.score(MapBatch(highlighting(0, 0, 5), images, targets, None, corner))
    assert torch.equal(found, torch.ones(5))


def test_another_pixel_leaves_it_to_chance(corner):
    """Four of 16 pixels are white, one of them highlighted and kept.

    Each place of a random order holds each pixel alike, so the corner is white with 4/16.
    """
    images = torch.zeros(1, 1, 4, 4)
    images[0, 0, 0] = 1.0
    metric = Sufficiency(share=1 / 16, samples=2000)
    found = metric.score(MapBatch(highlighting(0, 3), images, torch.tensor([0]), None, corner))
    assert found.item() == pytest.approx(0.25, abs=3 * (0.25 * 0.75 / 2000) ** 0.5)


def test_uniform_surroundings_are_uniform(corner):
    images = torch.full((1, 1, 4, 4), 0.9)
    metric = Sufficiency(share=1 / 16, samples=2000, surroundings="uniform")
    found = metric.score(MapBatch(highlighting(2, 2), images, torch.tensor([0]), None, corner))
    assert found.item() == pytest.approx(0.5, abs=3 * (0.25 / 2000) ** 0.5)


def test_it_is_the_prediction_that_must_stay_not_the_explained_class(corner):
    images = torch.full((1, 1, 4, 4), 0.9)
    metric = Sufficiency(share=1 / 16, samples=5)
    for target in (0, 1):
        found = metric.score(
            MapBatch(highlighting(0, 0), images, torch.tensor([target]), None, corner)
        )
        assert found.item() == 1


def test_surroundings_are_the_same_for_every_map(batch):
    images = batch[0]
    metric = Sufficiency(samples=3)
    first, second = (list(metric.neighbours(images)) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])


def test_shuffled_pixels_keep_their_colours(batch):
    images = batch[0]
    (found,) = Sufficiency(samples=1).neighbours(images)

    def colours(image):
        return sorted(map(tuple, image.flatten(1).T.tolist()))

    assert all(colours(one) == colours(other) for one, other in zip(found, images, strict=True))
