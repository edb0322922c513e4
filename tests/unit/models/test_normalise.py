"""Normalisation inside a network."""

import torch

from sparsight.models.base import Normalise


def test_numbers_by_hand_and_no_key_in_the_state() -> None:
    module = Normalise(mean=(0.5, 0.25), std=(0.5, 0.125))
    images = torch.tensor([1.0, 0.5]).view(1, 2, 1, 1)
    assert module(images).flatten().tolist() == [1.0, 2.0]
    assert not module.state_dict()
    assert not list(module.parameters())


def test_imagenet_is_the_default() -> None:
    from torchvision.transforms.functional import normalize

    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.allclose(Normalise()(images), expected)
