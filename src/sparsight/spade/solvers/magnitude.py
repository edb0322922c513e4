"""The smallest weights fall, whatever the image: the control for the informed solvers."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from sparsight.spade.solvers.base import SampleSolver
from sparsight.spade.solvers.counting import lowest


class SampleMagnitude(SampleSolver):
    """The smallest absolute values fall; ties go in the order of the elements. None is adapted."""

    name: ClassVar[str] = "magnitude"
    reference: ClassVar[str] = "control; Han et al. 2015, arXiv 1506.02626"
    needs_hessian: ClassVar[bool] = False

    def solve(
        self,
        weights: Tensor,
        hessians: Tensor | None,
        counts: Tensor,
        block: int,
        generators: Sequence[torch.Generator] | None,
    ) -> Tensor:
        """See `SampleSolver.solve`."""
        self.check(weights, hessians, counts, block)
        # what is zero has the lowest score, and keeps the sign of its zero
        falls = lowest(weights.abs(), counts.to(weights.device)) & (weights != 0)
        return weights.masked_fill(falls, 0)
