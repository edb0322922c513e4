"""The multi-label concept predictor of the lottery ticket study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.concepts.base import StudiedNetwork
from sparsight.concepts.labelled.activation_vectors import Labelled
from sparsight.concepts.labelled.concept_labels import ConceptLabels
from sparsight.concepts.labelled.linear_concepts import LinearConcepts
from sparsight.concepts.labelled.linear_method import LinearMethod, labelled
from sparsight.io.errors import InputError
from sparsight.training.randomness import derived_seed, generator


@dataclass(frozen=True)
class PredictorRecipe:
    """How the predictor is trained: stochastic gradient descent without momentum."""

    epochs: int
    learning_rate: float
    batch_size: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """From the parameters of a method with these names."""
        return cls(settings["epochs"], settings["learning_rate"], settings["batch_size"])

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0:
            raise InputError(
                "a concept predictor needs at least one epoch, one image in a batch and a "
                "positive learning rate"
            )


def train_predictor(
    names: Sequence[str], train: Labelled, recipe: PredictorRecipe, seed: int
) -> LinearConcepts:
    """One linear layer with a sigmoid for all concepts at once, on binary cross-entropy.

    Ghosh & Batmanghelich 2023 (arXiv:2307.13698). Features are not standardised, as there. A label
    that is not known adds nothing to the loss; known ones weigh the same however many these are.

    Parameters
    ----------
    names : of the K concepts.
    train : the bank's training images.
    seed : of the first weights and of the order of the images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "concept predictor"))
        layer = nn.Linear(train.pooled.shape[1], len(names))
    optimiser = torch.optim.SGD(layer.parameters(), recipe.learning_rate)
    order = generator(torch.device("cpu"), seed, "concept predictor", "order")
    truth, counted = train.shown.float(), train.known.float()
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(truth), generator=order).split(recipe.batch_size):
            optimiser.zero_grad()
            # The mean is over all labels of the batch: over the known ones alone, a label would
            # weigh more the fewer others are known.
            loss = functional.binary_cross_entropy_with_logits(
                layer(train.pooled[rows]), truth[rows], weight=counted[rows]
            )
            loss.backward()
            optimiser.step()
    return LinearConcepts(tuple(names), layer.weight.detach(), layer.bias.detach())


class ConceptPredictor(LinearMethod):
    """The study's concepts: one multi-label linear layer of pooled features.

    Order, measures and arrays are those of `LinearMethod`; `value` is NaN.

    Parameters
    ----------
    fewest : concepts with fewer training images on a side are dropped.
    epochs, learning_rate, batch_size : of its training.
    """

    name: ClassVar[str] = "concept_predictor"
    reference: ClassVar[str] = "Ghosh & Batmanghelich 2023, arXiv:2307.13698"
    parameters: ClassVar[dict[str, Any]] = {
        "fewest": 10,
        "epochs": 15,
        "learning_rate": 0.01,
        "batch_size": 32,
    }

    def fit(
        self, checkpoint: StudiedNetwork, labels: ConceptLabels
    ) -> tuple[LinearConcepts, Mapping[str, Tensor]]:
        """See `LinearMethod.fit`."""
        train = labelled(checkpoint, labels, "train")
        recipe = PredictorRecipe.of(self.settings)
        return train_predictor(labels.names, train, recipe, checkpoint.seed), {}
