"""The linear system of ROAD's imputation on pixels, and its like on coarser grids.

Every removed pixel is the mean of its neighbours within the image, weighted 1/6 across an edge and
1/12 across a corner; at the border the weights of the neighbours that are left are scaled to sum to
one. Times twelve, with integer weights that rounding respects: A x = b with

    (A x)_p = s_p x_p - sum of w_pq x_q over removed q,   b_p = sum of w_pq I_q over known q,

w = 2 or 1 and s_p the sum of all w_pq within the image. A is symmetric and positive definite as
soon as one pixel is known: every group of removed pixels then has a known neighbour, because the
grid is connected.
"""

from typing import Protocol

import torch
from torch import Tensor

from sparsight.metrics.imputation.grids import CENTRE, OFFSETS, Grid


class Stencil(Protocol):
    """A symmetric matrix of 3x3 neighbourhoods, one for each problem of a batch.

    Attributes
    ----------
    grid : where it acts.
    diagonal : [B, 1, size], 0 for nodes that take no part.
    inverse : [B, 1, size], weights of a Jacobi step that always converges; 0 as `diagonal`.
    """

    grid: Grid
    diagonal: Tensor
    inverse: Tensor

    def less_applied(self, right: Tensor | None, values: Tensor) -> Tensor:
        """`right` - A `values`, [B, C, size]; without `right`, -A `values`."""
        ...

    def coupling(self, down: int, right: int) -> Tensor:
        """-A between each node and the neighbour so far from it, [B, 1, size]."""
        ...


# Diagonals of coarse matrices below this are rounding: a millionth of a removed pixel's 12, which
# interpolation makes smaller. Not of the largest on their own grid, where all may be rounding.
_LEAST = 12e-6


def _blank_margins(row: Tensor, grid: Grid) -> None:
    row[..., : grid.margin] = 0
    row[..., -grid.margin :] = 0


class PixelStencil:
    """The system itself. The stencil is [1 2 1] of columns times [1 2 1] of rows, but the centre.

    Parameters
    ----------
    unknown : [B, 1, size], 1 for removed pixels, otherwise 0.
    height, width : of the image.
    """

    def __init__(self, grid: Grid, unknown: Tensor, height: int, width: int) -> None:
        self.grid, self.unknown = grid, unknown
        # Fresh memory for every sum would cost a tenth of the time.
        self._scratch: Tensor | None = None
        inside = grid.spread(unknown.new_ones((1, 1, height, width)))
        # 16 inside the image, less at its border: the sum of the weights with the centre's 4.
        self._weights = self._smoothed(inside).clone()
        total = torch.zeros_like(inside)
        grid.shifted(total).copy_(self._weights - 4 * grid.shifted(inside))
        self.diagonal = total * unknown
        # A's eigenvalues relative to its diagonal are at most 4/3: a full Jacobi step converges.
        self.inverse = torch.where(self.diagonal > 0, 1 / self.diagonal, 0.0)

    def _smoothed(self, values: Tensor) -> Tensor:
        """[1 2 1] x [1 2 1] of `values` at each node, as `Grid.shifted`; until the next call."""
        if self._scratch is None or self._scratch.shape[1:] != values.shape:
            self._scratch = torch.empty(
                (2, *values.shape), dtype=values.dtype, device=values.device
            )
        first, second = self._scratch
        length = values.shape[-1]
        for step in (1, 1, self.grid.stride, self.grid.stride):
            length -= step
            torch.add(
                values[..., :length], values[..., step : length + step], out=first[..., :length]
            )
            values, first, second = first, second, first
        return values[..., :length]

    def less_applied(self, right: Tensor | None, values: Tensor) -> Tensor:
        """See `Stencil`."""
        grid = self.grid
        found = torch.empty_like(values)
        _blank_margins(found, grid)
        unknown, inner = grid.shifted(self.unknown), grid.shifted(found)
        negative = self._smoothed(values)
        negative.addcmul_(self._weights, grid.shifted(values), value=-1)
        if right is None:
            torch.mul(unknown, negative, out=inner)
        else:
            torch.addcmul(grid.shifted(right), unknown, negative, out=inner)
        return found

    def coupling(self, down: int, right: int) -> Tensor:
        """See `Stencil`."""
        found = torch.zeros_like(self.unknown)
        both = self.grid.shifted(self.unknown) * self.grid.shifted(self.unknown, down, right)
        self.grid.shifted(found).copy_(both * (1 if down and right else 2))
        return found


class CoarseStencil:
    """A matrix given by its numbers, as coarsening leaves it.

    Parameters
    ----------
    couplings : [B, 9, size], -A between each node and its neighbour at each of `OFFSETS`; rows of
        nodes that take no part are 0. Changed in place: rows and columns of nodes whose diagonal is
        rounding are set to 0 as well.
    """

    def __init__(self, grid: Grid, couplings: Tensor) -> None:
        self.grid, self._couplings = grid, _without_rounding(grid, couplings)
        self.diagonal = -couplings[:, CENTRE : CENTRE + 1]
        # By Gershgorin, the eigenvalues relative to this are below 1 / 0.55 < 2: whatever the
        # matrix, the Jacobi step converges and the cycle is a symmetric positive preconditioner.
        rows = couplings.abs().sum(dim=1, keepdim=True)
        self.inverse = torch.where(
            self.diagonal > 0, 1 / torch.maximum(self.diagonal, 0.55 * rows), 0.0
        )

    def less_applied(self, right: Tensor | None, values: Tensor) -> Tensor:
        """See `Stencil`."""
        grid = self.grid
        found = torch.zeros_like(values) if right is None else right.clone()
        inner = grid.shifted(found)
        for index, (down, across) in enumerate(OFFSETS):
            weights = grid.shifted(self._couplings[:, index : index + 1])
            inner.addcmul_(weights, grid.shifted(values, down, across))
        return found

    def coupling(self, down: int, right: int) -> Tensor:
        """See `Stencil`."""
        index = OFFSETS.index((down, right))
        return self._couplings[:, index : index + 1]


def _without_rounding(grid: Grid, couplings: Tensor) -> Tensor:
    """Take out nodes that no removed pixel feels but by rounding.

    Coarsening gives such a node a diagonal of some 1e-16, as good as 0 beside a pixel's of about
    ten; a Jacobi step would divide by it, and the next grid's weights be quotients of rounding.
    Coarse grids only precondition, so that a node less costs nothing but speed.
    """
    diagonal = -couplings[:, CENTRE : CENTRE + 1]
    alive = (diagonal > _LEAST).to(couplings.dtype)
    for index, (down, across) in enumerate(OFFSETS):
        one = grid.shifted(couplings[:, index : index + 1])
        one.mul_(grid.shifted(alive)).mul_(grid.shifted(alive, down, across))
    return couplings
