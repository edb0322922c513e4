"""Masks: which weights may fall, how many fall, and which."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError, hint
from sparsight.models.base import predicts, prunable_parameters

logger = logging.getLogger(__name__)


def dense_masks(network: nn.Module, norm_layers: bool = False) -> Tensors:
    """All-ones masks of the prunable parameters."""
    return {
        name: torch.ones_like(weight, dtype=torch.bool, device="cpu")
        for name, weight in prunable_parameters(network, norm_layers).items()
    }


@dataclass(frozen=True)
class Step:
    """How far one round goes: by a `rate` of the survivors, or to a `density` of all weights.

    Exactly one of the two is set. Both are decimal numbers as written in the configuration and are
    taken exactly: 0.29 of 100 weights is 29, where binary floats give 28.
    """

    rate: float | None = None
    density: float | None = None
    openlth_threshold: bool = False

    def falling(self, survivors: int, total: int) -> int:
        """How many of `survivors` (of `total`) weights fall.

        A rate: floor(rate * survivors); with OpenLTH's threshold ceil(rate * survivors) + 1.
        A density: all above ceil(density * total), so that the density is never undercut.
        """
        if self.density is not None:
            return max(survivors - math.ceil(Fraction(str(self.density)) * total), 0)
        wanted = Fraction(str(self.rate)) * survivors
        if self.openlth_threshold and wanted:
            return min(math.ceil(wanted) + 1, survivors)
        return math.floor(wanted)


SCOPES = ("global", "layer", "output", "erk", "uniform_plus")
#: of the last layer, what `uniform_plus` leaves at least (Gale et al. 2019, section 4)
_LAST_LAYER = Fraction(1, 5)


@dataclass(frozen=True)
class Group:
    """Weights that compete for survival, and how many of them fall."""

    names: tuple[str, ...]
    falling: int  # with `rows`: of each row
    rows: bool = False  # whether each output of the layer is a competition of its own


def groups_of(masks: Tensors, step: Step, scope: str) -> list[Group]:
    """Who competes with whom in a round, and how many fall.

    Parameters
    ----------
    masks : prunable parameter to bool, before the round, in the order of the layers.
    step : how many fall: of all weights under `global`, `erk` and `uniform_plus`, of those of
        each layer under `layer`, of those of each output of each layer under `output`.
    scope :
        `global` all weights compete;
        `layer` those of a layer;
        `output` those of an output of a layer (Sun et al. 2024, arXiv 2306.11695);
        `erk` those of a layer, whose density is in proportion to the sum of its dimensions over
        their product (Erdős-Rényi kernel: Evci et al. 2020, arXiv 1911.11134), at most 1;
        `uniform_plus` those of a layer; the first layer stays dense, the last keeps a fifth or
        more, and all others have one density (Gale et al. 2019, arXiv 1902.09574).

    Raises
    ------
    InputError
        When the density is lower than what `uniform_plus` leaves dense, or the scope unknown.
    """
    alive = {name: int(mask.sum()) for name, mask in masks.items()}
    if scope == "global":
        total = sum(mask.numel() for mask in masks.values())
        return [Group(tuple(masks), step.falling(sum(alive.values()), total))]
    if scope == "layer":
        return [Group((n,), step.falling(alive[n], mask.numel())) for n, mask in masks.items()]
    if scope == "output":
        found = []
        for name, mask in masks.items():
            left = mask.flatten(1).sum(1)
            if int(left.min()) != int(left.max()):
                raise InputError(
                    f"outputs of {name} hold from {int(left.min())} to {int(left.max())} weights; "
                    "scope 'output' needs levels that it has made itself"
                )
            found.append(Group((name,), step.falling(int(left[0]), mask[0].numel()), rows=True))
        return found
    total = sum(mask.numel() for mask in masks.values())
    keep = sum(alive.values()) - step.falling(sum(alive.values()), total)
    if scope == "erk":
        shares = {n: Fraction(sum(mask.shape), 1) for n, mask in masks.items()}
        kept = _allocate(shares, alive, keep)
    elif scope == "uniform_plus":
        first, *_, last = masks
        least = {first: alive[first], last: math.ceil(_LAST_LAYER * masks[last].numel())}
        least[last] = min(least[last], alive[last])
        if sum(least.values()) > keep:
            raise InputError(
                f"scope 'uniform_plus' keeps {sum(least.values())} weights of {first} and {last}, "
                f"but the density leaves {keep} of {total}; give a higher density or another scope"
            )
        shares = {n: Fraction(mask.numel()) for n, mask in masks.items() if n != first}
        kept = _allocate(shares, alive, keep - alive[first])
        if kept[last] < least[last]:
            others = {n: share for n, share in shares.items() if n != last}
            kept = _allocate(others, alive, keep - sum(least.values())) | least
        kept[first] = alive[first]
    else:
        raise InputError(f"unknown scope '{scope}'{hint(scope, SCOPES)}")
    return [Group((name,), alive[name] - kept[name]) for name in masks]


def _allocate(
    shares: Mapping[str, Fraction], most: Mapping[str, int], total: int
) -> dict[str, int]:
    """Numbers in proportion to `shares`, none above `most`, that sum to `total` exactly."""
    full: dict[str, int] = {}
    while True:
        open_ = {name: share for name, share in shares.items() if name not in full}
        left, whole = total - sum(full.values()), sum(open_.values(), Fraction(0))
        exact = {name: share * left / whole for name, share in open_.items()}
        over = {name: most[name] for name, value in exact.items() if value > most[name]}
        if not over:
            break
        full |= over
    found = {name: math.floor(value) for name, value in exact.items()}
    # the largest remainders get what rounding down has left
    remainders = sorted(exact, key=lambda name: found[name] - exact[name])
    for name in remainders[: left - sum(found.values())]:
        found[name] += 1
    return full | found


def next_masks(scores: Tensors, masks: Tensors, step: Step, scope: str) -> Tensors:
    """Masks after one round; each is a subset of the mask before.

    Parameters
    ----------
    scores : prunable parameter to float scores; the lowest survivors fall. Ties fall in the order
        of the parameters and of their elements, so that the number is exact.
    masks : prunable parameter to bool, before the round.
    step : how many fall.
    scope : who competes with whom (`groups_of`).
    """
    groups = groups_of(masks, step, scope)
    for group in groups:
        if group.falling == 0 and step.rate != 0:
            survivors = sum(int(masks[name].sum()) for name in group.names)
            names = ", ".join(group.names)
            logger.info("%s keeps its %d weights: the step takes less than one", names, survivors)
    return lowest_fall(scores, masks, groups)


def lowest_fall(scores: Tensors, masks: Tensors, groups: Sequence[Group]) -> Tensors:
    """Masks after the lowest survivors of each group have fallen; see `next_masks`."""
    found: Tensors = {}
    for group in groups:
        if group.rows:
            (name,) = group.names
            own = (
                scores[name]
                .double()
                .cpu()
                .flatten(1)
                .masked_fill(~masks[name].flatten(1), -math.inf)
            )
            fallen = masks[name][0].numel() - int(masks[name][0].sum())
            order = own.argsort(dim=1, stable=True)[:, : fallen + group.falling]
            rest = torch.ones_like(own, dtype=torch.bool).scatter_(1, order, False)
            found[name] = rest.reshape(masks[name].shape)
        else:
            found.update(_prune_group(scores, {n: masks[n] for n in group.names}, group.falling))
    return {name: found[name] for name in masks}


def lowest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Where the `count` lowest scores [N] are, bool [N]; ties go in the order of the elements.

    By a threshold, which is found in a tenth of the time that sorting takes: all weights of a
    network may compete here. (`sparsight.spade.solvers.lowest` takes many small rows at once.)
    """
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = scores.kthvalue(count).values
    found = scores < threshold
    found[(scores == threshold).nonzero().squeeze(1)[: count - int(found.sum())]] = True
    return found


def _prune_group(scores: Tensors, masks: Tensors, count: int) -> Tensors:
    flat_mask = torch.cat([mask.flatten() for mask in masks.values()])
    flat_scores = torch.cat([scores[name].detach().flatten().cpu() for name in masks])
    alive = flat_mask.nonzero().squeeze(1)
    flat_mask[alive[lowest(flat_scores[alive], count)]] = False
    parts = flat_mask.split([mask.numel() for mask in masks.values()])
    return {
        name: part.reshape(mask.shape)
        for (name, mask), part in zip(masks.items(), parts, strict=True)
    }


def densities(
    network: nn.Module, masks: Tensors, sizes: Mapping[str, int] | None = None
) -> dict[str, object]:
    """Densities measured from the masks: of prunable weights, of all parameters, per layer.

    All parameters are those that predict: an auxiliary head (fact `training_only`) is left out.
    `nonzero` is measured from the weights: the share of the prunable ones that are not zero. It
    differs from `prunable` where masks were not held in training (`no_mask_in_training`), or where
    another tool's survivors are zero.

    `sizes` are the numbers of elements of the dense network's parameters, where layers of `network`
    are narrower: all shares are shares of these.
    """
    weights = dict(network.named_parameters())
    sizes = sizes or {name: value.numel() for name, value in weights.items()}
    prunable = sum(sizes[name] for name in masks)
    surviving = sum(int(mask.sum()) for mask in masks.values())
    everything = sum(size for name, size in sizes.items() if predicts(network, name))
    left = sum(value.numel() for name, value in weights.items() if predicts(network, name))
    left += surviving - sum(mask.numel() for mask in masks.values())
    return {
        "prunable": surviving / prunable,
        "nonzero": sum(int((weights[name] != 0).sum()) for name in masks) / prunable,
        "all_parameters": left / everything,
        "layers": {
            name.removesuffix(".weight"): int(mask.sum()) / sizes[name]
            for name, mask in masks.items()
        },
    }
