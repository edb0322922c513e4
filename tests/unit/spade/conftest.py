"""Small networks and solvers whose answers are known; layers whose inputs are correlated."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.spade.solvers import SampleSolver

Problem = Callable[..., tuple[Tensor, Tensor]]


class Magnitude(SampleSolver):
    """The smallest weights fall; it also notes what it was given."""

    name: ClassVar[str] = "magnitude_here"
    reference: ClassVar[str] = "test"
    needs_hessian: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[tuple[int, ...], list[int], int]] = []

    def scores(self, weights: Tensor, hessians: Tensor | None, drawn: Tensor) -> Tensor:
        return weights.abs()

    def solve(
        self,
        weights: Tensor,
        hessians: Tensor | None,
        counts: Tensor,
        block: int,
        generators: Sequence[torch.Generator] | None,
    ) -> Tensor:
        self.calls.append((tuple(weights.shape), counts.tolist(), block))
        assert generators is not None
        assert len(generators) == len(weights)
        drawn = torch.stack([torch.rand(weights.shape[1:], generator=g) for g in generators])
        scores = self.scores(weights, hessians, drawn).masked_fill(weights == 0, -1).flatten(1)
        ranks = scores.argsort(dim=1, stable=True).argsort(dim=1)
        return weights.masked_fill((ranks < counts[:, None]).view_as(weights), 0)


class Diagonal(Magnitude):
    """Weights times the size of their inputs: it needs Hessians, and images differ."""

    name: ClassVar[str] = "diagonal_here"
    needs_hessian: ClassVar[bool] = True

    def scores(self, weights: Tensor, hessians: Tensor | None, drawn: Tensor) -> Tensor:
        assert hessians is not None
        assert hessians.shape == (len(weights), weights.shape[2], weights.shape[2])
        return weights.square() * hessians.diagonal(dim1=1, dim2=2)[:, None, :].float()


class Chance(Magnitude):
    """Random weights fall."""

    name: ClassVar[str] = "chance_here"

    def scores(self, weights: Tensor, hessians: Tensor | None, drawn: Tensor) -> Tensor:
        return drawn


class Depthwise(nn.Module):
    """Every kind of convolution: depthwise, grouped, strided, dilated, padded, and with tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False)
        self.pointwise = nn.Conv2d(8, 12, 1)
        self.grouped = nn.Conv2d(12, 8, (3, 1), (2, 1), (0, 1), (2, 1), groups=4)
        self.strided = nn.Conv2d(8, 6, 1, 2, 1)
        self.same = nn.Conv2d(6, 6, (2, 3), padding="same", padding_mode="reflect", groups=2)
        self.tokens = nn.Linear(6, 5)
        self.last = nn.Linear(5, 4)
        self.unused = nn.Conv2d(8, 8, 1)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.depthwise(torch.relu(self.stem(images))))
        hidden = torch.relu(self.grouped(torch.relu(self.pointwise(hidden))))
        hidden = torch.relu(self.same(torch.relu(self.strided(hidden))))
        tokens = torch.relu(self.tokens(hidden.flatten(2).transpose(1, 2)))
        return self.last(tokens.mean(1))


@pytest.fixture
def magnitude() -> Magnitude:
    return Magnitude()


@pytest.fixture
def diagonal() -> Diagonal:
    return Diagonal()


@pytest.fixture
def chance() -> Chance:
    return Chance()


def _disturbed(network: nn.Module) -> nn.Module:
    """Normalisation layers as after training: their means and scales are not 0 and 1."""
    draw = torch.Generator().manual_seed(7)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=draw) / 10)
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=draw))
    return network


@pytest.fixture
def thesis() -> nn.Module:
    return build_network(ThesisCnn, 10, seed=1)


@pytest.fixture
def residual() -> nn.Module:
    return _disturbed(build_network(ResNet18, 4, seed=2, options={"width": 8, "stem": "small"}))


@pytest.fixture
def depthwise() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Depthwise()


@pytest.fixture
def pictures() -> Callable[..., tuple[Tensor, Tensor]]:
    """Makes images, and ids that are not their places."""

    def make(count: int, channels: int = 3, side: int = 32) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(11)
        images = torch.rand(count, channels, side, side, generator=draw)
        # bright in different places, so that images differ in more than noise
        for place in range(count):
            images[place, place % channels, : side // 2] *= 0.2
        return images, torch.arange(count) * 13 + 5

    return make


def correlated(
    images: int, rows: int, columns: int, seed: int = 0, inputs: int | None = None
) -> tuple[Tensor, Tensor]:
    """Weights float32 [B, O, K], and Hessians float64 [B, K, K] of `inputs` correlated inputs.

    With fewer inputs than columns, the Hessians are singular.
    """
    draw = torch.Generator().manual_seed(seed)
    weights = torch.randn((images, rows, columns), generator=draw)
    number = 4 * columns if inputs is None else inputs
    mixing = torch.randn((images, columns, columns), generator=draw, dtype=torch.float64)
    mixing /= torch.arange(1, columns + 1).sqrt()
    x = mixing @ torch.randn((images, columns, number), generator=draw, dtype=torch.float64)
    return weights, 2 / number * x @ x.mT


@pytest.fixture(scope="session")
def problem() -> Problem:
    """Makes weights and Hessians."""
    return correlated
