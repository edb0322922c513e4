"""How much a class's logit depends on each concept: Sobol indices of the total order."""

import torch
from scipy.stats import qmc
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.models.base import Architecture

SAMPLERS = ("sobol", "halton")
#: outputs that differ by less than this share of their size differ by rounding
ROUNDING = 1e-6
#: about so many numbers are sent through a pooling head at a time: they stay in the cache
CHUNK_NUMBERS = 2**18


def replicated_design(concepts: int, designs: int, sampler: str, seed: int) -> Tensor:
    """Masks A, B and, for each concept i, A with its column i from B.

    Parameters
    ----------
    concepts, designs : K, and rows of A.
    sampler : `sobol`, scrambled by `seed`; or `halton`, craft-xai's, without scrambling: the same
        masks whatever the seed, and with few designs the masks of the last of many concepts move
        together (their primes are larger than the number of designs).

    Returns
    -------
    float32 [designs * (K + 2), K] in [0, 1].

    Raises
    ------
    InputError
        For another sampler; for a number of designs that is no power of 2 with `sobol`, or below 2.
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

    Parameters
    ----------
    outputs : float [N, designs * (K + 2)], in the order of `replicated_design`.

    Returns
    -------
    float32 [N, K]; 0 where the outputs do not vary: then nothing depends on any concept.

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

    Parameters
    ----------
    coefficients : float32 [N, h, w, K], of whole images, on the network's device.
    basis : float32 [K, D], there too.
    masks : float32 [designs * (K + 2), K], of `replicated_design`, there too.
    pools : of `pools_first`.
    batch_size : feature maps at a time where the head does not pool.

    Returns
    -------
    float32 [N, K], on the CPU.

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
