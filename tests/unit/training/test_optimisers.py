"""Optimisers and schedules against their formulae, and what they cost to import."""

import ast
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sparsight.training import recipe
from sparsight.training.recipe import Recipe


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
    tree = ast.parse(Path(recipe.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    heavy = [node for node in imports if "pytorch_optimizer" in ast.unparse(node)]
    assert heavy
    assert not set(heavy) & set(tree.body)
