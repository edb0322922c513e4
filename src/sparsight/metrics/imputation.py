"""ROAD's noisy linear imputation (Rong et al. 2022, arXiv:2202.00449), for a batch of images.

Every removed pixel is the mean of its neighbours within the image, weighted 1/6 across an edge and
1/12 across a corner; at the border the weights of the neighbours that are left are scaled to sum to
one. Times twelve, with integer weights that rounding respects: A x = b with

    (A x)_p = s_p x_p - sum of w_pq x_q over removed q,   b_p = sum of w_pq I_q over known q,

w = 2 or 1 and s_p the sum of all w_pq within the image, as in the authors' code. A is symmetric and
positive definite as soon as one pixel is known: every group of removed pixels then has a known
neighbour, because the grid is connected.

The system is solved by conjugate gradients with one multigrid cycle as preconditioner. The nodes of
a coarser grid are those of the finer one in even rows and even columns; the others are interpolated
from the coarse nodes around them. Restriction is the transpose, and the coarse matrix the Galerkin
product, so that the coarse solution is the best of all interpolated corrections in the norm of A.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.io.errors import InputError

#: (rows, columns) from a pixel to each pixel of its 3x3 neighbourhood, itself in the middle
OFFSETS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
CENTRE = OFFSETS.index((0, 0))


@dataclass(frozen=True)
class Grid:
    """A plane of `height` x `width` nodes within a ring of zeros, stored as one row of `size`.

    With the ring, a shift of the whole row by one number reaches the same neighbour of every node:
    stencils are sums of shifted contiguous memory. Both sides are even, so that the four kinds of
    nodes (even or odd row, even or odd column) are equally many; where the image's side is odd, the
    last row or column holds nodes that take no part.
    """

    height: int
    width: int

    @classmethod
    def holding(cls, height: int, width: int) -> "Grid":
        """The smallest grid for a plane of this size."""
        return cls(height + height % 2, width + width % 2)

    @property
    def stride(self) -> int:
        """Numbers from a node to the one below it."""
        return self.width + 2

    @property
    def size(self) -> int:
        """Numbers of a plane, the ring included."""
        return (self.height + 2) * self.stride

    @property
    def margin(self) -> int:
        """Numbers before the first node, and after the last."""
        return self.stride + 1

    def plane(self, row: Tensor) -> Tensor:
        """The same memory [..., size] as [..., height + 2, width + 2]."""
        found: Tensor = row.unflatten(-1, (self.height + 2, self.stride))
        return found

    def shifted(self, row: Tensor, down: int = 0, right: int = 0) -> Tensor:
        """Of every number from the first node to the last, the one so far from it.

        [..., size - 2 margin], of the same memory; between the rows of nodes lie numbers of the
        ring, for which the result is of no use.
        """
        step = down * self.stride + right
        return row[..., self.margin + step : row.shape[-1] - self.margin + step]

    def spread(self, planes: Tensor) -> Tensor:
        """Lay out [..., h, w], at most the grid's own size, as [..., size] with zeros around."""
        row = planes.new_zeros((*planes.shape[:-2], self.size))
        self.plane(row)[..., 1 : planes.shape[-2] + 1, 1 : planes.shape[-1] + 1] = planes
        return row


# Diagonals of coarse matrices below this are rounding: a millionth of a removed pixel's 12, which
# interpolation makes smaller. Not of the largest on their own grid, where all may be rounding.
_LEAST = 12e-6


class PixelStencil:
    """The system itself. The stencil is [1 2 1] of columns times [1 2 1] of rows, but the centre.

    Parameters
    ----------
    grid : where it acts.
    unknown : [B, 1, size], 1 for removed pixels, otherwise 0.
    height, width : of the image.

    Attributes
    ----------
    diagonal : [B, 1, size], 0 for nodes that take no part.
    inverse : [B, 1, size], weights of a Jacobi step that always converges; 0 as `diagonal`.
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
        """`right` - A `values`, [B, C, size]; without `right`, -A `values`."""
        grid = self.grid
        found = torch.empty_like(values)
        found[..., : grid.margin] = 0
        found[..., -grid.margin :] = 0
        unknown, inner = grid.shifted(self.unknown), grid.shifted(found)
        negative = self._smoothed(values)
        negative.addcmul_(self._weights, grid.shifted(values), value=-1)
        if right is None:
            torch.mul(unknown, negative, out=inner)
        else:
            torch.addcmul(grid.shifted(right), unknown, negative, out=inner)
        return found


class CoarseStencil:
    """A matrix given by its numbers, as coarsening leaves it; otherwise like `PixelStencil`.

    Nodes that no removed pixel feels but by rounding are taken out: coarsening gives such a node a
    diagonal of some 1e-16, by which a Jacobi step would divide, and the next grid's weights would
    be quotients of rounding. Coarse grids only precondition: a node less costs nothing but speed.

    Parameters
    ----------
    couplings : [B, 9, size], -A between each node and its neighbour at each of `OFFSETS`; rows of
        nodes that take no part are 0. Changed in place.
    """

    def __init__(self, grid: Grid, couplings: Tensor) -> None:
        self.grid, self._couplings = grid, couplings
        alive = (-couplings[:, CENTRE : CENTRE + 1] > _LEAST).to(couplings.dtype)
        for index, (down, across) in enumerate(OFFSETS):
            one = grid.shifted(couplings[:, index : index + 1])
            one.mul_(grid.shifted(alive)).mul_(grid.shifted(alive, down, across))
        self.diagonal = -couplings[:, CENTRE : CENTRE + 1]
        # By Gershgorin, the eigenvalues relative to this are below 1 / 0.55 < 2: whatever the
        # matrix, the Jacobi step converges and the cycle is a symmetric positive preconditioner.
        rows = couplings.abs().sum(dim=1, keepdim=True)
        self.inverse = torch.where(
            self.diagonal > 0, 1 / torch.maximum(self.diagonal, 0.55 * rows), 0.0
        )

    def less_applied(self, right: Tensor | None, values: Tensor) -> Tensor:
        """`right` - A `values`, [B, C, size]; without `right`, -A `values`."""
        grid = self.grid
        found = torch.zeros_like(values) if right is None else right.clone()
        inner = grid.shifted(found)
        for index, (down, across) in enumerate(OFFSETS):
            weights = grid.shifted(self._couplings[:, index : index + 1])
            inner.addcmul_(weights, grid.shifted(values, down, across))
        return found

    def coupling(self, down: int, right: int) -> Tensor:
        """-A between each node and the neighbour so far from it, [B, 1, size]."""
        index = OFFSETS.index((down, right))
        return self._couplings[:, index : index + 1]


Stencil = PixelStencil | CoarseStencil

# Kinds of nodes are named by row and column: `even_odd` lies in an even row between two coarse
# nodes, `odd_odd` in the middle of four.
_EVEN, _ODD, _NEXT = slice(1, -1, 2), slice(2, None, 2), slice(3, None, 2)
# Denominators below this share of the diagonal are rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Transfer:
    """Interpolation weights; each [B, 1, h, w] belongs to one kind of node and one coarse node.

    Attributes
    ----------
    fine : the finer grid; `coarse` holds h x w nodes, at least half of it each way.
    even_even : weight of the coarse node at the very place.
    left, right : of the coarse nodes next to `even_odd`.
    above, below : of those over and under `odd_even`.
    corners : of those above left, above right, below left and below right of `odd_odd`.
    """

    fine: Grid
    even_even: Tensor
    left: Tensor
    right: Tensor
    above: Tensor
    below: Tensor
    corners: tuple[Tensor, ...]

    @property
    def coarse(self) -> Grid:
        """The coarser grid."""
        return Grid.holding(self.fine.height // 2, self.fine.width // 2)

    def add_interpolated(self, values: Tensor, coarse_values: Tensor) -> None:
        """Add to `values` [B, C, fine size], in place, what interpolates [B, C, coarse size]."""
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
        even_odd, odd_even, odd_odd = (
            fine[..., rows, columns].contiguous()
            for rows, columns in ((_EVEN, _ODD), (_ODD, _EVEN), (_ODD, _ODD))
        )
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


def bilinear(fine: Grid, unknown: Tensor) -> Transfer:
    """Interpolation to the removed pixels (1 in `unknown` [B, 1, size], others 0).

    The weights of a pixel sum to one (beyond the border, the last node stands for the missing one),
    so constants are interpolated exactly. Coarse nodes on known pixels stay free, which lets a
    cluster of removed pixels among known ones be corrected wherever it lies.
    """
    plane = fine.plane(unknown)
    # share of the coarse node on the near side (left, above), 1 where there is no other
    column = unknown.new_full((fine.width // 2,), 0.5)
    row = unknown.new_full((fine.height // 2, 1), 0.5)
    column[-1], row[-1] = 1, 1
    even_odd, odd_even = plane[..., _EVEN, _ODD], plane[..., _ODD, _EVEN]
    odd_odd = plane[..., _ODD, _ODD]
    corners = (row * column, row * (1 - column), (1 - row) * column, (1 - row) * (1 - column))
    return Transfer(
        fine,
        plane[..., _EVEN, _EVEN].contiguous(),
        even_odd * column,
        even_odd * (1 - column),
        odd_even * row,
        odd_even * (1 - row),
        tuple(odd_odd * share for share in corners),
    )


def operator_dependent(stencil: CoarseStencil) -> Transfer:
    """Interpolation that nearly solves the system between coarse nodes.

    Between two nodes, couplings across are added to the diagonal; in the middle of four, the
    equation is solved for its node, the others interpolated: Dendy, Black box multigrid, J. Comput.
    Phys. 48 (1982), doi:10.1016/0021-9991(82)90057-2. Values fall towards known pixels.
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


# Grids of at most this many nodes are solved with a dense inverse.
_DENSE = 64
# Iterations on the first coarse grid, which give the start on the pixels.
_START = 3
# The error falls by about ten an iteration, in the worst cases that we found by four.
_LIMIT = 60


@dataclass(frozen=True)
class Level:
    """One grid: its matrix, and the way to the next coarser one.

    Of `transfer` and `dense`, the inverse [B, n, n], the coarsest grid has only the second, all
    others only the first.
    """

    stencil: Stencil
    transfer: Transfer | None = None
    dense: Tensor | None = None


def hierarchy(removed: Tensor) -> list[Level]:
    """The grids of problems, from the pixels to at most `_DENSE` nodes; at least two.

    `removed` is floating point [B, H, W], 1 for removed pixels, else 0. On the pixels,
    interpolation is bilinear: it reaches every removed pixel, however scattered they are. Below, it
    follows the matrix: large holes need values that fall towards their rims. Either alone converges
    several times slower on one kind of mask.
    """
    height, width = removed.shape[-2:]
    grid = Grid.holding(height, width)
    unknown = grid.spread(removed[:, None])
    pixels, transfer = PixelStencil(grid, unknown, height, width), bilinear(grid, unknown)
    levels = [Level(pixels, transfer)]
    stencil = galerkin(pixels, transfer)
    while stencil.grid.height * stencil.grid.width > _DENSE:
        transfer = operator_dependent(stencil)
        levels.append(Level(stencil, transfer))
        stencil = galerkin(stencil, transfer)
    return [*levels, Level(stencil, dense=_dense_inverse(stencil))]


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
    stencil, transfer, dense = levels[0].stencil, levels[0].transfer, levels[0].dense
    if dense is not None:
        grid = stencil.grid
        inner = grid.plane(right)[..., 1:-1, 1:-1].flatten(-2)
        return grid.spread((inner @ dense.mT).unflatten(-1, (grid.height, grid.width)))
    assert transfer is not None
    values = stencil.inverse * right
    left_over = transfer.restricted(stencil.less_applied(right, values))
    transfer.add_interpolated(values, cycle(levels[1:], left_over))
    return values.addcmul_(stencil.inverse, stencil.less_applied(right, values))


def solve(
    levels: list[Level],
    right: Tensor,
    values: Tensor,
    tolerance: Tensor | None,
    limit: int = _LIMIT,
) -> Tensor:
    """Improve `values` [B, C, size], in place, until the error is below the tolerance.

    What a cycle makes of the residual is nearly the error itself: its 2-norm is compared with the
    tolerance [B, C, 1], before the step that takes most of it away; None makes `limit` steps.
    Channels and problems are independent; one that is done does not change while others go on.
    ArithmeticError where `limit` steps are not enough.
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


#: 2-norm of the error over removed pixels, relative to that of the imputed values, at most
TOLERANCE = 1e-3
# What is measured is what the last correction changes; errors after it were found below this share.
_MARGIN = 0.5
# Relative to the channel's largest value; much below it, differences are rounding.
_FLOOR = 1e-2
# Numbers in one tensor of a group of problems: on a CPU what its caches hold, elsewhere enough to
# keep the device busy.
_GROUP = {"cpu": 800_000}
_GROUP_ELSEWHERE = 2**24


def linear_imputation(images: Tensor, removed: Tensor) -> Tensor:
    """Replace removed pixels by the solution of the linear system (Rong et al. 2022, section 4.2).

    The 2-norm of the error, over the removed pixels of a channel, is at most `TOLERANCE` times that
    of the solution (of a hundredth of the channel's largest value, where the solution is darker).
    Where a single pixel of a large image is known, the rounding of float32 may exceed that: it was
    up to 1e-4 of the largest value.

    Parameters
    ----------
    images : float32 or float64 [N, C, H, W].
    removed : bool [N, P, H, W], pixels to impute, P shares of each image.

    Returns
    -------
    As `images`, [N, P, C, H, W]. Known pixels are copied exactly. InputError where all pixels of an
    image are removed.
    """
    count, shares = removed.shape[:2]
    if bool(removed.flatten(2).all(dim=2).any()):
        raise InputError(
            "all pixels of an image are removed, and nothing is left to impute them from; use "
            "percentages below 100"
        )
    found = images.new_empty((count, shares, *images.shape[1:]))
    masks, target = removed.flatten(0, 1), found.flatten(0, 1)
    size = _GROUP.get(images.device.type, _GROUP_ELSEWHERE) // max(1, images.shape[1:].numel())
    owners = torch.arange(count, device=images.device).repeat_interleave(shares)
    # Constants are solutions: without the mean, numbers are smaller, and so is their rounding.
    means = images.mean(dim=(2, 3), keepdim=True)
    peaks = images.abs().flatten(2).amax(dim=2, keepdim=True)
    for first in range(0, count * shares, max(1, size)):
        some = slice(first, first + max(1, size))
        who = owners[some]
        target[some] = _impute(images[who], means[who], _FLOOR * peaks[who], masks[some])
    return found


def _impute(images: Tensor, means: Tensor, floors: Tensor, removed: Tensor) -> Tensor:
    """`linear_imputation` of [B, C, H, W] with one mask each, [B, H, W].

    `means` [B, C, 1, 1] are subtracted meanwhile; errors are relative to `floors` [B, C, 1] at
    least.
    """
    levels = hierarchy(removed.to(images.dtype))
    stencil = levels[0].stencil
    grid = stencil.grid
    gaps = removed[:, None]
    # Removed pixels are 0 here, so the matrix leaves only what they get from known neighbours.
    known = (images - means).masked_fill_(gaps, 0)
    right = stencil.less_applied(None, grid.spread(known))
    values, transfer = torch.zeros_like(right), levels[0].transfer
    assert transfer is not None
    # A first guess: the coarse problem's solution, interpolated.
    coarse = transfer.restricted(right)
    guess = solve(levels[1:], coarse, torch.zeros_like(coarse), None, _START)
    transfer.add_interpolated(values, guess)
    whole = grid.plane(values)[..., 1 : images.shape[2] + 1, 1 : images.shape[3] + 1]
    scale = ((whole + means) * gaps).flatten(2).norm(dim=2, keepdim=True)
    least = floors * removed.flatten(1).sum(dim=1).sqrt()[:, None, None]
    solve(levels, right, values, _MARGIN * TOLERANCE * torch.maximum(scale, least))
    return torch.where(gaps, whole + means, images)
