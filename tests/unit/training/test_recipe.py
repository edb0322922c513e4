"""Optimisers and schedules against their formulae, and what they cost to import."""

import ast
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sparsight.io.errors import InputError
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.training import loop
from sparsight.training.augmentation import checked_augmentation
from sparsight.training.loop import Recipe, Stream, TrainingData, memory_format, train


def steps(given: dict[str, Any], weight: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """A weight after every step, [steps, ...]."""
    parameter = nn.Parameter(weight.clone())
    optimiser = Recipe(1, optimiser=given).build_optimiser([parameter])
    found = []
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimiser.step()
        found.append(parameter.detach().clone())
    return torch.stack(found)


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    """A weight matrix and fourteen gradients."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, generator=draw), torch.randn(14, 2, 3, generator=draw)


def test_adamw_is_its_formula() -> None:
    weight, gradients = drawn()
    given = {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1, "epsilon": 1e-6}
    found = steps(given, weight, gradients)
    w, m, v = weight.double(), torch.zeros(2, 3).double(), torch.zeros(2, 3).double()
    for t, g in enumerate(gradients.double(), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w * (1 - 0.01 * 0.1)
        w = w - 0.01 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-6)
        assert torch.allclose(found[t - 1].double(), w, atol=1e-6)


def test_ranger_is_its_formula() -> None:
    weight, gradients = drawn()
    given = {"name": "ranger", "learning_rate": 0.01, "weight_decay": 0.1, "epsilon": 1e-6}
    found = steps(given, weight, gradients)
    w, m, v = weight.double(), torch.zeros(2, 3).double(), torch.zeros(2, 3).double()
    slow = w.clone()
    longest = 2 / (1 - 0.999) - 1
    rectified = 0
    for t, g in enumerate(gradients.double(), start=1):
        g = g - g.mean(1, keepdim=True)  # centralised over what flows into a unit
        m, v = 0.95 * m + 0.05 * g, 0.999 * v + 0.001 * g * g
        w = w * (1 - 0.01 * 0.1)
        momentum = m / (1 - 0.95**t)
        length = longest - 2 * t * 0.999**t / (1 - 0.999**t)
        if length >= 5:
            top = (length - 4) * (length - 2) * longest
            rectification = math.sqrt(top / ((longest - 4) * (longest - 2) * length))
            scale = math.sqrt(1 - 0.999**t)
            w = w - 0.01 * rectification * momentum * scale / (v.sqrt() + 1e-6)
            rectified += 1
        else:
            w = w - 0.01 * momentum
        if t % 6 == 0:
            slow = slow + 0.5 * (w - slow)
            w = slow.clone()
        assert torch.allclose(found[t - 1].double(), w, atol=1e-6), t
    assert 0 < rectified < len(gradients)


@pytest.mark.parametrize("name", ["sgd", "adamw", "ranger"])
def test_every_step_goes_downhill(name: str) -> None:
    # Ranger as the library has it by default goes uphill five times.
    found = steps({"name": name, "learning_rate": 0.01}, torch.zeros(1), torch.ones(8, 1))
    way = torch.cat((torch.zeros(1, 1), found)).diff(dim=0)
    # at its sixth step Ranger goes half way back to where it came from
    assert (way[:5] < 0).all()
    assert found[-1] < 0


def rates(schedule: dict[str, Any], epochs: int, first: int = 0) -> list[float]:
    """Learning rates of the epochs from `first` on."""
    given = {"name": "sgd", "learning_rate": 0.4}
    plan_of = Recipe(epochs, optimiser=given, schedule=schedule)
    optimiser = plan_of.build_optimiser([nn.Parameter(torch.ones(1))])
    plan = plan_of.build_schedule(optimiser, first)
    found = []
    for _ in range(first, epochs):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        plan.step()
    return found


SCHEDULES: list[tuple[dict[str, Any], list[float]]] = [
    ({"name": "constant"}, [0.4] * 6),
    ({"name": "step", "every": 2, "factor": 0.5}, [0.4, 0.4, 0.2, 0.2, 0.1, 0.1]),
    ({"name": "multi_step", "milestones": [1, 4], "factor": 0.1}, [0.4, *[0.04] * 3, *[0.004] * 2]),
    ({"name": "cosine"}, [0.2 * (1 + math.cos(math.pi * epoch / 6)) for epoch in range(6)]),
    (
        {"name": "cosine", "minimum_rate": 0.1},
        [0.1 + 0.15 * (1 + math.cos(math.pi * epoch / 6)) for epoch in range(6)],
    ),
]


@pytest.mark.parametrize(("schedule", "expected"), SCHEDULES)
def test_rates_are_those_of_the_formula(schedule: dict[str, Any], expected: list[float]) -> None:
    found = rates(schedule, 6)
    assert found == pytest.approx(expected)
    for first in range(1, 6):
        assert rates(schedule, 6, first) == found[first:], "not bit for bit those of the whole"


def test_only_ranger_pays_for_its_library() -> None:
    tree = ast.parse(Path(loop.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    heavy = [node for node in imports if "pytorch_optimizer" in ast.unparse(node)]
    assert heavy
    assert not set(heavy) & set(tree.body)


SGD = {"name": "sgd", "learning_rate": 0.01}
BY_DEFAULT = Recipe(epochs=1, batch_size=8, optimiser=SGD)
NOT_ASKED = replace(BY_DEFAULT, channels_last=False)


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
    assert memory_format(network, BY_DEFAULT) == expected
    assert memory_format(network, NOT_ASKED) == torch.contiguous_format


@pytest.mark.parametrize(("width", "innermost"), [(2, False), (4, False), (8, True), (16, True)])
def test_narrow_residual_networks(width: int, innermost: bool) -> None:
    network = build_network(ResNet18, 2, 0, {"width": width})
    assert (memory_format(network, BY_DEFAULT) == torch.channels_last) == innermost


def test_a_gpu_keeps_channels_innermost_for_bfloat16_only(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Conv2d(8, 8, 3)
    monkeypatch.setattr(nn.Parameter, "is_cuda", True, raising=False)
    assert memory_format(network, BY_DEFAULT) == torch.contiguous_format
    assert memory_format(network, replace(BY_DEFAULT, autocast=True)) == torch.channels_last


def test_batches_and_weights_of_a_training_have_the_channels_innermost() -> None:
    seen = []

    class Looks(nn.Conv2d):
        """Notes how images, weights and what it puts out lie in memory."""

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            output = super().forward(input)
            layout = {"memory_format": torch.channels_last}
            seen.append([part.is_contiguous(**layout) for part in (input, self.weight, output)])
            return output

    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8, generator=draw)
    data = TrainingData(images, torch.arange(16) % 2, 0)
    network = nn.Sequential(Looks(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    train(network, data, BY_DEFAULT, Stream(0, "dense/level00"), masks={})
    assert seen == [[True] * 3] * 2
    assert all(value.is_contiguous() for value in network.state_dict().values())


TRAINS = """
import torch
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.training.loop import Recipe, Stream, TrainingData, train
images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
data = TrainingData(images, torch.arange(64) % 2, 0)
recipe = Recipe(epochs=4, batch_size=16, optimiser={"name": "sgd", "learning_rate": 0.01})
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


def test_defaults_fill_what_is_left_out() -> None:
    (group,) = (
        Recipe(1, optimiser={"name": "adamw", "learning_rate": 1})
        .build_optimiser([nn.Parameter(torch.ones(1))])
        .param_groups
    )
    assert (group["lr"], group["weight_decay"], group["betas"]) == (1, 0.0, (0.9, 0.999))
    assert checked_augmentation({"random_resized_crop": {}}) == {
        "random_resized_crop": {"scale": [0.08, 1.0], "ratio": [3 / 4, 4 / 3]}
    }


@pytest.mark.parametrize(
    ("optimiser", "sentence"),
    [
        ({}, "unknown optimiser 'None'"),
        ({"name": "adam", "learning_rate": 1}, "did you mean 'adamw'"),
        ({"name": "sgd"}, "'learning_rate' is missing at optimiser sgd"),
        ({"name": "sgd", "learning_rate": 1, "betas": [0, 1]}, "unknown parameter 'betas'"),
    ],
)
def test_mistakes_in_an_optimiser(optimiser: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Recipe(1, optimiser=optimiser).build_optimiser([nn.Parameter(torch.ones(1))])


@pytest.mark.parametrize(
    ("augment", "sentence"),
    [
        ({"flips": True}, "did you mean 'flip'"),
        ({"flip": 1}, "augment.flip is 1, but must be true or false"),
        ({"random_resized_crop": {"scale": [0.5, 1.5]}}, "scale is .* above 0 and at most 1"),
        ({"random_resized_crop": {"ratio": [2, 1]}}, "ratio is .* the smaller first"),
        ({"random_resized_crop": {"ratio": [1]}}, "ratio is .* two numbers"),
        ({"colour_jitter": {"hue": 0.6}}, "hue is 0.6, but must be at least 0 and at most 0.5"),
    ],
)
def test_mistakes_in_an_augmentation(augment: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        checked_augmentation(augment)
