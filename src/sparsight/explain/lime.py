"""LIME: a linear model of the network in the neighbourhood of an image."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.explain.coalitions import CoalitionExplainer, least_squares


class Lime(CoalitionExplainer):
    """Coefficients of a ridge regression on superpixels that are switched on and off at random.

    As in the authors' code for images, the first of `n_samples` coalitions is the whole image, the
    others have each superpixel with probability one half. A coalition of m of the M superpixels
    lies at the cosine distance D = 1 - sqrt(m / M) from the image and weighs
    sqrt(exp(-D² / `kernel_width`²)) (equation 2). The regression has an unpenalised constant and
    the penalty `ridge`; with 0 it is ordinary least squares.

    Superpixels that are off show their own mean colour, or the grey value `grey` where `baseline`
    is "grey". `segments` is about the number of superpixels; images of one channel or of sides
    below 48 pixels are cut into a grid. Not divided by a superpixel's area: a large one has the
    same value on more pixels.

    It differs from the authors' code for images in its defaults and in the superpixels:

    * `output` is the logit; theirs is the probability, which hardly moves where a network is sure.
    * `n_samples` is 500; theirs is 1,000.
    * superpixels are those of SLIC, or a grid; theirs are of quickshift, which takes
      no number of them.
    """

    name: ClassVar[str] = "lime"
    reference: ClassVar[str] = "arXiv:1602.04938"
    value_range: ClassVar[str] = "any; in units of the output per superpixel"
    cost: ClassVar[int] = 500
    parameters: ClassVar[dict[str, Any]] = {
        "segments": 50,
        "n_samples": 500,
        "output": "logit",
        "baseline": "mean",
        "grey": 0.0,
        "kernel_width": 0.25,
        "ridge": 1.0,
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._require_at_least("ridge", 0)
        # Below this, the weight of half an image leaves double precision.
        self._require_at_least("kernel_width", 0.01)

    def coalitions(self, segments: int, generator: torch.Generator) -> Tensor:
        """See `CoalitionExplainer.coalitions`."""
        shape = (self.settings["n_samples"], segments)
        drawn = torch.randint(0, 2, shape, generator=generator).bool()
        drawn[0] = True
        return drawn

    def values(self, coalitions: Tensor, outputs: Tensor) -> Tensor:
        """See `CoalitionExplainer.values`."""
        return weighted_ridge(
            coalitions.double(), outputs, self.weights(coalitions), self.settings["ridge"]
        )

    def weights(self, coalitions: Tensor) -> Tensor:
        """Weights float64 [S] of coalitions bool [S,M], in [0, 1]."""
        distances = 1 - coalitions.double().mean(dim=1).sqrt()
        width: float = self.settings["kernel_width"]
        return (-((distances / width) ** 2) / 2).exp()

    def facts(self) -> dict[str, Any]:
        """Facts with the cost of the chosen number of samples."""
        return {**super().facts(), "cost": self.settings["n_samples"]}


def weighted_ridge(inputs: Tensor, outputs: Tensor, weights: Tensor, penalty: float) -> Tensor:
    """Coefficients of a weighted ridge regression with an unpenalised constant.

    They minimise sum over s of weights_s (outputs_s - c - inputs_s x)² + penalty |x|²; with penalty
    0 and too few samples, the shortest x of those that do.

    Parameters
    ----------
    inputs, outputs, weights : float64 [S,M], [S] and [S], weights not negative.
    penalty : 0 or more.

    Returns
    -------
    float64 [M].
    """
    share = weights / weights.sum()
    roots = weights.sqrt()
    # Less the first, outputs that are equal are exactly 0, which their weighted mean need not be.
    outputs = outputs - outputs[:1]
    rows = (inputs - share @ inputs) * roots.unsqueeze(1)
    goals = (outputs - share @ outputs) * roots
    if penalty > 0:
        count = inputs.shape[1]
        rows = torch.cat([rows, math.sqrt(penalty) * torch.eye(count, dtype=rows.dtype)])
        goals = torch.cat([goals, goals.new_zeros(count)])
    return least_squares(rows, goals)
