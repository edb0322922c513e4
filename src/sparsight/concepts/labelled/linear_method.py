"""What the methods share that find labelled concepts as directions of pooled features."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from sparsight.concepts.base import WHOLE, ConceptMethod, Findings, Measured, Ranked, StudiedNetwork
from sparsight.concepts.features import BANK
from sparsight.concepts.labelled.activation_vectors import Labelled
from sparsight.concepts.labelled.concept_labels import ConceptLabels, concept_labels
from sparsight.concepts.labelled.drift import drift_of_features, drift_of_margins
from sparsight.concepts.labelled.linear_concepts import LinearConcepts, quality
from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError


class LinearMethod(ConceptMethod):
    """Fits linear functions of pooled features to the concepts that vary in the bank.

    Fitted to and measured on the bank's training and test images of which a concept is known. The
    order of the concepts (one for all classes) is by
    `concept_balanced_accuracy`, which is also `weight`.

    Arrays: `vectors` [K, D] and `intercepts` [K] for raw pooled features; `margins` [N, K], signed
    distances of the network's own test images, and their `image_ids` [N]; `features` [n, D],
    pooled features of the shared test images, and `feature_ids` [n]. Texts: `concepts` [K].
    """

    needs: ClassVar[tuple[str, ...]] = ("concept_labels",)
    measures: ClassVar[dict[str, tuple[str, str, str]]] = {
        "concept_accuracy": (
            "higher",
            "share, 0 to 1",
            "test images of the bank on the right side of a concept's boundary",
        ),
        "concept_balanced_accuracy": (
            "higher",
            "share, 0 to 1",
            "mean of that share over images with and images without the concept",
        ),
    }
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {
        "margin_correlation": (
            "",
            "-1 to 1",
            "Pearson correlation of a concept's signed margins on the same test images",
        ),
        "feature_cka": ("", "0 to 1", "linear CKA of the pooled features of the same test images"),
        "feature_cka_debiased": (
            "",
            "at most 1",
            "the same without the bias of few images and many features",
        ),
    }

    @abstractmethod
    def fit(
        self, checkpoint: StudiedNetwork, labels: ConceptLabels
    ) -> tuple[LinearConcepts, Mapping[str, Tensor]]:
        """The concepts, and further arrays; `strengths` [K] is each concept's `Ranked.value`."""

    def find(self, checkpoint: StudiedNetwork) -> Findings:
        """See `ConceptMethod.find`."""
        labels = concept_labels(checkpoint.bank, self.settings["fewest"])
        if "test" not in labels.splits:
            raise InputError("the concept bank has no test images; give one with a test split")
        concepts, more = self.fit(checkpoint, labels)
        test = labelled(checkpoint, labels, "test")
        measured = quality(concepts, test.pooled, test.shown, test.known)
        own = checkpoint.features.split("test")
        with PackedSplit.open(checkpoint.splits["test"]) as packed:
            shared = packed.subset(min(checkpoint.images, len(packed)))
        arrays = {
            "vectors": concepts.vectors,
            "intercepts": concepts.intercepts,
            "margins": concepts.margins(own.pooled),
            "image_ids": own.image_ids,
            "features": own.pooled[shared],
            "feature_ids": own.image_ids[shared],
            **more,
        }
        nothing = torch.full((len(concepts.names),), torch.nan)
        values = dict(zip(concepts.names, more.get("strengths", nothing).tolist(), strict=True))
        return Findings(
            _by_accuracy(measured, values),
            measured,
            arrays,
            {"concepts": concepts.names},
            labels.notes,
        )

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        """See `ConceptMethod.compare`."""
        return [*drift_of_margins(own, reference), *drift_of_features(own, reference)]


def labelled(checkpoint: StudiedNetwork, labels: ConceptLabels, split: str) -> Labelled:
    """Pooled features of a split of the bank, and the concepts that its images show or lack.

    Raises
    ------
    InputError
        When the features are those of other images.
    """
    found = checkpoint.features.split(split, BANK)
    with PackedSplit.open(checkpoint.bank[split]) as packed:
        if not torch.equal(packed.image_ids(), found.image_ids):
            raise InputError(
                f"{checkpoint.features.path} and {packed.path} hold other images; delete the "
                "first and run snakemake again"
            )
    return Labelled(found.pooled, labels.splits[split], found.image_ids, labels.known[split])


def _by_accuracy(measured: Sequence[Measured], values: Mapping[str, float]) -> list[Ranked]:
    """Concepts by balanced accuracy; those without one come last, ties as in the bank."""
    rows = [row for row in measured if row.measure == "concept_balanced_accuracy" and row.concept]
    # A NaN is unequal to itself.
    rows.sort(key=lambda row: -row.value if row.value == row.value else 1.0)
    return [
        Ranked(WHOLE, row.concept, rank, row.value, values[row.concept])
        for rank, row in enumerate(rows, start=1)
    ]
