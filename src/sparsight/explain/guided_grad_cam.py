"""Guided Grad-CAM: the detail of guided backpropagation where Grad-CAM looks."""

from typing import Any, ClassVar

from torch import Tensor, nn

from sparsight.explain.base import Explainer, detached_float32, to_image_size
from sparsight.explain.cam import GradCam
from sparsight.explain.guided_backprop import GuidedBackprop


class GuidedGradCam(Explainer):
    """Guided backpropagation times the Grad-CAM map, upsampled as the scoring upsamples it.

    Channels of the image are summed. Networks that `guided_backprop` refuses are refused here.
    """

    name: ClassVar[str] = "guided_grad_cam"
    reference: ClassVar[str] = "arXiv:1610.02391"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; 0 where Grad-CAM is 0"
    cost: ClassVar[int] = 6
    native: ClassVar[str] = "pixel"
    interpolation: ClassVar[str] = "none"
    parameters: ClassVar[dict[str, Any]] = {"layer": ""}

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; maps have image size."""
        given = (model, images, targets, image_ids, seed_name)
        where = GradCam(layer=self.settings["layer"]).explain(*given)
        height, width = images.shape[2:]
        where = to_image_size(where, (height, width), GradCam.interpolation)
        return detached_float32(where * GuidedBackprop().explain(*given))
