"""Residual networks are torchvision's: keys, initial weights, outputs, gradients, statistics."""

from typing import Any

import pytest
import torch
from torchvision.models import resnet18, resnet50
from torchvision.transforms.functional import normalize

from sparsight.models.base import IMAGENET_MEAN, IMAGENET_STD, Architecture, build_network
from sparsight.models.resnet import ResNet18, ResNet50

Pair = tuple[type[Architecture], Any]


@pytest.fixture(scope="module", params=[(ResNet18, resnet18), (ResNet50, resnet50)])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Our architecture, and torchvision's network of seed 5."""
    ours, theirs = request.param
    torch.manual_seed(5)
    return ours, theirs(num_classes=10)


def test_keys_and_initial_weights_are_equal_for_the_same_seed(pair: Pair) -> None:
    architecture, theirs = pair
    ours, expected = build_network(architecture, 10, 5).state_dict(), theirs.state_dict()
    assert list(ours) == list(expected)
    assert all(torch.equal(ours[key], expected[key]) for key in expected)


def test_images_give_equal_logits_gradients_and_statistics(pair: Pair) -> None:
    architecture, theirs = pair
    ours = build_network(architecture, 10, 1)
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(3, 3, 65, 48, generator=torch.Generator().manual_seed(0))
    for training in (True, False):  # training first, so that the statistics are no longer 0 and 1
        logits = []
        for network, given in (
            (ours, images),
            (theirs, normalize(images, IMAGENET_MEAN, IMAGENET_STD)),
        ):
            network.train(training).zero_grad()
            logits.append(network(given))
            logits[-1].square().sum().backward()
        assert torch.allclose(*logits, atol=1e-5)
        for (name, ours_p), theirs_p in zip(
            ours.named_parameters(), theirs.parameters(), strict=True
        ):
            assert ours_p.grad is not None
            scale = theirs_p.grad.abs().max()
            assert (ours_p.grad - theirs_p.grad).abs().max() <= 1e-4 * scale, name
    expected = theirs.state_dict()
    for name, value in ours.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-6), name
