"""How a network is trained: epochs, batch, optimiser, schedule, noise, augmentation, selection."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, StepLR

from sparsight.io.errors import InputError, hint
from sparsight.registration import checked_parameters
from sparsight.training.options import OPTIMISERS, SCHEDULES


def _chosen(
    kind: str, tables: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The name and all parameters of a recipe's optimiser or schedule."""
    name = str(given.get("name"))
    if name not in tables:
        raise InputError(f"unknown {kind} '{name}'{hint(name, tables)}")
    own = {key: value for key, value in given.items() if key != "name"}
    return name, checked_parameters(f"{kind} {name}", tables[name], own)


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
    schedule: Mapping[str, Any] = field(default_factory=lambda: {"name": "constant"})
    noise: bool = False
    augment: Mapping[str, Any] = field(default_factory=dict)
    label_smoothing: float = 0.0
    channels_last: bool = False
    autocast: bool = False
    select: str = "last"

    def build_optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """A fresh optimiser without state.

        `sgd` adds the weight decay to the gradient, `adamw` and `ranger` shrink the weights
        (decoupled).

        Reference
        ---------
        AdamW: Loshchilov and Hutter 2019, arXiv 1711.05101. Ranger: rectified Adam (Liu et al.
        2020, arXiv 1908.03265) with lookahead (Zhang et al. 2019, arXiv 1907.08610; six steps, half
        way) and gradient centralisation (Yong et al. 2020, arXiv 2004.01461).
        """
        name, facts = _chosen("optimiser", OPTIMISERS, self.optimiser)
        rate, decay = facts["learning_rate"], facts["weight_decay"]
        if name == "sgd":
            return torch.optim.SGD(
                parameters, lr=rate, momentum=facts["momentum"], weight_decay=decay
            )
        adaptive = {"betas": tuple(facts["betas"]), "eps": facts["epsilon"], "weight_decay": decay}
        if name == "adamw":
            return torch.optim.AdamW(parameters, lr=rate, **adaptive)
        # late: two thirds of a second that other optimisers need not pay
        from pytorch_optimizer import Ranger

        # Before the variance can be rectified, Ranger takes plain momentum steps, as its author's
        # code does. The library's default takes them with the wrong sign: the first go uphill.
        return Ranger(parameters, lr=rate, degenerated_to_sgd=True, **adaptive)

    def build_schedule(self, optimiser: torch.optim.Optimizer, first_epoch: int) -> LRScheduler:
        """A fresh schedule bound to `optimiser`, advanced to `first_epoch`.

        It is advanced step by step, so that the rates are bit for bit those of an unbroken
        training. `cosine` falls from the learning rate in epoch 0 towards `minimum_rate`, which it
        would reach in epoch `epochs` (Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5).
        """
        name, facts = _chosen("schedule", SCHEDULES, self.schedule)
        schedule: LRScheduler
        if name == "cosine":
            schedule = CosineAnnealingLR(
                optimiser, T_max=self.epochs, eta_min=facts["minimum_rate"]
            )
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


#: channels that oneDNN's AVX2 kernels take at a time
_BLOCK = 8


def memory_format(network: nn.Module, recipe: Recipe) -> torch.memory_format:
    """`torch.channels_last` where the recipe asks for it and the network bears it.

    oneDNN's backward pass of a strided 1x1 convolution with fewer input channels than a block
    writes past its workspace, on processors with AVX2 and without AVX-512, when the channels are
    innermost (github.com/uxlfoundation/oneDNN/issues/6035, seen with torch 2.15): the heap is
    corrupted, silently at first. Networks with such a layer stay contiguous, on every machine.
    """
    corrupting = any(
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels // module.groups < _BLOCK
        for module in network.modules()
    )
    if recipe.channels_last and not corrupting:
        return torch.channels_last
    return torch.contiguous_format
