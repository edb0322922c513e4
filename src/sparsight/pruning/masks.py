"""Masks: which weights may fall, how many fall, and which."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from sparsight.io.checkpoints import Tensors
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


def competitors(masks: Tensors, scope: str) -> list[list[str]]:
    """Names of the parameters whose weights compete for survival, by `scope` (`next_masks`)."""
    return [[name] for name in masks] if scope == "layer" else [list(masks)]


def next_masks(scores: Tensors, masks: Tensors, step: Step, scope: str) -> Tensors:
    """Masks after one round; each is a subset of the mask before.

    Parameters
    ----------
    scores : prunable parameter to float scores; the lowest survivors fall. Ties fall in the order
        of the parameters and of their elements, so that the number is exact.
    masks : prunable parameter to bool, before the round.
    step : how many fall.
    scope : `global` (all weights compete) or `layer` (the step is taken in every layer).
    """
    found: Tensors = {}
    for names in competitors(masks, scope):
        found.update(
            _prune_group({n: scores[n] for n in names}, {n: masks[n] for n in names}, step)
        )
    return found


def _prune_group(scores: Tensors, masks: Tensors, step: Step) -> Tensors:
    flat_mask = torch.cat([mask.flatten() for mask in masks.values()])
    flat_scores = torch.cat([scores[name].flatten().double().cpu() for name in masks])
    survivors = int(flat_mask.sum())
    count = step.falling(survivors, flat_mask.numel())
    if count == 0 and step.rate != 0:
        logger.info(
            "%s keeps its %d weights: the step takes less than one", ", ".join(masks), survivors
        )
    alive = flat_mask.nonzero().squeeze(1)
    falling = alive[flat_scores[alive].argsort(stable=True)[:count]]
    flat_mask = flat_mask.clone()
    flat_mask[falling] = False
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
