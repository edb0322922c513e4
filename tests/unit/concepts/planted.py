"""Networks and packed images whose concepts are known, for the tests of concept methods."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.concepts.base import StudiedNetwork
from sparsight.concepts.cav import Labelled
from sparsight.concepts.features import Features, extract_features
from sparsight.data.packed import PackedSplit, load_training_split
from sparsight.data.packing import pack
from sparsight.data.sources.shapes import Shapes
from sparsight.io.arrays import write_arrays
from sparsight.models.base import Architecture

NOWHERE = Path("nowhere")


class ColourNetwork(Architecture):
    """Features are the red, green and blue of each pixel; logits weigh their means."""

    name: ClassVar[str] = "colours"
    reference: ClassVar[str] = "made for tests"
    input_shape: ClassVar[tuple[int, int, int]] = (3, 0, 0)
    feature_cut: ClassVar[str] = "relu"

    def __init__(self, weights: Sequence[Sequence[float]]) -> None:
        super().__init__(len(weights))
        self.colours = nn.Conv2d(3, 3, 1, bias=False)
        self.colours.weight.data = torch.eye(3)[:, :, None, None]
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(3, len(weights), bias=False)
        self.classifier.weight.data = torch.tensor(weights)
        self.eval().requires_grad_(False)

    def feature_maps(self, images: Tensor) -> Tensor:
        return self.relu(self.colours(images))

    def class_logits(self, maps: Tensor) -> Tensor:
        return self.classifier(maps.mean(dim=(2, 3)))


class SmallNetwork(Architecture):
    """Three convolutions, the maps of 16x16 pixels of an image of 32x32, and a linear layer."""

    name: ClassVar[str] = "small"
    reference: ClassVar[str] = "made for tests"
    input_shape: ClassVar[tuple[int, int, int]] = (3, 0, 0)
    feature_cut: ClassVar[str] = "relu3"

    def __init__(self, class_count: int) -> None:
        super().__init__(class_count)
        self.conv1, self.bn1, self.relu1 = nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.conv2, self.bn2, self.relu2 = nn.Conv2d(16, 24, 3, 1, 1), nn.BatchNorm2d(24), nn.ReLU()
        self.conv3, self.bn3, self.relu3 = nn.Conv2d(24, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU()
        self.classifier = nn.Linear(32, class_count)

    def feature_maps(self, images: Tensor) -> Tensor:
        hidden = self.pool(self.relu1(self.bn1(self.conv1(images))))
        hidden = self.relu2(self.bn2(self.conv2(hidden)))
        return self.relu3(self.bn3(self.conv3(hidden)))

    def class_logits(self, maps: Tensor) -> Tensor:
        return self.classifier(maps.mean(dim=(2, 3)))


def write_split(
    path: Path,
    images: Tensor,
    labels: Sequence[int],
    classes: Sequence[str],
    masks: Tensor | None = None,
    parts: Mapping[str, Tensor] | None = None,
) -> Path:
    """A packed split of uint8 images [N, C, H, W] and masks, and parts, [N, H, W] of 0 and 1."""
    arrays = {
        "images": images,
        "labels": torch.tensor(labels),
        "image_ids": torch.arange(len(images)) * 7 + 3,
        "evaluation_rank": torch.arange(len(images)),
    }
    metadata = {
        "dataset": "planted",
        "split": path.stem,
        "classes": json.dumps(list(classes)),
        "has_masks": "false" if masks is None else "true",
        "data_hash": "abc",
        "noise_maximum": "0",
    }
    if masks is not None:
        arrays["masks"] = (masks * 255).to(torch.uint8)
    if parts:
        arrays["part_masks"] = (torch.stack(list(parts.values()), dim=1) * 255).to(torch.uint8)
        metadata["part_names"] = json.dumps(list(parts))
    write_arrays(path, arrays, metadata)
    return path


def pack_shapes(folder: Path, train: int, test: int, **more: Any) -> dict[str, Path]:
    """The generated data set at 32 pixels, packed; paths by split."""
    settings: dict[str, Any] = {"size": 32, "split": {"train": train, "test": test}, **more}
    pack(Shapes(), {**settings, "noise": {"maximum": 0}}, NOWHERE, folder)
    return {split: folder / f"{split}.safetensors" for split in ("train", "test")}


def checkpoint_of(
    network: Architecture,
    splits: Mapping[str, Path],
    folder: Path,
    seed: int = 0,
    batch_size: int = 32,
    images: int = 100,
) -> StudiedNetwork:
    """What a job gives to a method; the features lie in `folder`."""
    path, device = folder / f"features{seed}.safetensors", torch.device("cpu")
    extract_features(network, splits, None, path, batch_size, device)
    return StudiedNetwork(network, Features(path), splits, splits, seed, batch_size, images, device)


def train_small(path: Path, seed: int = 0, epochs: int = 12) -> SmallNetwork:
    """A small network trained on a packed split, in some ten seconds."""
    images, labels = load_training_split(path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallNetwork(int(labels.max()) + 1)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(epochs):
            for rows in torch.randperm(len(labels)).split(64):
                logits = network(images[rows].float() / 255)
                loss = functional.cross_entropy(logits, labels[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return network.eval().requires_grad_(False)


def accuracy(network: Architecture, path: Path) -> float:
    """On the clean images of a packed split."""
    with PackedSplit.open(path) as split:
        batch = split.rows(0, len(split))
    return float((network(batch.images("clean")).argmax(dim=1) == batch.labels).float().mean())


def two_kinds(count: int, seed: int, noise: float = 0.1) -> Labelled:
    """A structure that is absent in one image of six, of one kind in two, of the other in three.

    Channel 0 is higher with either kind, by 1 and by 3; the other channels are noise. An image of
    one kind is no example of the other. Who takes it for a negative one learns that channel 0
    speaks against the first kind.
    """
    draw = torch.Generator().manual_seed(seed)
    kind = torch.tensor([0, 1, 1, 2, 2, 2]).repeat(count // 6 + 1)[:count]
    pooled = noise * torch.randn(count, 4, generator=draw)
    pooled[:, 0] += torch.tensor([0.0, 1.0, 3.0])[kind]
    shown = torch.stack([kind == 1, kind == 2], dim=1)
    return Labelled(pooled, shown, torch.arange(count) + 100 * seed, ~shown.flip(1))


def mislabelled(images: Labelled) -> Labelled:
    """The same with all labels turned that are not known; nothing may depend on them."""
    return images._replace(shown=images.shown ^ ~images.known)


def believed(images: Labelled) -> Labelled:
    """The same, all labels taken for known."""
    return images._replace(known=torch.ones_like(images.known))
