"""Inception-V3 is torchvision's: keys, initial weights, outputs of both heads, gradients."""

from typing import Any

import pytest
import torch
from torchvision.models import inception_v3
from torchvision.transforms.functional import normalize

from sparsight.models.base import IMAGENET_MEAN, IMAGENET_STD, build_network
from sparsight.models.inception import InceptionV3


@pytest.fixture(scope="module")
def theirs() -> Any:
    """torchvision's network of seed 5, whose images are normalised as for its ImageNet weights."""
    torch.manual_seed(5)
    return inception_v3(num_classes=10, init_weights=True, transform_input=True)


def test_keys_and_initial_weights_are_equal_for_the_same_seed(theirs: Any) -> None:
    ours, expected = build_network(InceptionV3, 10, 5).state_dict(), theirs.state_dict()
    assert list(ours) == list(expected)
    assert all(torch.equal(ours[key], expected[key]) for key in expected)


def test_images_give_equal_logits_gradients_and_statistics(theirs: Any) -> None:
    # in double precision: torchvision normalises in two steps, whose rounding 94 layers amplify
    ours = build_network(InceptionV3, 10, 1).double()
    ours.load_state_dict(theirs.state_dict())
    for network in (ours, theirs.double()):
        network.dropout.p = 0.0
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 299, 310, generator=draw, dtype=torch.float64)
    normalised = normalize(images, IMAGENET_MEAN, IMAGENET_STD)
    logits, auxiliary = ours.train().training_logits(images)
    expected, expected_auxiliary = theirs.train()(normalised)
    assert torch.allclose(logits, expected, atol=1e-9)
    assert auxiliary is not None
    assert torch.allclose(auxiliary, expected_auxiliary, atol=1e-9)
    (logits.square().sum() + auxiliary.square().sum()).backward()
    (expected.square().sum() + expected_auxiliary.square().sum()).backward()
    for (name, ours_p), theirs_p in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert ours_p.grad is not None
        scale = theirs_p.grad.abs().max()
        assert (ours_p.grad - theirs_p.grad).abs().max() <= 1e-6 * scale, name
    state = theirs.state_dict()
    for name, value in ours.state_dict().items():
        assert torch.allclose(value, state[name], atol=1e-9), name
    assert torch.allclose(ours.eval()(images), theirs.eval()(normalised), atol=1e-9)
