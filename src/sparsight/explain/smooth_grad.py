"""SmoothGrad: the gradient averaged over noisy copies of the image."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, channel_reduction, detached_float32
from sparsight.explain.logit_gradient import logit_gradient
from sparsight.explain.sampling import ImageSamples
from sparsight.io.errors import InputError


class SmoothGrad(Explainer):
    """Absolute mean of the gradients at `n_samples` copies of the image with normal noise.

    The noise has a standard deviation of `noise` times the image's range (its largest minus its
    smallest value; the paper advises 0.1 to 0.2), and noisy copies are not clipped to [0, 1]. As
    for `saliency`, the largest absolute channel is taken, so that the smoothing is all that
    differs; the absolute value is taken of the mean, not of the members.

    A loop of its own instead of `captum.NoiseTunnel`, which draws for a whole batch at once and
    holds all samples of it in memory (see `sampling`).
    """

    name: ClassVar[str] = "smooth_grad"
    reference: ClassVar[str] = "arXiv:1706.03825"
    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "max"
    value_range: ClassVar[str] = "0 or more"
    cost: ClassVar[int] = 150
    native: ClassVar[str] = "pixel"
    interpolation: ClassVar[str] = "none"
    parameters: ClassVar[dict[str, Any]] = {"n_samples": 50, "noise": 0.15}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        for key, least in (("n_samples", 1), ("noise", 0)):
            if not self.settings[key] >= least:
                raise InputError(
                    f"explainer 'smooth_grad': {key} is {self.settings[key]}, but must be at least "
                    f"{least}"
                )

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; maps have image size."""
        samples = ImageSamples(images, image_ids, seed_name)
        images = images.detach()
        spread = images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)
        deviation = self.settings["noise"] * spread
        total = torch.zeros_like(images)
        for _ in range(self.settings["n_samples"]):
            total += logit_gradient(model, images + deviation * samples.normal(), targets)
        mean = total / self.settings["n_samples"]
        return detached_float32(channel_reduction(mean.abs(), "max"))

    def facts(self) -> dict[str, Any]:
        """Facts with the cost of the chosen number of samples."""
        return {**super().facts(), "cost": 3 * self.settings["n_samples"]}
