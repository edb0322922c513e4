"""Channels lie innermost where that is asked for, and where the library's kernels are sound."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.training.recipe import Recipe, memory_format

ASKED, NOT_ASKED = (
    Recipe(epochs=1, batch_size=8, optimiser={"name": "sgd"}, channels_last=on)
    for on in (True, False)
)


@pytest.mark.parametrize(
    ("layer", "innermost"),
    [
        (nn.Conv2d(4, 8, 1, stride=2), False),
        (nn.Conv2d(7, 32, 1, stride=(1, 2)), False),
        (nn.Conv2d(16, 16, 1, stride=2, groups=4), False),
        (nn.Conv2d(8, 4, 1, stride=2), True),
        (nn.Conv2d(4, 8, 1), True),
        (nn.Conv2d(4, 8, 3, stride=2), True),
        (nn.Linear(4, 8), True),
    ],
)
def test_networks_with_a_layer_that_corrupts_memory_stay_contiguous(
    layer: nn.Module, innermost: bool
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), layer)
    expected = torch.channels_last if innermost else torch.contiguous_format
    assert memory_format(network, ASKED) == expected
    assert memory_format(network, NOT_ASKED) == torch.contiguous_format


@pytest.mark.parametrize(("width", "innermost"), [(2, False), (4, False), (8, True), (16, True)])
def test_narrow_residual_networks(width: int, innermost: bool) -> None:
    network = build_network(ResNet18, 2, 0, {"width": width})
    assert (memory_format(network, ASKED) == torch.channels_last) == innermost


TRAINS = """
import torch
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.training.loop import Stream, TrainingData, train
from sparsight.training.recipe import Recipe
images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
data = TrainingData(images, torch.arange(64) % 2, 0)
recipe = Recipe(epochs=4, batch_size=16, optimiser={"name": "sgd", "learning_rate": 0.01},
                channels_last=True)
network = build_network(ResNet18, 2, 0, {"width": 4, "stem": "strided"})
train(network, data, recipe, Stream(0, "dense/level00"), masks={})
"""


def test_a_narrow_network_trains_on_a_processor_without_avx512() -> None:
    """Without the guard glibc aborts this process: `free(): invalid next size`."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "MALLOC_CHECK_": "3"}
    done = subprocess.run(
        [sys.executable, "-c", TRAINS], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
