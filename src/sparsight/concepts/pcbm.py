"""Post-hoc concept bottleneck models, with and without a residual, and how they differ."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sparsight.concepts.base import (
    ConceptMethod,
    Findings,
    Measured,
    Ranked,
    StudiedNetwork,
    with_mean,
)
from sparsight.concepts.cav import (
    QUALITY,
    ConceptLabels,
    Fitting,
    LinearConcepts,
    Standardiser,
    class_means,
    concept_labels,
    drift_of_margins,
    fitted_vectors,
    labelled_features,
    quality,
    shared_names,
    train_predictor,
)
from sparsight.concepts.features import SplitFeatures
from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError
from sparsight.rounding import ROUNDING
from sparsight.training.evaluation import Outputs, measures


@dataclass(frozen=True)
class SoftmaxLayer:
    """Logits x · weightsᵀ + biases."""

    weights: Tensor  # float64 [C, K]
    biases: Tensor  # float64 [C]
    # whether the projected slope reached the tolerance, a thousandth of the penalty's strength
    converged: bool

    def __call__(self, inputs: Tensor) -> Tensor:
        """Logits of inputs [N, K], float64 [N, C]."""
        return inputs.double() @ self.weights.T + self.biases


@dataclass(frozen=True)
class ElasticNet:
    """λ (ρ ‖W‖₁ + (1 - ρ) / 2 ‖W‖₂²), added to the mean cross-entropy; biases are free."""

    strength: float  # λ, at least 0
    l1_ratio: float  # ρ in [0, 1]
    iterations: int  # at most so many steps of the solver

    def __post_init__(self) -> None:
        if self.strength < 0 or not 0 <= self.l1_ratio <= 1 or self.iterations < 1:
            raise InputError(
                "an elastic net needs a strength of at least 0, an l1 ratio from 0 to 1, and at "
                "least one iteration"
            )


def fit_softmax(
    inputs: Tensor,
    labels: Tensor,
    class_count: int,
    penalty: ElasticNet,
    offsets: Tensor | None = None,
) -> SoftmaxLayer:
    """Minimise mean cross-entropy plus `penalty`, by L-BFGS-B from zero weights.

    W = U - V with U, V ≥ 0 makes the penalty smooth, and its zeros exact: they lie on the bounds.
    In scikit-learn's terms: `SGDClassifier(alpha=λ, l1_ratio=ρ)`, as Yuksekgonul et al. use it, has
    this penalty for each class against the rest; `LogisticRegression(C=1 / (N λ), l1_ratio=ρ)` is
    this problem for three classes or more.

    Reference: Zou & Hastie 2005 (doi:10.1111/j.1467-9868.2005.00503.x); Byrd et al. 1995
    (doi:10.1137/0916069); the split of W as in Andrew & Gao 2007, section 2.

    Parameters
    ----------
    inputs, labels : [N, K], on comparable scales, and int64 [N], 0..C - 1.
    offsets : logits [N, C] to which those of the layer are added.
    """
    from scipy.optimize import minimize  # late: half a second that other methods need not pay

    wide = inputs.double()
    size = class_count * wide.shape[1]
    fixed = torch.zeros((), dtype=torch.float64) if offsets is None else offsets.double()
    truth = functional.one_hot(labels, class_count).double()
    lasso = penalty.strength * penalty.l1_ratio
    ridge = penalty.strength * (1 - penalty.l1_ratio)
    # Without the l1 norm the penalty is smooth as it is, and W free.
    halves = 2 if lasso else 1

    def unpack(values: Tensor) -> tuple[Tensor, Tensor]:
        parts = values[: halves * size].reshape(halves, class_count, -1)
        return (parts[0] - parts[1] if lasso else parts[0]), values[halves * size :]

    def objective(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, biases = unpack(torch.from_numpy(values))
        logits = torch.addmm(biases, wide, weights.T) + fixed
        loss = functional.cross_entropy(logits, labels)
        errors = (logits.softmax(dim=1) - truth) / len(labels)
        slope = (errors.T @ wide + ridge * weights).flatten()
        total = float(loss + ridge / 2 * weights.square().sum())
        if lasso:
            total += lasso * float(values[: 2 * size].sum())
            slope = torch.cat([slope + lasso, lasso - slope])
        return total, torch.cat([slope, errors.sum(dim=0)]).numpy()

    smallest = 0 if lasso else None
    tolerance = min(max(1e-3 * penalty.strength, 1e-10), 1e-6)
    found = minimize(
        objective,
        np.zeros(halves * size + class_count),
        jac=True,
        method="L-BFGS-B",
        bounds=[(smallest, None)] * (halves * size) + [(None, None)] * class_count,
        options={
            "maxiter": penalty.iterations,
            "maxfun": 2 * penalty.iterations,
            "maxcor": 20,
            # Only the slope says when to stop: it decides which weights are zero.
            "ftol": 0.0,
            "gtol": tolerance,
        },
    )
    weights, biases = unpack(torch.from_numpy(found.x))
    slope = objective(found.x)[1]
    if lasso:
        # At a bound of 0 only a slope that leads inside is left to follow.
        held = np.append(found.x[: halves * size] <= 0, np.zeros(class_count, bool))
        slope = np.where(held, np.minimum(slope, 0), slope)
    return SoftmaxLayer(weights, biases, bool(np.abs(slope).max() <= tolerance))


def top_jaccard(own: Tensor, reference: Tensor, count: int) -> Tensor:
    """Jaccard index |A ∩ B| / |A ∪ B| of the `count` concepts with the largest weights.

    Only positive weights count, so a class can have fewer than `count`. Weights that are tied for
    the last places have no order: in that of the concepts any two networks would share them.

    `own`, `reference`: [C, K], weights of the same classes and concepts. Returns float64 [C] in [0,
    1]; NaN where neither network has any, or where either has a tie for the last places.
    """
    (first, tied), (second, also_tied) = (_top(weights, count) for weights in (own, reference))
    shares = (first & second).sum(dim=1) / (first | second).sum(dim=1).double()
    return shares.masked_fill(tied | also_tied, torch.nan)


def _top(weights: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Membership in the top, bool [C, K]; and whether its last place and the first one outside have
    one positive weight up to rounding of the largest, bool [C]."""
    ordered, order = weights.sort(dim=1, descending=True, stable=True)
    chosen = torch.zeros_like(weights, dtype=torch.bool).scatter(1, order[:, :count], True)
    # none where all concepts are in the top
    after = ordered[:, count : count + 1]
    tied = (after > 0) & (ordered[:, count - 1 : count] - after <= ROUNDING * ordered[:, :1])
    return chosen & (weights > 0), tied.any(dim=1)


def rank_biased_overlap(own: Tensor, reference: Tensor, persistence: float) -> float:
    """Rank-biased overlap, extrapolated, of two orders of the same K concepts.

    RBO_EXT = A_K p^K + (1 - p) / p Σ_{d=1..K} A_d p^d, Webber et al. 2010
    (doi:10.1145/1852102.1852106) equation 30, with the agreement A_d at depth d. Tied concepts all
    stand at the first of their ranks, and A_d = 2 |S_d ∩ T_d| / (|S_d| + |T_d|) (section 4.4). At
    depth K two orders agree, so that even opposite ones have a positive overlap.

    `own`, `reference`: [K], weights; the largest comes first. `persistence`: p in (0, 1); the first
    1 / (1 - p) ranks carry most of the value. Returns a value in (0, 1], 1 for equal orders; NaN
    where all weights of either are equal, which is no order.
    """
    first, second = (
        # from 1, ties at their smallest
        1 + (weights > weights[:, None] + ROUNDING * weights.abs().max()).sum(dim=1)
        for weights in (own, reference)
    )
    if bool((first == 1).all()) or bool((second == 1).all()):
        return math.nan
    total, agreement = 0.0, 1.0
    for depth in range(1, len(own) + 1):
        above, below = first <= depth, second <= depth
        agreement = 2.0 * int((above & below).sum()) / int(above.sum() + below.sum())
        total += agreement * persistence**depth
    ends = agreement * math.pow(persistence, len(own))
    return ends + (1 - persistence) / persistence * total


#: thirds of the images by the reference network's margin, from the smallest
STRATA = ("hard", "medium", "easy")
_TOP = 3


def drift_by_difficulty(own: Findings, reference: Findings) -> list[Measured]:
    """Shared concepts of single images, among hard, medium and easy ones.

    An image's concepts are the three that add most to the logit of its label in the bottleneck:
    weight times standardised score. Their Jaccard index with the reference's is averaged over the
    images of a stratum; strata are thirds by the *reference* network's margin (its top logit minus
    the second), so that they hold the same images at every level.

    `own`, `reference`: findings of `Pcbm` on the same test images. Returns rows of
    `image_jaccard_hard`, `..._medium`, `..._easy`, and `image_jaccard_hard_minus_easy`; NaN where a
    stratum is empty or no image has a concept that adds to its logit. Raises InputError when they
    have other classes, or share no concept.
    """
    if list(own.texts["classes"]) != list(reference.texts["classes"]):
        raise InputError(
            "two networks that are compared have other classes; run snakemake again for both"
        )
    _, mine, theirs = shared_names(own, reference, "concepts")
    shared = top_jaccard(_contributions(own)[:, mine], _contributions(reference)[:, theirs], _TOP)
    strata = thirds(reference.arrays["network_margins"], reference.arrays["image_ids"])
    means = [torch.nanmean(shared[places]).item() for places in strata]
    names = [f"image_jaccard_{name}" for name in STRATA]
    return [
        *(Measured(name, mean) for name, mean in zip(names, means, strict=True)),
        Measured("image_jaccard_hard_minus_easy", means[0] - means[-1]),
    ]


def thirds(margins: Tensor, image_ids: Tensor) -> tuple[Tensor, ...]:
    """Places of the images with the smallest, middle and largest margins, int64 each.

    The first thirds take what is left over; equal margins go by image id. These are the strata of
    `sparsight.analysis.resample`.

    `margins`: float32 [N]; `image_ids`: int64 [N].
    """
    by_id = torch.argsort(image_ids)
    order = by_id[torch.argsort(margins[by_id], stable=True)]
    return torch.tensor_split(order, len(STRATA))


def _contributions(findings: Findings) -> Tensor:
    """What each concept adds to the logit of an image's label, float32 [N, K]."""
    return findings.arrays["weights"][findings.arrays["labels"]] * findings.arrays["scores"]


def drift_of_weights(own: Findings, reference: Findings, persistence: float) -> list[Measured]:
    """Overlaps of the orders of concepts of each class, and their means over classes.

    `own`, `reference`: findings of `Pcbm`; classes and concepts that only one of them has are left
    out. Returns rows of `top3_jaccard`, `top5_jaccard` and
    `rank_biased_overlap`. Raises InputError when they share no concept or no class.
    """
    _, mine, theirs = shared_names(own, reference, "concepts")
    classes, my_rows, their_rows = shared_names(own, reference, "classes")
    first = own.arrays["weights"][my_rows][:, mine]
    second = reference.arrays["weights"][their_rows][:, theirs]
    pairs = zip(first, second, strict=True)
    overlaps = [rank_biased_overlap(*pair, persistence) for pair in pairs]
    values = {
        "top3_jaccard": top_jaccard(first, second, 3),
        "top5_jaccard": top_jaccard(first, second, 5),
        "rank_biased_overlap": torch.tensor(overlaps, dtype=torch.float64),
    }
    rows = (with_mean(name, of_classes, classes=classes) for name, of_classes in values.items())
    return [row for of_measure in rows for row in of_measure]


#: completeness is a ratio with the network's accuracy above chance below it
LEAST_ABOVE_CHANCE = 0.1


def bottleneck_measures(
    test: SplitFeatures, outputs: Mapping[str, Tensor], weights: Tensor
) -> list[Measured]:
    """All measures of `Pcbm` but those of its concepts and its solvers.

    `test`: the network's own test images; `outputs`: `logits` [N, C] of the bottleneck g, and
    `hybrid_logits` where there is one; `weights`: [C, K], of the bottleneck.
    """
    models = {
        "network": test.logits,
        "bottleneck": outputs["logits"],
        "hybrid": outputs.get("hybrid_logits"),
    }
    found: dict[str, float] = {}
    for name, logits in models.items():
        if logits is None:
            found |= dict.fromkeys((f"{name}_accuracy", f"{name}_balanced_accuracy"), torch.nan)
            continue
        scored = measures(Outputs(test.image_ids, test.labels, logits))
        for measure in ("accuracy", "balanced_accuracy"):
            found[f"{name}_{measure}"] = float(scored[measure] or 0.0)
    same = outputs["logits"].argmax(dim=1) == test.logits.argmax(dim=1)
    network, bottleneck = found["network_accuracy"], found["bottleneck_accuracy"]
    found["accuracy_gap"] = bottleneck - network
    found["agreement"] = same.double().mean().item()
    found["completeness"] = completeness(bottleneck, network, chance(test.labels))
    found["nonzero_weights"] = float((weights != 0).sum())
    return [Measured(name, value) for name, value in found.items()]


def chance(labels: Tensor) -> float:
    """Accuracy of the best constant answer; 1 / classes where the classes have equal sizes."""
    return (torch.bincount(labels).max() / len(labels)).item()


def completeness(bottleneck: float, network: float, chance: float) -> float:
    """(accuracy of g - chance) / (accuracy of f - chance).

    NaN where f is less than 10 points above chance: the ratio would be noise. Yeh et al. 2020
    (arXiv:1910.07969) definition 3.1, with g in the place of the best function of the concepts.
    """
    # Accuracies are shares of whole numbers: exactly 10 points count.
    if network - chance < LEAST_ABOVE_CHANCE - 1e-9:
        return torch.nan
    return (bottleneck - chance) / (network - chance)


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
    label: ClassVar[str] = "PCBM"
    reference: ClassVar[str] = "Yuksekgonul et al. 2023, arXiv:2205.15480"
    needs: ClassVar[tuple[str, ...]] = ("concept_labels",)
    measures: ClassVar[dict[str, tuple[str, str, str]]] = {
        "network_accuracy": ("higher", "share, 0 to 1", "of the network f on its test images"),
        "network_balanced_accuracy": ("higher", "share, 0 to 1", "mean recall of f over classes"),
        "bottleneck_accuracy": ("higher", "share, 0 to 1", "of the bottleneck g on test images"),
        "bottleneck_balanced_accuracy": ("higher", "share, 0 to 1", "mean recall of g"),
        "hybrid_accuracy": ("higher", "share, 0 to 1", "of g with residual; NaN where it has none"),
        "hybrid_balanced_accuracy": ("higher", "share, 0 to 1", "mean recall of g with residual"),
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
        "converged": ("higher", "0 or 1", "whether both solvers reached their tolerance"),
    }
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {
        "top3_jaccard": ("", "0 to 1", "Jaccard index of a class's three largest positive weights"),
        "top5_jaccard": ("", "0 to 1", "the same of five concepts"),
        "rank_biased_overlap": ("", "0 to 1", "rank-biased overlap of a class's order of concepts"),
        "margin_correlation": (
            "",
            "-1 to 1",
            "Pearson's r of a concept's margins on the same images",
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
    allowed: ClassVar[dict[str, Any]] = {
        "scores": ("svm", "logistic", "predictor"),
        "persistence": "(0, 1)",
        "images_per_side": "[0, inf)",
        "strengths": "(0, inf)",
        "held_out": "(0, 1)",
        "epochs": "[1, inf)",
        "learning_rate": "(0, inf)",
        "batch_size": "[1, inf)",
    }

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
            wide = Standardiser.of(train.pooled)
            ridge = ElasticNet(settings["residual_strength"], 0.0, settings["iterations"])
            residual = fit_softmax(
                wide(train.pooled), train.labels, class_count, ridge, layer(inputs)
            )
            outputs["hybrid_logits"] = outputs["logits"] + residual(wide(test.pooled))
            converged["residual"] = residual.converged
        notes = [
            f"the {part} had not converged after {settings['iterations']} iterations; give more "
            "'iterations'"
            for part, reached in converged.items()
            if not reached
        ]
        top = test.logits.topk(2, dim=1).values
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
            "network_margins": top[:, 0] - top[:, 1],
            **{name: logits.float() for name, logits in outputs.items()},
        }
        return Findings(
            _ranked_rows(arrays, test.labels, concepts.names, classes, settings["top"]),
            [
                *bottleneck_measures(test, outputs, layer.weights),
                *_concept_quality(checkpoint, labels, concepts),
                Measured("converged", float(not notes)),
            ],
            arrays,
            {"concepts": concepts.names, "classes": classes},
            [*labels.notes, *notes],
        )

    def _concepts(self, checkpoint: StudiedNetwork, labels: ConceptLabels) -> LinearConcepts:
        settings, kind = self.settings, self.settings["scores"]
        if kind != "predictor":
            fitting = Fitting.of(settings, kind, checkpoint.seed)
            return fitted_vectors(checkpoint, labels, fitting)[0]
        train = labelled_features(checkpoint, labels, "train")
        return train_predictor(labels.names, train, settings, checkpoint.seed)

    def _scores(self, concepts: LinearConcepts, features: Tensor) -> Tensor:
        if self.settings["scores"] == "predictor":
            return concepts.scores(features).sigmoid()
        return concepts.margins(features)

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
    test = labelled_features(checkpoint, labels, "test")
    rows = quality(concepts, test.pooled, test.shown, test.known)
    return [row for row in rows if not row.concept]


def _ranked_rows(
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
