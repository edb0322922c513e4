"""Which weights fall: criterion, scope and structure together."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from sparsight.io.checkpoints import Tensors
from sparsight.pruning.criteria import Criterion, Magnitude
from sparsight.pruning.masks import Group, Step, groups_of, lowest_fall
from sparsight.pruning.observation import Calibration, Observation
from sparsight.pruning.registry import UNITS, UNSTRUCTURED, group_length
from sparsight.pruning.structures import Units, find_units, n_of_m_masks, unit_masks


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
        units: Units | None = None,
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
        units : of the network, for the structure `units`; looked for where they are left out.

        Returns
        -------
        Masks, and weights by prunable parameter, on the CPU: the network's own, zero where they
        fell, unless the criterion adapts them.
        """
        own = {name: network.get_parameter(name).detach().cpu() for name in masks}
        asks = self.criterion.needs_network or self.criterion.needs_data

        def look(at: Tensors) -> Observation:
            weights = {name: own[name] * mask for name, mask in at.items()}
            if not asks:
                return Observation(weights, seed)
            other = copy.deepcopy(network).eval().requires_grad_(True)
            with torch.no_grad():
                for name, weight in weights.items():
                    other.get_parameter(name).copy_(weight)
            if calibration is None:
                return Observation(weights, seed, other, image_shape=image_shape)
            return Observation(weights, seed, other, **vars(calibration), image_shape=image_shape)

        if self.structure == UNITS:
            assert step.density is not None
            found = unit_masks(
                units or find_units(network, image_shape),
                lambda at: self.criterion.scores(look(at)),
                masks,
                step.density,
                self.scope,
                self.criterion.rounds,
            )
        elif self.structure != UNSTRUCTURED:
            found = n_of_m_masks(
                self.criterion.scores(look(masks)), masks, step, group_length(self.structure)
            )
        else:
            found = self._fall(look, masks, step)
        if self.criterion.adapts_weights:
            return self.criterion.adapt(look(masks), found)
        return found, {name: own[name] * mask for name, mask in found.items()}

    def _fall(self, look: Callable[[Tensors], Observation], masks: Tensors, step: Step) -> Tensors:
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
