"""Small networks, batches and packed files for the tests of explainers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sparsight.io.arrays import ArrayWriter
from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn

WritePacked = Callable[..., Path]


@pytest.fixture
def network() -> nn.Module:
    return build_network(ThesisCnn, 10, seed=1).eval().requires_grad_(False)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Seven images [7,1,28,28], their targets, and ids that are not their positions."""
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(7, 1, 28, 28, generator=generator)
    return images, torch.tensor([3, 0, 9, 3, 7, 1, 2]), torch.arange(7) * 11 + 100


@pytest.fixture
def write_packed() -> WritePacked:
    """Writes a packed split of random square images in chunks; the labels repeat 0 to 9."""

    def write(path: Path, count: int, side: int = 28) -> Path:
        layout = {
            "images": (torch.uint8, (count, 1, side, side)),
            "noise": (torch.uint8, (count, 1, side, side)),
            "labels": (torch.int64, (count,)),
            "image_ids": (torch.int64, (count,)),
            "evaluation_rank": (torch.int64, (count,)),
        }
        metadata = {
            "dataset": "synthetic",
            "split": "test",
            "classes": '["0","1","2","3","4","5","6","7","8","9"]',
            "has_masks": "false",
            "data_hash": "abc",
        }
        generator = torch.Generator().manual_seed(0)
        with ArrayWriter(path, layout, metadata) as writer:
            writer.append("labels", torch.arange(count) % 10)
            writer.append("image_ids", torch.arange(count) + 1000)
            writer.append("evaluation_rank", torch.randperm(count, generator=generator))
            for start in range(0, count, 500):
                shape = (min(500, count - start), 1, side, side)
                images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
                images[images < 100] = 0
                noise = torch.randint(0, 51, shape, generator=generator, dtype=torch.uint8)
                writer.append("images", images)
                writer.append("noise", noise)
        return path

    return write
