"""How far TCAV scores have moved, worked out by hand."""

import math

import torch
from torch import Tensor

from sparsight.concepts.base import Findings
from sparsight.concepts.tcav import score_drift


def tcav_findings(scores: Tensor, random: Tensor, adjusted: Tensor) -> Findings:
    """Findings of one draw of scores [C, K] and of random ones [C]."""
    classes, concepts = scores.shape
    arrays = {"scores": scores[None], "random": random[None], "adjusted_p": adjusted}
    texts = {
        "concepts": [f"concept {k}" for k in range(concepts)],
        "classes": [f"class {c}" for c in range(classes)],
    }
    return Findings([], [], arrays, texts)


def side_agreement(own: Findings, reference: Findings) -> float:
    rows = score_drift(own, reference)
    return next(row.value for row in rows if row.measure == "tcav_side_agreement")


def test_scores_that_equal_those_of_random_concepts_are_on_neither_side() -> None:
    half, sure = torch.full((1,), 0.5), torch.zeros(1, 4)
    reference = tcav_findings(torch.tensor([[1.0, 0.9, 0.8, 0.0]]), half, sure)
    own = tcav_findings(torch.tensor([[0.7, 0.2, 0.5, 0.1]]), half, sure)
    # above as it was, below, on neither side, below as it was
    assert side_agreement(own, reference) == (1 + 0 + 0.5 + 1) / 4
    # a pair that is not significant in the reference does not count
    unsure = reference.arrays["adjusted_p"].clone()
    unsure[0, 1] = 0.5
    known = tcav_findings(reference.arrays["scores"][0], half, unsure)
    assert side_agreement(own, known) == (1 + 0.5 + 1) / 3


def test_a_network_without_slopes_has_no_side() -> None:
    sure = torch.zeros(1, 4)
    reference = tcav_findings(
        torch.tensor([[1.0, 0.9, 0.8, 0.0]]), torch.full((1,), 0.5), torch.zeros(1, 4)
    )
    collapsed = tcav_findings(torch.zeros(1, 4), torch.zeros(1), sure + 1)
    assert math.isnan(side_agreement(collapsed, reference))
    assert math.isnan(side_agreement(reference, collapsed))
