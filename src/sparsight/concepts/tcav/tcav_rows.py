"""Tables of TCAV scores, and how far these have moved."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sparsight.concepts.base import Findings, Measured, Ranked
from sparsight.concepts.labelled.drift import shared_names

SIGNIFICANT = 0.05
#: scores are means of shares, kept in single precision: closer ones are equal
EQUAL = 1e-6


def score_rows(
    arrays: Mapping[str, Tensor], concepts: Sequence[str], classes: Sequence[str]
) -> tuple[list[Ranked], list[Measured]]:
    """Ranks and measures of `Tcav`; classes without images have no ranks.

    Parameters
    ----------
    arrays : those that `Tcav` describes.
    """
    scores, random = arrays["scores"].double().mean(dim=0), arrays["random"].double().mean(dim=0)
    ranked: list[Ranked] = []
    measured: list[Measured] = []
    pairs = {
        "tcav_score": scores,
        "p_value": arrays["p"],
        "adjusted_p": arrays["adjusted_p"],
        "effect_size": arrays["effect_size"],
    }
    for label, class_name in enumerate(classes):
        if scores[label].isnan().any():
            continue
        measured.append(Measured("random_score", random[label].item(), class_name))
        measured += [
            Measured(measure, value, class_name, concept)
            for measure, values in pairs.items()
            for concept, value in zip(concepts, values[label].tolist(), strict=True)
        ]
        effects = arrays["effect_size"][label].nan_to_num(0.0).tolist()
        order = sorted(range(len(concepts)), key=lambda k: (-scores[label, k].item(), -effects[k]))
        ranked += [
            Ranked(
                class_name,
                concepts[k],
                rank,
                scores[label, k].item(),
                arrays["adjusted_p"][label, k].item(),
            )
            for rank, k in enumerate(order, start=1)
        ]
    tested = ~arrays["adjusted_p"].isnan()
    significant = (arrays["adjusted_p"] < SIGNIFICANT).sum() / tested.sum()
    return ranked, [*measured, Measured("significant_share", significant.item())]


def score_drift(own: Findings, reference: Findings) -> list[Measured]:
    """`tcav_change` of each class and on average, and `tcav_side_agreement`.

    A score that equals that of random concepts is on neither side, and its pair counts half, as
    drawing a side does on average. So it is where a class's logit has no slope at all, and every
    score is 0. The agreement is NaN where no pair has a side, a class has no images, or nothing is
    significant in the reference.

    Raises
    ------
    InputError
        When the findings share no concept or no class.
    """
    _, mine, theirs = shared_names(own, reference, "concepts")
    classes, my_rows, their_rows = shared_names(own, reference, "classes")
    first = own.arrays["scores"].double().mean(dim=0)[my_rows][:, mine]
    second = reference.arrays["scores"].double().mean(dim=0)[their_rows][:, theirs]
    changes = (first - second).abs().mean(dim=1)
    rows = [
        Measured("tcav_change", value, class_name=name)
        for name, value in zip(classes, changes.tolist(), strict=True)
    ]
    side = _side(first, own.arrays["random"].double().mean(dim=0)[my_rows, None])
    was = _side(second, reference.arrays["random"].double().mean(dim=0)[their_rows, None])
    counted = (reference.arrays["adjusted_p"][their_rows][:, theirs] < SIGNIFICANT) & ~first.isnan()
    same = ((1 + side * was) / 2)[counted].mean()
    if not side[counted].any():
        same = torch.tensor(torch.nan)
    return [
        *rows,
        Measured("tcav_change", torch.nanmean(changes).item()),
        Measured("tcav_side_agreement", same.item()),
    ]


def _side(scores: Tensor, random: Tensor) -> Tensor:
    """1 above random concepts, -1 below, 0 where they are equal, float64."""
    difference = scores - random
    return difference.sign() * (difference.abs() > EQUAL)
