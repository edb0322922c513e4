"""What the benchmarks of explainers and of metrics on colour images have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch, build_explainers, explain_batch
from sparsight.explain.network import frozen
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18

BATCH, SIDE, CLASSES, PAIRS = 16, 64, 10, 3
NETWORK = {"width": 16, "stem": "strided"}
Maps = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """What is explained: network, images float32 [N,3,H,W] and targets int64 [N]."""

    network: nn.Module
    images: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Pair:
    """Two ways to the same maps, and what says that they are the same."""

    name: str
    ours: Callable[[], Maps]
    theirs: Callable[[], Maps]
    library: str
    equal: Callable[[Tensor, Tensor], object]


def random_case() -> Case:
    """A network of random weights, whose batch normalisation does something, and smooth images."""
    network = build_network(ResNet18, CLASSES, 0, NETWORK).eval()
    draw = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name in ("running_mean", "bias"):
                getattr(module, name).data.normal_(0, 0.1, generator=draw)
    coarse = torch.rand((BATCH, 3, 8, 8), generator=draw)
    images = nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
    return Case(network, images, torch.randint(CLASSES, (BATCH,), generator=draw))


def own(case: Case, **entries: dict[str, Any]) -> Callable[[], Maps]:
    """Our raw maps; `entries` are methods and their parameters."""
    explainers = build_explainers(
        {method: {"method": method, "parameters": given} for method, given in entries.items()}
    )

    def explain() -> Maps:
        with frozen(case.network):
            return explain_batch(
                explainers, ImageBatch(case.network, case.images, case.targets, torch.arange(BATCH))
            )

    return explain


def close(atol: float, rtol: float = 0.0) -> Callable[[Tensor, Tensor], None]:
    """Equal within the tolerance, and not empty."""

    def check(found: Tensor, expected: Tensor) -> None:
        assert expected.abs().max() > 1e-3, "the maps are empty"
        torch.testing.assert_close(found, expected, atol=atol, rtol=rtol)

    return check
