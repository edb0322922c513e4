"""Concept activation vectors of a bank, and the lottery ticket study's multi-label predictor."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sparsight.concepts.base import StudiedNetwork
from sparsight.concepts.linear import (
    ConceptLabels,
    Labelled,
    LinearConcepts,
    LinearMethod,
    Standardiser,
    accuracy,
    balanced_accuracy,
    labelled_features,
)
from sparsight.explain.randomness import image_seed
from sparsight.training.loop import derived_seed, generator


def drawn_order(image_ids: Tensor, name: str) -> Tensor:
    """A random order of images that depends on their ids and `name` alone.

    `image_ids`: int64 [N]; `name`: of the use, with its seed. Returns int64 [N], positions. Another
    image more or less leaves the order of the others as it is.
    """
    seeds = torch.tensor([image_seed(image_id, name) for image_id in image_ids.tolist()])
    return torch.argsort(seeds, stable=True)


def two_sides(order: Tensor, shown: Tensor, count: int) -> Tensor:
    """The first `count` images that show a concept, and the first `count` that do not.

    Returns int64, positions; those that show it first.

    Parameters
    ----------
    order : int64 [n], positions in the order in which they are taken.
    shown : bool [N], whether an image shows the concept.
    count : images of each side, or as many as there are; 0 for all.
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

    Both solvers (libsvm and L-BFGS) draw no random numbers that matter.

    Returns w float64 [D] and b, positive where the concept is.

    Parameters
    ----------
    classifier : "svm" or "logistic".
    strength : C, the weight of the loss against ‖w‖² / 2.
    features : [n, D].
    shown : bool [n], with both values.
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
    concept is fitted and judged on the images of which it is known. The best C has the highest
    balanced accuracy, the smallest among equals. Without validation images of a concept a share of
    the training images is held out to choose it, and the vectors are then fitted again, on images
    drawn from all.

    Returns the concepts, and the chosen C of each, float32 [K].
    Reference: Kim et al. 2018 (arXiv:1711.11279) section 3.2; SVMs as in Yuksekgonul et al. 2023
    (arXiv:2205.15480).

    Parameters
    ----------
    names : of the K concepts.
    train, validation : images of the bank; each concept varies in `train` where it is
        known.
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
    """Standardised features of images that judge, float64 [n, D]; the concept and whether it is
    known of them, which it must be of one at least, bool [n, 1]."""

    inputs: Tensor
    shown: Tensor
    known: Tensor

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
        held, fitted_on = _held_out(order, shown, fitting.held_out)
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


def _held_out(order: Tensor, shown: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """The last `share` of each side, at least one image and never all, and the others."""
    held = torch.zeros(len(shown), dtype=torch.bool)
    for side in (order[shown[order]], order[~shown[order]]):
        count = min(max(1, round(share * len(side))), len(side) - 1)
        held[side[len(side) - count :]] = True
    return order[held[order]], order[~held[order]]


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


class PredictorRecipe(NamedTuple):
    """How the predictor is trained: stochastic gradient descent without momentum."""

    epochs: int
    learning_rate: float
    batch_size: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """From the parameters of a method with these names."""
        return cls(*(settings[name] for name in cls._fields))


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
        recipe = PredictorRecipe.of(self.settings)
        return train_predictor(labels.names, train, recipe, checkpoint.seed), {}
