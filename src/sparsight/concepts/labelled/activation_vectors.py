"""Concept activation vectors: one linear classifier of pooled features for each concept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsight.concepts.labelled.drawing import drawn_order, two_sides
from sparsight.concepts.labelled.linear_concepts import (
    LinearConcepts,
    accuracy,
    balanced_accuracy,
)
from sparsight.concepts.labelled.standardise import Standardiser
from sparsight.io.errors import InputError

CLASSIFIERS = ("svm", "logistic")


class Labelled(NamedTuple):
    """Pooled features of some images of a bank, and which concepts they show.

    `pooled` float32 [N, D], `shown` bool [N, K], `image_ids` int64 [N], and `known` bool [N, K]:
    where it is false, the image is neither a positive nor a negative example of the concept.
    """

    pooled: Tensor
    shown: Tensor
    image_ids: Tensor
    known: Tensor

    def select(self, rows: Tensor) -> "Labelled":
        """The images at `rows`, int64 [n]."""
        return Labelled(*(values[rows] for values in self))


@dataclass(frozen=True)
class Fitting:
    """How concept activation vectors are fitted.

    Attributes
    ----------
    classifier : "svm" (hinge loss) or "logistic".
    strengths : values of C to choose from, weakest regularisation last.
    images_per_side : images that show the concept, and as many that do not, drawn from the seed; 0
        for all. The cost of an SVM grows with the square of the images.
    held_out : share of the training images on which C is chosen where there are no validation
        images, above 0 and below 1.
    name : of the random draws, with their seed.
    """

    classifier: str
    strengths: tuple[float, ...]
    images_per_side: int
    held_out: float
    name: str

    @classmethod
    def of(cls, settings: Mapping[str, Any], classifier: str, seed: int) -> Self:
        """From the parameters of a method with these names, and a network's seed."""
        return cls(
            classifier,
            tuple(settings["strengths"]),
            settings["images_per_side"],
            settings["held_out"],
            f"concept images {seed}",
        )

    def __post_init__(self) -> None:
        if self.classifier not in CLASSIFIERS:
            raise InputError(
                f"the classifier of concepts must be one of {', '.join(CLASSIFIERS)}, not "
                f"{self.classifier!r}"
            )
        if not self.strengths or not all(
            isinstance(value, int | float) and value > 0 for value in self.strengths
        ):
            raise InputError("'strengths' must be a list of positive numbers, the values of C")
        if self.images_per_side < 0:
            raise InputError("'images_per_side' must be a number of images, or 0 for all")
        if not 0 < self.held_out < 1:
            raise InputError("'held_out' must be a share above 0 and below 1")


def fit_direction(
    classifier: str, strength: float, features: NDArray[Any], shown: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    """Linear classifier of standardised features by scikit-learn; the sides weigh the same.

    Both solvers (libsvm and L-BFGS) draw no random numbers that matter.

    Parameters
    ----------
    classifier : "svm" or "logistic".
    strength : C, the weight of the loss against ‖w‖² / 2.
    features : [n, D].
    shown : bool [n], with both values.

    Returns
    -------
    w float64 [D] and b, positive where the concept is.
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

    Parameters
    ----------
    names : of the K concepts.
    train, validation : images of the bank; each concept varies in `train` where it is
        known.

    Returns
    -------
    The concepts, and the chosen C of each, float32 [K].

    Reference
    ---------
    Kim et al. 2018 (arXiv:1711.11279) section 3.2; SVMs as in Yuksekgonul et al. 2023
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
