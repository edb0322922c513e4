"""IROF: what is lost as whole segments of the image are removed in the map's order."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.superpixels import superpixels
from sparsight.metrics.base import Explain, Metric
from sparsight.metrics.faithfulness.perturbation import (
    BASELINES,
    VALUES,
    check_choice,
    check_positive,
    replaced,
    stand_ins,
    without_order,
)
from sparsight.metrics.outputs import target_outputs


def segment_ranks(attributions: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    """Place of each pixel's segment in the descending order of the segments' mean attribution.

    Parameters
    ----------
    attributions : float32 [N, H, W].
    segments : int64 [N, H, W], numbered from 0 in each image.

    Returns
    -------
    int64 [N, H, W] from 0, of equal means the lower number first; and int64 [N], the numbers of
    segments.
    """
    labels, values = segments.flatten(1), attributions.flatten(1).double()
    counts = labels.amax(dim=1) + 1
    size = int(counts.max())
    areas = values.new_zeros(len(labels), size).scatter_add_(1, labels, torch.ones_like(values))
    sums = torch.zeros_like(areas).scatter_add_(1, labels, values)
    # Numbers that an image does not use come last.
    means = torch.where(areas > 0, sums / areas, -torch.inf)
    order = means.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(size, device=order.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order, places)
    return ranks.gather(1, labels).view_as(segments), counts


class Irof(Metric):
    """Area over the curve of the output as segments are removed, relative to the whole image.

    Segments (`explain.superpixels`: SLIC for each image; a grid for grey and for small ones) are
    removed in the order of their mean attribution and replaced by the image's mean colour. With f₀
    the target's probability for the image and f_k that without the first k of its L segments, the
    value is 1 - (1/L) Σ (f_{k-1} + f_k) / (2 f₀): the area over the curve f_k / f₀, k = 0 ... L,
    by trapezoids, on an axis from 0 to 1.

    `quantus.IROF` begins with the first removed segment and does not divide by L, so that images
    of many segments count more; it replaces by the mean over the batch of what is left of the
    images, fails on colour images, and needs `numpy.trapz`. With equal segments and replacement
    it is L times ours plus (1 + f₁/f₀) / 2.

    NaN where the map is constant, where an image has less than two segments, and where f₀ is 0.
    There is no lower end: removal may raise the output, and by much where f₀ is near 0.

    Parameters
    ----------
    segments : how many are asked for; 100 in quantus.
    baseline : what removed pixels become; see `perturbation.stand_ins`.
    value : "probability" or "logit" of the target.
    """

    name = "irof"
    reference = "Rieger and Hansen 2020, arXiv:2003.08747"
    category = "faithfulness"
    direction = "higher"
    unit = "area over the relative output, at most 1 for probabilities"
    needs = ("model",)
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    parameters: ClassVar[dict[str, Any]] = {
        "segments": 100,
        "baseline": "mean",
        "value": "probability",
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        check_positive(self.name, self.settings, "segments")
        check_choice(self.name, self.settings, "baseline", BASELINES)
        check_choice(self.name, self.settings, "value", VALUES)

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score` and the class."""
        assert model is not None  # `needs` names it
        kind = self.settings["value"]
        segments = superpixels(images, self.settings["segments"])
        ranks, counts = segment_ranks(attributions, segments)
        others = stand_ins(images, self.settings["baseline"])
        whole = target_outputs(model, images, targets, kind, len(images)).double()
        before, area = torch.ones_like(whole), torch.zeros_like(whole)
        for step in range(1, int(counts.max()) + 1):
            # Images that have no segments left need no pass.
            rows = (counts >= step).nonzero()[:, 0]
            changed = replaced(images[rows], others[rows], ranks[rows] < step)
            after = target_outputs(model, changed, targets[rows], kind, len(images))
            ratio = after.double() / whole[rows]
            area[rows] += (before[rows] + ratio) / 2
            before[rows] = ratio
        undefined = without_order(attributions) | (counts < 2) | (whole == 0)
        return (1 - area / counts).masked_fill(undefined, torch.nan).to(torch.float32)
