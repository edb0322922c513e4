"""Optimal brain surgeon in one sweep over the columns: the fast solver of SPADE."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.spade.solvers.base import SampleSolver, check_damping
from sparsight.spade.solvers.counting import block_shares, kept_nonzero, lowest, without_loss
from sparsight.spade.solvers.damping import cholesky, columns_with_signal, damped

#: columns after which all columns further right are updated, as in SparseGPT
LAZY_COLUMNS = 128


class ObsFast(SampleSolver):
    """SparseGPT: masks block by block of columns, the error passed on to the columns to the right.

    With U the upper Cholesky factor of the inverse damped Hessian (H⁻¹ = UᵀU), a weight's score is
    w²/U_jj², the loss when it falls and all columns to the right adapt (arXiv 2301.00774, equation
    4 and algorithm 1). In each block the lowest scores of all rows fall, then column after column
    hands the error e = w/U_jj of what fell to its right: w_k -= e·U_jk.

    Every block loses the same share of its weights, to the nearest number (SparseGPT's threshold
    takes one too many in each block). Zeros and weights of columns without signal fall before and
    are not shared out.

    U comes from the Hessian read from its end: H = R Rᵀ with R upper triangular, and U = R⁻¹. That
    is the same factor as by inverting H and factorising the inverse, with less rounding.

    Parameters: `damping` is a share of the mean diagonal. `double` computes in float64. It is the
    default, because with 1% damping the condition number is only known to be below 100·K: for
    thousands of columns, float32 decides on some weights by rounding and fails at less damping. It
    costs a factor of two on CPUs and data-centre GPUs, and far more on other GPUs: there
    `double: false` makes sense.
    """

    name: ClassVar[str] = "obs_fast"
    reference: ClassVar[str] = "arXiv 2310.04519; Frantar and Alistarh 2023, arXiv 2301.00774"
    needs_hessian: ClassVar[bool] = True
    parameters: ClassVar[dict[str, Any]] = {"damping": 0.01, "double": True}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        check_damping(f"solver {self.name}", self.settings["damping"])

    def solve(
        self,
        weights: Tensor,
        hessians: Tensor | None,
        counts: Tensor,
        block: int,
        generators: Sequence[torch.Generator] | None,
    ) -> Tensor:
        """See `SampleSolver.solve`."""
        self.check(weights, hessians, counts, block)
        assert hessians is not None
        signal = columns_with_signal(hessians)
        falling = without_loss(weights, signal, counts.to(weights.device))
        found = weights.masked_fill(falling.free & (weights != 0), 0)
        # no Hessian is factorised where nothing else falls: it need not be invertible
        chosen = falling.remaining.nonzero().squeeze(1)
        if len(chosen):
            # choosing copies them: the largest there is here, and all are chosen as a rule
            some = hessians if len(chosen) == len(hessians) else hessians[chosen]
            factors = self._factors(some)
            shares = block_shares(falling.contested[chosen], falling.remaining[chosen], block)
            found[chosen] = sweep(weights[chosen], factors, falling.free[chosen], shares, block)
        return found

    def _factors(self, hessians: Tensor) -> Tensor:
        """Upper Cholesky factors of the inverses, [B, K, K]."""
        damping = self.settings["damping"]
        dtype = torch.float64 if self.settings["double"] else torch.float32
        # in one expression, so that each matrix is let go when the next is made
        return inverse_of_lower(
            cholesky(damped(hessians, damping, dtype).flip(1, 2), f"solver {self.name}", damping)
        ).flip(1, 2)


def inverse_of_lower(lower: Tensor, direct: int = 256) -> Tensor:
    """Inverses of lower triangular matrices [B, K, K], half by half.

    Two products of matrices of half the size and two inverses of half the size: a third of the work
    of solving for the identity, and products are what machines do fastest. Matrices of at most
    `direct` columns are solved.
    """
    size = lower.shape[-1]
    if size <= direct:
        identity = torch.eye(size, dtype=lower.dtype, device=lower.device)
        solved: Tensor = torch.linalg.solve_triangular(
            lower, identity.expand_as(lower), upper=False
        )
        return solved
    half = size // 2
    found = torch.zeros_like(lower)
    found[:, :half, :half] = inverse_of_lower(lower[:, :half, :half], direct)
    found[:, half:, half:] = inverse_of_lower(lower[:, half:, half:], direct)
    product = lower[:, half:, :half] @ found[:, :half, :half]
    found[:, half:, :half] = -(found[:, half:, half:] @ product)
    return found


def sweep(weights: Tensor, factors: Tensor, free: Tensor, shares: Tensor, block: int) -> Tensor:
    """Choose masks and pass on errors, from the first column to the last.

    Inside a block, a column updates the rest of its block; a block updates the rest of its group of
    about `LAZY_COLUMNS` columns; a group updates all columns to its right in one product.

    Parameters
    ----------
    weights : float32 [B, O, K].
    factors : float [B, K, K], upper triangular, U with H⁻¹ = UᵀU; its type is that of the sweep.
    free : bool [B, O, K], weights that fall in any case.
    shares : int64 [B, blocks], how many others fall in each block.
    block : columns of a block.

    Returns
    -------
    float32 [B, O, K].
    """
    # [B, K, O]: what belongs to one column lies together in memory
    columns = factors.new_empty((len(weights), weights.shape[2], weights.shape[1]))
    columns.copy_(weights.transpose(1, 2))
    fallen = free.transpose(1, 2).contiguous()
    errors = torch.zeros_like(columns)
    diagonal = factors.diagonal(dim1=1, dim2=2)[:, :, None]
    width = columns.shape[1]
    group = block * max(LAZY_COLUMNS // block, 1)
    for start in range(0, width, group):
        end = min(start + group, width)
        for left in range(start, end, block):
            right = min(left + block, end)
            here = slice(left, right)
            scores = (columns[:, here] / diagonal[:, here]).square()
            scores.masked_fill_(fallen[:, here], -1)
            number = fallen[:, here].sum(dim=(1, 2)) + shares[:, left // block]
            fallen[:, here] = lowest(scores, number)
            for column in range(left, right):
                error = columns[:, column] * fallen[:, column] / diagonal[:, column]
                errors[:, column] = error
                update = factors[:, column, column + 1 : right, None] * error[:, None]
                columns[:, column + 1 : right] -= update
            _hand_on(columns, errors, factors, here, slice(right, end))
        _hand_on(columns, errors, factors, slice(start, end), slice(end, width))
    return kept_nonzero(columns, fallen).transpose(1, 2).contiguous()


def _hand_on(columns: Tensor, errors: Tensor, factors: Tensor, done: slice, to: slice) -> None:
    """Update the columns `to` by the errors of the columns `done`."""
    if to.start < to.stop:
        columns[:, to] -= factors[:, done, to].transpose(1, 2) @ errors[:, done]
