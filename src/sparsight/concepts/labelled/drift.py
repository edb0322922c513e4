"""How far concepts have moved from those of another network."""

import torch
from torch import Tensor

from sparsight.concepts.base import Findings, Measured
from sparsight.concepts.labelled.linear_concepts import with_mean
from sparsight.concepts.labelled.standardise import varies
from sparsight.io.errors import InputError


def drift_of_margins(own: Findings, reference: Findings) -> list[Measured]:
    """`margin_correlation` of the concepts that both have, and its mean; see `margin_correlation`.

    Both findings have the arrays `margins` [N, K] and `image_ids` [N] and the text `concepts`.

    Raises
    ------
    InputError
        When the margins are those of other images, or no concept is in both.
    """
    _same_images(own, reference, "image_ids")
    names, mine, theirs = shared_names(own, reference, "concepts")
    values = margin_correlation(
        own.arrays["margins"][:, mine], reference.arrays["margins"][:, theirs]
    )
    return with_mean("margin_correlation", values, names)


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

    Raises
    ------
    InputError
        When there are none.
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

    Parameters
    ----------
    own, reference : float32 [N, K], of the same images and concepts.

    Returns
    -------
    float64 [K]; NaN where either does not vary, and below three images.
    """
    if len(own) < 3:
        return torch.full((own.shape[1],), torch.nan, dtype=torch.float64)
    first = own.double() - own.double().mean(dim=0)
    second = reference.double() - reference.double().mean(dim=0)
    lengths = [torch.linalg.vector_norm(values, dim=0) for values in (first, second)]
    found: Tensor = (first * second).sum(dim=0) / (lengths[0] * lengths[1])
    defined = varies(own) & varies(reference)
    return found.clamp(-1, 1).masked_fill(~defined, torch.nan)


def linear_cka(own: Tensor, reference: Tensor, debiased: bool = False) -> float:
    """Centred kernel alignment of two feature spaces with the linear kernel.

    ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred features, Kornblith et al. 2019 (arXiv:1905.00414) equation 3
    and section 3: 1 for features that are equal up to rotation and scale. With fewer images than
    features it tends to 1 whatever these are. The debiased form replaces the three terms by the
    unbiased estimate of HSIC (Song et al. 2012, equation 5; Nguyen et al. 2021, arXiv:2010.15327,
    equation 3): about 0 for unrelated features, and it can be negative.

    Parameters
    ----------
    own, reference : float32 [n, D] and [n, D'], of the same images.

    Returns
    -------
    NaN where either does not vary, and below four images (two without the correction).
    """
    if len(own) < (4 if debiased else 2) or not varies(own).any() or not varies(reference).any():
        return float("nan")
    grams = []
    for features in (own.double(), reference.double()):
        centred = features - features.mean(dim=0)
        grams.append(centred @ centred.T)
    alignment = _hsic if debiased else _inner
    first, second = grams
    scale = (alignment(first, first) * alignment(second, second)).sqrt()
    return float(alignment(first, second) / scale)


def _inner(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum()


def _hsic(first: Tensor, second: Tensor) -> Tensor:
    """Unbiased HSIC up to the factor n (n - 3), of Gram matrices [n, n]."""
    n = len(first)
    left, right = (gram - torch.diag(gram.diag()) for gram in (first, second))
    both = left.sum() * right.sum() / ((n - 1) * (n - 2))
    rows = 2 * (left.sum(dim=0) @ right.sum(dim=0)) / (n - 2)
    return (left * right).sum() + both - rows
