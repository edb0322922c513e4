"""Images whose concepts are known, and a small network trained on them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.concepts.base import StudiedNetwork
from sparsight.concepts.features import Features, extract_features
from sparsight.data.packed import load_training_split
from sparsight.data.packing import pack
from sparsight.data.sources.shapes import Shapes
from sparsight.io.arrays import ArrayWriter
from sparsight.models.base import Architecture, build_network

SPLITS = ("train", "validation", "test")


class Small(Architecture):
    """Three convolutions with batch normalisation, the mean over positions, a linear layer."""

    name = "small"
    reference = "made for these tests"
    input_shape = (3, 32, 32)
    layers: ClassVar[dict[str, tuple[int, int]]] = {"block": (16, 16), "relu": (8, 8)}
    explain_layer = "relu"
    feature_cut = "relu"

    def __init__(self, class_count: int) -> None:
        super().__init__(class_count)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.block = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        self.last = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        )
        self.relu = nn.ReLU()
        self.fc = nn.Linear(64, class_count)

    def feature_maps(self, images: Tensor) -> Tensor:
        return self.relu(self.last(self.block(self.stem(images - 0.5))))

    def class_logits(self, maps: Tensor) -> Tensor:
        return self.fc(maps.mean(dim=(2, 3)))


def trained(train: Path, epochs: int, seed: int) -> Architecture:
    """A network that knows most test images after 20 epochs (15 s)."""
    network = build_network(Small, 8, seed)
    images, labels = load_training_split(train)
    optimiser = torch.optim.Adam(network.parameters())
    steps = epochs * (len(labels) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, steps)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels), generator=order).split(64):
            if len(rows) < 64:
                continue
            optimiser.zero_grad()
            logits = network(images[rows].float() / 255)
            functional.cross_entropy(logits, labels[rows]).backward()
            optimiser.step()
            schedule.step()
    return network.eval().requires_grad_(False)


@dataclass(frozen=True)
class World:
    """A trained network and all that a concept method may look at."""

    checkpoint: StudiedNetwork
    untrained: StudiedNetwork


def checkpoint_of(network: Architecture, splits: dict[str, Path], folder: Path) -> StudiedNetwork:
    device = torch.device("cpu")
    path = folder / "features.safetensors"
    extract_features(network, splits, None, path, 128, device)
    return StudiedNetwork(network, Features(path), splits, splits, 0, 64, 200, device)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("shapes")
    split = {"train": 1600, "validation": 400, "test": 400, "seed": 0}
    pack(Shapes(), {"size": 32, "split": split, "noise": {"maximum": 0}}, folder, folder / "packed")
    splits = {name: folder / "packed" / f"{name}.safetensors" for name in SPLITS}
    network = trained(splits["train"], 20, 0)
    untrained = build_network(Small, 8, 1).eval().requires_grad_(False)
    (folder / "trained").mkdir()
    (folder / "untrained").mkdir()
    made = World(
        checkpoint_of(network, splits, folder / "trained"),
        checkpoint_of(untrained, splits, folder / "untrained"),
    )
    yield made
    made.checkpoint.features.close()
    made.untrained.features.close()


@pytest.fixture
def write_bank() -> Callable[..., Path]:
    """Writes a packed split of grey images that have nothing but concepts."""

    def write(
        path: Path,
        concepts: Tensor | None,
        names: list[str],
        count: int = 0,
        known: Tensor | None = None,
    ) -> Path:
        count = count if concepts is None else len(concepts)
        layout = {
            "images": (torch.uint8, (count, 1, 2, 2)),
            "labels": (torch.int64, (count,)),
            "image_ids": (torch.int64, (count,)),
            "evaluation_rank": (torch.int64, (count,)),
        }
        if concepts is not None:
            layout["concepts"] = (torch.bool, tuple(concepts.shape))
        if known is not None:
            layout["concepts_known"] = (torch.bool, tuple(known.shape))
        metadata = {
            "dataset": "bank",
            "split": path.stem,
            "classes": '["0"]',
            "has_masks": "false",
            "data_hash": "abc",
            "noise_maximum": "0",
        }
        if concepts is not None:
            metadata["concept_names"] = json.dumps(names)
        with ArrayWriter(path, layout, metadata) as writer:
            writer.append("images", torch.zeros(count, 1, 2, 2, dtype=torch.uint8))
            writer.append("labels", torch.zeros(count, dtype=torch.int64))
            writer.append("image_ids", torch.arange(count))
            writer.append("evaluation_rank", torch.arange(count))
            if concepts is not None:
                writer.append("concepts", concepts)
            if known is not None:
                writer.append("concepts_known", known)
        return path

    return write
