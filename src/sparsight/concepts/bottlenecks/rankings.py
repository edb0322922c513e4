"""How much of two orders of the same concepts is shared at the top."""

import math

import torch
from torch import Tensor

from sparsight.rounding import ROUNDING


def top_jaccard(own: Tensor, reference: Tensor, count: int) -> Tensor:
    """Jaccard index |A ∩ B| / |A ∪ B| of the `count` concepts with the largest weights.

    Only positive weights count: what does not speak for a class is not among its concepts, so a
    class can have fewer than `count`. Weights that are tied for the last places have no order: in
    the order of the concepts, which is the same in both, any two networks would share them.

    Parameters
    ----------
    own, reference : [C, K], weights of the same classes and concepts.

    Returns
    -------
    float64 [C] in [0, 1]; NaN where neither network has any, or where either has a tie for the last
    places.
    """
    first, second = _top(own, count), _top(reference, count)
    shares = (first & second).sum(dim=1) / (first | second).sum(dim=1).double()
    return shares.masked_fill(_tied(own, count) | _tied(reference, count), torch.nan)


def _top(weights: Tensor, count: int) -> Tensor:
    """Membership in the top, bool [C, K]."""
    order = torch.argsort(weights, dim=1, descending=True, stable=True)[:, :count]
    chosen = torch.zeros_like(weights, dtype=torch.bool)
    return chosen.scatter(1, order, True) & (weights > 0)


def _tied(weights: Tensor, count: int) -> Tensor:
    """Whether a class's last place in the top and the first one outside have one weight, bool [C].

    Up to rounding of the largest one: concepts that follow one feature get such weights.
    Weights that are not positive have no place to lose.
    """
    if count >= weights.shape[1]:
        return torch.zeros(len(weights), dtype=torch.bool)
    ordered = weights.sort(dim=1, descending=True).values
    last, next_one = ordered[:, count - 1], ordered[:, count]
    return (next_one > 0) & (last - next_one <= ROUNDING * ordered[:, 0])


def rank_biased_overlap(own: Tensor, reference: Tensor, persistence: float) -> float:
    """Rank-biased overlap, extrapolated, of two orders of the same K concepts.

    RBO_EXT = A_K p^K + (1 - p) / p Σ_{d=1..K} A_d p^d, Webber et al. 2010
    (doi:10.1145/1852102.1852106) equation 30, with the agreement A_d at depth d. Tied concepts all
    stand at the first of their ranks, and A_d = 2 |S_d ∩ T_d| / (|S_d| + |T_d|) (section 4.4): the
    many zeros of a sparse bottleneck have no order of their own. Two orders of the same concepts
    are alike at depth K, so that even opposite ones have a positive overlap.

    Parameters
    ----------
    own, reference : [K], weights; the largest comes first.
    persistence : p in (0, 1). The first 1 / (1 - p) ranks carry most of the value.

    Returns
    -------
    In (0, 1], 1 for equal orders; NaN where all weights of either are equal, which is no order.
    """
    first, second = _ranks(own), _ranks(reference)
    if bool((first == 1).all()) or bool((second == 1).all()):
        return math.nan
    total, agreement = 0.0, 1.0
    for depth in range(1, len(own) + 1):
        above, below = first <= depth, second <= depth
        agreement = 2.0 * int((above & below).sum()) / int(above.sum() + below.sum())
        total += agreement * persistence**depth
    ends = agreement * math.pow(persistence, len(own))
    return ends + (1 - persistence) / persistence * total


def _ranks(weights: Tensor) -> Tensor:
    """Ranks from 1, ties at their smallest, int64 [K]."""
    tolerance = ROUNDING * weights.abs().max()
    return 1 + (weights[None, :] > weights[:, None] + tolerance).sum(dim=1)
