"""Conjugate gradients with one multigrid cycle as preconditioner, for a batch of problems."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsight.metrics.imputation.grids import Grid
from sparsight.metrics.imputation.pixel_coarsening import coarsened_pixels
from sparsight.metrics.imputation.stencils import PixelStencil, Stencil
from sparsight.metrics.imputation.transfers import (
    Transfer,
    bilinear,
    galerkin,
    operator_dependent,
)

# Grids of at most this many nodes are solved with a dense inverse.
_DENSE = 64
# Iterations on the first coarse grid, which give the start on the pixels.
_START = 3
# The error falls by about ten an iteration, in the worst cases that we found by four.
_LIMIT = 60


@dataclass(frozen=True)
class Level:
    """One grid, and the way to the next.

    Attributes
    ----------
    stencil : the matrix here.
    transfer : to the next coarser level; None on the coarsest.
    dense : [B, n, n] inverse on the coarsest grid, None elsewhere.
    """

    stencil: Stencil
    transfer: Transfer | None
    dense: Tensor | None


def hierarchy(removed: Tensor) -> list[Level]:
    """The grids of problems, from the pixels to at most `_DENSE` nodes; at least two.

    Parameters
    ----------
    removed : floating point [B, H, W], 1 for removed pixels, else 0; all levels are of its dtype.

    On the pixels, interpolation is bilinear: it reaches every removed pixel, however scattered they
    are. Below, it follows the matrix: large holes need values that fall towards their rims. Either
    alone converges several times slower on one kind of mask.
    """
    height, width = removed.shape[-2:]
    grid = Grid.holding(height, width)
    unknown = grid.spread(removed[:, None])
    pixels, transfer = PixelStencil(grid, unknown, height, width), bilinear(grid, unknown)
    levels = [Level(pixels, transfer, None)]
    stencil: Stencil = coarsened_pixels(pixels, transfer)
    while stencil.grid.height * stencil.grid.width > _DENSE:
        transfer = operator_dependent(stencil)
        levels.append(Level(stencil, transfer, None))
        stencil = galerkin(stencil, transfer)
    return [*levels, Level(stencil, None, _dense_inverse(stencil))]


def _dense_inverse(stencil: Stencil) -> Tensor:
    grid, diagonal = stencil.grid, stencil.diagonal
    nodes = grid.height * grid.width
    units = torch.eye(nodes, dtype=diagonal.dtype, device=diagonal.device)
    columns = grid.spread(units.view(1, nodes, grid.height, grid.width))
    applied = -stencil.less_applied(None, columns.expand(len(diagonal), -1, -1).contiguous())
    matrix = grid.plane(applied)[..., 1:-1, 1:-1].flatten(-2).double()
    # Nodes that take no part, and combinations of nodes that no pixel feels, get something to
    # divide by; to the others a ten-thousandth makes little difference.
    inner = grid.plane(diagonal)[:, 0, 1:-1, 1:-1].flatten(-2).double()
    matrix = matrix + torch.diag_embed(torch.where(inner > 0, 1e-4 * inner, 1.0))
    inverse: Tensor = torch.linalg.inv_ex(matrix).inverse * (inner > 0)[:, None]
    return inverse.to(diagonal.dtype)


def cycle(levels: list[Level], right: Tensor) -> Tensor:
    """One V-cycle from zero: nearly A⁻¹ `right`, [B, C, size]. Symmetric and positive definite."""
    stencil, transfer = levels[0].stencil, levels[0].transfer
    if transfer is None:
        return _solved_densely(levels[0], right)
    values = stencil.inverse * right
    left_over = transfer.restricted(stencil.less_applied(right, values))
    transfer.add_interpolated(values, cycle(levels[1:], left_over))
    return values.addcmul_(stencil.inverse, stencil.less_applied(right, values))


def _solved_densely(level: Level, right: Tensor) -> Tensor:
    assert level.dense is not None
    grid = level.stencil.grid
    inner = grid.plane(right)[..., 1:-1, 1:-1].flatten(-2)
    found = torch.matmul(inner, level.dense.mT)
    return grid.spread(found.unflatten(-1, (grid.height, grid.width)))


def start(levels: list[Level], right: Tensor) -> Tensor:
    """A first guess [B, C, size] on the pixels: the coarse problem's solution, interpolated."""
    transfer = levels[0].transfer
    assert transfer is not None
    coarse = transfer.restricted(right)
    guess = torch.zeros_like(right)
    transfer.add_interpolated(
        guess, solve(levels[1:], coarse, torch.zeros_like(coarse), None, _START)
    )
    return guess


def solve(
    levels: list[Level],
    right: Tensor,
    values: Tensor,
    tolerance: Tensor | None,
    limit: int = _LIMIT,
) -> Tensor:
    """Improve `values`, in place, until the error is below the tolerance.

    What a cycle makes of the residual is nearly the error itself: that is what is measured, before
    the step that takes most of it away. Channels and problems are independent; one that is done
    does not change while others go on.

    Parameters
    ----------
    right, values : [B, C, size].
    tolerance : [B, C, 1], 2-norm of the error that is small enough; None to make `limit` steps.

    Raises
    ------
    ArithmeticError
        Where `limit` steps are not enough.
    """
    stencil = levels[0].stencil
    residual = stencil.less_applied(right, values)
    going = torch.ones_like(right[..., :1])
    direction, before = torch.zeros_like(right), going
    for step in range(limit):
        correction = cycle(levels, residual)
        if tolerance is not None:
            # The cycle alone takes most of the error away; for the others it is a direction.
            near = going * (_dot(correction, correction).sqrt() <= tolerance)
            values.addcmul_(near, correction)
            going = going - near
            if not bool(going.any()):
                return values
        product = _dot(residual, correction)
        direction = correction.addcmul_(product / before, direction) if step else correction
        applied = stencil.less_applied(None, direction)
        curvature = -_dot(direction, applied)
        length = torch.where(curvature > 0, product / curvature, 0.0) * going
        values.addcmul_(length, direction)
        residual.addcmul_(length, applied)
        before = torch.where(product > 0, product, 1.0)
    if tolerance is not None:
        raise ArithmeticError(f"the imputation did not converge in {limit} iterations")
    return values


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Of [B, C, size] each, [B, C, 1]."""
    return torch.matmul(a[..., None, :], b[..., :, None])[..., 0]
