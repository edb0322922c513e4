"""What the switches in `published_bugs` do to a round; all are off by default."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError

#: below it, the code of arXiv 2307.13698 takes a weight for pruned; the code that it follows: 1e-6
FROZEN_BELOW = 6e-7


def masks_of_regrown(weights: Tensors, masks: Tensors, rate: float, scope: str) -> Tensors:
    """Masks after a round of `no_mask_in_training`.

    The threshold is the percentile 100 * `rate` (linear interpolation) of the magnitudes of all
    weights that are not exactly zero, whether their mask is set or not; weights below it lose
    their mask. Weights whose mask was cleared before do not get it back.

    Parameters
    ----------
    weights : prunable parameter to trained weight, regrown ones included.
    masks : prunable parameter to bool, before the round.
    rate : share of the non-zero weights below the threshold, 0 to 1.
    scope : `global` (one threshold) or `layer` (one for each).
    """
    groups = [[name] for name in masks] if scope == "layer" else [list(masks)]
    found: Tensors = {}
    for names in groups:
        magnitudes = torch.cat([weights[name].detach().flatten().abs().double() for name in names])
        threshold = _percentile(magnitudes[magnitudes != 0], rate)
        for name in names:
            found[name] = masks[name] & (weights[name].detach().abs().double() >= threshold)
    return found


def _percentile(values: torch.Tensor, share: float) -> float:
    """`torch.quantile`, which refuses more than 16 million values."""
    if not len(values):
        return 0.0
    place = share * (len(values) - 1)
    lower = int(place)
    ordered = values.sort().values
    upper = min(lower + 1, len(values) - 1)
    return float(ordered[lower] + (place - lower) * (ordered[upper] - ordered[lower]))


def with_aliased_biases(point: Tensors, predecessor: Tensors, level: int) -> Tensors:
    """The rewind point of a round under `aliased_biases`.

    Biases of all layers, those of normalisation layers too, come from the trained predecessor from
    the second round on; in the first they are still those that were saved.
    """
    if level < 2:
        return point
    return {
        name: predecessor[name] if name.rpartition(".")[2] == "bias" else value
        for name, value in point.items()
    }


def stale(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a round under `stale_schedule`: its initial learning rate throughout."""
    return {**recipe, "schedule": {"name": "constant"}}


def continued(recipe: Mapping[str, Any], level: int) -> dict[str, Any]:
    """The recipe of a round under `schedule_never_restarted`.

    The rate falls as if all rounds so far, the dense network's too, were one training: round k's
    schedule begins after k times the recipe's epochs.

    Raises
    ------
    InputError
        For a schedule that does not fall in steps.
    """
    schedule = recipe.get("schedule", {"name": "constant"})
    name, done, epochs = schedule["name"], level * recipe["epochs"], recipe["epochs"]
    if name == "constant":
        return dict(recipe)
    if name not in ("step", "multi_step"):
        raise InputError(
            f"schedule_never_restarted knows no continuation of the schedule '{name}'; take step "
            "or multi_step"
        )
    milestones = schedule.get("milestones", ())
    if name == "step":
        milestones = range(schedule["every"], done + epochs, schedule["every"])
    rate = recipe["optimiser"]["learning_rate"]
    for _ in (milestone for milestone in milestones if milestone <= done):
        rate *= schedule["factor"]
    ahead = [milestone - done for milestone in milestones if milestone > done]
    return {
        **recipe,
        "optimiser": {**recipe["optimiser"], "learning_rate": rate},
        "schedule": {"name": "multi_step", "milestones": ahead, "factor": schedule["factor"]},
    }


def freeze_negative_weights(network: nn.Module) -> None:
    """Take the gradient from every weight below `FROZEN_BELOW`, between backward pass and step.

    The public code means the pruned weights, and forgets the absolute value. Weights of all layers
    are concerned, those of normalisation layers too, biases are not. What the optimiser adds of its
    own stays: weight decay shrinks the frozen weights, and momentum carries on a weight that has
    just become negative.
    """
    for name, parameter in network.named_parameters():
        if name.rpartition(".")[2] == "weight" and parameter.grad is not None:
            parameter.grad.masked_fill_(parameter.detach() < FROZEN_BELOW, 0)
