"""Coarser grids: interpolation and its transpose, coarse matrices, and the preconditioner."""

from itertools import pairwise

import pytest
import torch

from sparsight.metrics.imputation import (
    Grid,
    PixelStencil,
    bilinear,
    cycle,
    hierarchy,
)

SIZES = [(8, 8), (7, 10), (12, 5), (1, 9), (30, 31)]


def masks(size, share=0.7, count=3):
    draw = torch.Generator().manual_seed(0)
    return (torch.rand((count, *size), generator=draw) < share).float()


def pixels(size):
    grid = Grid.holding(*size)
    unknown = grid.spread(masks(size)[:, None])
    return PixelStencil(grid, unknown, *size), bilinear(grid, unknown)


def dense(apply, grid):
    """The matrix [B, size, size] of a linear map from rows of a grid, by its columns."""
    return apply(torch.eye(grid.size).expand(3, -1, -1).contiguous()).mT


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 9)])
def test_coarse_matrices_are_restricted_ones(size):
    """Column by column, Pᵀ A P; at every level down to the last."""
    for level, following in pairwise(hierarchy(masks(size))):
        transfer = level.transfer
        coarse, found = following.stencil.grid, following.stencil
        nodes = coarse.plane(torch.arange(coarse.size))[1:-1, 1:-1].flatten()
        units = torch.eye(coarse.size)[nodes].expand(3, -1, -1).contiguous()
        values = units.new_zeros((3, len(nodes), level.stencil.grid.size))
        transfer.add_interpolated(values, units)
        product = transfer.restricted(level.stencil.less_applied(None, values))
        expected = found.less_applied(None, units)
        torch.testing.assert_close(expected[..., nodes], product[..., nodes], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_restriction_is_the_transpose_of_interpolation(size):
    draw = torch.Generator().manual_seed(1)
    for level in hierarchy(masks(size))[:-1]:
        transfer = level.transfer
        fine = torch.randn(3, 2, transfer.fine.size, generator=draw)
        plane = torch.randn(3, 2, transfer.coarse.height, transfer.coarse.width, generator=draw)
        coarse = transfer.coarse.spread(plane)
        values = torch.zeros_like(fine)
        transfer.add_interpolated(values, coarse)
        one = (fine * values).sum(dim=(1, 2))
        other = (transfer.restricted(fine) * coarse).sum(dim=(1, 2))
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_bilinear_interpolation_of_a_constant_is_that_constant_on_removed_pixels(size):
    stencil, transfer = pixels(size)
    values = torch.zeros_like(stencil.unknown)
    coarse = transfer.coarse
    transfer.add_interpolated(values, coarse.spread(torch.ones(3, 1, coarse.height, coarse.width)))
    torch.testing.assert_close(values, stencil.unknown)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_the_cycle_is_a_symmetric_positive_preconditioner(share):
    """With all eigenvalues of (cycle · A) between 0 and 1.1: what conjugate gradients need."""
    removed = masks((12, 13), share)
    removed[:, 0, 0] = 0
    levels = hierarchy(removed)
    grid = levels[0].stencil.grid
    inverse = dense(lambda units: cycle(levels, units), grid)
    matrix = -dense(lambda units: levels[0].stencil.less_applied(None, units), grid)
    for one, mask, whole in zip(inverse, removed, matrix, strict=True):
        places = grid.spread(mask).nonzero().flatten()
        block, system = one[places][:, places].double(), whole[places][:, places].double()
        torch.testing.assert_close(block, block.mT, atol=1e-5, rtol=1e-4)
        eigenvalues = torch.linalg.eigvals(block @ system).real
        assert eigenvalues.min() > 0.3
        assert eigenvalues.max() < 1.1
