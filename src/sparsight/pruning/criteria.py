"""Criteria: a score for every prunable weight; the lowest fall first."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from sparsight.io.checkpoints import Tensors
from sparsight.training.loop import generator


class Criterion(ABC):
    """Scores the weights of a trained network. Facts are literal class attributes."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]

    @abstractmethod
    def scores(self, weights: Tensors, seed: int) -> Tensors:
        """Scores, each of the shape of its weight, float32; lower falls first.

        Parameters
        ----------
        weights : prunable parameter to trained weight.
        seed : of the network; criteria that draw use it.
        """


class Magnitude(Criterion):
    """Absolute value of the trained weight."""

    name: ClassVar[str] = "magnitude"
    reference: ClassVar[str] = "Han et al. 2015, arXiv 1506.02626"

    def scores(self, weights: Tensors, seed: int) -> Tensors:
        """|w| of every weight."""
        return {name: weight.detach().abs() for name, weight in weights.items()}


class RandomOrder(Criterion):
    """One random order of all weights per seed, the control for every informed criterion.

    The order does not depend on the level, so that the masks are nested whether levels are pruned
    in a chain or each from the dense network.
    """

    name: ClassVar[str] = "random"
    reference: ClassVar[str] = "control; Frankle and Carbin 2019, arXiv 1803.03635, section 2"

    def scores(self, weights: Tensors, seed: int) -> Tensors:
        """Uniform scores in [0, 1)."""
        return {
            name: torch.rand(
                weight.shape, generator=generator(torch.device("cpu"), seed, "random_order", name)
            )
            for name, weight in weights.items()
        }
