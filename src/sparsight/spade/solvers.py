"""Solvers of sample-targeted pruning: from dense weights to sparse ones, in one call.

What a solver is, what informed solvers share (which weights fall without loss, Hessians that can be
inverted), the two controls, and optimal brain surgeon: weight by weight (`obs_exact`), and in one
sweep over the columns (`obs_fast`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.registration import checked_parameters

#: of the images; None where a solver looks at none
Hessians = Tensor | None
#: one for each pair of image and group; None where nothing is drawn
RNGs = Sequence[torch.Generator] | None


class SampleSolver(ABC):
    """Prunes a layer for one image so that its outputs on that image's inputs stay.

    All solvers count alike: weights that are zero already stay zero, and count as the first of the
    `counts`. Where there are as many zeros as asked, or more, nothing falls and the weights come
    back bit for bit. Otherwise exactly as many are zero as asked.

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
        Raises InputError for shapes, types, counts or values that do not fit.

        Parameters
        ----------
        weights : float32 [B, O, K], one row an output, one column an unfolded input; not changed.
        hessians : float32 or float64 [B, K, K], (2/N) X Xᵀ over the N unfolded inputs of the image,
            not damped. Controls ignore it.
        counts : int64 [B], how many of the O·K weights become zero.
        block : columns whose masks `obs_fast` chooses together, kh·kw; the last may be shorter.
        generators : one for each of the B, for solvers that draw.
        """

    def check(self, weights: Tensor, hessians: Hessians, counts: Tensor, block: int) -> None:
        """InputError for what `solve` cannot use."""
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
        if not self.needs_hessian:
            return
        if hessians is None:
            raise InputError(
                f"{owner} needs the Hessians of the layer's inputs; give it one an image"
            )
        shape = (images, columns, columns)
        if hessians.shape != shape or hessians.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"{owner}: Hessians are {hessians.dtype} {tuple(hessians.shape)}, but must be "
                f"float32 or float64 {shape}"
            )
        if not bool(torch.isfinite(hessians).all()):
            raise InputError(
                f"{owner}: the Hessians hold NaN or infinity; the layer's inputs are too large"
            )


def lowest(scores: Tensor, counts: Tensor) -> Tensor:
    """Where the `counts`, int64 [B], lowest of the scores [B, ...] are, bool [B, ...].

    Ties go in the order of the elements, so the number is exact.
    """
    order = scores.flatten(1).argsort(dim=1, stable=True)
    first = torch.arange(order.shape[1], device=order.device) < counts[:, None]
    return torch.empty_like(first).scatter_(1, order, first).reshape(scores.shape)


@dataclass(frozen=True)
class Falling:
    """What falls without a choice."""

    free: Tensor  # bool [B, O, K], weights that fall and change no output
    contested: Tensor  # bool [B, O, K], those that are not zero, in columns with signal
    remaining: Tensor  # int64 [B], how many of the contested must fall


def without_loss(weights: Tensor, signal: Tensor, counts: Tensor) -> Falling:
    """Let fall what costs nothing: zeros, then weights of columns without signal, in their order.

    All zeros fall, also where there are more than `counts`, int64 [B]; columns without signal stop
    at the count. `weights`: float [B, O, K]; `signal`: bool [B, K], whether the column's input is
    ever other than zero.
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

    Each block loses the same share of what it has: after each, the sum so far is the exact number
    to the nearest integer, so the total is exact and no block loses more than it has.

    `contested`: bool [B, O, K]; `remaining`: int64 [B], at most as many; `block`: columns of a
    block, the last may be shorter. Returns int64 [B, blocks].
    """
    so_far = contested.sum(dim=1).cumsum(dim=1)
    columns = so_far.shape[1]
    ends = torch.arange(block, columns + block, block, device=so_far.device).clamp_max(columns) - 1
    total = so_far[:, -1:].clamp_min(1)
    # in integers: floats would be off by one above 2^53
    fallen = (2 * remaining[:, None] * so_far[:, ends] + total) // (2 * total)
    return fallen.diff(dim=1, prepend=torch.zeros_like(fallen[:, :1]))


def zero_exactly(weights: Tensor, fallen: Tensor) -> Tensor:
    """float32 `weights` with zeros exactly where `fallen` says.

    A kept weight that an update takes to zero becomes the smallest normal number, since densities
    are measured from the weights.
    """
    found = weights.to(torch.float32)
    found = found.masked_fill(found == 0, torch.finfo(torch.float32).tiny)
    return found.masked_fill(fallen, 0)


def columns_with_signal(hessians: Tensor) -> Tensor:
    """bool [B, K]: whether the diagonal of `hessians` [B, K, K] is other than zero."""
    return hessians.diagonal(dim1=1, dim2=2) != 0


def add_damping(hessians: Tensor, damping: float, dtype: torch.dtype) -> Tensor:
    """H + damping · mean of the diagonal · I, in new memory.

    The mean is over the columns with signal. Columns without get 1 on the diagonal and zeros off
    it, which leaves all others as they would be without them. `hessians`: float [B, K, K];
    `damping`: share of the mean, 0 or more.
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
    """Lower Cholesky factors [..., K, K]; InputError where a matrix is not positive definite."""
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

    Returns int64 [R, K], the step in which each weight falls, from 0, `steps` where it does not;
    and float64 [R, steps], the growth of ½ (w' - w) H (w' - w)ᵀ, infinite where nothing is left.

    Parameters
    ----------
    weights : float64 [R, K].
    matrices, inverses : float64 [B, K, K], damped Hessians and their inverses.
    image_of : int64 [R], which of the matrices are a row's.
    contested : bool [R, K], the weights that can fall.
    steps : how many removals, at most K.
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
            rest, alive = _first_alive(alive, left - step)
            columns, weights = columns.gather(1, rest), weights.gather(1, rest)
            inverse = _submatrices(inverse, rest)
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


class _Surgeon(SampleSolver):
    """What both forms share: what falls without loss falls first, the rest by surgery."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        damping = self.settings["damping"]
        if not damping >= 0:
            raise InputError(
                f"solver {self.name}: damping is {damping}, but must be 0 or more (a share of the "
                "mean diagonal)"
            )

    def solve(
        self, weights: Tensor, hessians: Hessians, counts: Tensor, block: int, generators: RNGs
    ) -> Tensor:
        """See `SampleSolver.solve`."""
        self.check(weights, hessians, counts, block)
        assert hessians is not None
        falling = without_loss(weights, columns_with_signal(hessians), counts.to(weights.device))
        found = weights.masked_fill(falling.free & (weights != 0), 0)
        # no Hessian is factorised where nothing else falls: it need not be invertible
        chosen = falling.remaining.nonzero().squeeze(1)
        if len(chosen):
            # choosing copies them: the largest there is here, and all are chosen as a rule
            some = hessians if len(chosen) == len(hessians) else hessians[chosen]
            part = Falling(*(values[chosen] for values in vars(falling).values()))
            found[chosen] = self.operate(weights[chosen], some, part, block)
        return found

    @abstractmethod
    def operate(self, weights: Tensor, hessians: Tensor, falling: Falling, block: int) -> Tensor:
        """Let the `remaining` of `falling` fall, and adapt the others; float32 [B, O, K]."""


class ObsExact(_Surgeon):
    """OBC: greedy removal in every row, then one order of losses over all rows.

    1. In each row, the weight with the least loss w²/(2 [H⁻¹]_jj) falls, the others adapt, and H⁻¹
       loses the row and column (arXiv 2208.11580, equations 3 and 4, algorithm 1), until
       nothing is left. The losses are kept.
    2. Over all rows of an image, the row whose next loss is least gives up its next weight, until
       the count is reached (algorithm 2).
    3. Each row's kept weights become those of least squares given its mask, which is what the
       removals lead to, without their rounding.

    "Exact" is the handling of each removal; the order is greedy. Zeros and weights of columns
    without signal fall before everything else. All in float64.

    Parameters: `damping` is a share of the mean diagonal. `rows` are worked on at a time: memory
    is about 3·rows·K² numbers. Work grows with O·K³: `largest_columns` are accepted, 0: any number.
    """

    name: ClassVar[str] = "obs_exact"
    reference: ClassVar[str] = (
        "Soltani Moakhar et al. 2024, arXiv 2310.04519; Frantar et al. 2022, arXiv 2208.11580"
    )
    needs_hessian: ClassVar[bool] = True
    largest_columns: ClassVar[int] = 576
    parameters: ClassVar[dict[str, Any]] = {"damping": 0.01, "rows": 32, "largest_columns": 576}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        if self.settings["rows"] < 1:
            raise InputError(
                f"solver {self.name}: rows is {self.settings['rows']}, but must be at least 1"
            )

    def check(self, weights: Tensor, hessians: Hessians, counts: Tensor, block: int) -> None:
        """See `SampleSolver.check`; nor does it accept more columns than `largest_columns`."""
        super().check(weights, hessians, counts, block)
        limit = self.settings["largest_columns"]
        if limit and weights.shape[2] > limit:
            raise InputError(
                f"solver {self.name}: the layer has {weights.shape[2]} columns, more than the "
                f"limit of {limit}; take obs_fast, leave the layer dense, or raise the parameter "
                "largest_columns"
            )

    def operate(self, weights: Tensor, hessians: Tensor, falling: Falling, block: int) -> Tensor:
        """See `_Surgeon.operate`."""
        owner, damping = f"solver {self.name}", self.settings["damping"]
        images, rows, columns = weights.shape
        matrices = add_damping(hessians, damping, torch.float64)
        inverses = torch.cholesky_inverse(cholesky(matrices, owner, damping))
        # one list of rows over all images, and the image of each
        image_of = torch.arange(images, device=weights.device).repeat_interleave(rows)
        flat = weights.to(torch.float64).flatten(0, 1)
        contested = falling.contested.flatten(0, 1)
        steps = min(columns, int(falling.remaining.max()))
        parts = torch.arange(len(flat), device=weights.device).split(self.settings["rows"])
        removed = [
            removals(flat[part], matrices, inverses, image_of[part], contested[part], steps)
            for part in parts
        ]
        places, losses = (torch.cat(tensors) for tensors in zip(*removed, strict=True))
        numbers = rows_give(losses.reshape(images, rows, steps), falling.remaining)
        fallen = (places < numbers.reshape(-1, 1)) | falling.free.flatten(0, 1)
        adapted = [
            least_squares(flat[part], matrices, image_of[part], fallen[part], owner, damping)
            for part in parts
        ]
        return zero_exactly(torch.cat(adapted), fallen).reshape(weights.shape)


def rows_give(losses: Tensor, remaining: Tensor) -> Tensor:
    """How many weights each row loses when always the row with the least next loss gives one.

    A later loss of a row cannot come before an earlier, larger one: a weight's place in the order
    is the largest loss of its row so far.

    `losses`: float64 [B, O, steps], of each row's removals in their order; infinite after the last.
    `remaining`: int64 [B], how many fall in all. Returns int64 [B, O].
    """
    return lowest(losses.cummax(dim=2).values, remaining).sum(dim=2)


def least_squares(
    weights: Tensor, matrices: Tensor, image_of: Tensor, fallen: Tensor, owner: str, damping: float
) -> Tensor:
    """Rows [R, K] whose kept weights take over from the `fallen` ones, as well as they can.

    With F fallen and S kept, the change d of the kept weights solves H_SS d = H_SF w_F: the least
    ½ (w' - w) H (w' - w)ᵀ. Rows that lose nothing come back bit for bit. `matrices`: float64 [B, K,
    K], damped Hessians; `image_of`: int64 [R], which of them is a row's; `owner`, `damping`: for
    the error message where one is not positive definite.
    """
    own = matrices[image_of]
    lost = (own @ weights.masked_fill(~fallen, 0)[:, :, None]).masked_fill(fallen[:, :, None], 0)
    own.masked_fill_(fallen[:, :, None] | fallen[:, None, :], 0)
    own.diagonal(dim1=1, dim2=2).masked_fill_(fallen, 1)
    change = torch.cholesky_solve(lost, cholesky(own, owner, damping))
    return (weights + change.squeeze(2)).masked_fill(fallen, 0)


#: columns after which all columns further right are updated, as in SparseGPT
LAZY_COLUMNS = 128


class ObsFast(_Surgeon):
    """SparseGPT: masks block by block of columns, the error passed on to the columns to the right.

    With U the upper Cholesky factor of the inverse damped Hessian (H⁻¹ = UᵀU), a weight's score is
    w²/U_jj², the loss when it falls and all columns to the right adapt (arXiv 2301.00774, equation
    4 and algorithm 1). In each block the lowest scores of all rows fall, then column after column
    hands the error e = w/U_jj of what fell to its right: w_k -= e·U_jk.

    Every block loses the same share of its weights, to the nearest number (SparseGPT's threshold
    takes one too many in each block). Zeros and weights of columns without signal fall before and
    are not shared out. U comes from the Hessian read from its end: H = R Rᵀ with R upper
    triangular, and U = R⁻¹, with less rounding than by inverting H.

    Parameters: `damping` is a share of the mean diagonal. `double` computes in float64: with 1%
    damping the condition number is only known to be below 100·K, and for thousands of columns
    float32 decides on some weights by rounding. It costs a factor of two on CPUs and data-centre
    GPUs, and far more on other GPUs: there `double: false` makes sense.
    """

    name: ClassVar[str] = "obs_fast"
    reference: ClassVar[str] = (
        "Soltani Moakhar et al. 2024, arXiv 2310.04519; Frantar and Alistarh 2023, arXiv 2301.00774"
    )
    needs_hessian: ClassVar[bool] = True
    parameters: ClassVar[dict[str, Any]] = {"damping": 0.01, "double": True}

    def operate(self, weights: Tensor, hessians: Tensor, falling: Falling, block: int) -> Tensor:
        """See `_Surgeon.operate`."""
        shares = block_shares(falling.contested, falling.remaining, block)
        damping = self.settings["damping"]
        dtype = torch.float64 if self.settings["double"] else torch.float32
        # in one expression, so that each matrix is let go when the next is made
        factors = inverse_of_lower(
            cholesky(
                add_damping(hessians, damping, dtype).flip(1, 2), f"solver {self.name}", damping
            )
        ).flip(1, 2)
        return sweep(weights, factors, falling.free, shares, block)


def inverse_of_lower(lower: Tensor, direct: int = 256) -> Tensor:
    """Inverses of lower triangular matrices [B, K, K], half by half.

    Two products and two inverses of half the size are a third of the work of solving for the
    identity, which matrices of at most `direct` columns are.
    """
    size = lower.shape[-1]
    if size <= direct:
        identity = torch.eye(size, dtype=lower.dtype, device=lower.device).expand_as(lower)
        solved: Tensor = torch.linalg.solve_triangular(lower, identity, upper=False)
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

    `weights`: float32 [B, O, K]; `factors`: float [B, K, K], U with H⁻¹ = UᵀU, of the type of the
    sweep; `free`: bool [B, O, K], weights that fall in any case; `shares`: int64 [B, blocks], how
    many others fall in each block of `block` columns. Returns float32 [B, O, K].
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
    return zero_exactly(columns, fallen).transpose(1, 2).contiguous()


def _hand_on(columns: Tensor, errors: Tensor, factors: Tensor, done: slice, to: slice) -> None:
    """Update the columns `to` by the errors of the columns `done`."""
    if to.start < to.stop:
        columns[:, to] -= factors[:, done, to].transpose(1, 2) @ errors[:, done]
