"""Concepts as directions in a network's feature space, and how well they find their images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsight.concepts.base import Measured

#: measures that `quality` gives
QUALITY = ("concept_accuracy", "concept_balanced_accuracy")


@dataclass(frozen=True)
class LinearConcepts:
    """A linear function w·x + b of pooled features for each concept.

    Attributes
    ----------
    names : of the K concepts.
    vectors : float32 [K, D], w.
    intercepts : float32 [K], b.
    """

    names: tuple[str, ...]
    vectors: Tensor
    intercepts: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """w·x + b of features [N, D], float32 [N, K]; above 0 speaks for the concept."""
        wide = features.double() @ self.vectors.double().T + self.intercepts.double()
        return wide.float()

    def margins(self, features: Tensor) -> Tensor:
        """Signed distance (w·x + b) / ‖w‖ from the boundary, float32 [N, K]; 0 where w is 0.

        Ghosh & Batmanghelich 2023 (arXiv:2307.13698), in the units of the features.
        """
        lengths = torch.linalg.vector_norm(self.vectors.double(), dim=1)
        values: Tensor = self.scores(features).double() / lengths
        return values.masked_fill(lengths == 0, 0.0).float()


def quality(
    concepts: LinearConcepts, features: Tensor, labels: Tensor, known: Tensor
) -> list[Measured]:
    """`concept_accuracy` and `concept_balanced_accuracy` of each concept, and their means.

    Parameters
    ----------
    features : float32 [N, D] of the bank's test images.
    labels : bool [N, K].
    known : bool [N, K]; a concept is measured on the images of which it is known.

    Returns
    -------
    Rows; the balanced accuracy is NaN where all these images or none show the concept, and the
    accuracy where there are none, which leaves it out of the mean.
    """
    right = (concepts.scores(features) > 0) == labels
    rows: list[Measured] = []
    shares = (accuracy(right, known), balanced_accuracy(right, labels, known))
    for measure, values in zip(QUALITY, shares, strict=True):
        rows += with_mean(measure, values, concepts.names)
    return rows


def accuracy(right: Tensor, known: Tensor) -> Tensor:
    """The share of the known images that is right, float64 [K]; NaN without any.

    Parameters
    ----------
    right, known : bool [N, K]: whether the prediction is right, and whether the truth is known.
    """
    return (right & known).sum(dim=0).double() / known.sum(dim=0)


def balanced_accuracy(right: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Mean over both sides of the share that is right, float64 [K]; NaN with one side only.

    Parameters
    ----------
    right, labels, known : bool [N, K]: whether the prediction is right, the truth, and whether it
        is known.
    """
    with_it, without = labels & known, ~labels & known
    hits, misses = (right & with_it).sum(dim=0), (right & without).sum(dim=0)
    return (hits / with_it.sum(dim=0) + misses / without.sum(dim=0)).double() / 2


def with_mean(measure: str, values: Tensor, concepts: Sequence[str]) -> list[Measured]:
    """One row for each concept, and one for their mean over the defined values [K]."""
    rows = [
        Measured(measure, value, concept=concept)
        for concept, value in zip(concepts, values.tolist(), strict=True)
    ]
    return [*rows, Measured(measure, torch.nanmean(values).item())]
