"""Class activation maps that follow from a layer's activations and the gradients there.

The library pytorch-grad-cam runs through `grad_cam.<Class>`. These are our own because in the
library (1.5.7) each job would pay some 15 s of imports, every batch a round trip through numpy, and
each layer and method a pass of its own; and it gives maps only after min-max and upsampling, which
the scoring does itself. Equality with the library, with its `epsilon`, is
tested to 1e-5.

One difference, where the module after the layer works in place: on a CPU the library records the
overwritten output, here it is the layer's own output.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn, where

from sparsight.explain.base import Explainer
from sparsight.explain.network import activations_and_gradients, explained_layer, recorded
from sparsight.io.errors import InputError, InvariantError


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

    @abstractmethod
    def weights(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Weights [N,C] of the channels, from two float32 [N,C,h,w]."""

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """See `ClassActivationMap.map_of`."""
        return weighted_map(activations, self.weights(activations, gradients))


def _check_epsilon(cam: ClassActivationMap) -> None:
    epsilon = cam.settings["epsilon"]
    if not 0 <= epsilon < math.inf:
        raise InputError(
            f"explainer '{cam.name}': epsilon is {epsilon}, but must be a number from 0 on"
        )


def weighted_map(activations: Tensor, weights: Tensor) -> Tensor:
    """ReLU of the weighted sum of channels: [N,C,h,w] and [N,C] -> [N,h,w], 0 or more."""
    return (weights[:, :, None, None] * activations).sum(dim=1).clamp_min(0)


class GradCam(WeightedCam):
    """Grad-CAM, equations 1 and 2: channels weighted by their mean gradient."""

    name: ClassVar[str] = "grad_cam"
    reference: ClassVar[str] = "arXiv:1610.02391"

    def weights(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Spatial mean of the gradients (equation 1)."""
        return gradients.mean(dim=(2, 3))


class GradCamPlusPlus(WeightedCam):
    """Grad-CAM++, equations 5, 7 and 19: positive gradients weighted by their pixel's share.

    The closed form holds for the exponential of the logit, which cancels. With S the channel's sum
    of activations and g the gradient, the share is alpha = g² / (2 g² + S g³ + `epsilon`), and 0
    where g is 0. The paper has no `epsilon`: 0 is the default, and alpha is then 1 / (2 + S g).
    pytorch-grad-cam adds 1e-6. Where g² is far below it, its weights go as g³ instead of g, and
    with them a map's shape depends on the scale of the logits, which pruning changes. Use 1e-6 to
    repeat a study that was made with the library.

    With 0 the logits' scale still counts where S g is near 2 in size: that is the paper's
    exponential. Maps do not depend on it where S g is much smaller or much larger.

    Before a ReLU the sum of the activations may be negative and the denominator of equation 19 pass
    zero; those few weights are then as large as rounding lets them be, as in the library. A share
    whose denominator is exactly 0 counts as 0.
    """

    name: ClassVar[str] = "grad_cam_pp"
    reference: ClassVar[str] = "arXiv:1710.11063"
    parameters: ClassVar[dict[str, Any]] = {"layer": "", "epsilon": 0.0}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        _check_epsilon(self)

    def weights(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Sum over pixels of alpha (equation 19) times the positive gradient (equation 7)."""
        total = activations.sum(dim=(2, 3), keepdim=True)
        if self.settings["epsilon"] == 0:
            # Divided by g²: the square and the cube of a small gradient are 0 in float32.
            shares, sizes = torch.ones_like(gradients), 2 + total * gradients
        else:
            shares = gradients**2
            cubed = shares * gradients
            sizes = 2 * shares + total * cubed + self.settings["epsilon"]
        alpha = where((gradients != 0) & (sizes != 0), shares / sizes, 0)
        return (gradients.clamp_min(0) * alpha).sum(dim=(2, 3))


class XGradCam(WeightedCam):
    """XGrad-CAM: channels weighted by their gradients, averaged in proportion to the activation.

    Behind a ReLU, a channel's part of the map (before the last ReLU) sums to what gradient times
    activation give it. For a linear head this is what the logit loses without the channel (the
    paper's axiom of sensitivity), and over all channels the logit without its bias (conservation).
    Before a ReLU a channel's sum may be near 0, and its weight then as large as rounding lets it
    be, here as in the library; prefer a layer behind one.

    `epsilon` is added to the channel's sum of activations before it divides. The paper has none
    (0, and a channel that sums to 0 weighs nothing); the default is that of pytorch-grad-cam, which
    matters to channels whose activations sum to less than about 1e-5.
    """

    name: ClassVar[str] = "xgrad_cam"
    reference: ClassVar[str] = "arXiv:2008.02312"
    parameters: ClassVar[dict[str, Any]] = {"layer": "", "epsilon": 1e-7}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        _check_epsilon(self)

    def weights(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Sum over pixels of the gradient times the activation's share of its channel."""
        total = activations.sum(dim=(2, 3)) + self.settings["epsilon"]
        return where(total != 0, (gradients * activations).sum(dim=(2, 3)) / total, 0)


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
