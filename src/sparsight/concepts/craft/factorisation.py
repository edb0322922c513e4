"""Non-negative factors of activations: activations ~ coefficients x basis."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sparsight.concepts.craft.foreign import craft_class, overcomplete_class, quiet, seeded
from sparsight.concepts.labelled.standardise import varies
from sparsight.io.errors import InputError

#: coordinate descent ends when no coefficient moves by more than this share of the largest one
TOLERANCE = 1e-7
SWEEPS = 2000


@dataclass(frozen=True)
class Factors:
    """Non-negative coefficients and basis.

    Attributes
    ----------
    coefficients : float32 [n, K]: how much of each concept is in each crop.
    basis : float32 [K, D], rows of length 1 (0 where a concept is not used), so that a coefficient
        is the length of what its concept contributes.
    """

    coefficients: Tensor
    basis: Tensor


def factorise(activations: Tensor, concepts: int, backend: str, seed: int) -> Factors:
    """Non-negative matrix factorisation: min ||A - U W|| with U, W >= 0.

    Parameters
    ----------
    activations : float32 [n, D], not negative, on the CPU.
    concepts : K.
    backend : `craft_xai` (scikit-learn's coordinate descent, at most 200 rounds) or `overcomplete`
        (hierarchical alternating least squares in torch, at most 500).
    seed : of the start; equal seeds give equal factors.

    Raises
    ------
    InputError
        For another backend, or negative activations.

    Notes
    -----
    Fel et al. 2023, arXiv:2211.10154, equation 1. A network that has collapsed maps all crops to
    one feature, up to rounding. Its factors are known without a solver: one concept, of which all
    crops have the same, and others of zeros; all are zeros where the feature is. The libraries
    would part the feature among concepts, and rounding errors among crops.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown backend '{backend}' (known: {', '.join(BACKENDS)})")
    if activations.min() < 0:
        raise InputError("activations are negative and have no non-negative factors")
    if not varies(activations).any():
        return _of_one_feature(activations, concepts)
    with seeded(seed), quiet():
        coefficients, basis = BACKENDS[backend](activations, concepts)
    lengths = basis.norm(dim=1)
    basis = basis / lengths.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    return Factors(coefficients * lengths, basis)


def _of_one_feature(activations: Tensor, concepts: int) -> Factors:
    """Factors of activations whose rows are equal up to rounding."""
    feature = activations.double().mean(dim=0)
    coefficients = torch.zeros((len(activations), concepts))
    basis = torch.zeros((concepts, activations.shape[1]))
    coefficients[:, 0] = feature.norm().float()
    basis[0] = functional.normalize(feature, dim=0).float()
    return Factors(coefficients, basis)


def _craft_xai(activations: Tensor, concepts: int) -> tuple[Tensor, Tensor]:
    """The library's own `fit`. It asks for images, cuts them and runs the network on all crops at
    once; here the crops have gone through the network already, and it gets their numbers, each as
    an image of the size of one crop, to look their activations up by."""
    count = len(activations)
    numbers = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(count, 3, 2, 2)
    method = craft_class()(
        lambda crops: activations[crops[:, 0, 0, 0].round().long()],
        number_of_concepts=concepts,
        batch_size=count,
        patch_size=2,
        device="cpu",
    )
    _, coefficients, basis = method.fit(numbers)
    return torch.from_numpy(np.asarray(coefficients, np.float32)), torch.from_numpy(basis)


def _overcomplete(activations: Tensor, concepts: int) -> tuple[Tensor, Tensor]:
    """The library's `fit`, and where that leaves a concept unused, for alternating least squares
    never take one up again, its solver from its random start too; the better of both."""
    method = overcomplete_class()(concepts)
    found: tuple[Tensor, Tensor] = method.fit(activations)
    if all((part != 0).any(dim=dim).all() for dim, part in enumerate(found)):
        return found
    start = method.init_random_z(activations), method.init_random_d(activations)
    again: tuple[Tensor, Tensor] = method.solver_fn(activations, *start, tol=method.tol)
    return min(found, again, key=lambda pair: float((activations - pair[0] @ pair[1]).norm()))


BACKENDS: dict[str, Callable[[Tensor, int], tuple[Tensor, Tensor]]] = {
    "craft_xai": _craft_xai,
    "overcomplete": _overcomplete,
}


def coefficients_of(activations: Tensor, basis: Tensor) -> Tensor:
    """How much of each concept is in other activations: min ||a - u W|| with u >= 0, row by row.

    Cyclic coordinate descent on all rows at once, to the solution: it depends neither on a start
    nor on the other rows, unlike the libraries' own, which end when all rows together move little.

    Parameters
    ----------
    activations : float32 [N, D].
    basis : float32 [K, D], on the same device.

    Returns
    -------
    float32 [N, K].
    """
    gram = (basis @ basis.T).double()
    aims = (activations @ basis.T).T.double()
    found = torch.zeros_like(aims)
    used = [k for k, length in enumerate(gram.diagonal().tolist()) if length > 0]
    for _ in range(SWEEPS if aims.numel() else 0):
        moved = torch.zeros((), dtype=torch.float64, device=aims.device)
        for k in used:
            before = found[k].clone()
            found[k] = (before + (aims[k] - gram[k] @ found) / gram[k, k]).clamp_min(0)
            moved = torch.maximum(moved, (found[k] - before).abs().max())
        if moved <= TOLERANCE * found.max():
            break
    return found.T.float()
