"""IROF with known segments, by hand."""

import pytest
import torch

from sparsight.metrics import faithfulness
from sparsight.metrics.base import MapBatch
from sparsight.metrics.faithfulness import Irof, segment_ranks, tie_order

ZERO = torch.tensor([0])


class Chance(torch.nn.Module):
    """Two classes, the first with the probability w·x of weights [1, H, W]; counts images."""

    def __init__(self, weights):
        super().__init__()
        self.weights, self.passes = weights, []

    def forward(self, images):
        self.passes.append(len(images))
        chance = (images * self.weights).sum(dim=(1, 2, 3)).clamp(0, 1)
        return torch.stack([chance, 1 - chance], dim=1).log()


def thirds(whole=1.0):
    """The left half of 2x4 pixels counts for a quarter of `whole`, the right for the rest."""
    return Chance(whole * torch.tensor([[[1.0, 1.0, 3.0, 3.0]] * 2]) / 16)


@pytest.fixture
def halves(monkeypatch):
    """Two segments, the left and the right half of an image of 2x4; whatever SLIC would find."""
    labels = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1]]])
    monkeypatch.setattr(
        faithfulness, "superpixels", lambda images, *_: labels.expand(len(images), 2, 4)
    )


def test_two_segments_by_hand(halves):
    """A white image whose left half counts 4/16, and its right 12/16; black replaces."""
    network, images = thirds(), torch.ones(1, 1, 2, 4)
    metric = Irof(baseline="zero")
    right_first = torch.tensor([[[0.0, 0.0, 1.0, 0.0]] * 2])
    found = metric.score(MapBatch(right_first, images, ZERO, None, network))
    # 1, 4/16, 0: the area over is 1 - (1.25 + 0.25) / 4
    assert found.item() == pytest.approx(1 - 1.5 / 4)
    found = metric.score(MapBatch(-right_first, images, ZERO, None, network))
    # 1, 12/16, 0
    assert found.item() == pytest.approx(1 - 2.5 / 4)


def test_probability_and_mean_colour(halves, linear):
    """An image whose halves are 0.2 and 0.6 becomes 0.4 throughout."""
    weights = torch.zeros(2, 1, 2, 4)
    weights[0, 0, :, 2:] = 1
    network = linear(weights)
    images = torch.tensor([[[[0.2, 0.2, 0.6, 0.6]] * 2]])
    maps = torch.tensor([[[1.0, 1.0, 2.0, 2.0]] * 2])
    found = Irof().score(MapBatch(maps, images, ZERO, None, network))
    before, after = torch.tensor([2.4, 1.6]).sigmoid().tolist()
    ratio = after / before
    assert found.item() == pytest.approx(1 - ((1 + ratio) / 2 + ratio) / 2, abs=1e-6)


def test_the_segments_of_equal_mean_go_in_the_order_of_their_first_pixels():
    segments = torch.tensor([[[0, 1], [2, 1]], [[0, 0], [0, 1]]])
    maps = torch.tensor([[[1.0, 0.0], [3.0, 2.0]], [[-1.0, -2.0], [-3.0, -9.0]]])
    # means 1, 1, 3 and -2, -9; the second image has no third segment
    ranks, counts = segment_ranks(maps, segments, torch.tensor([[0, 3, 1, 2], [3, 2, 1, 0]]))
    assert ranks.tolist() == [[[1, 2], [0, 2]], [[0, 0], [0, 1]]]
    assert counts.tolist() == [3, 2]
    # The second segment has the pixels 1 and 3: the first of them counts, 0 comes before it.
    ranks, _ = segment_ranks(maps[:1], segments[:1], torch.tensor([[3, 0, 1, 2]]))
    assert ranks.tolist() == [[[1, 2], [0, 2]]]
    ranks, _ = segment_ranks(maps[:1], segments[:1], torch.tensor([[1, 3, 0, 2]]))
    assert ranks.tolist() == [[[2, 1], [0, 1]]]


def test_empty_segments_go_evenly_from_both_halves_of_the_image():
    """Of 16 squares 15 are empty; of these the first seven to go are from either half alike."""
    images = torch.rand((400, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    rows = torch.arange(8) // 2
    segments = (4 * rows[:, None] + rows).expand(400, 8, 8)
    maps = torch.zeros(400, 8, 8)
    maps[:, 5, 5] = 1
    ranks, _ = segment_ranks(maps, segments, tie_order(images))
    above = (ranks[:, :4, ::2] < 8)[:, ::2].sum(dim=(1, 2)).double()
    # Hypergeometric: 7 of 15, of which 8 lie above.
    spread = (7 * (8 / 15) * (7 / 15) * (8 / 14) / 400) ** 0.5
    assert abs(above.mean().item() - 7 * 8 / 15) < 3 * spread


def test_images_of_fewer_segments_end_earlier(monkeypatch):
    """Beside an image of eight segments, one of two scores what it scores alone."""
    fine, coarse = torch.arange(8).view(1, 2, 4), torch.tensor([[[0, 0, 1, 1]] * 2])
    network, images = thirds(), torch.ones(2, 1, 2, 4)
    # Of pixels that count alike it does not matter which goes first.
    maps = torch.tensor([[[0.0, 0.0, 1.0, 0.5]] * 2]).expand(2, 2, 4)
    monkeypatch.setattr(faithfulness, "superpixels", lambda *_: torch.cat([fine, coarse]))
    metric = Irof(baseline="zero")
    found = metric.score(MapBatch(maps, images, torch.zeros(2, dtype=torch.int64), None, network))
    assert found[1].item() == pytest.approx(1 - 1.5 / 4)
    assert sum(network.passes) == 2 + 2 * 2 + 6
    # 16, 13, 10, 7, 4, 3, 2, 1, 0 sixteenths
    assert found[0].item() == pytest.approx(1 - (56 - 8) / 16 / 8)


def test_an_image_that_the_network_does_not_see_as_the_target_is_undefined(halves):
    """An output near 0 is nothing to be relative to: here it grows a hundredfold without a half."""
    images = torch.ones(1, 1, 2, 4)
    maps = torch.tensor([[[1.0, 1.0, 0.0, 0.0]] * 2])
    # 0.002 for the image, 0.2 without its left half, 0 without both
    weights = torch.tensor([[[-0.0495, -0.0495, 0.05, 0.05]] * 2])
    metric = Irof(baseline="zero")
    assert metric.score(MapBatch(maps, images, ZERO, None, Chance(weights))).isnan().all()
    # 1, 100, 0
    found = Irof(baseline="zero", floor=0.001).score(
        MapBatch(maps, images, ZERO, None, Chance(weights))
    )
    assert found.item() == pytest.approx(1 - 150.5 / 2 + 25, rel=1e-3)


def test_the_floor_is_a_probability_of_the_unchanged_image(halves):
    images, maps = torch.ones(1, 1, 2, 4), torch.tensor([[[0.0, 0.0, 1.0, 0.0]] * 2])
    found = [
        Irof(baseline="zero").score(MapBatch(maps, images, ZERO, None, thirds(whole))).item()
        for whole in (0.0, 0.0099, 0.0101)
    ]
    assert found == pytest.approx([float("nan")] * 2 + [1 - 1.5 / 4], nan_ok=True)


def test_a_single_segment_is_undefined(monkeypatch):
    monkeypatch.setattr(faithfulness, "superpixels", lambda images, *_: torch.zeros(1, 2, 4).long())
    images, maps = torch.ones(1, 1, 2, 4), torch.rand(1, 2, 4)
    assert Irof().score(MapBatch(maps, images, ZERO, None, thirds())).isnan().all()
