"""A whole round by every criterion, scope, structure and schedule, with its own checks."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.io.checkpoints import Checkpoint, read_checkpoint, read_groups
from sparsight.io.errors import InvariantError
from sparsight.pruning import rounds
from sparsight.pruning.registry import CRITERIA
from sparsight.pruning.rounds import Job, make_rewind_point, prune_level, train_dense

PRUNABLE = 1124
LOOKING = {"calibration": {"images": 20, "batch_size": 8}}
UPDATES = {"every": 2, "until": 0.75}


@pytest.fixture(scope="module")
def prune(
    make_job: Callable[..., Job], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Checkpoint]:
    """A function from the settings of a pruner to its first level at half of the weights."""
    folder = tmp_path_factory.mktemp("ways")
    start, dense = folder / "start.safetensors", folder / "dense"
    make_rewind_point(make_job(), start)
    train_dense(make_job(), start, dense)

    def run(name: str, **changes: Any) -> Checkpoint:
        job = make_job(name, 1, **{"rate": None, "density": 0.5, **changes})
        prune_level(job, start, dense / "checkpoint.safetensors", folder / name)
        return read_checkpoint(folder / name / "checkpoint.safetensors")

    run.folder = folder  # type: ignore[attr-defined]
    return run


def settings_of(criterion: str) -> dict[str, Any]:
    """What a pruner of a criterion says, the rest being defaults."""
    facts = CRITERIA.facts(criterion)
    adapts = {"scope": "layer", "rewind": "none"} if facts["adapts_weights"] else {}
    return {"criterion": criterion, **adapts, **(LOOKING if facts["needs_data"] else {})}


@pytest.mark.parametrize("criterion", sorted(CRITERIA.entries))
def test_a_round_by_each_criterion(prune: Callable[..., Checkpoint], criterion: str) -> None:
    found = prune(criterion, **settings_of(criterion))
    assert found.surviving == PRUNABLE // 2
    again = prune(f"{criterion}_again", **settings_of(criterion))
    assert all(torch.equal(again.masks[name], mask) for name, mask in found.masks.items())


@pytest.mark.parametrize("criterion", sorted(set(CRITERIA.entries) - {"obs"}))
def test_pruning_at_initialisation_scores_the_rewind_point(
    prune: Callable[..., Checkpoint], criterion: str
) -> None:
    found = prune(f"{criterion}_early", schedule="at_initialisation", **settings_of(criterion))
    assert found.surviving == PRUNABLE // 2
    if criterion == "magnitude":
        folder: Path = prune.folder  # type: ignore[attr-defined]
        point = read_groups(folder / "start.safetensors")["pretrained"]
        sizes = torch.cat([point[name].abs().flatten() for name in found.masks])
        masks = torch.cat([mask.flatten() for mask in found.masks.values()])
        assert float(sizes[masks].min()) >= float(sizes[~masks].max())


@pytest.mark.parametrize("scope", ["layer", "output", "erk", "uniform_plus"])
def test_a_round_by_each_scope(prune: Callable[..., Checkpoint], scope: str) -> None:
    found = prune(f"magnitude_{scope}", scope=scope)
    if scope in ("erk", "uniform_plus"):
        assert found.surviving == PRUNABLE // 2
    else:
        assert all(0.5 <= float(m.float().mean()) < 0.6 for m in found.masks.values())


def test_a_round_with_two_of_four(prune: Callable[..., Checkpoint]) -> None:
    found = prune("two_of_four", structure="n:4")
    grouped = [m.unflatten(1, (-1, 4)) for m in found.masks.values() if not m.shape[1] % 4]
    assert grouped
    assert all((mask.sum(2) == 2).all() for mask in grouped)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_a_round_with_whole_units(prune: Callable[..., Checkpoint], scope: str) -> None:
    found = prune(f"units_{scope}", structure="units", scope=scope, rewind="init")
    weights, masks = found.weights, found.masks
    first, second = (masks[f"{name}.weight"].flatten(1).any(1) for name in ("conv1", "conv2"))
    assert (1 <= int(first.sum()) < 4) or (1 <= int(second.sum()) < 8)
    # [outputs, channels, positions]: what makes a channel, and what reads it
    read = {"conv2": first, "classifier": second}
    for name, made in (("conv1", first), ("conv2", second), ("classifier", torch.ones(4) > 0)):
        inputs = read.get(name, torch.tensor([True]))
        whole = made[:, None, None] & inputs[None, :, None]
        mask = masks[f"{name}.weight"].reshape(len(made), len(inputs), -1)
        assert torch.equal(mask, whole.expand_as(mask))
        assert torch.equal(weights[f"{name}.weight"] != 0, masks[f"{name}.weight"])
        # the initial biases are none of them zero, and fall with their channels
        assert torch.equal(weights[f"{name}.bias"] != 0, made)
    folder: Path = prune.folder  # type: ignore[attr-defined]
    evaluation = json.loads((folder / f"units_{scope}" / "evaluation.json").read_text())
    assert evaluation["density"]["prunable"] == found.surviving / PRUNABLE
    # biases count as parameters
    everything, left = 4 + 8 + 4, int(first.sum()) + int(second.sum()) + 4
    assert evaluation["removal"]["parameters"] == PRUNABLE + everything
    assert evaluation["removal"]["parameters_left"] == found.surviving + left
    assert 0 < evaluation["removal"]["multiply_adds_left"] < evaluation["removal"]["multiply_adds"]
    assert min(evaluation["removal"].values()) > 0
    assert found.surviving == sum(int(mask.sum()) for mask in masks.values())
    assert abs(found.surviving / PRUNABLE - 0.5) < (0.1 if scope == "global" else 0.2)


def test_gradual_pruning_ends_at_its_density(prune: Callable[..., Checkpoint]) -> None:
    found = prune("gradual", schedule="gradual", mask_updates=UPDATES, density=0.3)
    assert found.surviving == math.ceil(0.3 * PRUNABLE)


@pytest.mark.parametrize("schedule", ["set", "rigl"])
def test_dynamic_sparse_training(prune: Callable[..., Checkpoint], schedule: str) -> None:
    updates = {**UPDATES, "drop": 0.3}
    found = prune(schedule, schedule=schedule, mask_updates=updates, scope="erk", density=0.2)
    assert found.surviving == math.ceil(0.2 * PRUNABLE)
    other = prune(
        f"{schedule}_other",
        schedule=schedule,
        mask_updates={**updates, "every": 3},
        scope="erk",
        density=0.2,
    )
    assert any(not torch.equal(other.masks[name], mask) for name, mask in found.masks.items())


def test_a_schedule_that_loses_a_weight_is_found(
    prune: Callable[..., Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Losing(rounds.MaskSchedule):
        def change(self, training: Any, step: int, progress: float) -> None:
            with torch.no_grad():
                next(iter(training.parameters.values())).view(-1)[0] = 0

    monkeypatch.setattr(rounds, "mask_schedule", lambda *_: Losing(1, 1.0))
    with pytest.raises(InvariantError, match="mask"):
        prune("losing", schedule="gradual", mask_updates=UPDATES)
