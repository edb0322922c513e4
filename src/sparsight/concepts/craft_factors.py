"""Non-negative factors of activations, and how much a class's logit depends on each of them.

Activations ~ coefficients x basis, by craft-xai's or overcomplete's solvers (imported without what
they do not need, and seeded from outside); importances are total-order Sobol indices.
"""

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch
from scipy.stats import qmc
from torch import Tensor
from torch.nn import functional

from sparsight.concepts.linear import varies
from sparsight.io.errors import InputError
from sparsight.models.base import Architecture


@contextmanager
def _placeholder(name: str) -> Iterator[None]:
    """An empty module `name`, through which its submodules can be imported; gone at the end.

    Left in place, it would make other libraries believe that they have the real one.
    """
    if name in sys.modules:
        yield
        return
    module, spec = ModuleType(name), find_spec(name)
    module.__spec__ = ModuleSpec(name, None)
    if spec is not None and spec.submodule_search_locations is not None:
        module.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]


@functools.cache
def craft_class() -> Any:
    """`Craft` of craft-xai, whose module imports TensorFlow for a sampler that it does not use."""
    with _placeholder("tensorflow"):
        from craft.craft_torch import Craft

    return Craft


@functools.cache
def overcomplete_class() -> Any:
    """`NMF` of overcomplete, without the package's own start.

    That imports every model and picture of the library, which takes long, and asks matplotlib for
    a function that matplotlib 3.9 has dropped.
    """
    with _placeholder("overcomplete"):
        from overcomplete.optimization.nmf import NMF

    return NMF


@contextmanager
def seed_libraries(seed: int) -> Iterator[None]:
    """Seed the global generators of numpy and torch (CPU), and put them back at the end."""
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            yield
        finally:
            np.random.set_state(state)


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings: of an iteration that ends at its limit, and of copied tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


#: coordinate descent ends when no coefficient moves by more than this share of the largest one
TOLERANCE = 1e-7
SWEEPS = 2000


@dataclass(frozen=True)
class Factors:
    """Non-negative coefficients and basis."""

    coefficients: Tensor  # float32 [n, K]: how much of each concept is in each crop
    # float32 [K, D], rows of length 1 (0 where a concept is not used), so that a coefficient is the
    # length of what its concept contributes
    basis: Tensor


def factorise(activations: Tensor, concepts: int, backend: str, seed: int) -> Factors:
    """Non-negative matrix factorisation: min ||A - U W|| with U, W >= 0.

    Raises InputError for another backend, or negative activations.

    Parameters
    ----------
    activations : float32 [n, D], not negative, on the CPU.
    concepts : K.
    backend : `craft_xai` (scikit-learn's coordinate descent, at most 200 rounds) or `overcomplete`
        (hierarchical alternating least squares in torch, at most 500).
    seed : of the start; equal seeds give equal factors.

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
    with seed_libraries(seed), quiet():
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

    `activations`: float32 [N, D]; `basis`: float32 [K, D], on the same device. Returns float32 [N,
    K].
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


SAMPLERS = ("sobol", "halton")
#: outputs that differ by less than this share of their size differ by rounding
ROUNDING = 1e-6
#: about so many numbers are sent through a pooling head at a time: they stay in the cache
CHUNK_NUMBERS = 2**18


def replicated_design(concepts: int, designs: int, sampler: str, seed: int) -> Tensor:
    """Masks A, B and, for each concept i, A with its column i from B.

    Returns float32 [designs * (K + 2), K] in [0, 1].
    Raises InputError for another sampler; for a number of designs that is no power of 2 with
    `sobol`, or below 2.

    Parameters
    ----------
    concepts, designs : K, and rows of A.
    sampler : `sobol`, scrambled by `seed`; or `halton`, craft-xai's, without scrambling: the same
        masks whatever the seed, and with few designs the masks of the last of many concepts move
        together (their primes are larger than the number of designs).
    """
    if sampler not in SAMPLERS:
        raise InputError(f"unknown sampler '{sampler}' (known: {', '.join(SAMPLERS)})")
    if designs < 2 or (sampler == "sobol" and designs & (designs - 1)):
        raise InputError(f"'designs' is {designs}, it must be a power of 2, and at least 2")
    if sampler == "sobol":
        both = qmc.Sobol(2 * concepts, scramble=True, rng=seed).random(designs)
    else:
        both = qmc.Halton(2 * concepts, scramble=False).random(designs)
    first, second = torch.from_numpy(both).float().split(concepts, dim=1)
    replicated = first.repeat(concepts, 1, 1)
    each = torch.arange(concepts)
    replicated[each, :, each] = second.T
    return torch.cat([first, second, replicated.flatten(0, 1)])


def total_indices(outputs: Tensor, designs: int) -> Tensor:
    """Total-order indices by Jansen's estimator: Σ (f(A) - f(C_i))² / (2 n Var f(A)).

    Returns float32 [N, K]; 0 where the outputs do not vary: then nothing depends on any concept.

    Parameters
    ----------
    outputs : float [N, designs * (K + 2)], in the order of `replicated_design`.

    Notes
    -----
    Jansen 1999, doi:10.1016/S0010-4655(98)00154-4.
    """
    values = outputs.double()
    base = values[:, :designs]
    replicated = values[:, 2 * designs :].unflatten(1, (-1, designs))
    variance = base.var(dim=1, correction=1)
    flat = variance.sqrt() <= ROUNDING * base.abs().amax(dim=1)
    differences = (base[:, None] - replicated).square().sum(dim=2)
    indices: Tensor = differences / (2 * designs * variance)[:, None]
    return indices.masked_fill(flat[:, None], 0.0).float()


@torch.no_grad()
def pools_first(network: Architecture, maps: Tensor) -> bool:
    """Whether the network's head sees maps [n, D, h, w] only through their mean over places."""
    draw = torch.Generator().manual_seed(0)
    trial = torch.rand((4, *maps.shape[1:]), generator=draw).to(maps)
    try:
        pooled = network.class_logits(trial.mean(dim=(2, 3), keepdim=True))
    except RuntimeError:
        # the head wants maps of one size
        return False
    return bool(torch.allclose(pooled, network.class_logits(trial), rtol=1e-4, atol=1e-5))


@torch.no_grad()
def concept_importances(
    network: Architecture,
    coefficients: Tensor,
    basis: Tensor,
    label: int,
    masks: Tensor,
    designs: int,
    pools: bool,
    batch_size: int,
) -> Tensor:
    """Total-order index of each concept for a class's logit, image by image.

    A mask weakens each concept of an image alike at all places, the basis makes feature maps of
    what is left, and the head gives their logit. Where the head begins with a mean over places,
    the mean of the coefficients says it all, and the masks of all images go through it together.

    Returns float32 [N, K], on the CPU.

    Parameters
    ----------
    coefficients : float32 [N, h, w, K], of whole images, on the network's device.
    basis : float32 [K, D], there too.
    masks : float32 [designs * (K + 2), K], of `replicated_design`, there too.
    pools : of `pools_first`.
    batch_size : feature maps at a time where the head does not pool.

    Notes
    -----
    Fel et al. 2023, arXiv:2211.10154, equation 3.
    """
    if pools:
        found = _through_pooling_head(network, coefficients.mean(dim=(1, 2)), basis, label, masks)
    else:
        found = [
            network.class_logits(((image * part[:, None, None]) @ basis).permute(0, 3, 1, 2))[
                :, label
            ]
            for image in coefficients
            for part in masks.split(batch_size)
        ]
    outputs = torch.cat(found).view(len(coefficients), len(masks))
    return total_indices(outputs, designs).cpu()


def _through_pooling_head(
    network: Architecture, vectors: Tensor, basis: Tensor, label: int, masks: Tensor
) -> list[Tensor]:
    """Logits of all masks of all images, in the order of `vectors` [N, K]."""
    at_once = max(1, CHUNK_NUMBERS // (basis.shape[1] * len(masks)))
    found = []
    for part in vectors.split(at_once):
        weakened = (part[:, None] * masks).flatten(0, 1)
        found.append(network.class_logits((weakened @ basis)[:, :, None, None])[:, label])
    return found
