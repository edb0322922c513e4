"""The residual network is torchvision's: keys, initial weights, outputs, gradients, statistics."""

from typing import Any

import pytest
import torch
from torchvision.models import resnet18
from torchvision.transforms.functional import normalize

from sparsight.models.base import build_network
from sparsight.models.normalise import IMAGENET_MEAN, IMAGENET_STD
from sparsight.models.resnet import ResNet18


@pytest.fixture(scope="module")
def theirs() -> Any:
    """torchvision's network of seed 5."""
    torch.manual_seed(5)
    return resnet18(num_classes=10)


def test_keys_and_initial_weights_are_equal_for_the_same_seed(theirs: Any) -> None:
    ours, expected = build_network(ResNet18, 10, 5).state_dict(), theirs.state_dict()
    assert list(ours) == list(expected)
    assert all(torch.equal(ours[key], expected[key]) for key in expected)


def test_images_give_equal_logits_gradients_and_statistics(theirs: Any) -> None:
    ours = build_network(ResNet18, 10, 1)
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
