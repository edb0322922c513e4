"""The first coarse matrix, in one convolution.

With bilinear interpolation to removed pixels, a number of the coarse matrix is a fixed weighted sum
over the couplings of the pixels near its two nodes. The general way (`galerkin`) takes three times
as long, and the pixels are the grid where that counts.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.metrics.imputation.grids import OFFSETS
from sparsight.metrics.imputation.stencils import CoarseStencil, PixelStencil
from sparsight.metrics.imputation.transfers import Transfer

#: the node itself and one of each pair of opposite neighbours; a symmetric matrix has no more
HALF = [(0, 0), (0, 1), (1, -1), (1, 0), (1, 1)]
_SELF, _RIGHT, _BELOW_LEFT, _BELOW, _BELOW_RIGHT = range(5)


@functools.cache
def _kernels() -> Tensor:
    """[5, 5, 5, 5]: coarse pair, fine pair, and where the fine pair lies around the coarse node.

    With the hat b(0) = 1, b(±1) = 1/2 in each direction, nodes at 0 and 2 `coarse` and a pixel pair
    at t and t + `fine`, the pair counts b(t) b(t + fine - 2 coarse) + b(t + fine) b(t - 2 coarse).
    All are multiples of 1/16, and the couplings small integers: the sums are exact.
    """

    def hat(row: int, column: int) -> float:
        return max(0.0, 1 - abs(row) / 2) * max(0.0, 1 - abs(column) / 2)

    found = torch.zeros(5, 5, 5, 5)
    for first, (down, right) in enumerate(HALF):
        for second, (step, turn) in enumerate(HALF):
            for row in range(-2, 3):
                for column in range(-2, 3):
                    value = hat(row, column) * hat(row + step - 2 * down, column + turn - 2 * right)
                    if second != _SELF:
                        value += hat(row + step, column + turn) * hat(
                            row - 2 * down, column - 2 * right
                        )
                    found[first, second, row + 2, column + 2] = value
    return found


def coarsened_pixels(stencil: PixelStencil, transfer: Transfer) -> CoarseStencil:
    """What `galerkin` gives for `bilinear` interpolation."""
    fine, coarse = transfer.fine, transfer.coarse
    fields = stencil.diagonal.new_zeros((len(stencil.diagonal), 5, fine.height + 5, fine.width + 5))
    for index, offset in enumerate(HALF):
        row = stencil.coupling(*offset) if any(offset) else -stencil.diagonal
        fields[:, index, 1:-2, 1:-2] = fine.plane(row[:, 0])
    found = functional.conv2d(fields, _kernels().to(fields), stride=2)
    found = _folded(found)
    # Each coupling stands at both of its nodes.
    height, width = found.shape[-2:]
    planes = fields.new_zeros((len(found), 9, coarse.height + 2, coarse.width + 2))
    for index, (down, right) in enumerate(HALF):
        part = found[:, index]
        planes[:, OFFSETS.index((down, right)), 1 : height + 1, 1 : width + 1] = part
        if index != _SELF:
            opposite = planes[:, OFFSETS.index((-down, -right))]
            opposite[:, 1 + down : height + 1 + down, 1 + right : width + 1 + right] = part
    return CoarseStencil(coarse, planes.flatten(2))


def _folded(found: Tensor) -> Tensor:
    """Without the nodes beyond the border, for which the last ones stand. [B, 5, h + 1, w + 1]."""
    found[:, _SELF, -2] += found[:, _SELF, -1] + 2 * found[:, _BELOW, -2]
    found[:, _RIGHT, -2] += found[:, _RIGHT, -1] + found[:, _BELOW_RIGHT, -2]
    found[:, _RIGHT, -2, :-1] += found[:, _BELOW_LEFT, -2, 1:]
    found = found[:, :, :-1]
    found[:, _BELOW_LEFT:, -1] = 0
    found[:, _SELF, :, -2] += found[:, _SELF, :, -1] + 2 * found[:, _RIGHT, :, -2]
    found[:, _BELOW, :, -2] += found[:, _BELOW, :, -1] + found[:, _BELOW_RIGHT, :, -2]
    found[:, _BELOW, :, -2] += found[:, _BELOW_LEFT, :, -1]
    found = found[..., :-1]
    found[:, _RIGHT, :, -1] = 0
    found[:, _BELOW_RIGHT, :, -1] = 0
    return found
