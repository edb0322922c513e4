"""Tiny packed data, and jobs on them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from sparsight.io.arrays import write_arrays
from sparsight.pruning.rounds import Job

RECIPE = {
    "epochs": 3,
    "batch_size": 16,
    "optimiser": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
    "schedule": {"name": "multi_step", "milestones": [2], "factor": 0.1},
    "noise": True,
}
SETTINGS = {
    "study": "test",
    "architecture": "thesis_cnn",
    "noise_maximum": 51,
    "threads": 1,
    "training": RECIPE,
    "retraining": RECIPE,
    "evaluation_batch_size": 32,
    "criterion": "magnitude",
    "scope": "global",
    "rate": 0.2,
    "density": None,
    "rewind": "pretrained",
    "published_bugs": [],
}


def write_split(path: Path, count: int, seed: int, class_count: int = 4, channels: int = 1) -> Path:
    """Bright squares in one of the quarters, packed."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % class_count
    images = torch.zeros(count, 1, 28, 28, dtype=torch.uint8)
    for index, label in enumerate(labels):
        row, column = divmod(int(label), 2)
        part = torch.randint(100, 256, (10, 10), dtype=torch.uint8, generator=draw)
        images[index, 0, 2 + 14 * row : 12 + 14 * row, 2 + 14 * column : 12 + 14 * column] = part
    images = images.repeat(1, channels, 1, 1)
    tensors = {
        "images": images,
        "labels": labels,
        "noise": torch.randint(0, 52, images.shape, dtype=torch.uint8, generator=draw),
        "image_ids": torch.arange(count),
        "evaluation_rank": torch.arange(count),
    }
    classes = json.dumps(["a", "b", "c", "d"][:class_count])
    facts = {"dataset": "quarters", "split": path.stem, "classes": classes}
    write_arrays(path, tensors, {**facts, "has_masks": "false", "data_hash": f"hash{seed}"})
    return path


@pytest.fixture(scope="session")
def quarters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The packed splits by name."""
    folder = tmp_path_factory.mktemp("quarters")
    return {
        name: write_split(folder / f"{name}.safetensors", count, seed)
        for seed, (name, count) in enumerate({"train": 64, "test": 24}.items())
    }


@pytest.fixture(scope="session")
def make_job(quarters: dict[str, Path]) -> Callable[..., Job]:
    """A function from pruner, level and changed settings to a job."""

    def make(
        pruner: str = "dense",
        level: int = 0,
        seed: int = 1,
        version: Mapping[str, int] = MappingProxyType({"training": 1}),
        **changes: Any,
    ) -> Job:
        identity = {
            "study": "test",
            "dataset": "quarters",
            "model": "cnn",
            "pruner": pruner,
            "seed": seed,
            "level": level,
        }
        settings = {**SETTINGS, **changes}
        return Job(settings, identity, version, quarters, torch.device("cpu"))

    return make
