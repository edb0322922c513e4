"""Class activation maps: Grad-CAM and Grad-CAM++ at a named layer.

The library pytorch-grad-cam runs through `grad_cam.<Class>`. These two are our own because in the
library (1.5.7) each job would pay some 15 s of imports, every batch a round trip through numpy, and
each layer a pass of its own; and it gives maps only after min-max and upsampling, which the scoring
does itself. Equality with the library is tested to 1e-5.

One difference, where the module after the layer works in place: on a CPU the library records the
overwritten output, here it is the layer's own output.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn, where

from sparsight.explain.base import Explainer
from sparsight.explain.network import activations_and_gradients, explained_layer
from sparsight.io.errors import InvariantError

# As in the library; it decides the weights wherever gradients are below about 1e-3.
_EPSILON = 1e-6


class LayerCam(Explainer):
    """A ReLU of channels weighted by `weights(activations, gradients)`."""

    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "weighted sum"
    value_range: ClassVar[str] = "0 or more"
    cost: ClassVar[int] = 3
    native: ClassVar[str] = "layer"
    interpolation: ClassVar[str] = "bilinear"
    parameters: ClassVar[dict[str, Any]] = {"layer": ""}
    shares: ClassVar[str] = "layer_gradients"

    @staticmethod
    @abstractmethod
    def weights(activations: Tensor, gradients: Tensor) -> Tensor:
        """Weights [N,C] of the channels, from two float32 [N,C,h,w]."""

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """The map [N,h,w] from a layer's output and its gradients, both [N,C,h,w]."""
        weights = self.weights(activations, gradients)
        return (weights[:, :, None, None] * activations).sum(dim=1).clamp_min(0)

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; h and w are the layer's."""
        return self.explain_together({seed_name: self}, model, images, targets, image_ids)[
            seed_name
        ]

    @classmethod
    def explain_together(
        cls,
        explainers: Mapping[str, Explainer],
        model: nn.Module,
        images: Tensor,
        targets: Tensor,
        image_ids: Tensor,
    ) -> dict[str, Tensor]:
        """One forward and one backward pass for any number of methods and layers."""
        members: dict[str, LayerCam] = {}
        for name, explainer in explainers.items():
            if not isinstance(explainer, LayerCam):
                raise InvariantError(
                    f"explainer '{name}' shares layer gradients but is no LayerCam"
                )
            members[name] = explainer
        layers = {n: explained_layer(model, m.settings["layer"]) for n, m in members.items()}
        found = activations_and_gradients(model, images, targets, sorted({*layers.values()}))
        return {name: cam.map_of(*found[layers[name]]) for name, cam in members.items()}


class GradCam(LayerCam):
    """Grad-CAM, equations 1 and 2: channels weighted by their mean gradient."""

    name: ClassVar[str] = "grad_cam"
    reference: ClassVar[str] = "arXiv:1610.02391"

    @staticmethod
    def weights(activations: Tensor, gradients: Tensor) -> Tensor:
        """Spatial mean of the gradients (equation 1)."""
        return gradients.mean(dim=(2, 3))


class GradCamPlusPlus(LayerCam):
    """Grad-CAM++, equations 5, 7 and 19: positive gradients weighted by their pixel's share.

    The closed form holds for the exponential of the logit, which cancels. Before a ReLU the sum of
    the activations may be negative and the denominator of equation 19 pass zero; those few weights
    are then as large as rounding lets them be, here as in the library.
    """

    name: ClassVar[str] = "grad_cam_pp"
    reference: ClassVar[str] = "arXiv:1710.11063"

    @staticmethod
    def weights(activations: Tensor, gradients: Tensor) -> Tensor:
        """Sum over pixels of alpha (equation 19) times the positive gradient (equation 7)."""
        squared = gradients**2
        cubed = squared * gradients
        total = activations.sum(dim=(2, 3), keepdim=True)
        alpha = squared / (2 * squared + total * cubed + _EPSILON)
        alpha = where(gradients != 0, alpha, 0)
        return (gradients.clamp_min(0) * alpha).sum(dim=(2, 3))
