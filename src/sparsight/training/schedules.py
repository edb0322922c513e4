"""Schedules of the learning rate by name; the rate changes between epochs."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, StepLR

from sparsight.training.options import SCHEDULES, checked_choice


def build_schedule(
    given: Mapping[str, Any], optimiser: torch.optim.Optimizer, epochs: int, first_epoch: int
) -> LRScheduler:
    """A fresh schedule bound to `optimiser`, advanced to `first_epoch`.

    It is advanced step by step, so that the rates are bit for bit those of an unbroken training.

    Parameters
    ----------
    given : `{name, ...}`, see `sparsight.training.options.SCHEDULES`.
    epochs : of the whole recipe: `cosine` falls from the learning rate in epoch 0 towards
        `minimum_rate`, which it would reach in epoch `epochs`.

    Raises
    ------
    InputError
        For an unknown name or an unknown, missing or unusable parameter.

    Reference
    ---------
    Cosine: Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5.
    """
    name, facts = checked_choice("schedule", SCHEDULES, given)
    schedule: LRScheduler
    if name == "cosine":
        schedule = CosineAnnealingLR(optimiser, T_max=epochs, eta_min=facts["minimum_rate"])
    elif name == "step":
        schedule = StepLR(optimiser, step_size=facts["every"], gamma=facts["factor"])
    else:
        milestones = list(facts.get("milestones", []))
        schedule = MultiStepLR(optimiser, milestones=milestones, gamma=facts.get("factor", 1.0))
    with warnings.catch_warnings():
        # torch warns of a schedule that steps before its optimiser; when resuming, it must
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for _ in range(first_epoch):
            schedule.step()
    return schedule
