"""Masks that change while a network trains: gradual pruning, and dynamic sparse training."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InvariantError
from sparsight.pruning.masks import lowest
from sparsight.training.loop import Held, generator

logger = logging.getLogger(__name__)


class MaskSchedule(ABC):
    """Changes masks every so many steps, up to a share of the training.

    Parameters
    ----------
    every : steps from one change to the next.
    until : share of all steps after which masks stay.
    """

    def __init__(self, every: int, until: float) -> None:
        self.every, self.until = every, until

    def __call__(self, training: Held, step: int) -> None:
        """Change masks after a step of the optimiser, from 1 on, where it is time to."""
        last = self.last_step(training.steps)
        if step > last or (step % self.every and step != last):
            return
        before = {name: mask.clone() for name, mask in training.masks.items()}
        self.change(training, step, step / last)
        for name, mask in training.masks.items():
            parameter, kept = training.parameters[name], mask & before[name]
            with torch.no_grad():
                # what returns starts at zero, with an optimiser that does not remember it
                parameter.mul_(kept)
            for value in training.optimiser.state[parameter].values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.mul_(kept)

    def last_step(self, steps: int) -> int:
        """The step of the last change."""
        return max(int(self.until * steps), 1)

    @abstractmethod
    def change(self, training: Held, step: int, progress: float) -> None:
        """Change the masks; `progress` goes to 1, which it is at the last change."""


class Gradual(MaskSchedule):
    """The density falls from dense to `density` with the third power of what is left of the time.

    Parameters
    ----------
    prune : takes the network, its masks (on the CPU) and a density, and gives the masks of it.
    density : at the end.

    Reference
    ---------
    Zhu and Gupta 2017, arXiv 1710.01878, equation 1.
    """

    def __init__(
        self,
        prune: Callable[[nn.Module, Tensors, float], Tensors],
        density: float,
        every: int,
        until: float,
    ) -> None:
        super().__init__(every, until)
        self.prune, self.density = prune, density

    def change(self, training: Held, step: int, progress: float) -> None:
        """See `MaskSchedule.change`."""
        density = self.density + (1 - self.density) * (1 - progress) ** 3
        if progress == 1:
            density = self.density
        masks = {name: mask.cpu() for name, mask in training.masks.items()}
        for name, mask in self.prune(training.network, masks, density).items():
            training.masks[name].copy_(mask)


class Set(MaskSchedule):
    """Sparse evolutionary training: in each layer the smallest fall, and as many grow at random.

    The share of a layer's weights that fall begins at `drop` and falls to 0 as a cosine. What grows
    starts at zero; what has just fallen may grow. Each layer keeps its exact number of weights.

    Parameters
    ----------
    seed : of the network; seeds what grows.

    Reference
    ---------
    Mocanu et al. 2018, arXiv 1707.04780; the cosine is that of Evci et al. 2020, arXiv 1911.11134.
    """

    def __init__(self, seed: int, every: int, until: float, drop: float) -> None:
        super().__init__(every, until)
        self.seed, self.drop = seed, drop

    def change(self, training: Held, step: int, progress: float) -> None:
        """See `MaskSchedule.change`."""
        share = self.drop / 2 * (1 + math.cos(math.pi * progress))
        for name, mask in training.masks.items():
            parameter, survivors = training.parameters[name], int(mask.sum())
            count = min(int(share * survivors), mask.numel() - survivors)
            flat = mask.view(-1)
            size = parameter.detach().abs().flatten().masked_fill(~flat, math.inf)
            stay = flat & ~lowest(size, count)
            growing = self.growth(name, parameter, step).flatten().neg().masked_fill(stay, math.inf)
            flat.copy_(stay | lowest(growing, count))
            if int(mask.sum()) != survivors:
                raise InvariantError(
                    f"{name} holds {int(mask.sum())} weights after step {step}, not {survivors}"
                )

    def growth(self, name: str, parameter: nn.Parameter, step: int) -> Tensor:
        """A score for each weight; of those that are not there, the highest grow."""
        draw = generator(parameter.device, self.seed, "growth", name, step)
        return torch.rand(parameter.shape, generator=draw, device=parameter.device)


class RigL(Set):
    """The same; those with the largest gradient of the last batch's loss grow.

    Reference
    ---------
    Evci et al. 2020, arXiv 1911.11134, algorithm 1. There the step of a change moves no weight;
    here masks change after it.
    """

    def growth(self, name: str, parameter: nn.Parameter, step: int) -> Tensor:
        """|gradient|."""
        assert parameter.grad is not None
        return parameter.grad.abs()


def mask_schedule(
    name: str,
    updates: Mapping[str, Any],
    seed: int,
    density: float,
    prune: Callable[[nn.Module, Tensors, float], Tensors],
) -> MaskSchedule:
    """What a pruner's `schedule` and `mask_updates` name; `prune` is that of `Gradual`."""
    if name == "gradual":
        return Gradual(prune, density, **updates)
    return {"set": Set, "rigl": RigL}[name](seed, **updates)
