"""What a layer shows without being asked for a class."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, channel_reduction, detached_float32
from sparsight.explain.network import explained_layer, recorded
from sparsight.io.errors import InputError


class MeanActivation(Explainer):
    """ReLU of a layer's mean over channels: a class activation map with equal weights.

    It is what Grad-CAM and Grad-CAM++ (arXiv:1710.11063) leave when the weights of
    the class are taken away. A metric on which they do no better says nothing of the class.
    """

    name: ClassVar[str] = "mean_activation"
    reference: ClassVar[str] = "control; class weights left out of arXiv:1710.11063"
    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "mean"
    value_range: ClassVar[str] = "0 or more"
    cost: ClassVar[int] = 1
    native: ClassVar[str] = "layer"
    interpolation: ClassVar[str] = "bilinear"
    control: ClassVar[bool] = True
    parameters: ClassVar[dict[str, Any]] = {"layer": ""}

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; h and w are the layer's, and `targets` is not looked at."""
        layer = explained_layer(model, self.settings["layer"])
        with torch.no_grad(), recorded(model, [layer]) as outputs:
            model(images)
        if layer not in outputs:
            raise InputError(f"layer '{layer}' does not run in a forward pass; name another")
        return detached_float32(channel_reduction(outputs[layer], "mean").clamp_min(0))
