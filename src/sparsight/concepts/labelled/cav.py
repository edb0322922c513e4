"""Concept activation vectors of a bank."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from sparsight.concepts.base import StudiedNetwork
from sparsight.concepts.labelled.activation_vectors import Fitting, activation_vectors
from sparsight.concepts.labelled.concept_labels import ConceptLabels
from sparsight.concepts.labelled.linear_concepts import LinearConcepts
from sparsight.concepts.labelled.linear_method import LinearMethod, labelled


class Cav(LinearMethod):
    """One linear classifier of pooled features for each concept that varies in the bank.

    Order, measures and arrays are those of `LinearMethod`; `value` is the chosen C, also in the
    array `strengths` [K].

    Parameters
    ----------
    classifier : "svm" or "logistic".
    images_per_side : images that show a concept, and as many that do not; 0 for all.
    fewest : concepts with fewer training images on a side are dropped.
    strengths : values of C to choose from, on the bank's validation images.
    held_out : share of the training images that serve where there are no validation images.
    """

    name: ClassVar[str] = "cav"
    reference: ClassVar[str] = "Kim et al. 2018, arXiv:1711.11279"
    parameters: ClassVar[dict[str, Any]] = {
        "classifier": "svm",
        "images_per_side": 50,
        "fewest": 10,
        "strengths": [0.001, 0.01, 0.1, 1.0, 10.0],
        "held_out": 0.25,
    }

    def fit(
        self, checkpoint: StudiedNetwork, labels: ConceptLabels
    ) -> tuple[LinearConcepts, Mapping[str, Tensor]]:
        """See `LinearMethod.fit`."""
        fitting = Fitting.of(self.settings, self.settings["classifier"], checkpoint.seed)
        concepts, strengths = fitted_vectors(checkpoint, labels, fitting)
        return concepts, {"strengths": strengths}


def fitted_vectors(
    checkpoint: StudiedNetwork, labels: ConceptLabels, fitting: Fitting
) -> tuple[LinearConcepts, Tensor]:
    """`activation_vectors` of a checkpoint, C chosen on the bank's validation images if any."""
    train = labelled(checkpoint, labels, "train")
    validation = (
        labelled(checkpoint, labels, "validation") if "validation" in labels.splits else None
    )
    return activation_vectors(labels.names, train, validation, fitting)
