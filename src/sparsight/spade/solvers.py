"""Solvers of sample-targeted pruning: from dense weights to sparse ones, in one call.

What a solver is, what informed solvers share (which weights fall without loss, Hessians that can be
inverted), and the two controls; `sparsight.spade.obs` has the informed ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.parameters import checked_parameters

#: of the images; None where a solver looks at none
Hessians = Tensor | None
#: one for each pair of image and group; None where nothing is drawn
RNGs = Sequence[torch.Generator] | None


class SampleSolver(ABC):
    """Prunes a layer for one image so that its outputs on that image's inputs stay.

    All solvers count alike: weights that are zero already have fallen and stay zero, and count as
    the first of the `counts`. Where there are as many zeros as asked, or more, nothing falls and
    the weights come back bit for bit. Otherwise exactly as many are zero as asked.

    The facts below are literals, because the workflow reads them from the source without
    importing it (`Registry.facts`).

    Attributes
    ----------
    name : name in the registry.
    version : raised when its numbers change, see `sparsight.study.versions`.
    reference : paper, as arXiv id.
    needs_hessian : False for controls, which do not look at the image's inputs.
    largest_columns : the most columns K that are accepted, 0 for any number. A parameter of the
        same name wins.
    parameters : name to default; `"required"` where there is none.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    needs_hessian: ClassVar[bool]
    largest_columns: ClassVar[int] = 0
    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, **parameters: Any) -> None:
        self.settings = checked_parameters(f"solver {self.name}", self.parameters, parameters)

    @abstractmethod
    def solve(
        self, weights: Tensor, hessians: Hessians, counts: Tensor, block: int, generators: RNGs
    ) -> Tensor:
        """Prune the weights of a layer, separately for each of B pairs of image and group.

        Returns float32 [B, O, K], new memory.
        Raises InputError for shapes, types, counts or values that do not fit; the caller adds the
        layer's name.

        Parameters
        ----------
        weights : float32 [B, O, K], dense, one row an output and one column an unfolded input. It
            may be an expanded view and is not changed.
        hessians : float32 or float64 [B, K, K], (2/N) X Xᵀ over the N unfolded inputs of the image,
            symmetric, positive semidefinite and not damped. Controls ignore it.
        counts : int64 [B], how many of the O·K weights become zero, from 0 to O·K.
        block : columns whose masks are chosen together, kh·kw; the last block may be shorter. Only
            `obs_fast` looks at it.
        generators : one for each of the B, for solvers that draw.
        """

    def check(self, weights: Tensor, hessians: Hessians, counts: Tensor, block: int) -> None:
        """Refuse what `solve` cannot use.

        Raises InputError as `solve` says.
        """
        owner = f"solver {self.name}"
        if weights.ndim != 3 or weights.dtype != torch.float32:
            raise InputError(
                f"{owner}: weights are {weights.dtype} {tuple(weights.shape)}, but must be float32 "
                "[images, outputs, columns]"
            )
        images, rows, columns = weights.shape
        if counts.shape != (images,) or counts.dtype != torch.int64:
            raise InputError(
                f"{owner}: counts are {counts.dtype} {tuple(counts.shape)}, but must be int64 "
                f"[{images}], one for each image"
            )
        if bool(((counts < 0) | (counts > rows * columns)).any()):
            raise InputError(
                f"{owner}: counts go from {int(counts.min())} to {int(counts.max())}, but the "
                f"layer has {rows * columns} weights to lose"
            )
        if block < 1:
            raise InputError(f"{owner}: a block has {block} columns, but must have at least 1")
        if not bool(torch.isfinite(weights).all()):
            raise InputError(f"{owner}: the weights hold NaN or infinity; train the network anew")
        if self.needs_hessian:
            _check_hessians(owner, hessians, (images, columns, columns))


def _check_hessians(owner: str, hessians: Tensor | None, shape: tuple[int, int, int]) -> None:
    if hessians is None:
        raise InputError(f"{owner} needs the Hessians of the layer's inputs; give it one an image")
    if hessians.shape != shape or hessians.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"{owner}: Hessians are {hessians.dtype} {tuple(hessians.shape)}, but must be float32 "
            f"or float64 {shape}"
        )
    if not bool(torch.isfinite(hessians).all()):
        raise InputError(
            f"{owner}: the Hessians hold NaN or infinity; the layer's inputs are too large"
        )


def check_damping(owner: str, damping: float) -> None:
    """Refuse a damping that is not a share of 0 or more.

    Raises InputError for a negative number or NaN.
    """
    if not damping >= 0:
        raise InputError(
            f"{owner}: damping is {damping}, but must be 0 or more (a share of the mean diagonal)"
        )


def lowest(scores: Tensor, counts: Tensor) -> Tensor:
    """Where the lowest scores are; ties go in the order of the elements, so the number is exact.

    `scores`: float [B, ...]; `counts`: int64 [B], from 0 to the number of elements of each. Returns
    bool of the shape of `scores`, with `counts` elements True in each.
    """
    order = scores.flatten(1).argsort(dim=1, stable=True)
    first = torch.arange(order.shape[1], device=order.device) < counts[:, None]
    return torch.empty_like(first).scatter_(1, order, first).reshape(scores.shape)


@dataclass(frozen=True)
class Falling:
    """What falls without a choice."""

    # bool [B, O, K], weights that fall and change no output: zeros, and weights of columns without
    # signal
    free: Tensor
    # bool [B, O, K], the others that are not zero already, in columns with signal
    contested: Tensor
    remaining: Tensor  # int64 [B], how many of the contested must fall


def without_loss(weights: Tensor, signal: Tensor, counts: Tensor) -> Falling:
    """Let fall what costs nothing: zeros, then weights of columns without signal, in their order.

    Zeros fall even where more of them exist than `counts`: a weight that an earlier pruning took
    does not come back. Columns without signal stop at the count.

    Parameters
    ----------
    weights : float [B, O, K].
    signal : bool [B, K], whether the column's input is ever other than zero.
    counts : int64 [B].
    """
    zero = weights == 0
    silent = ~signal[:, None, :] & ~zero
    zeros, silents = zero.sum(dim=(1, 2)), silent.sum(dim=(1, 2))
    falling = torch.minimum((counts - zeros).clamp_min(0), silents)
    # all silent weights, or the first of them
    free = zero | lowest((~silent).to(torch.uint8), falling)
    return Falling(free, ~zero & ~silent, (counts - zeros - silents).clamp_min(0))


def block_shares(contested: Tensor, remaining: Tensor, block: int) -> Tensor:
    """How many contested weights each block of columns loses.

    Each block loses the same share of what it has, and the rounding is carried on to the next
    blocks: after each block, the sum so far is the exact number to the nearest integer. So the
    total is exact, and no block loses more than it has.

    Returns int64 [B, blocks].

    Parameters
    ----------
    contested : bool [B, O, K].
    remaining : int64 [B], at most the number of contested weights.
    block : columns of a block; the last may be shorter.
    """
    so_far = contested.sum(dim=1).cumsum(dim=1)
    columns = so_far.shape[1]
    ends = torch.arange(block, columns + block, block, device=so_far.device).clamp_max(columns) - 1
    total = so_far[:, -1:].clamp_min(1)
    # in integers: floats would be off by one above 2^53
    fallen = (2 * remaining[:, None] * so_far[:, ends] + total) // (2 * total)
    return fallen.diff(dim=1, prepend=torch.zeros_like(fallen[:, :1]))


def kept_nonzero(weights: Tensor, fallen: Tensor) -> Tensor:
    """float32 `weights` with zeros exactly where `fallen` says.

    An update may take a kept weight to zero, by chance or because float32 has no smaller number.
    It becomes the smallest normal number instead, since densities are measured from the weights.
    """
    found = weights.to(torch.float32)
    found = found.masked_fill(found == 0, torch.finfo(torch.float32).tiny)
    return found.masked_fill(fallen, 0)


def columns_with_signal(hessians: Tensor) -> Tensor:
    """bool [B, K]: whether the diagonal of `hessians` [B, K, K] is other than zero."""
    return hessians.diagonal(dim1=1, dim2=2) != 0


def add_damping(hessians: Tensor, damping: float, dtype: torch.dtype) -> Tensor:
    """H + damping · mean of the diagonal · I, in new memory.

    The mean is over the columns with signal. Columns without have no part in the layer: they get 1
    on the diagonal and zeros off it, which leaves all others as they would be without them.

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

    Raises InputError where a matrix is not positive definite in this precision.
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


class SampleMagnitude(SampleSolver):
    """The smallest absolute values fall; ties go in the order of the elements. None is adapted."""

    name: ClassVar[str] = "magnitude"
    reference: ClassVar[str] = "control; Han et al. 2015, arXiv 1506.02626"
    needs_hessian: ClassVar[bool] = False

    def solve(
        self, weights: Tensor, hessians: Hessians, counts: Tensor, block: int, generators: RNGs
    ) -> Tensor:
        """See `SampleSolver.solve`."""
        self.check(weights, hessians, counts, block)
        # what is zero has the lowest score, and keeps the sign of its zero
        falls = lowest(weights.abs(), counts.to(weights.device)) & (weights != 0)
        return weights.masked_fill(falls, 0)


class SampleRandom(SampleSolver):
    """Weights fall in a random order. None is adapted.

    The order belongs to the generator and not to the count: with a larger count, the same weights
    fall and some more.
    """

    name: ClassVar[str] = "random"
    reference: ClassVar[str] = "control; after Soltani Moakhar et al. 2024, arXiv 2310.04519"
    needs_hessian: ClassVar[bool] = False

    def solve(
        self, weights: Tensor, hessians: Hessians, counts: Tensor, block: int, generators: RNGs
    ) -> Tensor:
        """See `SampleSolver.solve`; each generator moves on by O·K numbers.

        Raises InputError without one generator for each of the B.
        """
        self.check(weights, hessians, counts, block)
        if generators is None or len(generators) != len(weights):
            raise InputError(
                f"solver {self.name} has {len(generators or ())} generators for {len(weights)} "
                "images; give it one for each"
            )
        scores = [
            torch.rand(weights.shape[1:], generator=one, device=one.device).to(weights.device)
            for one in generators
        ]
        zero = weights == 0
        order = torch.stack(scores) if scores else torch.zeros_like(weights)
        falls = lowest(order.masked_fill(zero, -1), counts.to(weights.device)) & ~zero
        return weights.masked_fill(falls, 0)
