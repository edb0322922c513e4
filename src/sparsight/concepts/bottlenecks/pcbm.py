"""Post-hoc concept bottleneck models, with and without a residual."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.concepts.base import ConceptMethod, Findings, Measured, Ranked, StudiedNetwork
from sparsight.concepts.bottlenecks.bottleneck import ElasticNet, fit_softmax
from sparsight.concepts.bottlenecks.image_drift import drift_by_difficulty
from sparsight.concepts.bottlenecks.pcbm_drift import drift_of_weights
from sparsight.concepts.bottlenecks.pcbm_measures import bottleneck_measures, class_means
from sparsight.concepts.features import SplitFeatures
from sparsight.concepts.labelled.activation_vectors import Fitting
from sparsight.concepts.labelled.cav import fitted_vectors
from sparsight.concepts.labelled.concept_labels import ConceptLabels, concept_labels
from sparsight.concepts.labelled.concept_predictor import PredictorRecipe, train_predictor
from sparsight.concepts.labelled.drift import drift_of_margins
from sparsight.concepts.labelled.linear_concepts import QUALITY, LinearConcepts, quality
from sparsight.concepts.labelled.linear_method import labelled
from sparsight.concepts.labelled.standardise import Standardiser
from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError

SCORES = ("svm", "logistic", "predictor")


class Pcbm(ConceptMethod):
    """The network's classes, told from concept scores alone by a sparse linear layer.

    Scores of an image are its signed margins from the concepts' boundaries ("svm", "logistic") or
    the probabilities of the multi-label predictor ("predictor"), standardised over the network's
    own training images. Concepts are fitted on the bank, which may be another data set, on images
    of which they are known; the layer on the network's own training images and true labels.

    The order is, for each class, that of the layer's weights; only positive ones are listed, since
    only these speak for the class. `weight` is that weight; `value` the mean standardised score of
    the class's test images, so that their product is what the concept adds to the class's logit.

    The hybrid adds a linear layer of the standardised pooled features to the frozen bottleneck,
    fitted afterwards with a ridge penalty.

    Arrays: `weights` [C, K] and `biases` [C] of the bottleneck; `means` and `deviations` [K] of
    the scores; `vectors` [K, D], `intercepts` [K]; `margins` [N, K], signed distances of the
    network's own test images (of the predictor too), `scores` [N, K], standardised, and their
    `image_ids` [N]; `logits` [N, C], and with the hybrid `hybrid_logits` [N, C]. Texts: `concepts`
    [K], `classes` [C].

    Parameters
    ----------
    scores : "svm", "logistic" or "predictor".
    strength, l1_ratio : λ and ρ of the elastic net, see `ElasticNet`.
    iterations : of the solver, at most. A note says where it did not converge; claims about such
        networks are not tested.
    hybrid : whether to fit the residual.
    residual_strength : λ of its ridge penalty.
    persistence : p of the rank-biased overlap.
    top : at most so many concepts a class are listed; comparisons use all.
    images_per_side, strengths, held_out : of the classifiers, see `Cav`.
    fewest : concepts with fewer training images on a side are dropped.
    epochs, learning_rate, batch_size : see `ConceptPredictor`.
    """

    name: ClassVar[str] = "pcbm"
    reference: ClassVar[str] = "Yuksekgonul et al. 2023, arXiv:2205.15480"
    needs: ClassVar[tuple[str, ...]] = ("concept_labels",)
    measures: ClassVar[dict[str, tuple[str, str, str]]] = {
        "network_accuracy": ("higher", "share, 0 to 1", "of the network f on its test images"),
        "network_balanced_accuracy": ("higher", "share, 0 to 1", "mean recall of f over classes"),
        "bottleneck_accuracy": ("higher", "share, 0 to 1", "of the bottleneck g on test images"),
        "bottleneck_balanced_accuracy": (
            "higher",
            "share, 0 to 1",
            "mean recall of g over classes",
        ),
        "hybrid_accuracy": (
            "higher",
            "share, 0 to 1",
            "of the bottleneck with residual; NaN where it was not asked for",
        ),
        "hybrid_balanced_accuracy": (
            "higher",
            "share, 0 to 1",
            "mean recall of the bottleneck with residual",
        ),
        "accuracy_gap": ("", "-1 to 1", "accuracy of g minus accuracy of f"),
        "agreement": ("higher", "share, 0 to 1", "test images on which g and f say the same class"),
        "completeness": (
            "higher",
            "at most about 1",
            "accuracy of g above chance, as a share of that of f; NaN where f is not 10 points "
            "above chance, the accuracy of the best constant answer (Yeh et al. 2020)",
        ),
        "nonzero_weights": ("lower", "count", "weights of the bottleneck that are not 0"),
        "concept_accuracy": (
            "higher",
            "share, 0 to 1",
            "of the concepts on the bank's test images, mean over concepts; NaN without them",
        ),
        "concept_balanced_accuracy": (
            "higher",
            "share, 0 to 1",
            "mean over concepts of the mean recall of both sides",
        ),
        "converged": (
            "higher",
            "0 or 1",
            "whether the solvers of bottleneck and residual reached their tolerance",
        ),
    }
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {
        "top3_jaccard": (
            "",
            "0 to 1",
            "Jaccard index of the three concepts with the largest positive weights of a class",
        ),
        "top5_jaccard": ("", "0 to 1", "the same of five concepts"),
        "rank_biased_overlap": (
            "",
            "0 to 1",
            "rank-biased overlap of a class's whole order of concepts",
        ),
        "margin_correlation": (
            "",
            "-1 to 1",
            "Pearson correlation of a concept's signed margins on the same test images",
        ),
        "image_jaccard_hard": (
            "",
            "0 to 1",
            "Jaccard index of the three concepts that add most to an image's label, mean over the "
            "third of the images of which the reference is least sure",
        ),
        "image_jaccard_medium": ("", "0 to 1", "the same of the middle third"),
        "image_jaccard_easy": ("", "0 to 1", "the same of the third of which it is surest"),
        "image_jaccard_hard_minus_easy": ("", "-1 to 1", "the first minus the last"),
    }
    parameters: ClassVar[dict[str, Any]] = {
        "scores": "svm",
        "strength": 1e-5,
        "l1_ratio": 0.99,
        "iterations": 20000,
        "hybrid": True,
        "residual_strength": 0.001,
        "persistence": 0.8,
        "top": 10,
        "images_per_side": 50,
        "fewest": 10,
        "strengths": [0.001, 0.01, 0.1, 1.0, 10.0],
        "held_out": 0.25,
        "epochs": 15,
        "learning_rate": 0.01,
        "batch_size": 32,
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        if self.settings["scores"] not in SCORES:
            raise InputError(
                f"concept method pcbm: 'scores' must be one of {', '.join(SCORES)}, not "
                f"{self.settings['scores']!r}"
            )
        if not 0 < self.settings["persistence"] < 1:
            raise InputError("concept method pcbm: 'persistence' must be above 0 and below 1")

    def find(self, checkpoint: StudiedNetwork) -> Findings:
        """See `ConceptMethod.find`."""
        settings = self.settings
        labels = concept_labels(checkpoint.bank, settings["fewest"])
        concepts = self._concepts(checkpoint, labels)
        train, test = (checkpoint.features.split(split) for split in ("train", "test"))
        scale = Standardiser.of(self._scores(concepts, train.pooled))
        inputs = scale(self._scores(concepts, train.pooled))
        class_count = train.logits.shape[1]
        penalty = ElasticNet(settings["strength"], settings["l1_ratio"], settings["iterations"])
        layer = fit_softmax(inputs, train.labels, class_count, penalty)
        scores = scale(self._scores(concepts, test.pooled))
        outputs = {"logits": layer(scores)}
        converged = {"bottleneck": layer.converged}
        if settings["hybrid"]:
            outputs["hybrid_logits"], converged["residual"] = self._hybrid(
                train, test, layer(inputs), outputs
            )
        failed = [part for part, reached in converged.items() if not reached]
        notes = [*labels.notes, *(_not_converged(part, settings["iterations"]) for part in failed)]
        with PackedSplit.open(checkpoint.splits["test"]) as packed:
            classes = packed.classes
        arrays = {
            "weights": layer.weights.float(),
            "biases": layer.biases.float(),
            "means": scale.mean.float(),
            "deviations": scale.deviation.float(),
            "vectors": concepts.vectors,
            "intercepts": concepts.intercepts,
            "margins": concepts.margins(test.pooled),
            "scores": scores.float(),
            "image_ids": test.image_ids,
            "labels": test.labels,
            "network_margins": _margins(test.logits),
            **{name: logits.float() for name, logits in outputs.items()},
        }
        return Findings(
            _ranked(arrays, test.labels, concepts.names, classes, settings["top"]),
            [
                *bottleneck_measures(test, outputs, layer.weights),
                *_concept_quality(checkpoint, labels, concepts),
                Measured("converged", float(not failed)),
            ],
            arrays,
            {"concepts": concepts.names, "classes": classes},
            notes,
        )

    def _concepts(self, checkpoint: StudiedNetwork, labels: ConceptLabels) -> LinearConcepts:
        settings, kind = self.settings, self.settings["scores"]
        if kind != "predictor":
            fitting = Fitting.of(settings, kind, checkpoint.seed)
            return fitted_vectors(checkpoint, labels, fitting)[0]
        train = labelled(checkpoint, labels, "train")
        recipe = PredictorRecipe.of(settings)
        return train_predictor(labels.names, train, recipe, checkpoint.seed)

    def _scores(self, concepts: LinearConcepts, features: Tensor) -> Tensor:
        if self.settings["scores"] == "predictor":
            return concepts.scores(features).sigmoid()
        return concepts.margins(features)

    def _hybrid(
        self,
        train: SplitFeatures,
        test: SplitFeatures,
        train_logits: Tensor,
        outputs: Mapping[str, Tensor],
    ) -> tuple[Tensor, bool]:
        """Test logits with the residual, and whether it converged."""
        scale = Standardiser.of(train.pooled)
        ridge = ElasticNet(self.settings["residual_strength"], 0.0, self.settings["iterations"])
        residual = fit_softmax(
            scale(train.pooled), train.labels, train_logits.shape[1], ridge, train_logits
        )
        return outputs["logits"] + residual(scale(test.pooled)), residual.converged

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        """See `ConceptMethod.compare`."""
        return [
            *drift_of_weights(own, reference, self.settings["persistence"]),
            *drift_of_margins(own, reference),
            *drift_by_difficulty(own, reference),
        ]


def _concept_quality(
    checkpoint: StudiedNetwork, labels: ConceptLabels, concepts: LinearConcepts
) -> list[Measured]:
    """Means over concepts of how well they find their images in the bank's test split."""
    if "test" not in labels.splits:
        return [Measured(measure, torch.nan) for measure in QUALITY]
    test = labelled(checkpoint, labels, "test")
    rows = quality(concepts, test.pooled, test.shown, test.known)
    return [row for row in rows if not row.concept]


def _margins(logits: Tensor) -> Tensor:
    """The top logit of each image minus the second, float32 [N]."""
    top = logits.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]


def _not_converged(what: str, iterations: int) -> str:
    return f"the {what} had not converged after {iterations} iterations; give more 'iterations'"


def _ranked(
    arrays: Mapping[str, Tensor],
    labels: Tensor,
    concepts: Sequence[str],
    classes: Sequence[str],
    top: int,
) -> list[Ranked]:
    weights = arrays["weights"]
    means = class_means(arrays["scores"], labels, len(classes))
    order = torch.argsort(weights, dim=1, descending=True, stable=True)[:, :top]
    return [
        Ranked(
            class_name,
            concepts[concept],
            rank,
            float(weights[label, concept]),
            float(means[label, concept]),
        )
        for label, class_name in enumerate(classes)
        for rank, concept in enumerate(order[label].tolist(), start=1)
        if weights[label, concept] > 0
    ]
