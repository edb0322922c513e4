"""Any weights fall: the control for what sparsity alone does."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.spade.solvers.base import SampleSolver
from sparsight.spade.solvers.counting import lowest


class SampleRandom(SampleSolver):
    """Weights fall in a random order. None is adapted.

    The order belongs to the generator and not to the count: with a larger count, the same weights
    fall and some more.
    """

    name: ClassVar[str] = "random"
    reference: ClassVar[str] = "control; after Soltani Moakhar et al. 2024, arXiv 2310.04519"
    needs_hessian: ClassVar[bool] = False

    def solve(
        self,
        weights: Tensor,
        hessians: Tensor | None,
        counts: Tensor,
        block: int,
        generators: Sequence[torch.Generator] | None,
    ) -> Tensor:
        """See `SampleSolver.solve`; each generator moves on by O·K numbers.

        Raises
        ------
        InputError
            Without one generator for each of the B.
        """
        self.check(weights, hessians, counts, block)
        if generators is None or len(generators) != len(weights):
            raise InputError(
                f"solver {self.name} has {len(generators or ())} generators for {len(weights)} "
                "images; give it one for each"
            )
        scores = [
            torch.rand(weights.shape[1:], generator=one, device=one.device).to(weights.device)
            for one in generators
        ]
        zero = weights == 0
        order = torch.stack(scores) if scores else torch.zeros_like(weights)
        falls = lowest(order.masked_fill(zero, -1), counts.to(weights.device)) & ~zero
        return weights.masked_fill(falls, 0)
