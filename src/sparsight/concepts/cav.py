"""Labelled concepts as linear functions of a network's pooled features.

The labels of a bank, the functions and how well they find their images, how far they have moved
from another network's; and the methods that fit them: concept activation vectors, and the lottery
ticket study's multi-label predictor.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sparsight.concepts.base import (
    WHOLE,
    ConceptMethod,
    Findings,
    Measured,
    Ranked,
    StudiedNetwork,
    with_mean,
)
from sparsight.concepts.features import BANK
from sparsight.concepts.registry import SAME
from sparsight.data.packed import PackedSplit
from sparsight.explain.randomness import image_seed
from sparsight.io.errors import InputError
from sparsight.rounding import is_constant
from sparsight.training.loop import derived_seed, generator


@dataclass(frozen=True)
class Standardiser:
    """Subtracts a mean and divides by a deviation."""

    mean: Tensor  # float64 [D]
    deviation: Tensor  # float64 [D], 1 where a feature does not vary

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """Mean and population standard deviation of each column of `values` [N, D]."""
        wide = values.double()
        deviation = wide.std(dim=0, correction=0)
        # Deviations that are rounding errors of the mean would scale noise up to size 1.
        return cls(wide.mean(dim=0), deviation.masked_fill(is_constant(wide, 0), 1.0))

    def __call__(self, values: Tensor) -> Tensor:
        """`values` [N, D] on the common scale, float64."""
        return (values.double() - self.mean) / self.deviation

    def fold(self, vectors: Tensor, intercepts: Tensor) -> tuple[Tensor, Tensor]:
        """Float64 [K, D] and [K] for raw features, of those for standardised ones."""
        raw = vectors.double() / self.deviation
        return raw, intercepts.double() - raw @ self.mean


#: measures that `quality` gives
QUALITY = ("concept_accuracy", "concept_balanced_accuracy")


@dataclass(frozen=True)
class LinearConcepts:
    """A linear function w·x + b of pooled features for each concept."""

    names: tuple[str, ...]  # of the K concepts
    vectors: Tensor  # float32 [K, D], w
    intercepts: Tensor  # float32 [K], b

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

    `features`: float32 [N, D] of the bank's test images; `labels`, `known`: bool [N, K]; a concept
    is measured on the images of which it is known. What is not defined is NaN, see
    `balanced_accuracy`, and left out of the mean.
    """
    right = (concepts.scores(features) > 0) == labels
    rows: list[Measured] = []
    shares = (accuracy(right, known), balanced_accuracy(right, labels, known))
    for measure, values in zip(QUALITY, shares, strict=True):
        rows += with_mean(measure, values, concepts=concepts.names)
    return rows


def accuracy(right: Tensor, known: Tensor) -> Tensor:
    """The share of the known images that is right, float64 [K]; NaN without any.

    `right`, `known`: bool [N, K], of predictions and of the truth.
    """
    return (right & known).sum(dim=0).double() / known.sum(dim=0)


def balanced_accuracy(right: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Mean over both sides of the share that is right, float64 [K]; NaN with one side only.

    `right`, `labels`, `known`: bool [N, K]; `labels` is the truth where it is known.
    """
    with_it, without = labels & known, ~labels & known
    hits, misses = (right & with_it).sum(dim=0), (right & without).sum(dim=0)
    return (hits / with_it.sum(dim=0) + misses / without.sum(dim=0)).double() / 2


def class_means(scores: Tensor, labels: Tensor, class_count: int) -> Tensor:
    """Mean of each column of `scores` [N, K] over the images of each class, float64 [C, K].

    NaN for a class without images.
    """
    members = functional.one_hot(labels, class_count).double()
    return (members.T @ scores.double()) / members.sum(dim=0)[:, None]


@dataclass(frozen=True)
class ConceptLabels:
    """The concepts that vary, each once."""

    # of the K concepts, in the bank's order; those that were merged are joined by " = "
    names: tuple[str, ...]
    # bool [N, K] by split, in the order of the packed file; splits without images are left out
    splits: Mapping[str, Tensor]
    # bool [N, K] by split, whether an image is an example of a concept at all, with or without it;
    # `splits` means nothing where it is not
    known: Mapping[str, Tensor]
    # what was dropped, what was merged and what is not known, for the report
    notes: tuple[str, ...]


def concept_labels(bank: Mapping[str, Path], fewest: int = 1) -> ConceptLabels:
    """Labels of the concepts that the bank's training split can teach.

    Dropped are concepts that do not vary over the training images, or that fewer than `fewest` of
    them show or lack; only images of which a concept is known count. Concepts that are known of the
    same training images, with equal labels, are merged: the labels of the first are used on all
    splits. A concept that is the complement of another is kept.

    `bank`: packed files by split. Raises InputError when it has no concepts or no training images,
    or no concept is left.
    """
    whole: dict[str, Tensor] = {}
    known: dict[str, Tensor] = {}
    all_names: list[str] = []
    for split, path in bank.items():
        with PackedSplit.open(path) as packed:
            if len(packed):
                rows = packed.subset("all")
                whole[split], known[split] = packed.concepts(rows), packed.concepts_known(rows)
                all_names = packed.concept_names
    if "train" not in whole:
        raise InputError(
            "the concept bank has no training images; give one with a training split as "
            "'concept_bank'"
        )
    rarer = rarer_side(whole["train"], known["train"]).tolist()
    constant = [name for name, count in zip(all_names, rarer, strict=True) if count == 0]
    rare = [name for name, count in zip(all_names, rarer, strict=True) if 0 < count < fewest]
    # Equal labels of images that are known to both are not enough: the two kinds of a structure
    # have nothing but negative examples in common.
    sides = torch.stack([whole["train"] & known["train"], ~whole["train"] & known["train"]])
    equal: dict[bytes, list[int]] = {}
    for column, count in enumerate(rarer):
        if count >= max(fewest, 1):
            equal.setdefault(sides[..., column].numpy().tobytes(), []).append(column)
    groups = list(equal.values())
    if not groups:
        raise InputError(
            f"none of the {len(all_names)} concepts of the bank varies enough: at least {fewest} "
            "training images must show a concept and as many must not; take more images or a "
            "smaller 'fewest'"
        )
    names = tuple(SAME.join(all_names[k] for k in group) for group in groups)
    first = torch.tensor([group[0] for group in groups])
    notes = []
    for why, dropped in (
        ("do not vary over the training images", constant),
        (f"have fewer than {fewest} training images on one side", rare),
    ):
        if dropped:
            notes.append(f"{len(dropped)} concepts that {why} were dropped: {', '.join(dropped)}")
    if merged := [name for name in names if SAME in name]:
        notes.append(
            "concepts that the training images do not tell apart were merged into "
            f"{len(merged)}: {', '.join(merged)}"
        )
    missing = (~known["train"][:, first]).sum(dim=0).tolist()
    if few := [f"{name} ({count})" for name, count in zip(names, missing, strict=True) if count]:
        notes.append(
            f"{len(few)} concepts are not known of all {len(known['train'])} training images and "
            f"learnt from the others (images left out): {', '.join(few)}"
        )
    return ConceptLabels(
        names,
        {split: values[:, first] for split, values in whole.items()},
        {split: values[:, first] for split, values in known.items()},
        tuple(notes),
    )


def rarer_side(shown: Tensor, known: Tensor) -> Tensor:
    """Images on the rarer side of each concept, with it or without it, int64 [K].

    `shown`, `known`: bool [N, K]; an image of which a concept is not known is on neither side.
    """
    return torch.minimum((shown & known).sum(dim=0), (~shown & known).sum(dim=0))


def drift_of_margins(own: Findings, reference: Findings) -> list[Measured]:
    """`margin_correlation` of the concepts that both have, and its mean.

    Both have the arrays `margins` [N, K] and `image_ids` [N] and the text `concepts`. Raises
    InputError when the images are others, or no concept is in both.
    """
    _same_images(own, reference, "image_ids")
    names, mine, theirs = shared_names(own, reference, "concepts")
    values = margin_correlation(
        own.arrays["margins"][:, mine], reference.arrays["margins"][:, theirs]
    )
    return with_mean("margin_correlation", values, concepts=names)


def drift_of_features(own: Findings, reference: Findings) -> list[Measured]:
    """`feature_cka` and `feature_cka_debiased` of the arrays `features` [n, D] of both."""
    _same_images(own, reference, "feature_ids")
    first, second = own.arrays["features"], reference.arrays["features"]
    return [
        Measured("feature_cka", linear_cka(first, second)),
        Measured("feature_cka_debiased", linear_cka(first, second, debiased=True)),
    ]


def shared_names(
    own: Findings, reference: Findings, text: str
) -> tuple[list[str], list[int], list[int]]:
    """Names that both findings list under `text`, and where each of them has these.

    Raises InputError when there are none.
    """
    mine, theirs = list(own.texts[text]), list(reference.texts[text])
    names = [name for name in mine if name in theirs]
    if not names:
        raise InputError(
            f"two networks that are compared share none of their {text}; run snakemake again for "
            "both"
        )
    return names, [mine.index(name) for name in names], [theirs.index(name) for name in names]


def _same_images(own: Findings, reference: Findings, array: str) -> None:
    if not torch.equal(own.arrays[array], reference.arrays[array]):
        raise InputError(
            "concepts of two networks were found on different test images; run snakemake again "
            "for both"
        )


def margin_correlation(own: Tensor, reference: Tensor) -> Tensor:
    """Pearson correlation over images of each concept's margins.

    `own`, `reference`: float32 [N, K], of the same images and concepts. Returns float64 [K]; NaN
    where either does not vary, and below three images.
    """
    if len(own) < 3:
        return torch.full((own.shape[1],), torch.nan, dtype=torch.float64)
    first, second = (each.double() - each.double().mean(dim=0) for each in (own, reference))
    lengths = [torch.linalg.vector_norm(values, dim=0) for values in (first, second)]
    found: Tensor = (first * second).sum(dim=0) / (lengths[0] * lengths[1])
    defined = ~(is_constant(own, 0) | is_constant(reference, 0))
    return found.clamp(-1, 1).masked_fill(~defined, torch.nan)


def linear_cka(own: Tensor, reference: Tensor, debiased: bool = False) -> float:
    """Centred kernel alignment of two feature spaces with the linear kernel.

    ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred features, Kornblith et al. 2019 (arXiv:1905.00414) equation 3
    and section 3: 1 for features that are equal up to rotation and scale; with fewer images than
    features it tends to 1. The debiased form takes the unbiased estimate of HSIC for the three
    terms (Song et al. 2012, equation 5; Nguyen et al. 2021, arXiv:2010.15327, equation 3): about 0
    for unrelated features, and it can be negative.

    `own`, `reference`: float32 [n, D] and [n, D'], of the same images. Returns NaN where either
    does not vary, and below four images (two without the correction).
    """
    constant = [bool(is_constant(features, 0).all()) for features in (own, reference)]
    if len(own) < (4 if debiased else 2) or any(constant):
        return float("nan")
    grams = []
    for features in (own.double(), reference.double()):
        centred = features - features.mean(dim=0)
        grams.append(centred @ centred.T)
    alignment = _hsic if debiased else lambda one, other: (one * other).sum()
    first, second = grams
    scale = (alignment(first, first) * alignment(second, second)).sqrt()
    return float(alignment(first, second) / scale)


def _hsic(first: Tensor, second: Tensor) -> Tensor:
    """Unbiased HSIC up to the factor n (n - 3), of Gram matrices [n, n]."""
    n = len(first)
    left, right = (gram - torch.diag(gram.diag()) for gram in (first, second))
    both = left.sum() * right.sum() / ((n - 1) * (n - 2))
    rows = 2 * (left.sum(dim=0) @ right.sum(dim=0)) / (n - 2)
    return (left * right).sum() + both - rows


class Labelled(NamedTuple):
    """Pooled features of some images of a bank, and which concepts they show."""

    pooled: Tensor  # float32 [N, D]
    shown: Tensor  # bool [N, K]
    image_ids: Tensor  # int64 [N]
    known: Tensor  # bool [N, K]; elsewhere an image is no example, with or without the concept

    def select(self, rows: Tensor) -> "Labelled":
        """The images at `rows`, int64 [n]."""
        return Labelled(*(values[rows] for values in self))


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
            "Pearson's r of a concept's margins on the same images",
        ),
        "feature_cka": ("", "0 to 1", "linear CKA of the pooled features of the same test images"),
        "feature_cka_debiased": ("", "at most 1", "the same without the bias of few images"),
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
        test = labelled_features(checkpoint, labels, "test")
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
        of_concepts = [row for row in measured if row.measure == QUALITY[1] and row.concept]
        # undefined ones last, ties as in the bank; NaN is unequal to itself
        of_concepts.sort(key=lambda row: -row.value if row.value == row.value else 1.0)
        return Findings(
            [
                Ranked(WHOLE, row.concept, rank, row.value, values[row.concept])
                for rank, row in enumerate(of_concepts, start=1)
            ],
            measured,
            arrays,
            {"concepts": concepts.names},
            labels.notes,
        )

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        """See `ConceptMethod.compare`."""
        return [*drift_of_margins(own, reference), *drift_of_features(own, reference)]


def labelled_features(checkpoint: StudiedNetwork, labels: ConceptLabels, split: str) -> Labelled:
    """Pooled features of a split of the bank, and the concepts that its images show or lack.

    Raises InputError when the features are those of other images.
    """
    found = checkpoint.features.split(split, BANK)
    with PackedSplit.open(checkpoint.bank[split]) as packed:
        if not torch.equal(packed.image_ids(), found.image_ids):
            raise InputError(
                f"{checkpoint.features.path} and {packed.path} hold other images; delete the "
                "first and run snakemake again"
            )
    return Labelled(found.pooled, labels.splits[split], found.image_ids, labels.known[split])


def drawn_order(image_ids: Tensor, name: str) -> Tensor:
    """A random order of images, int64 [N] positions, that depends on their ids and `name` alone.

    An image more or less leaves the order of the others as it is.
    """
    seeds = torch.tensor([image_seed(image_id, name) for image_id in image_ids.tolist()])
    return torch.argsort(seeds, stable=True)


def two_sides(order: Tensor, shown: Tensor, count: int) -> Tensor:
    """The first `count` images that show a concept, and the first `count` that do not.

    `order`: int64 [n], positions in the order in which they are taken; `shown`: bool [N], whether
    an image shows the concept; `count`: at most, 0 for all. Returns positions, int64.
    """
    sides = [order[shown[order]], order[~shown[order]]]
    return torch.cat([side[: count or None] for side in sides])


class Fitting(NamedTuple):
    """How concept activation vectors are fitted."""

    classifier: str  # "svm" (hinge loss) or "logistic"
    strengths: Sequence[float]  # values of C to choose from
    # images that show the concept, and as many that do not, drawn from the seed; 0 for all. The
    # cost of an SVM grows with the square of the images.
    images_per_side: int
    # share of the training images on which C is chosen where there are no validation images, above
    # 0 and below 1
    held_out: float
    name: str  # of the random draws, with their seed

    @classmethod
    def of(cls, settings: Mapping[str, Any], classifier: str, seed: int) -> Self:
        """From the parameters of a method with these names, and a network's seed."""
        strengths, images = settings["strengths"], settings["images_per_side"]
        return cls(classifier, strengths, images, settings["held_out"], f"concept images {seed}")


def fit_direction(
    classifier: str, strength: float, features: NDArray[Any], shown: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    """Linear classifier of standardised features by scikit-learn; the sides weigh the same.

    `classifier`: "svm" or "logistic"; `strength`: C, the weight of the loss against ‖w‖² / 2;
    `features`: [n, D]; `shown`: bool [n], with both values. Returns w float64 [D] and b, positive
    where the concept is.
    """
    # late: scikit-learn takes seconds that other methods need not pay
    if classifier == "svm":
        from sklearn.svm import SVC

        model = SVC(C=strength, kernel="linear", class_weight="balanced", random_state=0)
    else:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(
            C=strength, class_weight="balanced", max_iter=5000, random_state=0
        )
    model.fit(features, shown)
    # a copy: libsvm's own is read-only
    return np.array(model.coef_[0], np.float64), float(model.intercept_[0])


def activation_vectors(
    names: Sequence[str], train: Labelled, validation: Labelled | None, fitting: Fitting
) -> tuple[LinearConcepts, Tensor]:
    """One vector for each concept, with the C that does best on images that it was not fitted on.

    Features are standardised over the training images; the vectors are given for raw features. A
    concept is fitted and judged on the images of which it is known, and varies there in `train`.
    The best C has the highest balanced accuracy, the smallest among equals. Without validation
    images of a concept a share of the training images is held out to choose it, and the vectors are
    then fitted again, on images drawn from all.

    Returns the concepts, and the chosen C of each, float32 [K].
    Reference: Kim et al. 2018 (arXiv:1711.11279) section 3.2; SVMs as in Yuksekgonul et al. 2023
    (arXiv:2205.15480).
    """
    scale = Standardiser.of(train.pooled)
    order = drawn_order(train.image_ids, fitting.name)
    inputs = scale(train.pooled).numpy()
    judges: list[_Judge | None] = [None] * len(names)
    if validation is not None:
        judging = scale(validation.pooled)
        judges = [
            _Judge(judging, shown[:, None], known[:, None]) if known.any() else None
            for shown, known in zip(validation.shown.T, validation.known.T, strict=True)
        ]
    fits = [
        _fit_one(inputs, train.shown[:, k], order[train.known[order, k]], judge, fitting)
        for k, judge in enumerate(judges)
    ]
    vectors = torch.from_numpy(np.stack([vector for vector, _, _ in fits]))
    intercepts = torch.tensor([intercept for _, intercept, _ in fits], dtype=torch.float64)
    raw, shifted = scale.fold(vectors, intercepts)
    chosen = torch.tensor([strength for _, _, strength in fits])
    return LinearConcepts(tuple(names), raw.float(), shifted.float()), chosen


class _Judge(NamedTuple):
    """Images that judge; the concept is known of one at least."""

    inputs: Tensor  # float64 [n, D], standardised features
    shown: Tensor  # bool [n, 1]
    known: Tensor  # bool [n, 1]

    def score(self, vector: NDArray[np.float64], intercept: float) -> float:
        """Balanced accuracy over known images; the accuracy where the concept does not vary."""
        scores = self.inputs @ torch.from_numpy(vector) + intercept
        right = (scores[:, None] > 0) == self.shown
        balanced = balanced_accuracy(right, self.shown, self.known)
        return float(torch.where(balanced.isnan(), accuracy(right, self.known), balanced))


def _fit_one(
    inputs: NDArray[np.float64],
    shown: Tensor,
    order: Tensor,
    judge: _Judge | None,
    fitting: Fitting,
) -> tuple[NDArray[np.float64], float, float]:
    """Vector and intercept for standardised features, and the chosen C.

    `order` holds the images that may be used; `judge` is made from some of them where it is None.
    """
    fitted_on = order
    if judge is None:
        # the last share of each side, at least one image and never all
        is_held = torch.zeros(len(shown), dtype=torch.bool)
        for side in (order[shown[order]], order[~shown[order]]):
            count = min(max(1, round(fitting.held_out * len(side))), len(side) - 1)
            is_held[side[len(side) - count :]] = True
        held, fitted_on = order[is_held[order]], order[~is_held[order]]
        truth = shown[held, None]
        judge = _Judge(torch.from_numpy(inputs[held.numpy()]), truth, torch.ones_like(truth))
    rows = two_sides(fitted_on, shown, fitting.images_per_side).numpy()
    found = []
    for strength in sorted(fitting.strengths):
        direction = fit_direction(fitting.classifier, strength, inputs[rows], shown.numpy()[rows])
        found.append((judge.score(*direction), direction, strength))
    _, (vector, intercept), chosen = max(found, key=lambda one: one[0])
    if fitted_on is not order:
        rows = two_sides(order, shown, fitting.images_per_side).numpy()
        vector, intercept = fit_direction(
            fitting.classifier, chosen, inputs[rows], shown.numpy()[rows]
        )
    return vector, intercept, chosen


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
    label: ClassVar[str] = "CAV"
    reference: ClassVar[str] = "Kim et al. 2018, arXiv:1711.11279"
    parameters: ClassVar[dict[str, Any]] = {
        "classifier": "svm",
        "images_per_side": 50,
        "fewest": 10,
        "strengths": [0.001, 0.01, 0.1, 1.0, 10.0],
        "held_out": 0.25,
    }
    allowed: ClassVar[dict[str, Any]] = {
        "classifier": ("svm", "logistic"),
        "images_per_side": "[0, inf)",
        "strengths": "(0, inf)",
        "held_out": "(0, 1)",
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
    train = labelled_features(checkpoint, labels, "train")
    validation = None
    if "validation" in labels.splits:
        validation = labelled_features(checkpoint, labels, "validation")
    return activation_vectors(labels.names, train, validation, fitting)


def train_predictor(
    names: Sequence[str], train: Labelled, settings: Mapping[str, Any], seed: int
) -> LinearConcepts:
    """One linear layer with a sigmoid for all concepts at once, on binary cross-entropy.

    Ghosh & Batmanghelich 2023 (arXiv:2307.13698). Features are not standardised, as there. A label
    that is not known adds nothing to the loss; known ones weigh the same however many these are.
    `settings`: see `ConceptPredictor`; the seed is of the first weights and of the order of the
    images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "concept predictor"))
        layer = nn.Linear(train.pooled.shape[1], len(names))
    optimiser = torch.optim.SGD(layer.parameters(), settings["learning_rate"])
    order = generator(torch.device("cpu"), seed, "concept predictor", "order")
    truth, counted = train.shown.float(), train.known.float()
    for _ in range(settings["epochs"]):
        for rows in torch.randperm(len(truth), generator=order).split(settings["batch_size"]):
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
    allowed: ClassVar[dict[str, Any]] = {
        "epochs": "[1, inf)",
        "learning_rate": "(0, inf)",
        "batch_size": "[1, inf)",
    }

    def fit(
        self, checkpoint: StudiedNetwork, labels: ConceptLabels
    ) -> tuple[LinearConcepts, Mapping[str, Tensor]]:
        """See `LinearMethod.fit`."""
        train = labelled_features(checkpoint, labels, "train")
        return train_predictor(labels.names, train, self.settings, checkpoint.seed), {}
