"""Pruning without retraining: the trained weights, masked."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.data.packed import load_training_split
from sparsight.io.checkpoints import read_checkpoint, read_groups
from sparsight.io.errors import InvariantError
from sparsight.models.base import build_network
from sparsight.models.registry import MODELS
from sparsight.models.resnet import ResNet18
from sparsight.pruning.rounds import check_recalibrated, make_rewind_point, prune_level, train_dense
from sparsight.training.loop import Recalibration, recalibrate
from tests.unit.pruning.conftest import RECIPE, write_split

#: as the schema completes it
NONE: dict[str, Any] = {
    "epochs": 0,
    "augment": {},
    "autocast": False,
    "channels_last": True,
    "label_smoothing": 0,
    "noise": False,
    "schedule": {"name": "constant"},
    "select": "last",
}
AGAIN = {"images": 48, "batch_size": 16}
PRUNING = {"retraining": NONE, "rewind": "none", "rate": 0.5}


@pytest.fixture(scope="module")
def folder(make_job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Start and dense network of the thesis network."""
    place = tmp_path_factory.mktemp("unretrained")
    make_rewind_point(make_job(training=None), place / "start.safetensors")
    train_dense(make_job(), place / "start.safetensors", place / "dense")
    return place


def pruned(make_job, folder: Path, pruner: str, level: int, **changes: Any) -> Path:
    before = folder / "dense" if level == 1 else folder / f"{pruner}{level - 1}"
    found = folder / f"{pruner}{level}"
    job = make_job(pruner, level, **{**PRUNING, **changes})
    prune_level(job, folder / "start.safetensors", before / "checkpoint.safetensors", found)
    return found


def test_levels_are_the_dense_network_masked(make_job, folder: Path) -> None:
    dense = read_checkpoint(folder / "dense" / "checkpoint.safetensors")
    densities = []
    masks = dense.masks
    for level in (1, 2):
        place = pruned(make_job, folder, "plain", level)
        found = read_checkpoint(place / "checkpoint.safetensors")
        for name, value in found.weights.items():
            mask = found.masks.get(name)
            right = dense.weights[name] if mask is None else dense.weights[name] * mask
            assert torch.equal(value, right), name
            if mask is not None:
                assert not (mask & ~masks[name]).any()
        masks = found.masks
        densities.append(found.density)
        assert found.metadata["epochs"] == "0"
        evaluation = json.loads((place / "evaluation.json").read_text(encoding="utf-8"))
        assert evaluation["selection"] == {"rule": "last", "epoch": 0, "history": []}
        assert 0 <= evaluation["splits"]["test"]["clean"]["accuracy"] <= 1
        assert not list(place.glob(".*"))
    assert densities == pytest.approx([0.5, 0.25], abs=0.001)


def test_no_schedule_needs_epochs(make_job, folder: Path) -> None:
    for number, name in enumerate(("cosine", "constant")):
        recipe = {**NONE, "schedule": {"name": name}, "select": "last"}
        place = pruned(make_job, folder, f"schedule{number}_", 1, retraining=recipe)
        assert (place / "checkpoint.safetensors").is_file()


def test_a_dense_network_of_no_epochs_is_its_start(make_job, folder: Path) -> None:
    start = folder / "trained.safetensors"
    make_rewind_point(make_job(), start)
    train_dense(make_job(retraining=NONE), start, folder / "dense_of_none")
    found = read_checkpoint(folder / "dense_of_none" / "checkpoint.safetensors")
    for name, value in read_groups(start)["pretrained"].items():
        assert torch.equal(found.weights[name], value), name


@pytest.fixture(scope="module")
def colour(make_job, tmp_path_factory: pytest.TempPathFactory):
    """Job maker of a narrow ResNet, and its start and dense network."""
    place = tmp_path_factory.mktemp("colour")
    splits = {}
    for seed, (name, count) in enumerate({"train": 64, "test": 24}.items()):
        splits[name] = write_split(place / f"{name}.safetensors", count, seed, channels=3)

    def make(pruner: str = "dense", level: int = 0, **changes: Any):
        settings = {
            "architecture": "resnet18",
            "options": {"width": 8, "stem": "small"},
            "noise_maximum": 0,
            "retraining": {**RECIPE, "epochs": 1, "noise": False},
        }
        job = make_job(pruner, level, **{**settings, **changes})
        object.__setattr__(job, "splits", splits)
        return job

    make_rewind_point(make(training=None), place / "start.safetensors")
    train_dense(make(), place / "start.safetensors", place / "dense")
    return make, place, splits


def test_statistics_are_those_of_the_pruned_network(colour) -> None:
    make, folder, splits = colour
    stale = read_checkpoint(
        pruned(make, folder, "stale", 1, rate=0.8) / "checkpoint.safetensors"
    ).weights
    for level in (1, 2):
        place = pruned(make, folder, "new", level, rate=0.8, recalibrate_batch_norm=AGAIN)
        found = read_checkpoint(place / "checkpoint.safetensors")
        network = build_network(ResNet18, 4, 0, {"width": 8, "stem": "small"})
        # Statistics of any other network: only the weights count.
        network.load_state_dict({**found.weights, **_statistics(network)})
        images = load_training_split(splits["train"], torch.device("cpu"))[0]
        recalibrate(network, images, Recalibration(**AGAIN), seed=1)
        for name, value in network.state_dict().items():
            assert torch.equal(value, found.weights[name]), name
        for name, mask in found.masks.items():
            assert torch.equal(found.weights[name] != 0, mask), name
        if level == 1:
            changed = {n for n, v in found.weights.items() if not torch.equal(v, stale[n])}
            assert changed == set(_statistics(network))


def _statistics(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    buffers = dict(network.named_buffers())
    return {name: v.clone() for name, v in network.state_dict().items() if name in buffers}


def test_a_weight_that_moves_is_noticed() -> None:
    network = build_network(MODELS.load("resnet18"), 2, 0, {"width": 2, "stem": "small"})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measured = list(dict(network.named_buffers()))
    with torch.no_grad():
        network.bn1.running_mean.add_(1)
    check_recalibrated(network, before, measured)
    with torch.no_grad():
        network.bn1.weight.add_(1)
    with pytest.raises(InvariantError, match=r"bn1\.weight"):
        check_recalibrated(network, before, measured)
