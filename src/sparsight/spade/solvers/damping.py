"""Hessians that can be inverted."""

import torch
from torch import Tensor

from sparsight.io.errors import InputError


def columns_with_signal(hessians: Tensor) -> Tensor:
    """bool [B, K]: whether the diagonal of `hessians` [B, K, K] is other than zero."""
    return hessians.diagonal(dim1=1, dim2=2) != 0


def damped(hessians: Tensor, damping: float, dtype: torch.dtype) -> Tensor:
    """H + damping · mean of the diagonal · I, in new memory.

    The mean is over the columns with signal. Columns without have no part in the layer: they get 1
    on the diagonal and zeros beside it, which leaves all others as they would be without them.

    Parameters
    ----------
    hessians : float [B, K, K].
    damping : share of the mean, 0 or more.
    dtype : of the result.
    """
    found = hessians.to(dtype, copy=True)
    signal = columns_with_signal(hessians)
    if not bool(signal.all()):
        found.masked_fill_(~(signal[:, :, None] & signal[:, None, :]), 0)
    diagonal = found.diagonal(dim1=1, dim2=2)
    mean = diagonal.sum(dim=1) / signal.sum(dim=1).clamp_min(1)
    diagonal.copy_(torch.where(signal, diagonal + damping * mean[:, None], 1))
    return found


def cholesky(matrices: Tensor, owner: str, damping: float) -> Tensor:
    """Lower Cholesky factors [..., K, K].

    Raises
    ------
    InputError
        Where a matrix is not positive definite in this precision.
    """
    factors: Tensor
    factors, status = torch.linalg.cholesky_ex(matrices)
    if bool((status != 0).any()):
        failed = int((status != 0).sum())
        raise InputError(
            f"{owner}: {failed} of {status.numel()} Hessians are not positive definite with a "
            f"damping of {damping} in {str(matrices.dtype).removeprefix('torch.')}; give a larger "
            "damping"
        )
    return factors
