"""Infidelity of linear networks, by hand, and the squares that it draws."""

import pytest
import torch
from torch import nn

from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.faithfulness import Infidelity, Squares, infidelity

TARGETS = torch.zeros(4, dtype=torch.int64)
KINDS = ["squares", "every_square", "noise"]


@pytest.fixture
def exact(linear):
    """A linear network of one class on grey images, the images, and its gradient."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn((1, 1, 6, 6), generator=generator)
    images = torch.rand((4, 1, 6, 6), generator=generator)
    return linear(weights, offsets=0.7), images, weights[0].expand(4, 6, 6)


def score(maps, images, network, **parameters):
    metric = Infidelity(**{"samples": 20, "largest_side": 4, **parameters})
    return metric.score(MapBatch(maps, images, TARGETS, None, network))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_a_linear_network_is_faithful(kind, scaled, exact):
    network, images, gradient = exact
    found = score(gradient, images, network, perturbation=kind, scaled=scaled)
    assert found.abs().max() < 1e-10
    wrong = score(gradient.flip(1), images, network, perturbation=kind, scaled=scaled)
    assert (wrong > 1e-3).all()


@pytest.mark.parametrize("kind", ["squares", "every_square"])
def test_input_times_gradient_of_a_linear_network_is_faithful(kind, exact):
    network, images, gradient = exact
    maps = gradient * images[:, 0]
    whole = {"perturbation": kind, "scaled": False}
    assert score(maps, images, network, multiplied_by_input=True, **whole).abs().max() < 1e-10
    assert (score(maps, images, network, **whole) > 1e-3).all()


def test_only_scaled_maps_may_be_of_any_scale(exact):
    network, images, gradient = exact
    tenfold = 10 * gradient
    assert score(tenfold, images, network).max() < 1e-10
    # (10 IᵀΦ - IᵀΦ)² is 81 times what an all-zero map gives, (IᵀΦ)².
    zero = score(torch.zeros_like(gradient), images, network, scaled=False)
    found = score(tenfold, images, network, scaled=False)
    torch.testing.assert_close(found, 81 * zero)
    torch.testing.assert_close(score(torch.zeros_like(gradient), images, network), zero)


def test_by_hand(linear):
    """Logit 2a + b; the squares of side 1 and 2 of a 2x2 image whose other pixels count nothing."""
    network = linear(torch.tensor([[[[2.0, 1.0], [0.0, 0.0]]]]))
    images = torch.tensor([[[[1.0, 0.5], [0.25, 0.0]]]])
    maps = torch.tensor([[[1.0, 1.0], [1.0, 1.0]]])
    metric = Infidelity(perturbation="every_square", largest_side=2, scaled=False)
    found = metric.score(MapBatch(maps, images, TARGETS[:1], None, network))
    # I·Φ of the four pixels and the whole: 1, 0.5, 0.25, 0, 1.75; losses 2, 0.5, 0, 0, 2.5
    assert found.item() == pytest.approx((1 + 0 + 0.0625 + 0 + 0.5625) / 5)
    # β = (2 + 0.25 + 4.375) / (1 + 0.25 + 0.0625 + 3.0625) = 6.625 / 4.375; Σ losses² = 10.5
    scaled = Infidelity(perturbation="every_square", largest_side=2)
    found = scaled.score(MapBatch(maps, images, TARGETS[:1], None, network))
    assert found.item() == pytest.approx((10.5 - 6.625**2 / 4.375) / 5, abs=1e-6)


@pytest.mark.parametrize("scaled", [True, False])
def test_a_perfect_map_under_the_wrong_setting_by_hand(scaled, linear):
    """Logit x₁ + 2 x₂ at (1, 1/2): each of the two pixels accounts for 1.

    Contributions weighted with the change predict 1 and 1/2, slopes summed 1 and 2. The best scales
    are 6/5 and 3/5, which leave (1/5, -2/5) and (-2/5, 1/5).
    """
    network = linear(torch.tensor([[[[1.0, 2.0]]]]))
    images = torch.tensor([[[[1.0, 0.5]]]])
    kinds = {"contributions": [1.0, 1.0], "slopes": [1.0, 2.0], "nothing": [0.0, 0.0]}
    found = {}
    for by_input in (True, False):
        metric = Infidelity(
            perturbation="every_square", largest_side=1, multiplied_by_input=by_input, scaled=scaled
        )
        for name, values in kinds.items():
            maps = torch.tensor([[values]])
            score = metric.score(MapBatch(maps, images, TARGETS[:1], None, network))
            found[name, by_input] = score.item()
    assert found["contributions", True] == found["slopes", False] == pytest.approx(0, abs=1e-9)
    wrong = found["contributions", False], found["slopes", True]
    assert wrong == pytest.approx((0.1, 0.1) if scaled else (0.125, 0.5))
    assert found["nothing", True] == found["nothing", False] == 1


def test_channels_share_the_maps_value(linear):
    network = linear(torch.tensor([[[[3.0]], [[5.0]]]]))
    images = torch.tensor([[[[0.5]], [[1.0]]]])
    metric = Infidelity(perturbation="every_square", largest_side=1, scaled=False)
    found = metric.score(MapBatch(torch.tensor([[[4.0]]]), images, TARGETS[:1], None, network))
    # 4·(0.5 + 1) - (1.5 + 5)
    assert found.item() == pytest.approx(0.25)


def test_every_square_is_met_once():
    squares = Squares(4, 5, 3, torch.device("cpu"))
    assert squares.count == 4 * 5 + 3 * 4 + 2 * 3
    masks = squares.masks(torch.arange(squares.count))
    assert len(masks.flatten(1).unique(dim=0)) == squares.count
    areas = masks.flatten(1).sum(1)
    assert [(areas == side * side).sum().item() for side in (1, 2, 3)] == [20, 12, 6]
    for mask in masks:
        rows, columns = mask.any(1).sum(), mask.any(0).sum()
        assert rows == columns
        assert mask.sum() == rows * columns


def test_drawn_squares_are_a_sample_of_all(batch, network):
    """Means over many draws lie within three standard errors of the enumeration."""
    images, targets, maps = (part[:2] for part in batch)
    metric = {"largest_side": 4, "scaled": False}
    exact = Infidelity(perturbation="every_square", **metric)
    drawn = Infidelity(samples=1500, **metric)
    expected = exact.score(MapBatch(maps, images, targets, None, network))
    found = drawn.score(MapBatch(maps, images, targets, None, network))
    errors = []
    given = MapBatch(maps, images, targets, None, network)
    whole = given.outputs("logit")
    for perturbed, change in exact.perturbations(images):
        lost = whole - given.outputs("logit", perturbed)
        errors.append(((maps * change).sum((1, 2)) - lost).square())
    deviation = torch.stack(errors).std(dim=0) / 1500**0.5
    assert ((found - expected).abs() < 3 * deviation).all()
    assert (found != expected).all()


def test_noise_stays_within_the_range_of_images(batch):
    images = batch[0]
    drawn = [perturbed for perturbed, _ in Infidelity(perturbation="noise").perturbations(images)]
    values = torch.stack(drawn)
    assert values.min() == 0
    assert values.max() <= 1
    # clip(ε, 0, 1) with ε normal of deviation 0.2 has the mean 0.2 / √(2π).
    assert values.mean().item() == pytest.approx(0.2 / (2 * torch.pi) ** 0.5, rel=0.02)
    assert len(values.flatten(2).flatten(0, 1).unique(dim=0)) == 600


def test_infidelity_keeps_nan_to_its_row():
    predicted = torch.tensor([[1.0, 2.0], [torch.nan, 1.0], [0.0, 0.0]])
    lost = torch.tensor([[2.0, 4.0], [1.0, 1.0], [1.0, 3.0]])
    found = infidelity(predicted, lost, scaled=True)
    assert found[0] == 0
    assert found[1].isnan()
    assert found[2] == 5


def test_a_negative_map_is_no_better_than_none_where_the_scale_is_not_negative():
    lost = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0]])
    predicted = torch.tensor([[1.0, 2.0]] * 3)
    # β is 1, -1 and 0.
    assert infidelity(predicted, lost, scaled=True).tolist() == [0, 0, 0]
    # β is 1, 0 and 0: what is left is the mean of 1 and 4.
    found = infidelity(predicted, lost, scaled=True, non_negative_scale=True)
    assert found.tolist() == [0, 2.5, 0]


def test_the_sign_of_a_map_counts_on_demand():
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).requires_grad_(False)
    maps = network[1].weight[0].view(1, 8, 8).repeat(2, 1, 1)
    targets = torch.zeros(2, dtype=torch.int64)
    for sign_counts in (False, True):
        metric = Infidelity(largest_side=3, samples=20, non_negative_scale=sign_counts)
        found = metric.score(MapBatch(maps, images, targets, None, network))
        turned = metric.score(MapBatch(-maps, images, targets, None, network))
        assert bool((turned > found + 1e-4).all()) == sign_counts
        assert bool((turned - found).abs().max() < 1e-6) == (not sign_counts)


def test_only_a_scale_that_is_fitted_can_be_kept_from_being_negative():
    with pytest.raises(InputError, match="non_negative_scale"):
        Infidelity(scaled=False, non_negative_scale=True)
