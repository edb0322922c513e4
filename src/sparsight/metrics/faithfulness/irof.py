"""IROF: what is lost as whole segments of the image are removed in the map's order."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.superpixels import superpixels
from sparsight.io.errors import InputError
from sparsight.metrics.base import Explain, Metric
from sparsight.metrics.faithfulness.perturbation import (
    BASELINES,
    check_choice,
    check_positive,
    descending_ranks,
    replaced,
    stand_ins,
    tie_order,
    without_order,
)
from sparsight.metrics.outputs import target_outputs


def segment_ranks(attributions: Tensor, segments: Tensor, ties: Tensor) -> tuple[Tensor, Tensor]:
    """Place of each pixel's segment in the descending order of the segments' mean attribution.

    Parameters
    ----------
    attributions : float32 [N, H, W].
    segments : int64 [N, H, W], numbered from 0 in each image.
    ties : int64 [N, H * W], the image's `perturbation.tie_order`.

    Returns
    -------
    int64 [N, H, W] from 0, segments of equal mean in a random order that `ties` gives; and int64
    [N], the numbers of segments.
    """
    labels, values = segments.flatten(1), attributions.flatten(1).double()
    counts = labels.amax(dim=1) + 1
    size = int(counts.max())
    areas = values.new_zeros(len(labels), size).scatter_add_(1, labels, torch.ones_like(values))
    sums = torch.zeros_like(areas).scatter_add_(1, labels, values)
    # Numbers that an image does not use come last.
    means = torch.where(areas > 0, sums / areas, -torch.inf)
    ranks = descending_ranks(means, _segment_order(labels, size, ties))
    return ranks.gather(1, labels).view_as(segments), counts


def _segment_order(labels: Tensor, size: int, ties: Tensor) -> Tensor:
    """Segments int64 [N, size] in the order in which `ties` meets the first pixel of each."""
    pixels = torch.arange(labels.shape[1], device=labels.device).expand_as(labels)
    places = torch.empty_like(ties).scatter_(1, ties, pixels)
    first = torch.full((len(labels), size), labels.shape[1], device=labels.device)
    first = first.scatter_reduce(1, labels, pixels, "amin")
    # One pixel a segment, so that a large one does not come early; unused numbers stay last.
    used = first < labels.shape[1]
    found = places.gather(1, first.clamp_max(labels.shape[1] - 1))
    return torch.where(used, found, labels.shape[1]).argsort(dim=1, stable=True)


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

    NaN where the map is constant, where an image has less than two segments, and where f₀ is below
    `floor`: relative to an output that is not there, removal raises anything without bounds (from
    f₀ = 6e-6, a misclassified image, to a value of -758), and one such image decides a mean over
    many. With the floor no value is below 1 - 1 / `floor`. As f₀ belongs to the network, networks
    differ in the images that are left out, mostly ones that they get wrong. Logits are no choice:
    they have no zero to be relative to, and where they are negative the value changes its sign.

    Segments of equal mean, such as those where a class activation map is zero, go in a random order
    that belongs to the image (`perturbation.tie_order`).

    Parameters
    ----------
    segments : how many are asked for; 100 in quantus.
    baseline : what removed pixels become; see `perturbation.stand_ins`.
    floor : least probability of the target, for the unchanged image, above 0 and below 1.
    """

    name = "irof"
    reference = "Rieger and Hansen 2020, arXiv:2003.08747"
    category = "faithfulness"
    direction = "higher"
    unit = "area over the relative probability, at most 1"
    needs = ("model",)
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    parameters: ClassVar[dict[str, Any]] = {
        "segments": 100,
        "baseline": "mean",
        "floor": 0.01,
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        check_positive(self.name, self.settings, "segments")
        check_choice(self.name, self.settings, "baseline", BASELINES)
        if not 0 < self.settings["floor"] < 1:
            raise InputError(
                f"metric {self.name}: parameter 'floor' is {self.settings['floor']}, it must be "
                "above 0 and below 1"
            )

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
        segments = superpixels(images, self.settings["segments"])
        ranks, counts = segment_ranks(attributions, segments, tie_order(images))
        others = stand_ins(images, self.settings["baseline"])
        whole = target_outputs(model, images, targets, "probability", len(images)).double()
        before, area = torch.ones_like(whole), torch.zeros_like(whole)
        for step in range(1, int(counts.max()) + 1):
            # Images that have no segments left need no pass.
            rows = (counts >= step).nonzero()[:, 0]
            changed = replaced(images[rows], others[rows], ranks[rows] < step)
            after = target_outputs(model, changed, targets[rows], "probability", len(images))
            ratio = after.double() / whole[rows]
            area[rows] += (before[rows] + ratio) / 2
            before[rows] = ratio
        undefined = without_order(attributions) | (counts < 2)
        undefined |= ~(whole >= self.settings["floor"])
        return (1 - area / counts).masked_fill(undefined, torch.nan).to(torch.float32)
