"""Relevance accuracies of CLEVR-XAI: how much of the relevance lies on the object."""

import torch
from torch import Tensor, nn

from sparsight.metrics.base import Explain, Metric, per_image, require_masks
from sparsight.metrics.localisation import expected_hits
from sparsight.metrics.ordering import zeros_and_ones


def relevance_mass_accuracy(relevances: Tensor, masks: Tensor) -> Tensor:
    """Share of the relevance inside the mask: Σ_{p in mask} R_p / Σ_p R_p.

    Parameters
    ----------
    relevances : float32 [N, H, W], non-negative.
    masks : bool [N, H, W].

    Returns
    -------
    float32 [N] in [0, 1]; NaN where the mask is empty, or the relevance is 0 throughout or NaN.
    """
    values, inside = per_image(relevances), zeros_and_ones(per_image(masks))
    # By the maximum first: sums of very small or large relevances must not leave float32.
    values = values / values.amax(dim=1, keepdim=True)
    value = (values * inside).sum(dim=1) / values.sum(dim=1)
    return value.masked_fill(inside.sum(dim=1) == 0, torch.nan)


def relevance_rank_accuracy(relevances: Tensor, masks: Tensor) -> Tensor:
    """Share of the mask among the k most relevant pixels, k its area: |top k in the mask| / k.

    Tied pixels share the last places (see `expected_hits`); a constant map scores the mask's share
    of the image, which is chance.

    Parameters
    ----------
    relevances : float32 [N, H, W].
    masks : bool [N, H, W].

    Returns
    -------
    float32 [N] in [0, 1]; NaN where the mask is empty or the relevance NaN.
    """
    hits, area = expected_hits(relevances, masks)
    return (hits / area).masked_fill(area == 0, torch.nan)


class RelevanceMassAccuracy(Metric):
    """Share of the positive attribution that falls inside the binary mask.

    The paper's masks are sets of pixels, and its relevances are pooled over channels to be
    non-negative; here negative attributions count as 0 (its pooling "sum,pos"). The same number is
    known as the energy-based pointing game. It depends on the area of the mask: a constant map
    scores the mask's share of the image.
    """

    name = "relevance_mass_accuracy"
    reference = "Arras et al., Information Fusion 81 (2022), arXiv:2003.07258"
    category = "localisation"
    direction = "higher"
    unit = "share, 0 to 1"
    needs = ("mask",)
    treatment = "positive"
    normalisation = "none"
    mask_rule = "binary"

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score` and `relevance_mass_accuracy`."""
        return relevance_mass_accuracy(attributions, require_masks(self, masks))


class RelevanceRankAccuracy(Metric):
    """Share of the mask among as many of the most relevant pixels as it has.

    It is a rising function of `area_matched_iou` x, 2x / (1 + x), given under the name and on the
    scale that the literature uses.
    """

    name = "relevance_rank_accuracy"
    reference = "Arras et al., Information Fusion 81 (2022), arXiv:2003.07258"
    category = "localisation"
    direction = "higher"
    unit = "share, 0 to 1"
    needs = ("mask",)
    treatment = "positive"
    normalisation = "none"
    mask_rule = "binary"

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score` and `relevance_rank_accuracy`."""
        return relevance_rank_accuracy(attributions, require_masks(self, masks))


class BackgroundShare(Metric):
    """Share of the positive attribution that falls outside the binary mask.

    One minus `relevance_mass_accuracy`, under the name of the claim that it grows as networks are
    pruned. It depends on the area of the mask: a constant map scores the background's share of the
    image.
    """

    name = "background_share"
    reference = "Ghosh and Batmanghelich 2023, arXiv:2307.13698; one minus arXiv:2003.07258"
    category = "localisation"
    direction = "lower"
    unit = "share, 0 to 1"
    needs = ("mask",)
    treatment = "positive"
    normalisation = "none"
    mask_rule = "binary"

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score`; NaN as `relevance_mass_accuracy` has it."""
        return 1 - relevance_mass_accuracy(attributions, require_masks(self, masks))
