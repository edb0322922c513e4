"""The functions that `import sparsight` offers, on a tiny network."""

import pytest
import torch
from torch import nn

import sparsight
from sparsight.io.errors import InputError


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 3),
    )  # fmt: skip


@pytest.fixture
def images():
    return torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))


TARGETS = torch.tensor([0, 1, 2, 0, 1])


def test_a_gradient_is_the_gradient(network, images):
    network.train()
    maps = sparsight.explain(network, images, TARGETS, "saliency")
    wanted = images.clone().requires_grad_()
    network(wanted).gather(1, TARGETS[:, None]).sum().backward()
    torch.testing.assert_close(maps, wanted.grad[:, 0].abs())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_layer_and_parameters_are_named(network, images):
    maps = sparsight.explain(network, images, TARGETS, "grad_cam", layer="1")
    assert maps.shape == (5, 8, 8)
    assert not maps.requires_grad
    with pytest.raises(InputError, match="salience"):
        sparsight.explain(network, images, TARGETS, "salience")
    with pytest.raises(InputError, match="depth"):
        sparsight.explain(network, images, TARGETS, "saliency", depth=2)


def test_localisation_needs_masks_and_finds_the_object(images):
    masks = torch.zeros(5, 8, 8)
    masks[:, 2:6, 2:6] = 1
    inside = sparsight.score(masks, images, TARGETS, "relevance_mass_accuracy", masks=masks)
    torch.testing.assert_close(inside, torch.ones(5))
    outside = sparsight.score(1 - masks, images, TARGETS, "relevance_mass_accuracy", masks=masks)
    torch.testing.assert_close(outside, torch.zeros(5))
    with pytest.raises(InputError, match="masks"):
        sparsight.score(masks, images, TARGETS, "soft_iou")


def test_metrics_that_ask_the_network_or_explain_again(network, images):
    maps = sparsight.explain(network, images, TARGETS, "saliency")
    curve = sparsight.score(maps, images, TARGETS, "deletion", network=network)
    assert curve.shape[0] == 5
    assert curve.ndim == 2
    again = sparsight.score(
        maps, images, TARGETS, "max_sensitivity", network=network, method="saliency"
    )
    assert again.shape == (5,)
    assert (again > 0).all()
    with pytest.raises(InputError, match="network"):
        sparsight.score(maps, images, TARGETS, "deletion")


def test_maps_agree_with_themselves_and_not_with_their_reverse(network, images):
    maps = sparsight.explain(network, images, TARGETS, "saliency")
    torch.testing.assert_close(sparsight.compare(maps, maps, "spearman"), torch.ones(5))
    opposite = sparsight.compare(maps, -maps, "spearman")
    torch.testing.assert_close(opposite, -torch.ones(5))
    with pytest.raises(InputError, match="differ in shape"):
        sparsight.compare(maps, maps[:, :4])


def test_pruning_takes_the_smallest_weights_round_by_round(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pruned, masks = sparsight.prune(network, 0.5)
    weights = torch.cat([network[place].weight.flatten().abs() for place in (0, 4)])
    kept = torch.cat([pruned[place].weight.flatten() for place in (0, 4)])
    assert int((kept != 0).sum()) == 42
    assert weights[kept == 0].max() <= weights[kept != 0].min()
    assert torch.equal(pruned[4].bias, network[4].bias)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    again, fewer = sparsight.prune(pruned, 0.5, masks=masks)
    assert sum(int(mask.sum()) for mask in fewer.values()) == 21
    assert all(bool((mask <= masks[name]).all()) for name, mask in fewer.items())
    assert int((again[0].weight != 0).sum()) == int(fewer["0.weight"].sum())
    with pytest.raises(InputError, match="magnitudes"):
        sparsight.prune(network, 0.5, "magnitudes")
    with pytest.raises(InputError, match="rate 2"):
        sparsight.prune(network, 2)
