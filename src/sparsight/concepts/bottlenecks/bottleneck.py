"""Softmax regression with an elastic net, solved to convergence and without random numbers."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sparsight.io.errors import InputError


@dataclass(frozen=True)
class SoftmaxLayer:
    """Logits x · weightsᵀ + biases.

    Attributes
    ----------
    weights, biases : float64 [C, K] and [C].
    converged : whether the projected slope reached the tolerance, a thousandth of the penalty's
        strength; a solver that ends because the loss no longer falls has not got there.
    """

    weights: Tensor
    biases: Tensor
    converged: bool

    def __call__(self, inputs: Tensor) -> Tensor:
        """Logits of inputs [N, K], float64 [N, C]."""
        return inputs.double() @ self.weights.T + self.biases


@dataclass(frozen=True)
class ElasticNet:
    """λ (ρ ‖W‖₁ + (1 - ρ) / 2 ‖W‖₂²), added to the mean cross-entropy; biases are free.

    Attributes
    ----------
    strength : λ, at least 0.
    l1_ratio : ρ in [0, 1].
    iterations : at most so many steps of the solver.
    """

    strength: float
    l1_ratio: float
    iterations: int

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
    The softmax does not change when all classes' weights of an input rise alike; where as many of
    them are positive as negative, nor does the l1 norm, and only the small l2 norm decides.

    In scikit-learn's terms: `SGDClassifier(alpha=λ, l1_ratio=ρ)`, as Yuksekgonul et al. use it, has
    this penalty for each class against the rest; `LogisticRegression(C=1 / (N λ), l1_ratio=ρ)` is
    this problem for three classes or more.

    Parameters
    ----------
    inputs : [N, K], on comparable scales.
    labels : int64 [N], 0..C - 1.
    class_count : C.
    offsets : logits [N, C] to which those of the layer are added.

    Reference
    ---------
    Zou & Hastie 2005 (doi:10.1111/j.1467-9868.2005.00503.x); Byrd et al. 1995
    (doi:10.1137/0916069); the split of W as in Andrew & Gao 2007, section 2.
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

    def unpacked(values: Tensor) -> tuple[Tensor, Tensor]:
        parts = values[: halves * size].reshape(halves, class_count, -1)
        return (parts[0] - parts[1] if lasso else parts[0]), values[halves * size :]

    def objective(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, biases = unpacked(torch.from_numpy(values))
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
    weights, biases = unpacked(torch.from_numpy(found.x))
    slope = objective(found.x)[1]
    if lasso:
        # At a bound of 0 only a slope that leads inside is left to follow.
        held = np.append(found.x[: halves * size] <= 0, np.zeros(class_count, bool))
        slope = np.where(held, np.minimum(slope, 0), slope)
    return SoftmaxLayer(weights, biases, bool(np.abs(slope).max() <= tolerance))
