"""Residual networks: sizes, options, stems and normalisation."""

from typing import Any

import pytest
import torch
from torch import nn

from sparsight.models.base import Normalise, build_network
from sparsight.models.resnet import ResNet18, ResNet50


def parameter_count(**options: Any) -> int:
    """Parameters of a network of ten classes."""
    return sum(p.numel() for p in build_network(ResNet18, 10, 0, options).parameters())


def test_parameter_counts() -> None:
    # torchvision's count for 1,000 classes is 11,689,512, of which 513,000 are the classifier's
    assert parameter_count() == 11_689_512 - 513_000 + 5_130
    # by hand at width 1 with a 3x3 stem: stem 27 + 2; stage one 2 * (9 + 9 + 4); from p to 2p
    # channels 18p² + 36p² + 2p² + 12p + 2 * 36p² + 8p; classifier 80 + 10
    stages = [128 * p * p + 20 * p for p in (1, 2, 4)]
    assert parameter_count(width=1, stem="small") == 29 + 44 + sum(stages) + 90


def test_parameter_counts_of_bottlenecks() -> None:
    # torchvision's count for 1,000 classes is 25,557,032, of which 2,049,000 are the classifier's
    network = build_network(ResNet50, 10, 0)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 25_557_032 - 2_049_000 + 20_490


def test_stems_pool_or_not() -> None:
    pools = {
        stem: isinstance(
            build_network(ResNet18, 2, 0, {"width": 1, "stem": stem}).maxpool, nn.MaxPool2d
        )
        for stem in ("imagenet", "strided", "small")
    }
    assert pools == {"imagenet": True, "strided": False, "small": False}


def test_normalisation_is_the_first_thing_and_optional() -> None:
    images = torch.rand(2, 3, 32, 32)
    given = {"width": 2, "stem": "small"}
    plain = build_network(ResNet18, 4, 0, {**given, "normalisation": "none"}).eval()
    inside = build_network(ResNet18, 4, 0, given).eval()
    assert torch.equal(inside(images), plain(Normalise()(images)))
    assert not torch.equal(inside(images), plain(images))


def test_a_block_by_hand() -> None:
    # 1x1 images: only the kernels' centres count
    network = build_network(ResNet18, 2, 0, {"width": 1, "stem": "small"}).eval()
    block = network.get_submodule("layer2.0")
    with torch.no_grad():
        for name, kernel in (("conv1", 2.0), ("conv2", -1.0), ("downsample.0", 3.0)):
            block.get_submodule(name).weight.zero_()
            weight = block.get_submodule(name).weight
            weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2] = kernel
    # input 5: relu(2 * 5) = 10 on both channels, then -10 - 10, plus the shortcut's 15, rectified
    out = block(torch.full((1, 1, 1, 1), 5.0))
    assert torch.equal(out, torch.zeros(1, 2, 1, 1))
    # input -5: nothing from the branch, 5 from a shortcut of -1
    with torch.no_grad():
        block.get_submodule("downsample.0").weight.mul_(-1 / 3)
    scale = 1 / (1 + 1e-5) ** 0.5  # of the batch normalisation, whose variance is still 1
    assert block(torch.full((1, 1, 1, 1), -5.0)).flatten().tolist() == pytest.approx(
        [5 * scale] * 2
    )
