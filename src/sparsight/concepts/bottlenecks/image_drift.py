"""Whether the concepts behind single images move more where the reference network was less sure."""

import torch
from torch import Tensor

from sparsight.concepts.base import Findings, Measured
from sparsight.concepts.bottlenecks.rankings import top_jaccard
from sparsight.concepts.labelled.drift import shared_names
from sparsight.io.errors import InputError

#: thirds of the images by the reference network's margin, from the smallest
STRATA = ("hard", "medium", "easy")
_TOP = 3


def drift_by_difficulty(own: Findings, reference: Findings) -> list[Measured]:
    """Shared concepts of single images, among hard, medium and easy ones.

    An image's concepts are the three that add most to the logit of its label in the bottleneck:
    weight times standardised score. Their Jaccard index with the reference's is averaged over the
    images of a stratum; strata are thirds by the *reference* network's margin (its top logit minus
    the second, equal ones by image id), so that they hold the same images at every level.

    Parameters
    ----------
    own, reference : with the arrays `weights` [C, K], `scores` [N, K], `labels`, `image_ids` [N]
        and `network_margins` [N], of the same test images, and the texts `concepts` and `classes`.

    Returns
    -------
    Rows of `image_jaccard_hard`, `..._medium`, `..._easy`, and `image_jaccard_hard_minus_easy`;
    NaN where a stratum is empty or no image has a concept that adds to its logit.

    Raises
    ------
    InputError
        When they have other classes, or share no concept.
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

    Parameters
    ----------
    margins : float32 [N]. image_ids : int64 [N].
    """
    by_id = torch.argsort(image_ids)
    order = by_id[torch.argsort(margins[by_id], stable=True)]
    return torch.tensor_split(order, len(STRATA))


def _contributions(findings: Findings) -> Tensor:
    """What each concept adds to the logit of an image's label, float32 [N, K]."""
    arrays = findings.arrays
    contributions: Tensor = arrays["weights"][arrays["labels"]] * arrays["scores"]
    return contributions
