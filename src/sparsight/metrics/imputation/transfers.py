"""Between a grid and the next coarser one, whose nodes are those in even rows and even columns.

Kinds of nodes are named by row and column: `even_odd` lies in an even row between two coarse nodes,
`odd_odd` in the middle of four. A node is interpolated from the coarse nodes around it; restriction
is the transpose, and the coarse matrix the Galerkin product, so that the coarse solution is the
best of all interpolated corrections in the norm of A.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.metrics.imputation.grids import OFFSETS, Grid
from sparsight.metrics.imputation.stencils import CoarseStencil, Stencil

_EVEN, _ODD, _NEXT = slice(1, -1, 2), slice(2, None, 2), slice(3, None, 2)
# Denominators below this share of the diagonal are rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Transfer:
    """Interpolation weights; each [B, 1, h, w] belongs to one kind of node and one coarse node.

    Attributes
    ----------
    fine, coarse : the grids; `coarse` holds h x w nodes, at least half of `fine` each way.
    even_even : weight of the coarse node at the very place.
    left, right : of the coarse nodes beside `even_odd`.
    above, below : of those over and under `odd_even`.
    corners : of those above left, above right, below left and below right of `odd_odd`.
    """

    fine: Grid
    coarse: Grid
    even_even: Tensor
    left: Tensor
    right: Tensor
    above: Tensor
    below: Tensor
    corners: tuple[Tensor, Tensor, Tensor, Tensor]

    def add_interpolated(self, values: Tensor, coarse_values: Tensor) -> None:
        """Add to `values` [B, C, fine size] what interpolates `coarse_values` [B, C, coarse size].

        In place.
        """
        fine, coarse = self.fine.plane(values), self.coarse.plane(coarse_values)
        height, width = self.even_even.shape[-2:]
        near = coarse[..., 1 : height + 1, 1 : width + 1]
        right = coarse[..., 1 : height + 1, 2 : width + 2]
        below = coarse[..., 2 : height + 2, 1 : width + 1]
        across = coarse[..., 2 : height + 2, 2 : width + 2]
        fine[..., _EVEN, _EVEN] += self.even_even * near
        fine[..., _EVEN, _ODD] += (self.left * near).addcmul_(self.right, right)
        fine[..., _ODD, _EVEN] += (self.above * near).addcmul_(self.below, below)
        middle = self.corners[0] * near
        for weight, part in zip(self.corners[1:], (right, below, across), strict=True):
            middle.addcmul_(weight, part)
        fine[..., _ODD, _ODD] += middle

    def restricted(self, values: Tensor) -> Tensor:
        """The transpose of the interpolation, [B, C, coarse size] of `values` [B, C, fine size]."""
        fine = self.fine.plane(values)
        even_odd = fine[..., _EVEN, _ODD].contiguous()
        odd_even = fine[..., _ODD, _EVEN].contiguous()
        odd_odd = fine[..., _ODD, _ODD].contiguous()
        height, width = self.even_even.shape[-2:]
        found = values.new_zeros((*values.shape[:-1], self.coarse.size))
        coarse = self.coarse.plane(found)
        near = self.even_even * fine[..., _EVEN, _EVEN]
        near.addcmul_(self.left, even_odd).addcmul_(self.above, odd_even)
        near.addcmul_(self.corners[0], odd_odd)
        coarse[..., 1 : height + 1, 1 : width + 1] = near
        # Weights of coarse nodes that do not exist are 0, so the ring stays 0.
        coarse[..., 1 : height + 1, 2 : width + 2] += (self.right * even_odd).addcmul_(
            self.corners[1], odd_odd
        )
        coarse[..., 2 : height + 2, 1 : width + 1] += (self.below * odd_even).addcmul_(
            self.corners[2], odd_odd
        )
        coarse[..., 2 : height + 2, 2 : width + 2].addcmul_(self.corners[3], odd_odd)
        return found


def _coarse_grid(fine: Grid) -> Grid:
    return Grid.holding(fine.height // 2, fine.width // 2)


def bilinear(fine: Grid, unknown: Tensor) -> Transfer:
    """Interpolation to the removed pixels, blind to which coarse nodes stand on known ones.

    The weights of a pixel sum to one (beyond the border, the last node stands for the missing one),
    so constants are interpolated exactly. Coarse nodes on known pixels stay free, which lets a
    cluster of removed pixels among known ones be corrected wherever it lies.

    Parameters
    ----------
    unknown : [B, 1, size] on `fine`, 1 for removed pixels, otherwise 0.
    """
    plane = fine.plane(unknown)
    # share of the coarse node on the near side (left, above), 1 where there is no other
    column = unknown.new_full((fine.width // 2,), 0.5)
    row = unknown.new_full((fine.height // 2, 1), 0.5)
    column[-1], row[-1] = 1, 1
    even_odd, odd_even = plane[..., _EVEN, _ODD], plane[..., _ODD, _EVEN]
    odd_odd = plane[..., _ODD, _ODD]
    shares = (row * column, row * (1 - column), (1 - row) * column, (1 - row) * (1 - column))
    above_left, above_right, below_left, below_right = (odd_odd * share for share in shares)
    return Transfer(
        fine,
        _coarse_grid(fine),
        plane[..., _EVEN, _EVEN].contiguous(),
        even_odd * column,
        even_odd * (1 - column),
        odd_even * row,
        odd_even * (1 - row),
        (above_left, above_right, below_left, below_right),
    )


def operator_dependent(stencil: Stencil) -> Transfer:
    """Interpolation that nearly solves the system between coarse nodes.

    Between two nodes, couplings across are added to the diagonal; in the middle of four, the
    equation is solved for its node, the others interpolated: Dendy, Black box multigrid, J. Comput.
    Phys. 48 (1982), doi:10.1016/0021-9991(82)90057-2. Values fall towards known pixels, whose
    effect the coarse matrix carries in its diagonal.
    """
    grid = stencil.grid
    diagonal = grid.plane(stencil.diagonal)
    part = {offset: grid.plane(stencil.coupling(*offset)) for offset in OFFSETS if any(offset)}
    alive = (diagonal > 0).to(diagonal.dtype)

    def ratio(numerator: Tensor, denominator: Tensor, own: Tensor) -> Tensor:
        return torch.where(denominator > _ROUNDING * own, numerator / denominator, 0.0)

    def share(place: tuple[slice, slice], down: int, right: int) -> Tensor:
        """Weight of the coarse node on that side of nodes between two of them."""
        one, middle, other = (
            part[down or turn, right or turn] if turn else part[down, right] for turn in (-1, 0, 1)
        )
        before, after = (part[turn * abs(right), turn * abs(down)] for turn in (-1, 1))
        own = diagonal[..., *place]
        across = before[..., *place] + after[..., *place]
        return ratio((one + middle + other)[..., *place], own - across, own)

    level, upright = (_EVEN, _ODD), (_ODD, _EVEN)
    left = share(level, 0, -1) * alive[..., _EVEN, _EVEN]
    right = share(level, 0, 1) * alive[..., _EVEN, _NEXT]
    above = share(upright, -1, 0) * alive[..., _EVEN, _EVEN]
    below = share(upright, 1, 0) * alive[..., _NEXT, _EVEN]

    def corner(down: int, across: int) -> Tensor:
        place = (_ODD, _ODD)
        # The edge node above the middle is `left`/`right`'s own; the one below is the next row's.
        level_weight = left if across < 0 else right
        upright_weight = above if down < 0 else below
        if down > 0:
            level_weight = functional.pad(level_weight, (0, 0, 0, 1))[..., 1:, :]
        if across > 0:
            upright_weight = functional.pad(upright_weight, (0, 1))[..., 1:]
        rows, columns = _EVEN if down < 0 else _NEXT, _EVEN if across < 0 else _NEXT
        total = part[down, across][..., *place] * alive[..., rows, columns]
        total = total + part[down, 0][..., *place] * level_weight
        total = total + part[0, across][..., *place] * upright_weight
        own = diagonal[..., *place]
        return ratio(total, own, own)

    return Transfer(
        grid,
        _coarse_grid(grid),
        alive[..., _EVEN, _EVEN].contiguous(),
        left,
        right,
        above,
        below,
        (corner(-1, -1), corner(-1, 1), corner(1, -1), corner(1, 1)),
    )


def galerkin(stencil: Stencil, transfer: Transfer) -> CoarseStencil:
    """The matrix on the coarse grid, read off its action on nine patterns of ones.

    Each pattern has one node in every 3x3 neighbourhood, so no two of its nodes share a neighbour,
    and what arrives at a node comes from the one that is next to it.
    """
    coarse, diagonal = transfer.coarse, stencil.diagonal
    rows = torch.arange(coarse.height + 2, device=diagonal.device)[:, None]
    columns = torch.arange(coarse.width + 2, device=diagonal.device)
    pattern = ((rows % 3) * 3 + columns % 3).flatten()
    probes = functional.one_hot(pattern, 9).T.to(diagonal.dtype)
    values = diagonal.new_zeros((len(diagonal), 9, transfer.fine.size))
    transfer.add_interpolated(values, probes[None])
    responses = transfer.restricted(stencil.less_applied(None, values))
    wanted = torch.stack(
        [(((rows + down) % 3) * 3 + (columns + across) % 3).flatten() for down, across in OFFSETS]
    )
    return CoarseStencil(coarse, responses.gather(1, wanted.expand_as(responses)))
