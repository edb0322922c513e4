"""Removing the weights of rows one after another, each time the one with the least loss."""

import math

import torch
from torch import Tensor

#: share of removed columns at which the matrices are made smaller
COMPACTION = 1 / 8


def removals(
    weights: Tensor,
    matrices: Tensor,
    inverses: Tensor,
    image_of: Tensor,
    contested: Tensor,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Order and losses of greedy removal, for rows side by side.

    In each step and row the weight j with the least w_j²/[H⁻¹]_jj falls, w -= w_j H⁻¹_j/[H⁻¹]_jj,
    and H⁻¹ loses its row and column j: H⁻¹ -= H⁻¹_j H⁻¹_jᵀ/[H⁻¹]_jj (arXiv 2208.11580, equations 3
    and 4).

    Parameters
    ----------
    weights : float64 [R, K].
    matrices, inverses : float64 [B, K, K], damped Hessians and their inverses.
    image_of : int64 [R], which of the matrices are a row's.
    contested : bool [R, K], the weights that can fall. The others are zero, or their columns are
        without signal.
    steps : how many removals, at most K.

    Returns
    -------
    places : int64 [R, K], the step in which each weight falls, from 0; `steps` where it does not.
    losses : float64 [R, steps], growth of ½ (w' - w) H (w' - w)ᵀ; infinite where nothing is left.
    """
    rows, limits = torch.arange(len(weights), device=weights.device), torch.finfo(weights.dtype)
    places = torch.full(weights.shape, steps, device=weights.device)
    losses = torch.full((len(weights), steps), math.inf, dtype=weights.dtype, device=weights.device)
    left = int(contested.sum(dim=1).max())
    columns, alive = _first_alive(contested, left)
    inverse = _own_inverses(weights, matrices, inverses, image_of, columns)
    weights = weights.gather(1, columns)
    for step in range(min(steps, left)):
        if left - step <= (1 - COMPACTION) * columns.shape[1]:
            # no row has more than this many left: the rest is dropped, since the work of a step
            # grows with the square of what is carried along
            kept, alive = _first_alive(alive, left - step)
            columns, weights = columns.gather(1, kept), weights.gather(1, kept)
            inverse = _submatrices(inverse, kept)
        # positive but for rounding, in a matrix that can hardly be inverted
        diagonal = inverse.diagonal(dim1=1, dim2=2).clamp_min(limits.tiny)
        scores = torch.nan_to_num(weights.square() / diagonal, nan=limits.max)
        scores.masked_fill_(~alive, math.inf)
        losses[:, step], least = (scores / 2).min(dim=1)
        falls, column = alive[rows, least], columns[rows, least]
        places[rows, column] = torch.where(falls, step, places[rows, column])
        alive[rows, least] = False
        row = inverse[rows, least] * falls[:, None]
        scale = diagonal[rows, least, None]
        weights -= row * (weights[rows, least, None] / scale)
        inverse.baddbmm_((row / scale)[:, :, None], row[:, None, :], alpha=-1)
        # keeps what has fallen away from divisions by zero
        inverse[rows, least, least] = 1
    return places, losses


def _first_alive(alive: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Columns of each row, those alive first, in their order; and whether they are alive."""
    columns = (~alive).to(torch.uint8).argsort(dim=1, stable=True)[:, :number]
    return columns, alive.gather(1, columns)


def _submatrices(matrices: Tensor, columns: Tensor) -> Tensor:
    """[R, k, k] of [R, K, K], for columns int64 [R, k]."""
    width = matrices.shape[2]
    rows = matrices.gather(1, columns[:, :, None].expand(-1, -1, width))
    return rows.gather(2, columns[:, None, :].expand(-1, columns.shape[1], -1))


def _own_inverses(
    weights: Tensor, matrices: Tensor, inverses: Tensor, image_of: Tensor, columns: Tensor
) -> Tensor:
    """[R, k, k]: each row's inverse once its zeros have fallen, of its `columns`."""
    zero = weights == 0
    if not bool(zero.any()):
        return _submatrices(inverses[image_of], columns)
    own = matrices[image_of]
    own.masked_fill_(zero[:, :, None] | zero[:, None, :], 0)
    own.diagonal(dim1=1, dim2=2).masked_fill_(zero, 1)
    # submatrices of matrices that were factorised before: positive definite as well
    return _submatrices(torch.cholesky_inverse(torch.linalg.cholesky(own)), columns)
