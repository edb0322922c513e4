"""How a network is trained: epochs, batch, optimiser, schedule, noise, augmentation, selection."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from sparsight.training.optimisers import build_optimiser
from sparsight.training.schedules import build_schedule

Schedule = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """One entry `training` or `retraining` of a model in the configuration.

    Attributes
    ----------
    epochs : passes over the training split; with 0 nothing is trained, and all else is unused.
    batch_size : images a step; the last batch of an epoch may be smaller.
    optimiser : `{name: sgd, learning_rate, momentum, weight_decay}` or `{name: adamw | ranger,
        learning_rate, weight_decay, betas, epsilon}`.
    schedule : `{name: constant}`, `{name: multi_step, milestones: [epochs], factor}`, `{name: step,
        every: epochs, factor}` or `{name: cosine, minimum_rate}`; the rate changes between epochs.
    noise : whether zero pixels get noise, drawn anew for every batch.
    augment : `{random_resized_crop: {scale, ratio}, flip: true, colour_jitter: {brightness,
        contrast, saturation, hue}}`; see `sparsight.training.augmentation`.
    label_smoothing : share of the label that is spread evenly over all classes, 0 to 1.
    channels_last : whether convolutions work on images with the channels innermost in memory,
        where the network bears it (`memory_format`).
    autocast : whether a GPU computes in bfloat16 where that is safe; a CPU never does. The weights,
        and all explaining and scoring, stay float32.
    select : which epoch's network is kept: `last`; `best_validation`, the earliest of highest
        accuracy on the clean validation split; or `best_test`, the same on the test split. The
        latter is a mistake of published code, kept to measure what it does: the reported accuracy
        was itself chosen to be high.
    """

    epochs: int
    batch_size: int = 1
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=lambda: {"name": "constant"})
    noise: bool = False
    augment: Mapping[str, Any] = field(default_factory=dict)
    label_smoothing: float = 0.0
    channels_last: bool = False
    autocast: bool = False
    select: str = "last"

    def build_optimiser(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """A fresh optimiser without state."""
        return build_optimiser(self.optimiser, parameters)

    def build_schedule(self, optimiser: torch.optim.Optimizer, first_epoch: int) -> LRScheduler:
        """A fresh schedule bound to `optimiser`, advanced to `first_epoch`."""
        return build_schedule(self.schedule, optimiser, self.epochs, first_epoch)
