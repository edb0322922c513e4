"""Networks of others, by configuration alone: planned, trained, pruned, explained, and refused."""

import json

import pytest
import yaml

from sparsight.io.checkpoints import read_checkpoint
from tests.workflow.project import RECIPE, Project

QUICK = {**RECIPE, "epochs": 1, "noise": False}
#: a network with reused activations, functional poolings and attention, in a file of the user's own
FACTORY = """
import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, images):
        return self.act(self.second(functional.max_pool2d(self.act(self.first(images)), 4)))


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.block = Block(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.head = nn.Linear(width, 1000)

    def forward(self, images):
        tokens = self.block(images).flatten(2).transpose(1, 2)
        return self.head(torch.relu(tokens + self.attention(tokens, tokens, tokens)[0]).mean(1))


def build(width):
    return Net(width)
"""
STUDY = {
    "study": "foreign",
    "datasets": ["few_shapes"],
    "models": ["of_timm", "own"],
    "pruners": ["tiny"],
    "seeds": [1],
    "explainers": ["saliency", "grad_cam", "control_edges"],
    "metrics": ["soft_iou"],
    "agreement": [],
    "claims": [],
    "explaining": {"images": 10},
    "networks": [
        {"dataset": "few_shapes", "model": "of_timm"},
        {"dataset": "few_shapes", "model": "own", "explainers": ["saliency", "control_edges"]},
    ],
    "catalogue": {
        "datasets": {
            "few_shapes": {
                "source": "shapes",
                "options": {
                    "size": 32,
                    "split": {"train": 40, "validation": 0, "test": 20, "seed": 0},
                },
            }
        },
        "models": {
            "of_timm": {"architecture": "timm.resnet10t", "retraining": QUICK},
            "own": {
                "architecture": "nets/mine.py:build",
                "options": {"width": 4},
                "retraining": QUICK,
            },
        },
        "pruners": {"tiny": {"criterion": "magnitude", "densities": [0.5]}},
    },
}


def test_networks_of_others_run_from_the_plan_to_the_scores(fresh: Project) -> None:
    fresh.write("nets/mine.py", FACTORY)
    text = yaml.safe_dump(STUDY)
    fresh.write("tiny.yaml", text)
    results = fresh.folder / "results" / "foreign"
    targets = [
        f"results/foreign/few_shapes/{model}/seed1/tiny/level01/scores/gradient.parquet"
        for model in ("of_timm", "own")
    ]
    fresh.run("--cores", "1", *targets)
    level = results / "few_shapes" / "of_timm" / "seed1" / "tiny" / "level01"
    checkpoint = read_checkpoint(level / "checkpoint.safetensors")
    # The library's own names, without a prefix and without the normalisation.
    assert {"conv1.0.weight", "layer4.0.conv1.weight", "fc.bias"} <= checkpoint.weights.keys()
    assert not any("normalise" in name for name in checkpoint.weights)
    assert checkpoint.density == pytest.approx(0.5, abs=1e-5)
    traced = json.loads(checkpoint.metadata["traced"])
    assert traced["classifiers"] == ["fc"]
    assert traced["image_shape"] == [3, 32, 32]
    own = results / "few_shapes" / "own" / "seed1" / "tiny" / "level01"
    masks = read_checkpoint(own / "checkpoint.safetensors").masks
    assert "attention.in_proj_weight" in masks
    # The layer of 1000 logits is replaced by one for the classes.
    assert len(masks["head.weight"]) == 8
    # Planning again traces nothing, and nothing runs again.
    kept = sorted((fresh.folder / ".snakemake/sparsight/architectures").iterdir())
    assert len(kept) == 2
    times = [path.stat().st_mtime_ns for path in kept]
    assert fresh.planned(*targets) == {}
    assert [path.stat().st_mtime_ns for path in kept] == times
    # A job depends on what the user's file holds.
    fresh.edit("nets/mine.py", "inplace=True", "inplace=False")
    planned = fresh.planned(*targets)
    assert planned["make_rewind_point"] == 1
    assert planned["prune_level"] == 1
