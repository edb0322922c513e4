"""Which weights fall without loss, how many others fall, and how blocks share them."""

from dataclasses import dataclass

import torch
from torch import Tensor


def lowest(scores: Tensor, counts: Tensor) -> Tensor:
    """Where the lowest scores are; ties go in the order of the elements, so the number is exact.

    Parameters
    ----------
    scores : float [B, ...].
    counts : int64 [B], from 0 to the number of elements of each.

    Returns
    -------
    bool of the shape of `scores`, with `counts` elements True in each.
    """
    order = scores.flatten(1).argsort(dim=1, stable=True)
    first = torch.arange(order.shape[1], device=order.device) < counts[:, None]
    return torch.empty_like(first).scatter_(1, order, first).reshape(scores.shape)


@dataclass(frozen=True)
class Falling:
    """What falls without a choice.

    Attributes
    ----------
    free : bool [B, O, K], weights that fall and change no output: zeros, and weights of columns
        without signal.
    contested : bool [B, O, K], the others that are not zero already, in columns with signal.
    remaining : int64 [B], how many of the contested must fall.
    """

    free: Tensor
    contested: Tensor
    remaining: Tensor


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

    Parameters
    ----------
    contested : bool [B, O, K].
    remaining : int64 [B], at most the number of contested weights.
    block : columns of a block; the last may be shorter.

    Returns
    -------
    int64 [B, blocks].
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
