"""Which weights fall: criterion, scope and structure together."""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError
from sparsight.pruning.criteria import Criterion, Magnitude
from sparsight.pruning.evidence import Evidence
from sparsight.pruning.masks import Group, Step, groups_of, lowest_fall
from sparsight.pruning.registry import UNSTRUCTURED, group_length

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """Images that criteria look at.

    Attributes
    ----------
    images : [N, C, H, W] on the network's device, uint8, or float32 in [0, 1].
    labels : int64 [N].
    batch_size : images per forward pass.
    """

    images: Tensor
    labels: Tensor
    batch_size: int = 64


@dataclass(frozen=True)
class Rule:
    """How weights are chosen: by which criterion, in which competition, in which structure."""

    criterion: Criterion
    scope: str = "global"
    structure: str = UNSTRUCTURED

    def select(
        self,
        network: nn.Module,
        masks: Tensors,
        step: Step,
        seed: int,
        calibration: Calibration | None = None,
        image_shape: Sequence[int] = (),
    ) -> tuple[Tensors, Tensors]:
        """Masks after one step, each a subset of the mask before, and the weights under them.

        Parameters
        ----------
        network : as it is scored; left as it is. What `masks` say has fallen counts as zero.
        masks : prunable parameter to bool, on the CPU.
        step : how many fall.
        seed : of the network, for criteria that draw.
        calibration : for criteria that need data.
        image_shape : channels, height and width.

        Returns
        -------
        Masks, and weights by prunable parameter, on the CPU: the network's own, zero where they
        fell, unless the criterion adapts them.
        """
        own = {name: network.get_parameter(name).detach().cpu() for name in masks}
        asks = self.criterion.needs_network or self.criterion.needs_data

        def look(at: Tensors) -> Evidence:
            weights = {name: own[name] * mask for name, mask in at.items()}
            if not asks:
                return Evidence(weights, seed)
            other = copy.deepcopy(network).eval().requires_grad_(True)
            with torch.no_grad():
                for name, weight in weights.items():
                    other.get_parameter(name).copy_(weight)
            if calibration is None:
                return Evidence(weights, seed, other, image_shape=image_shape)
            return Evidence(weights, seed, other, **vars(calibration), image_shape=image_shape)

        if self.structure != UNSTRUCTURED:
            found = n_of_m_masks(
                self.criterion.scores(look(masks)), masks, step, group_length(self.structure)
            )
        else:
            found = self._fall(look, masks, step)
        if self.criterion.adapts_weights:
            return self.criterion.adapt(look(masks), found)
        return found, {name: own[name] * mask for name, mask in found.items()}

    def _fall(self, look: Callable[[Tensors], Evidence], masks: Tensors, step: Step) -> Tensors:
        groups = groups_of(masks, step, self.scope)
        if self.criterion.adapts_weights and all(len(group.names) == 1 for group in groups):
            # it chooses in each layer by itself: all that counts is how many
            return lowest_fall(Magnitude().scores(look(masks)), masks, groups)
        rounds = self.criterion.rounds
        fallen = [0] * len(groups)
        for number in range(1, rounds + 1):
            parts = []
            for place, group in enumerate(groups):
                alive = _survivors(masks, group) + fallen[place]
                left = max(alive - group.falling, 0.5)
                # the same factor in each round; the last one is exact
                now = alive - round(alive * (left / alive) ** (number / rounds)) if alive else 0
                now = group.falling if number == rounds else now
                parts.append(replace(group, falling=now - fallen[place]))
                fallen[place] = now
            masks = lowest_fall(self.criterion.scores(look(masks)), masks, parts)
        return masks


def _survivors(masks: Tensors, group: Group) -> int:
    if group.rows:
        return int(masks[group.names[0]][0].sum())
    return sum(int(masks[name].sum()) for name in group.names)


def n_of_m_masks(scores: Tensors, masks: Tensors, step: Step, length: int) -> Tensors:
    """N of each M weights that follow each other along a layer's input channels survive.

    N is the density times M, to the nearest whole number from 1 on. Layers whose input channels are
    no multiple of M keep all weights. (Mishra et al. 2021, arXiv 2104.08378, for 2 of 4.)

    Parameters
    ----------
    scores, masks : of [outputs, inputs per group of the convolution, ...], on the CPU.
    step : to a density.
    length : M.

    Raises
    ------
    InputError
        When no layer has a multiple of M inputs.
    """
    assert step.density is not None
    kept = max(round(step.density * length), 1)
    if kept != step.density * length:
        logger.warning(
            "a density of %g cannot be reached with groups of %d weights: %d of them are kept",
            step.density,
            length,
            kept,
        )
    found, dense = {}, []
    for name, mask in masks.items():
        if mask.shape[1] % length:
            dense.append(name)
            found[name] = mask
            continue
        # [outputs, positions, groups, M]
        own = scores[name].detach().cpu().double().masked_fill(~mask, -torch.inf)
        grouped = own.flatten(2).transpose(1, 2) if own.ndim > 2 else own[:, None]
        grouped = grouped.unflatten(2, (-1, length))
        order = grouped.argsort(dim=3, stable=True, descending=True)[..., :kept]
        chosen = torch.zeros_like(grouped, dtype=torch.bool).scatter_(3, order, True)
        chosen = chosen.flatten(2).transpose(1, 2) if own.ndim > 2 else chosen.flatten(2)[:, 0]
        found[name] = chosen.reshape(mask.shape) & mask
    if len(dense) == len(masks):
        raise InputError(
            f"no layer has a multiple of {length} input channels, so that none can keep {kept} of "
            f"{length} weights; choose another structure"
        )
    if dense:
        logger.info("%s stay dense: their inputs are no multiple of %d", ", ".join(dense), length)
    return found
