"""Faithfulness correlation: attribution of random subsets against what their removal costs."""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.metrics.base import Explain, Metric, per_image
from sparsight.metrics.faithfulness.perturbation import (
    BASELINES,
    VALUES,
    check_choice,
    check_positive,
    replaced,
    stand_ins,
)
from sparsight.metrics.outputs import target_outputs
from sparsight.metrics.randomness import image_generators
from sparsight.rounding import is_constant


def random_subsets(images: Tensor, size: int, samples: int, name: str) -> Iterator[Tensor]:
    """Random subsets of each image's pixels, without replacement.

    Yields
    ------
    `samples` tensors int64 [N, size] of places in the flattened image, on the images' device. They
    belong to the image and `name`, whatever the batch.
    """
    pixels = images.shape[2] * images.shape[3]
    generators = list(image_generators(images, name))
    for _ in range(samples):
        drawn = [torch.randperm(pixels, generator=one)[:size] for one in generators]
        yield torch.stack(drawn).to(images.device)


def row_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's r of each row of `first` with that of `second`, both [N, n].

    Returns
    -------
    float64 [N] in [-1, 1]; NaN where a row is constant up to rounding or holds NaN.
    """
    a, b = first.double(), second.double()
    # By the range: rounding of the mean keeps the spread of equal values from being exactly 0.
    varies = ~(is_constant(a, 1) | is_constant(b, 1))
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    scale = (a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt()
    return torch.where(varies, (a * b).sum(dim=1) / scale, torch.nan).clamp(-1, 1)


class FaithfulnessCorrelation(Metric):
    """Correlation of subsets' summed attribution with the loss of output when they are removed.

    Pearson's r over random subsets S of |S| pixels: Σ_{i in S} a_i with f(x) - f(x without S), f
    the target's logit. The subsets of an image are the same at every
    level and for every explainer. The value is NaN where the map is constant, or where no removal
    changes the output.

    Which maps: sums of attribution are compared with losses of output, so the metric is made for
    contributions (`input_x_gradient`, `integrated_gradients`, `lrp`, `deep_lift`, `gradient_shap`,
    `occlusion`, `lime`, `kernel_shap`), with the baseline that the explainer had; exact ones of a
    linear network score 1. Slopes (gradients, `guided_backprop`) lack the change of the pixel, and
    no setting supplies it: multiply them by the input first. For the logit x₁ + 2 x₂ + 2 x₃ at
    x = (1, 1/2, 1/4), pixel by pixel, the contributions (1, 1, 1/2) score 1 and the exact gradient
    (1, 2, 2) scores -1/2. Unsigned maps (`saliency` and `smooth_grad` here, class activation maps)
    cannot say which pixels speak against the target, and reach 1 only where none does.

    Defaults are those of `quantus.FaithfulnessCorrelation`, made for images of 224x224; there the
    subset is a two-hundredth of the pixels, so choose `subset_size` for the images at hand. On
    colour images quantus removes the values of single channels; here a pixel goes with all of its
    channels. "Black" is there the image's lowest value, here 0.

    Parameters
    ----------
    samples : number of subsets, each of which is a forward pass.
    subset_size : pixels of a subset; fewer than the image has.
    baseline : what removed pixels become; see `perturbation.stand_ins`.
    value : "logit" or "probability" of the target.
    """

    name = "faithfulness_correlation"
    reference = "Bhatt et al., IJCAI 2020, arXiv:2005.00631"
    category = "faithfulness"
    direction = "higher"
    unit = "Pearson's r, -1 to 1"
    needs = ("model",)
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    parameters: ClassVar[dict[str, Any]] = {
        "samples": 100,
        "subset_size": 224,
        "baseline": "zero",
        "value": "logit",
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        check_positive(self.name, self.settings, "samples")
        check_positive(self.name, self.settings, "subset_size")
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
        size, samples = self.settings["subset_size"], self.settings["samples"]
        height, width = images.shape[2:]
        if size >= height * width:
            raise InputError(
                f"metric {self.name}: parameter 'subset_size' is {size}, it must be below the "
                f"{height}x{width} pixels of the images"
            )
        kind, chunk = self.settings["value"], max(len(images), 1)
        others, flat = stand_ins(images, self.settings["baseline"]), per_image(attributions)
        whole = target_outputs(model, images, targets, kind, chunk)
        sums, outputs = [], []
        for subset in random_subsets(images, size, samples, self.name):
            removed = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, subset, True)
            perturbed = replaced(images, others, removed.view_as(attributions))
            outputs.append(target_outputs(model, perturbed, targets, kind, chunk))
            sums.append(flat.gather(1, subset).sum(dim=1, dtype=torch.float64))
        losses = whole[:, None] - torch.stack(outputs, dim=1)
        value = row_correlation(torch.stack(sums, dim=1), losses)
        # Losses that are rounding are so at the scale of the outputs, not at their own.
        unmoved = is_constant(torch.stack([whole, *outputs], dim=1), 1)
        return value.masked_fill(unmoved, torch.nan).to(torch.float32)
