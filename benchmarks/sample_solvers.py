"""The fast solver of SPADE beside what it must do at least: factors, and products of their size."""

import os
import time

import torch
from sidebyside import Row, compare
from torch import Tensor

from sparsight.spade.registry import SOLVERS

#: columns and rows of ResNet-50's largest layer: 512 outputs of 512 channels, 3x3 pixels
COLUMNS, ROWS, BLOCK, SPARSITY = 4608, 512, 9, 0.95
SWEEP = 128


def rows() -> list[Row]:
    """One row in float64, the default, and one in float32; `SPADE_COLUMNS` makes them smaller."""
    torch.set_num_threads(1)
    columns = int(os.environ.get("SPADE_COLUMNS", COLUMNS))
    outputs = max(columns * ROWS // COLUMNS, 1)
    weights, hessian = layer(outputs, columns)
    count = torch.tensor([int(SPARSITY * outputs * columns)])
    found = []
    for double in (True, False):
        solver = SOLVERS.load("obs_fast")(double=double)
        given = hessian.to(torch.float64 if double else torch.float32)

        def ours(solver=solver, given=given) -> Tensor:
            return solver.solve(weights, given, count, BLOCK, None)

        def parts(given=given) -> Tensor:
            return necessary(weights[0].to(given.dtype), given[0])

        pruned = ours()
        assert int((pruned == 0).sum()) == int(count)
        found.append(
            compare(
                f"obs_fast, {columns}x{outputs}, {'float64' if double else 'float32'}",
                ours,
                parts,
                "Cholesky, inverse, Cholesky, one blocked sweep",
                "≥ 0.5",
                int(os.environ.get("SPADE_PAIRS", 3)),
                clock=time.process_time,
            )
        )
    return found


def layer(outputs: int, columns: int) -> tuple[Tensor, Tensor]:
    """Weights float32 [1, O, K] and a damped Hessian float64 [1, K, K] of smooth inputs."""
    draw = torch.Generator().manual_seed(0)
    weights = torch.randn((1, outputs, columns), generator=draw)
    # each input resembles its neighbours
    inputs = torch.randn((columns, 2 * columns), generator=draw).cumsum(dim=0)
    inputs -= torch.nn.functional.pad(inputs, (0, 0, 27, 0))[:columns]
    inputs = inputs.clamp_min(0)
    hessian = 1 / columns * inputs @ inputs.T
    hessian.diagonal().add_(0.01 * hessian.diagonal().mean())
    return weights, hessian.double()[None]


def necessary(weights: Tensor, hessian: Tensor) -> Tensor:
    """The linear algebra of the published form, without masks and without a loop over columns."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    upper = torch.linalg.cholesky(inverse, upper=True)
    weights = weights.clone()
    for start in range(0, weights.shape[1], SWEEP):
        end = start + SWEEP
        weights[:, end:] -= weights[:, start:end] @ upper[start:end, end:]
    return weights
