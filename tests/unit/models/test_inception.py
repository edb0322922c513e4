"""Inception-V3: sizes, width, and the auxiliary head that only training asks."""

import pytest
import torch

from sparsight.models.base import build_network
from sparsight.models.inception import ConvNormRelu, InceptionV3, Mixed, scaled


def test_parameter_count() -> None:
    # torchvision's count for 1,000 classes is 27,161,264; classifiers of 2,048 and 768 features
    network = build_network(InceptionV3, 10, 0)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 27_161_264 - 2_049_000 - 769_000 + 20_490 + 7_690


def test_channels_keep_their_ratio() -> None:
    assert [scaled(n, 32) for n in (32, 80, 448)] == [32, 80, 448]
    assert [scaled(n, 4) for n in (32, 80, 448)] == [4, 10, 56]
    assert scaled(32, 0) == 1
    network = build_network(InceptionV3, 3, 0, {"width": 4})
    # 2,048 features at width 32
    assert network.fc.weight.shape == (3, 256)


def test_branches_by_hand() -> None:
    # one input channel, 1 x 1 images, weights 1, 2, 3: the maps of each branch in their order
    block = Mixed(1, 1, [[(("a", 32, 1),)], [(("b", 32, 1),), (("c", 32, 1), ("d", 32, 1))]]).eval()
    for value, name in enumerate("abcd", start=1):
        torch.nn.init.constant_(block.get_submodule(name).conv.weight, value)
    found = block(torch.ones(1, 1, 1, 1)).flatten()
    scale = (1 + 0.001) ** -0.5
    # a: 1; b then c: 2 * 3; b then d: 2 * 4
    expected = [1 * scale, 6 * scale**2, 8 * scale**2]
    assert found.tolist() == pytest.approx(expected)
    assert block.outputs == 3


def test_a_convolution_is_padded_only_on_request() -> None:
    images = torch.rand(1, 1, 9, 9)
    assert ConvNormRelu(1, 2, (1, 7), padded=True)(images).shape == (1, 2, 9, 9)
    assert ConvNormRelu(1, 2, 3, stride=2)(images).shape == (1, 2, 4, 4)


def test_only_training_asks_the_auxiliary_head() -> None:
    network = build_network(InceptionV3, 5, 0, {"width": 2}).eval()
    runs: list[int] = []
    network.AuxLogits.register_forward_hook(lambda *_: runs.append(1))
    images = torch.rand(2, 3, 299, 299)
    logits = network(images)
    assert runs == []
    assert network.training_only == ("AuxLogits",)
    found, auxiliary = network.training_logits(images)
    assert runs == [1]
    assert auxiliary is not None
    assert auxiliary.shape == (2, 5)
    assert torch.equal(found, logits)
    assert network.training_logits(images[..., :298])[1] is None
