"""Small data to train on."""

import pytest
import torch

from sparsight.training.loop import TrainingData


@pytest.fixture
def data() -> TrainingData:
    """96 images of four classes, told apart by the quarter that is bright."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(96) % 4
    images = torch.zeros(96, 1, 28, 28, dtype=torch.uint8)
    for index, label in enumerate(labels):
        row, column = divmod(int(label), 2)
        part = torch.randint(100, 256, (10, 10), dtype=torch.uint8, generator=draw)
        images[index, 0, 2 + 14 * row : 12 + 14 * row, 2 + 14 * column : 12 + 14 * column] = part
    return TrainingData(images, labels, 51)
