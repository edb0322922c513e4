"""Networks whose outputs can be worked out on paper, and one that cannot."""

import pytest
import torch
from torch import nn


class Linear(nn.Module):
    """Logits w·x of each class, for weights [K, C, H, W]; counts the images of each pass."""

    def __init__(self, weights, offsets=0.0):
        super().__init__()
        self.weights, self.offsets, self.passes = weights, offsets, []

    def forward(self, images):
        self.passes.append(len(images))
        return torch.einsum("nchw,kchw->nk", images, self.weights) + self.offsets


@pytest.fixture
def linear():
    """The class of networks that are linear in the pixels."""
    return Linear


@pytest.fixture
def network():
    """A small convolutional network for colour images of 12x12, five classes."""
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 100, 5)]
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture
def batch():
    """Images, targets and maps of six colour images of 12x12: patches of colour, and some noise."""
    generator = torch.Generator().manual_seed(4)
    patches = torch.rand((6, 3, 3, 3), generator=generator)
    noise = torch.rand((6, 3, 12, 12), generator=generator)
    images = 0.9 * patches.repeat_interleave(4, 2).repeat_interleave(4, 3) + 0.1 * noise
    targets = torch.tensor([0, 1, 2, 3, 4, 0])
    maps = torch.randn((6, 12, 12), generator=generator)
    return images, targets, maps
