"""Class activation maps that follow from a layer's activations and the gradients there.

The library pytorch-grad-cam runs through `grad_cam.<Class>`. These are our own because in the
library (1.5.7) each job would pay some 15 s of imports, every batch a round trip through numpy, and
each layer and method a pass of its own; and it gives maps only after min-max and upsampling, which
the scoring does itself. Equality with the library is tested to 1e-5.

One difference, where the module after the layer works in place: on a CPU the library records the
overwritten output, here it is the layer's own output.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn, where

from sparsight.explain.base import Explainer
from sparsight.explain.network import activations_and_gradients, explained_layer, recorded
from sparsight.io.errors import InputError, InvariantError

# As in the library; they decide the weights wherever gradients are below about 1e-3, or a channel
# sums to about 0.
_EPSILON = 1e-6
_EPSILON_OF_SUMS = 1e-7


class ClassActivationMap(Explainer):
    """A map that is a function of a layer's activations and the gradients of the logit there.

    Attributes
    ----------
    needs_gradients : False where the activations are enough; the map then costs no backward pass.
    """

    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "weighted sum"
    value_range: ClassVar[str] = "0 or more"
    cost: ClassVar[int] = 3
    native: ClassVar[str] = "layer"
    interpolation: ClassVar[str] = "bilinear"
    parameters: ClassVar[dict[str, Any]] = {"layer": ""}
    shares: ClassVar[str] = "layer_gradients"
    needs_gradients: ClassVar[bool] = True

    @abstractmethod
    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """The map float32 [N,h,w] from a layer's output and its gradients, both [N,C,h,w].

        Without `needs_gradients`, `gradients` may be anything.
        """

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
        """One forward and at most one backward pass for any number of methods and layers."""
        members: dict[str, ClassActivationMap] = {}
        for name, explainer in explainers.items():
            if not isinstance(explainer, ClassActivationMap):
                raise InvariantError(
                    f"explainer '{name}' shares layer gradients but is no ClassActivationMap"
                )
            members[name] = explainer
        layers = {n: explained_layer(model, m.settings["layer"]) for n, m in members.items()}
        differentiated = {layers[n] for n, m in members.items() if m.needs_gradients}
        looked_at = {*layers.values()} - differentiated
        found = _passes(model, images, targets, sorted(differentiated), sorted(looked_at))
        return {name: cam.map_of(*found[layers[name]]) for name, cam in members.items()}


def _passes(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    differentiated: list[str],
    looked_at: list[str],
) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer to activations and gradients; for layers `looked_at` the second is empty."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    with recorded(model, looked_at) as outputs:
        if differentiated:
            found = activations_and_gradients(model, images, targets, differentiated)
        else:
            with torch.no_grad():
                model(images)
    for layer in looked_at:
        if layer not in outputs:
            raise InputError(f"layer '{layer}' does not run in a forward pass; name another")
        found[layer] = (outputs[layer].detach(), images.new_empty(0))
    return found


class WeightedCam(ClassActivationMap):
    """A ReLU of channels weighted by `weights(activations, gradients)`."""

    @staticmethod
    @abstractmethod
    def weights(activations: Tensor, gradients: Tensor) -> Tensor:
        """Weights [N,C] of the channels, from two float32 [N,C,h,w]."""

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """See `ClassActivationMap.map_of`."""
        return weighted_map(activations, self.weights(activations, gradients))


def weighted_map(activations: Tensor, weights: Tensor) -> Tensor:
    """ReLU of the weighted sum of channels: [N,C,h,w] and [N,C] -> [N,h,w], 0 or more."""
    return (weights[:, :, None, None] * activations).sum(dim=1).clamp_min(0)


class GradCam(WeightedCam):
    """Grad-CAM, equations 1 and 2: channels weighted by their mean gradient."""

    name: ClassVar[str] = "grad_cam"
    reference: ClassVar[str] = "arXiv:1610.02391"

    @staticmethod
    def weights(activations: Tensor, gradients: Tensor) -> Tensor:
        """Spatial mean of the gradients (equation 1)."""
        return gradients.mean(dim=(2, 3))


class GradCamPlusPlus(WeightedCam):
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


class XGradCam(WeightedCam):
    """XGrad-CAM: channels weighted by their gradients, averaged in proportion to the activation.

    Behind a ReLU, a channel's part of the map (before the last ReLU) sums to what gradient times
    activation give it. For a linear head this is what the logit loses without the channel (the
    paper's axiom of sensitivity), and over all channels the logit without its bias (conservation).
    Before a ReLU a channel's sum may be near 0, and its weight then as large as rounding lets it
    be, here as in the library; prefer a layer behind one.
    """

    name: ClassVar[str] = "xgrad_cam"
    reference: ClassVar[str] = "arXiv:2008.02312"

    @staticmethod
    def weights(activations: Tensor, gradients: Tensor) -> Tensor:
        """Sum over pixels of the gradient times the activation's share of its channel."""
        total = activations.sum(dim=(2, 3))
        return (gradients * activations).sum(dim=(2, 3)) / (total + _EPSILON_OF_SUMS)


class HiResCam(ClassActivationMap):
    """HiRes-CAM: gradient times activation at every position, summed over channels.

    Where all that follows the layer is linear, a map and the logit's bias sum to the logit: each
    value is what its position contributes. Negative values are evidence against the target and are
    kept; the library cuts them off, which the treatment "positive" of a metric does as well.
    """

    name: ClassVar[str] = "hires_cam"
    reference: ClassVar[str] = "arXiv:2011.08891"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; in units of the logit"

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """See `ClassActivationMap.map_of`."""
        return (gradients * activations).sum(dim=1)


class LayerCam(ClassActivationMap):
    """LayerCAM: ReLU of the sum over channels of positive gradient times activation.

    Unlike maps of one weight per channel it keeps its detail at early layers.
    """

    name: ClassVar[str] = "layer_cam"
    reference: ClassVar[str] = "doi:10.1109/TIP.2021.3089943"

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """See `ClassActivationMap.map_of`."""
        return (gradients.clamp_min(0) * activations).sum(dim=1).clamp_min(0)
