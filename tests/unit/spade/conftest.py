"""Layers whose inputs are correlated, as patches of images are."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

Problem = Callable[..., tuple[Tensor, Tensor]]


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
