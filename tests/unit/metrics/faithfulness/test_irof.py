"""IROF with known segments, by hand."""

import pytest
import torch

from sparsight.metrics.faithfulness import irof
from sparsight.metrics.faithfulness.irof import Irof, segment_ranks

ZERO = torch.tensor([0])


@pytest.fixture
def halves(monkeypatch):
    """Two segments, the left and the right half of an image of 2x4; whatever SLIC would find."""
    labels = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1]]])
    monkeypatch.setattr(irof, "superpixels", lambda images, *_: labels.expand(len(images), 2, 4))


def test_two_segments_by_hand(halves, linear):
    """Logit: left sum + 3 right sum, 4 + 12 for a white image; black replaces."""
    weights = torch.tensor([[[[1.0, 1.0, 3.0, 3.0]] * 2]])
    network, images = linear(weights), torch.ones(1, 1, 2, 4)
    metric = Irof(baseline="zero", value="logit")
    right_first = torch.tensor([[[0.0, 0.0, 1.0, 0.0]] * 2])
    found = metric.score(right_first, images, ZERO, None, network)
    # 1, 4/16, 0: the area over is 1 - (1.25 + 0.25) / 4
    assert found.item() == pytest.approx(1 - 1.5 / 4)
    found = metric.score(-right_first, images, ZERO, None, network)
    # 1, 12/16, 0
    assert found.item() == pytest.approx(1 - 2.5 / 4)


def test_probability_and_mean_colour(halves, linear):
    """An image whose halves are 0.2 and 0.6 becomes 0.4 throughout."""
    weights = torch.zeros(2, 1, 2, 4)
    weights[0, 0, :, 2:] = 1
    network = linear(weights)
    images = torch.tensor([[[[0.2, 0.2, 0.6, 0.6]] * 2]])
    maps = torch.tensor([[[1.0, 1.0, 2.0, 2.0]] * 2])
    found = Irof().score(maps, images, ZERO, None, network)
    before, after = torch.tensor([2.4, 1.6]).sigmoid().tolist()
    ratio = after / before
    assert found.item() == pytest.approx(1 - ((1 + ratio) / 2 + ratio) / 2, abs=1e-6)


def test_the_segments_of_equal_mean_go_by_number():
    segments = torch.tensor([[[0, 1], [2, 1]], [[0, 0], [0, 1]]])
    maps = torch.tensor([[[1.0, 0.0], [3.0, 2.0]], [[-1.0, -2.0], [-3.0, -9.0]]])
    ranks, counts = segment_ranks(maps, segments)
    # means 1, 1, 3 and -2, -9; the second image has no third segment
    assert ranks.tolist() == [[[1, 2], [0, 2]], [[0, 0], [0, 1]]]
    assert counts.tolist() == [3, 2]


def test_images_of_fewer_segments_end_earlier(monkeypatch, linear):
    """Beside an image of eight segments, one of two scores what it scores alone."""
    fine, coarse = torch.arange(8).view(1, 2, 4), torch.tensor([[[0, 0, 1, 1]] * 2])
    network = linear(torch.tensor([[[[1.0, 1.0, 3.0, 3.0]] * 2]]))
    images, maps = (
        torch.ones(2, 1, 2, 4),
        torch.tensor([[[0.0, 0.0, 1.0, 0.5]] * 2]).expand(2, 2, 4),
    )
    monkeypatch.setattr(irof, "superpixels", lambda *_: torch.cat([fine, coarse]))
    metric = Irof(baseline="zero", value="logit")
    found = metric.score(maps, images, torch.zeros(2, dtype=torch.int64), None, network)
    assert found[1].item() == pytest.approx(1 - 1.5 / 4)
    assert sum(network.passes) == 2 + 2 * 2 + 6
    # 16, 13, 10, 7, 4, 3, 2, 1, 0 sixteenths
    assert found[0].item() == pytest.approx(1 - (56 - 8) / 16 / 8)


def test_no_response_and_a_single_segment_are_undefined(halves, linear, monkeypatch):
    images, maps = torch.ones(1, 1, 2, 4), torch.rand(1, 2, 4)
    dead = linear(torch.zeros(1, 1, 2, 4))
    assert Irof(value="logit").score(maps, images, ZERO, None, dead).isnan().all()
    # 0 for the image, -4 without a half, -8 without both
    balanced = linear(torch.ones(1, 1, 2, 4), offsets=-8.0)
    metric = Irof(value="logit", baseline="zero")
    assert metric.score(maps, images, ZERO, None, balanced).isnan().all()
    monkeypatch.setattr(irof, "superpixels", lambda images, *_: torch.zeros(1, 2, 4).long())
    alive = linear(torch.ones(1, 1, 2, 4))
    assert Irof(value="logit").score(maps, images, ZERO, None, alive).isnan().all()
