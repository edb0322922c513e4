"""How far the concepts of a network's classes have moved."""

import torch

from sparsight.concepts.base import Findings, Measured
from sparsight.concepts.bottlenecks.rankings import rank_biased_overlap, top_jaccard
from sparsight.concepts.labelled.drift import shared_names


def drift_of_weights(own: Findings, reference: Findings, persistence: float) -> list[Measured]:
    """Overlaps of the orders of concepts of each class, and their means over classes.

    Parameters
    ----------
    own, reference : with the array `weights` [C, K] and the texts `concepts` and `classes`;
        classes and concepts that only one of them has are left out.
    persistence : p of the rank-biased overlap.

    Returns
    -------
    Rows of `top3_jaccard`, `top5_jaccard` and `rank_biased_overlap`.

    Raises
    ------
    InputError
        When they share no concept or no class.
    """
    _, mine, theirs = shared_names(own, reference, "concepts")
    classes, my_rows, their_rows = shared_names(own, reference, "classes")
    first = own.arrays["weights"][my_rows][:, mine]
    second = reference.arrays["weights"][their_rows][:, theirs]
    values = {
        "top3_jaccard": top_jaccard(first, second, 3),
        "top5_jaccard": top_jaccard(first, second, 5),
        "rank_biased_overlap": torch.tensor(
            [
                rank_biased_overlap(one, other, persistence)
                for one, other in zip(first, second, strict=True)
            ],
            dtype=torch.float64,
        ),
    }
    rows: list[Measured] = []
    for measure, of_classes in values.items():
        rows += [
            Measured(measure, value, class_name=name)
            for name, value in zip(classes, of_classes.tolist(), strict=True)
        ]
        rows.append(Measured(measure, torch.nanmean(of_classes).item()))
    return rows
