"""Controls: maps that know nothing of the network, and stand next to the real ones in every table.

What a control scores is what a metric gives for free on this data set.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.explain.base import Explainer, ImageBatch, channel_reduction, detached_float32
from sparsight.explain.cam import ClassActivationMap
from sparsight.explain.randomness import image_generators

# ITU-R BT.601, as in torchvision and OpenCV.
_LUMA = (0.299, 0.587, 0.114)


def greyscale(images: Tensor) -> Tensor:
    """Luma of RGB images, the only channel of grey ones, else the mean: [N,C,H,W] -> [N,H,W]."""
    if images.shape[1] == 3:
        return (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1)
    return images.mean(dim=1)


class Control(Explainer):
    """Common facts of the controls."""

    signed: ClassVar[bool] = False
    cost: ClassVar[int] = 0
    needs_network: ClassVar[bool] = False
    control: ClassVar[bool] = True


class RandomMap(Control):
    """Independent uniform values, drawn from the image's id and the explainer's name."""

    name: ClassVar[str] = "random"
    label: ClassVar[str] = "random control"
    reference: ClassVar[str] = "control"
    reduction: ClassVar[str] = "none"
    value_range: ClassVar[str] = "0 to 1"

    def explain(self, batch: ImageBatch) -> Tensor:
        size = batch.images.shape[2:]
        rows = [torch.rand(size, generator=one) for one in image_generators(batch)]
        return torch.stack(rows).to(batch.images.device)


class Edges(Control):
    """Sobel magnitude of the greyscale image; the border repeats its nearest pixel.

    The kernels are divided by 4: a straight step of height 1 gives 1 on both sides of it.
    """

    name: ClassVar[str] = "edges"
    label: ClassVar[str] = "edge control"
    reference: ClassVar[str] = (
        "control; Sobel and Feldman 1968; as a control: Adebayo et al., NeurIPS 2018, "
        "arXiv:1810.03292"
    )
    reduction: ClassVar[str] = "luma"
    value_range: ClassVar[str] = "0 to sqrt(2)"

    def explain(self, batch: ImageBatch) -> Tensor:
        grey = functional.pad(greyscale(batch.images).unsqueeze(1), (1, 1, 1, 1), mode="replicate")
        across = grey.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
        kernels = torch.stack([across, across.T]).unsqueeze(1)
        return functional.conv2d(grey, kernels).square().sum(dim=1).sqrt()


class CentrePrior(Control):
    """A Gaussian around the centre of the image, where it is 1.

    `sigma` is the standard deviation as a share of each image side.
    """

    name: ClassVar[str] = "centre"
    label: ClassVar[str] = "centre control"
    reference: ClassVar[str] = "control; centre bias: Tatler 2007, doi:10.1167/7.14.4"
    reduction: ClassVar[str] = "none"
    value_range: ClassVar[str] = "above 0, up to 1"
    parameters: ClassVar[dict[str, Any]] = {"sigma": 0.25}
    allowed: ClassVar[dict[str, Any]] = {"sigma": "(0, inf)"}

    def explain(self, batch: ImageBatch) -> Tensor:
        places = (
            (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) / side
            for side in batch.images.shape[2:]
        )
        sides = [torch.exp(-0.5 * (place / self.settings["sigma"]) ** 2) for place in places]
        prior = torch.outer(*sides).to(batch.images.device, torch.float32)
        return prior.expand(len(batch), *prior.shape).contiguous()


class InputImage(Control):
    """The greyscale image itself."""

    name: ClassVar[str] = "input"
    label: ClassVar[str] = "input control"
    reference: ClassVar[str] = "control"
    reduction: ClassVar[str] = "luma"
    value_range: ClassVar[str] = "0 to 1"

    def explain(self, batch: ImageBatch) -> Tensor:
        return greyscale(batch.images)


class MeanActivation(ClassActivationMap):
    """ReLU of a layer's mean over channels: a class activation map with equal weights.

    It is what Grad-CAM and Grad-CAM++ (arXiv:1710.11063) leave when the weights of
    the class are taken away. A metric on which they do no better says nothing of the class.
    """

    name: ClassVar[str] = "mean_activation"
    reference: ClassVar[str] = (
        "control; class weights left out of Chattopadhyay et al. 2018, arXiv:1710.11063"
    )
    reduction: ClassVar[str] = "mean"
    cost: ClassVar[int] = 1
    control: ClassVar[bool] = True
    needs_gradients: ClassVar[bool] = False

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        return detached_float32(channel_reduction(activations, "mean").clamp_min(0))
