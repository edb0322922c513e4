"""How a network is trained: epochs, batch, optimiser, schedule, noise."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR

Schedule = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """One entry `training` or `retraining` of a model in the configuration.

    Attributes
    ----------
    epochs : passes over the training split.
    batch_size : images a step; the last batch of an epoch may be smaller.
    optimiser : `{name: sgd, learning_rate, momentum, weight_decay}`.
    schedule : `{name: multi_step, milestones: [epochs], factor}` or `{name: constant}`.
    noise : whether zero pixels get noise, drawn anew for every batch.
    """

    epochs: int
    batch_size: int
    optimiser: Mapping[str, Any]
    schedule: Schedule
    noise: bool

    def build_optimiser(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """A fresh optimiser without state."""
        facts = self.optimiser
        return torch.optim.SGD(
            parameters,
            lr=facts["learning_rate"],
            momentum=facts["momentum"],
            weight_decay=facts["weight_decay"],
        )

    def build_schedule(self, optimiser: torch.optim.Optimizer, first_epoch: int) -> LRScheduler:
        """A fresh schedule bound to `optimiser`, advanced to `first_epoch`."""
        milestones = self.schedule.get("milestones", [])
        factor = self.schedule.get("factor", 1.0)
        schedule = MultiStepLR(optimiser, milestones=list(milestones), gamma=factor)
        with warnings.catch_warnings():
            # torch warns of a schedule that steps before its optimiser; when resuming, it must
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for _ in range(first_epoch):
                schedule.step()
        return schedule
