"""KernelSHAP: Shapley values of superpixels by regression."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.explain.coalitions import CoalitionExplainer, least_squares


class KernelShap(CoalitionExplainer):
    """Shapley values of superpixels: each one's mean gain in output over all orders of adding them.

    They are the coefficients of a regression weighted by the Shapley kernel (theorem 2), with the
    constraint that they sum to the output for the image minus that for the image with everything
    off. Where the M superpixels have no more than `n_samples` proper coalitions (2^M - 2), all are
    asked for and the values are exact. Otherwise `n_samples` are drawn from the kernel, each
    followed by its complement, which lowers the variance (arXiv:2012.01536).

    Superpixels that are off show their own mean colour, or the grey value `grey` where `baseline`
    is "grey". `segments` is about the number of superpixels; images of one channel or of sides
    below 48 pixels are cut into a grid. Not divided by a superpixel's area: a large one has the
    same value on more pixels.

    The cost is an upper bound: an image with few superpixels has fewer coalitions to ask for, but
    how many it has is known only when it is cut.
    """

    name: ClassVar[str] = "kernel_shap"
    reference: ClassVar[str] = "arXiv:1705.07874"
    value_range: ClassVar[str] = (
        "any; the superpixels' values sum to the output minus that with all of them off"
    )
    cost: ClassVar[int] = 502
    parameters: ClassVar[dict[str, Any]] = {
        "segments": 50,
        "n_samples": 500,
        "output": "logit",
        "baseline": "mean",
        "grey": 0.0,
    }

    def coalitions(self, segments: int, generator: torch.Generator) -> Tensor:
        """The whole image, nothing of it, and then the proper coalitions."""
        count = self.settings["n_samples"]
        few = _is_enumerated(segments, count)
        proper = _all_proper(segments) if few else _drawn(segments, count, generator)
        ends = torch.tensor([[True], [False]]).expand(2, segments)
        return torch.cat([ends, proper])

    def values(self, coalitions: Tensor, outputs: Tensor) -> Tensor:
        """See `CoalitionExplainer.values`."""
        proper = coalitions[2:]
        weights = torch.ones(len(proper), dtype=torch.float64)
        if _is_enumerated(coalitions.shape[1], self.settings["n_samples"]):
            weights = _kernel(proper)
        return shapley_values(proper.double(), outputs[2:], weights, outputs[1], outputs[0])

    def facts(self) -> dict[str, Any]:
        """Facts with the most that the chosen number of samples can cost."""
        return {**super().facts(), "cost": self.settings["n_samples"] + 2}


def shapley_values(
    inputs: Tensor, outputs: Tensor, weights: Tensor, nothing: Tensor, whole: Tensor
) -> Tensor:
    """Weighted least squares under the constraint that the values sum to `whole` - `nothing`.

    Parameters
    ----------
    inputs, outputs, weights : float64 [S,M] of zeros and ones, [S] and [S].
    nothing, whole : float64 [], the outputs with all off and all on.

    Returns
    -------
    float64 [M]. Where the samples do not decide them, as near to equal as they can be.
    """
    count = inputs.shape[1]
    equal = (whole - nothing) / count
    if not len(inputs):
        return equal.expand(count)
    sizes = inputs.sum(dim=1)
    roots = weights.sqrt()
    # What differs from an equal split sums to 0, so that taking a constant from a row is allowed;
    # the shortest solution then sums to 0 by itself.
    rows = (inputs - (sizes / count).unsqueeze(1)) * roots.unsqueeze(1)
    goals = (outputs - nothing - sizes * equal) * roots
    return equal + least_squares(rows, goals)


def _is_enumerated(segments: int, count: int) -> bool:
    return segments < 63 and 2**segments - 2 <= count


def _all_proper(segments: int) -> Tensor:
    """All coalitions but the empty one and the whole, bool [2^M - 2, M]."""
    numbers = torch.arange(1, max(1, 2**segments - 1))
    return (numbers.unsqueeze(1) >> torch.arange(segments)) % 2 == 1


def _kernel(coalitions: Tensor) -> Tensor:
    """The Shapley kernel of proper coalitions, float64 [S]."""
    count = coalitions.shape[1]
    by_size = [0.0] + [
        (count - 1) / (math.comb(count, size) * size * (count - size)) for size in range(1, count)
    ]
    return torch.tensor(by_size, dtype=torch.float64)[coalitions.sum(dim=1)]


def _drawn(segments: int, count: int, generator: torch.Generator) -> Tensor:
    """Coalitions drawn in proportion to the Shapley kernel, each followed by its complement."""
    pairs = -(-count // 2)
    sizes = torch.arange(1, segments, dtype=torch.float64)
    chosen = torch.multinomial(
        1 / (sizes * (segments - sizes)), pairs, replacement=True, generator=generator
    )
    # The places of independent numbers are a random order: its first so many are on.
    order = torch.rand(pairs, segments, generator=generator).argsort(dim=1).argsort(dim=1)
    drawn = order <= chosen.unsqueeze(1)
    return torch.stack([drawn, ~drawn], dim=1).flatten(0, 1)[:count]
