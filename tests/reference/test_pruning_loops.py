"""SNIP and SynFlow beside loops that follow the public code of their authors."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.models.base import build_network, prunable_parameters
from sparsight.models.resnet import ResNet18
from sparsight.pruning.masks import Step, dense_masks
from sparsight.pruning.observation import Calibration
from sparsight.pruning.registry import CRITERIA
from sparsight.pruning.selection import Rule

SIDE, COUNT, CLASSES = 32, 24, 5


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A small ResNet with random weights."""
    return build_network(ResNet18, CLASSES, 0, {"width": 8, "stem": "small"}).eval()


def images() -> tuple[Tensor, Tensor]:
    """Calibration images and labels."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (COUNT, 3, SIDE, SIDE), dtype=torch.uint8, generator=draw)
    return pixels, torch.arange(COUNT) % CLASSES


def ours(network: nn.Module, criterion: str, density: float) -> dict[str, Tensor]:
    """The masks of one round, and the network as it was."""
    before = copy.deepcopy(network.state_dict())
    found, _ = Rule(CRITERIA.load(criterion)()).select(
        network,
        dense_masks(network),
        Step(density=density),
        0,
        Calibration(*images(), COUNT),
        (3, SIDE, SIDE),
    )
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    return found


@pytest.mark.parametrize("density", [0.5, 0.05])
def test_snip_is_that_of_its_authors(network: nn.Module, density: float) -> None:
    # github.com/namhoonlee/snip-public: gradients of a multiplicative mask of ones, normalised
    other = copy.deepcopy(network).train()
    for module in other.modules():
        # what only predicts stays: dropout has no place in the scores
        if isinstance(module, nn.Dropout):
            module.eval()
    weights = prunable_parameters(other)
    masks = {name: torch.ones_like(value, requires_grad=True) for name, value in weights.items()}
    pixels, labels = images()
    masked = {**dict(other.named_parameters()), **{n: weights[n] * masks[n] for n in masks}}
    logits = torch.func.functional_call(other, masked, (pixels.float() / 255,))
    gradients = torch.autograd.grad(functional.cross_entropy(logits, labels), list(masks.values()))
    flat = torch.cat([gradient.abs().flatten() for gradient in gradients])
    flat /= flat.sum()
    total = len(flat)
    keep = -(-total * round(density * 100) // 100)
    threshold = flat.topk(keep).values[-1]
    found = torch.cat([mask.flatten() for mask in ours(network, "snip", density).values()])
    assert int(found.sum()) == keep
    # the products are rounded differently: weights next to the threshold may change places
    assert int((found != (flat >= threshold)).sum()) <= 4


def test_synflow_is_that_of_its_authors(network: nn.Module) -> None:
    # github.com/ganguli-lab/Synaptic-Flow: absolute state, an image of ones, 100 epochs
    other = copy.deepcopy(network).double().eval()
    for value in other.state_dict().values():
        if value.is_floating_point():
            value.abs_()
    weights = list(prunable_parameters(other).values())
    masks = [torch.ones_like(weight) for weight in weights]
    total = sum(mask.numel() for mask in masks)
    for epoch in range(1, 101):
        with torch.no_grad():
            for weight, mask in zip(weights, masks, strict=True):
                weight.mul_(mask)
        other.zero_grad()
        other(torch.ones(1, 3, SIDE, SIDE, dtype=torch.float64)).sum().backward()
        scores = [(weight.grad * weight).detach().abs() for weight in weights]  # type: ignore[operator]
        # ours keeps at least the density in the end, and takes the nearest number on the way
        keep = round(total * (-(-total * 2 // 100) / total) ** (epoch / 100))
        threshold = torch.cat([score.flatten() for score in scores]).topk(keep).values[-1]
        masks = [(score >= threshold).double() for score in scores]
    found = ours(network, "synflow", 0.02)
    for mask, theirs in zip(found.values(), masks, strict=True):
        assert torch.equal(mask, theirs.bool())
    assert all(mask.any() for mask in found.values())
