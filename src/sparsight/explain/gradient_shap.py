"""GradientSHAP (expected gradients): integrated gradients over random baselines, by sampling."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, channel_reduction, detached_float32
from sparsight.explain.logit_gradient import logit_gradient
from sparsight.explain.sampling import ImageSamples
from sparsight.io.errors import InputError


class GradientShap(Explainer):
    """Mean over `n_samples` of (x - b) times the gradient at a random point between b and x.

    Every sample draws, in this order: a baseline b of independent pixels, uniform between 0 and
    `baseline_maximum`; the share of x in the point, uniform between 0 and 1; and, where `noise` is
    above 0, normal noise on x with a standard deviation of `noise` times the image's range.

    Baselines are drawn rather than taken from the data: the images of a batch would make a map
    depend on its batch. The default maximum is that of the noise which the condition `noisy` puts
    on black pixels (51 of 255), so baselines look like that background; with 0 they are black.

    Channels are summed. In expectation a map sums to f(x) minus the mean of f over baselines.

    A loop of its own instead of `captum.GradientShap`, which draws for a whole batch at once and
    holds all samples of it in memory (see `sampling`).
    """

    name: ClassVar[str] = "gradient_shap"
    reference: ClassVar[str] = "arXiv:1705.07874; expected gradients: arXiv:1906.10670"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = (
        "any; a map sums to about the logit minus the mean logit of baselines"
    )
    cost: ClassVar[int] = 150
    native: ClassVar[str] = "pixel"
    interpolation: ClassVar[str] = "none"
    parameters: ClassVar[dict[str, Any]] = {"n_samples": 50, "baseline_maximum": 0.2, "noise": 0.0}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        for key, least in (("n_samples", 1), ("baseline_maximum", 0), ("noise", 0)):
            if not self.settings[key] >= least:
                raise InputError(
                    f"explainer 'gradient_shap': {key} is {self.settings[key]}, but must be at "
                    f"least {least}"
                )

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; maps have image size."""
        samples = ImageSamples(images, image_ids, seed_name)
        images = images.detach()
        spread = images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)
        total = torch.zeros_like(images)
        for _ in range(self.settings["n_samples"]):
            baselines = self.settings["baseline_maximum"] * samples.uniform()
            share = samples.uniform_per_image()
            noisy = images
            if self.settings["noise"] > 0:
                noisy = images + self.settings["noise"] * spread * samples.normal()
            path = noisy - baselines
            total += path * logit_gradient(model, baselines + share * path, targets)
        return detached_float32(channel_reduction(total / self.settings["n_samples"], "sum"))

    def facts(self) -> dict[str, Any]:
        """Facts with the cost of the chosen number of samples."""
        return {**super().facts(), "cost": 3 * self.settings["n_samples"]}
