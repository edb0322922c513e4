"""Class activation maps that follow from a layer's activations and the gradients there.

The library pytorch-grad-cam runs through `grad_cam.<Class>`. These are our own because in the
library (1.5.7) each job would pay some 15 s of imports, every batch a round trip through numpy, and
each layer and method a pass of its own; and it gives maps only after min-max and upsampling, which
the scoring does itself. Tests compare with the library, with its `epsilon`, to 1e-5. They differ
where the module after the layer works in place: on a CPU the library records the overwritten
output, here it is the layer's own.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn, where
from torch.nn import functional

from sparsight.explain.base import Explainer, ImageBatch, detached_float32, target_logits
from sparsight.explain.network import (
    activations_and_gradients,
    explained_layer,
    layer_giving,
    record_outputs,
)
from sparsight.io.errors import InputError
from sparsight.rounding import is_constant


class ClassActivationMap(Explainer):
    """A map that is a function of a layer's activations and the gradients of the logit there.

    Where `needs_gradients` is False the activations are enough, and it costs no backward pass.
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

    def explain(self, batch: ImageBatch) -> Tensor:
        return self.explain_together({"": self}, batch)[""]

    @classmethod
    def explain_together(
        cls, explainers: Mapping[str, Explainer], batch: ImageBatch
    ) -> dict[str, Tensor]:
        """One forward and at most one backward pass for any number of methods and layers."""
        members: dict[str, ClassActivationMap] = {}
        for name, explainer in explainers.items():
            assert isinstance(explainer, ClassActivationMap)  # no other explainer shares these
            members[name] = explainer
        model, images = batch.model, batch.images
        layers = {n: explained_layer(model, m.settings["layer"]) for n, m in members.items()}
        differentiated = {layers[n] for n, m in members.items() if m.needs_gradients}
        others = sorted({*layers.values()} - differentiated)
        found: dict[str, tuple[Tensor, Tensor]] = {}
        with record_outputs(model, others) as outputs:
            if differentiated:
                found = activations_and_gradients(
                    model, images, batch.targets, sorted(differentiated)
                )
            else:
                with torch.no_grad():
                    model(images)
        found.update({one: (outputs[one].detach(), images.new_empty(0)) for one in others})
        return {name: cam.map_of(*found[layers[name]]) for name, cam in members.items()}


class WeightedCam(ClassActivationMap):
    """A ReLU of the weighted sum of channels."""

    @abstractmethod
    def weights(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Weights [N,C] of the channels, from two float32 [N,C,h,w]."""

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        return weighted_map(activations, self.weights(activations, gradients))


def weighted_map(activations: Tensor, weights: Tensor) -> Tensor:
    """ReLU of the weighted sum of channels: [N,C,h,w] and [N,C] -> [N,h,w], 0 or more."""
    return (weights[:, :, None, None] * activations).sum(dim=1).clamp_min(0)


class GradCam(WeightedCam):
    """Grad-CAM, equations 1 and 2: channels weighted by their mean gradient."""

    name: ClassVar[str] = "grad_cam"
    label: ClassVar[str] = "Grad-CAM"
    reference: ClassVar[str] = "Selvaraju et al. 2017, arXiv:1610.02391"

    def weights(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Spatial mean of the gradients (equation 1)."""
        return gradients.mean(dim=(2, 3))


class GradCamPlusPlus(WeightedCam):
    """Grad-CAM++, equations 5, 7 and 19: positive gradients weighted by their pixel's share.

    The closed form holds for the exponential of the logit, which cancels. With S the channel's sum
    of activations and g the gradient, the share is alpha = g² / (2 g² + S g³ + `epsilon`), and 0
    where g or the denominator is 0. The paper has no `epsilon`: 0 is the default, and alpha is then
    1 / (2 + S g). pytorch-grad-cam adds 1e-6. Where g² is far below it, its weights go as g³
    instead of g, and with them a map's shape depends on the scale of the logits, which pruning
    changes. Use 1e-6 to repeat a study that was made with the library.

    With 0 the logits' scale still counts where S g is near 2 in size: that is the paper's
    exponential. Before a ReLU the sum of the activations may be negative and the denominator pass
    zero; those few weights are then as large as rounding lets them be, as in the library.
    """

    name: ClassVar[str] = "grad_cam_pp"
    label: ClassVar[str] = "Grad-CAM++"
    reference: ClassVar[str] = "Chattopadhyay et al. 2018, arXiv:1710.11063"
    parameters: ClassVar[dict[str, Any]] = {"layer": "", "epsilon": 0.0}
    allowed: ClassVar[dict[str, Any]] = {"epsilon": "[0, inf)"}

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

    For a linear head a channel's part of the map (before the last ReLU) sums to what the logit
    loses without the channel (the paper's axiom of sensitivity), and over all channels to the logit
    without its bias (conservation). Before a ReLU a channel's sum may be near 0, and its weight
    then as large as rounding lets it be, here as in the library; prefer a layer behind one.

    `epsilon` is added to the channel's sum of activations before it divides. The paper has none
    (0, and a channel that sums to 0 weighs nothing); the default is that of pytorch-grad-cam, which
    matters to channels whose activations sum to less than about 1e-5.
    """

    name: ClassVar[str] = "xgrad_cam"
    label: ClassVar[str] = "XGrad-CAM"
    reference: ClassVar[str] = "Fu et al. 2020, arXiv:2008.02312"
    parameters: ClassVar[dict[str, Any]] = {"layer": "", "epsilon": 1e-7}
    allowed: ClassVar[dict[str, Any]] = {"epsilon": "[0, inf)"}

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
    label: ClassVar[str] = "HiResCAM"
    reference: ClassVar[str] = "Draelos and Carin 2020, arXiv:2011.08891"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; in units of the logit"

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        return (gradients * activations).sum(dim=1)


class LayerCam(ClassActivationMap):
    """LayerCAM: ReLU of the sum over channels of positive gradient times activation.

    Unlike maps of one weight per channel it keeps its detail at early layers.
    """

    name: ClassVar[str] = "layer_cam"
    label: ClassVar[str] = "LayerCAM"
    reference: ClassVar[str] = "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943"

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        return (gradients.clamp_min(0) * activations).sum(dim=1).clamp_min(0)


# A share of the largest possible agreement below which a sign would be that of rounding errors.
_UNDECIDED = 1e-9


class EigenCam(ClassActivationMap):
    """ReLU of the activations projected on their first right singular vector.

    With the activations of an image as a matrix of positions by channels, this is the paper's
    projection on V1: without centring, so that behind a ReLU all values are 0 or more anyway.
    `centred` subtracts each channel's mean first, as the library does.

    It knows no class: every target has the same map. Its authors offer it as an explanation, so it
    is no control; read it next to `mean_activation`, the control that knows as little.

    A singular vector has no sign. Here it is that which makes the map agree with the channels' mean
    (their inner product is positive), and where that is 0, that which makes the map's largest value
    positive. The library (1.5.7) takes the sign that LAPACK happens to return, so that for some
    images its ReLU keeps the background instead (its issue 315). An image whose activations are not
    finite has a map of NaN.
    """

    name: ClassVar[str] = "eigen_cam"
    label: ClassVar[str] = "Eigen-CAM"
    reference: ClassVar[str] = "Muhammad and Yeasin 2020, arXiv:2008.00299"
    reduction: ClassVar[str] = "first principal component"
    cost: ClassVar[int] = 1
    parameters: ClassVar[dict[str, Any]] = {"layer": "", "centred": False}
    needs_gradients: ClassVar[bool] = False

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        rows = activations.flatten(2).transpose(1, 2).double()
        finite = rows.isfinite().flatten(1).all(dim=1)
        rows = torch.where(finite[:, None, None], rows, 0)
        if self.settings["centred"]:
            constant = is_constant(rows, 1, keepdim=True)
            rows = (rows - rows.mean(dim=1, keepdim=True)).masked_fill(constant, 0)
        projection = _first_projection(rows)
        total = rows.sum(dim=2)
        agreement = (projection * total).sum(dim=1, keepdim=True)
        most = projection.norm(dim=1, keepdim=True) * total.norm(dim=1, keepdim=True)
        peak = projection.gather(1, projection.abs().argmax(dim=1, keepdim=True))
        decisive = torch.where(agreement.abs() > _UNDECIDED * most, agreement, peak)
        projection = projection * torch.where(decisive < 0, -1.0, 1.0)
        projection = torch.where(finite[:, None], projection, torch.nan)
        shape = (len(activations), *activations.shape[2:])
        return detached_float32(projection.clamp_min(0).view(shape))


def _first_projection(rows: Tensor) -> Tensor:
    """Rows float64 [N,P,C] times their first right singular vector, [N,P], of either sign.

    From the eigenvectors of the smaller of the two Gram matrices. It has the squares of the
    singular values: for activations in single precision, double precision has room for them.
    """
    columns = rows.transpose(1, 2)
    if rows.shape[1] > rows.shape[2]:
        first: Tensor = torch.linalg.eigh(columns @ rows).eigenvectors[:, :, -1:]
        return (rows @ first).squeeze(2)
    found = torch.linalg.eigh(rows @ columns)
    values: Tensor = found.eigenvalues[:, -1:]
    vectors: Tensor = found.eigenvectors[:, :, -1]
    return vectors * values.clamp_min(0).sqrt()


# So many trials go into a pass even where a batch has fewer images: the last batch of a data set
# may hold a single one, and a pass of one row takes nearly as long as one of thirty.
_LEAST_ROWS = 32


class PerturbationCam(Explainer):
    """A ReLU of channels weighted by what the network gives when each is tried by itself.

    `channels` is how many the layer may have, for which `cost` is stated; a layer with more is
    refused. Channels whose trial can be told without the network are not tried, so that a pruned
    network costs less. No pass has more images than the batch, or than 32 if the batch has fewer.
    """

    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "weighted sum"
    cost: ClassVar[int] = 513
    native: ClassVar[str] = "layer"
    interpolation: ClassVar[str] = "bilinear"
    parameters: ClassVar[dict[str, Any]] = {"layer": "", "channels": 512}
    allowed: ClassVar[dict[str, Any]] = {"channels": "[1, inf)"}

    @abstractmethod
    def weights(self, batch: ImageBatch, layer: str, activations: Tensor, logits: Tensor) -> Tensor:
        """Weights [N,C] of the channels of `activations`, the layer's output [N,C,h,w].

        `logits` [N,K] are those of the images. Called without gradients.
        """

    def explain(self, batch: ImageBatch) -> Tensor:
        layer = explained_layer(batch.model, self.settings["layer"])
        with torch.no_grad():
            with record_outputs(batch.model, [layer]) as outputs:
                logits = batch.model(batch.images)
            activations = outputs[layer].detach()
            if activations.shape[1] > self.settings["channels"]:
                raise InputError(
                    f"explainer '{self.name}': layer '{layer}' has {activations.shape[1]} "
                    f"channels; set the parameter 'channels', now {self.settings['channels']}, to "
                    "at least that, or name another layer"
                )
            weights = self.weights(batch, layer, activations, logits)
        return detached_float32(weighted_map(activations, weights))

    def cost_on(self, shape: tuple[int, int, int]) -> int:
        """The cost of as many channels as there may be."""
        return int(self.settings["channels"]) + 1


# Difference between logits, as a share of the largest, that rounding may make.
_TOLERANCE = 1e-3


class AblationCam(PerturbationCam):
    """A channel's weight is the target logit less that with the channel set to 0.

    The paper divides the weights by the logit. That scales a map, which its normalisation undoes,
    and where the logit is negative it would turn evidence against the target into evidence for it,
    which the library's maps show; so it is left out. The library sets a channel to 0 only if the
    smallest activation is 0; otherwise, as before a ReLU, to -1e7 and lower with every channel.
    What comes before the layer runs once for each image, wherever the network allows it.
    """

    name: ClassVar[str] = "ablation_cam"
    label: ClassVar[str] = "Ablation-CAM"
    reference: ClassVar[str] = "Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360"
    value_range: ClassVar[str] = "0 or more; in units of the logit times the activation"

    def weights(self, batch: ImageBatch, layer: str, activations: Tensor, logits: Tensor) -> Tensor:
        model, images, targets = batch.model, batch.images, batch.targets
        whole = target_logits(logits, targets)
        rows = max(len(images), _LEAST_ROWS)
        weights = torch.zeros_like(activations[:, :, 0, 0])
        repeats = _must_repeat_image(model, images[:1], layer, activations[:1], logits[:1])
        for place, present in enumerate(activations.ne(0).flatten(2).any(dim=2)):
            image = images[place : place + 1]
            # Setting a channel of zeros to 0 changes nothing: its weight stays 0.
            for channels in present.nonzero().flatten().split(rows):
                ablated = activations[place].repeat(len(channels), 1, 1, 1)
                ablated[torch.arange(len(channels), device=channels.device), channels] = 0
                shown = image.repeat(len(channels), 1, 1, 1) if repeats else image
                with layer_giving(model, layer, ablated, images.shape):
                    found = model(shown)
                left = target_logits(found, targets[place].expand(len(channels)))
                weights[place, channels] = whole[place] - left
        # A network whose logit goes by no channel differs between passes in the last bits.
        left = whole[:, None] - weights
        unmoved = is_constant(torch.cat([whole[:, None], left], dim=1), 1)
        return weights.masked_fill(unmoved[:, None], 0)


def _must_repeat_image(
    model: nn.Module, image: Tensor, layer: str, activations: Tensor, logits: Tensor
) -> bool:
    """Whether two outputs of the layer for one image [1,C,H,W] do not go through the network.

    Sums with what goes around the layer do (a shortcut), concatenations with it do not.
    """
    with layer_giving(model, layer, activations.repeat(2, 1, 1, 1), image.shape):
        try:
            found = model(image)
        except torch.OutOfMemoryError:
            # Is a RuntimeError, but says nothing of the network.
            raise
        except RuntimeError:
            return True
    if found.shape != (2, logits.shape[1]):
        return True
    # Also where they are NaN.
    return not bool((found - logits).abs().max() <= _TOLERANCE * logits.abs().max())


# As in the library.
_EPSILON = 1e-8


class ScoreCam(PerturbationCam):
    """A channel's weight is the softmax, over channels, of the target logit of the masked image.

    The mask is the channel, upsampled and brought to [0, 1]; what it hides is black. The paper
    subtracts the logit of a black image first, which the softmax takes away again. As in the
    library, the mask's corners lie on the image's corners (`align_corners=True`).

    A channel that is constant up to rounding makes a black mask. The library's minimum and maximum
    of such a channel differ by rounding after upsampling, and its mask is then noise; the authors'
    code leaves the channel out. As in the library, 1e-8 is added to a mask's maximum before it
    divides: channels that vary by less than about 1e-6 make dim masks; in the paper every mask
    reaches 1.

    With a softmax of logits, as in the paper and the library, the scale of the logits sets how
    peaked the weights are: a network that is sure of itself is explained by few channels. In the
    authors' code a channel weighs as much as the probability of the class for its masked image.
    Before a ReLU this mean may be below 0 everywhere and the map be empty; prefer a layer behind
    one.
    """

    name: ClassVar[str] = "score_cam"
    label: ClassVar[str] = "Score-CAM"
    reference: ClassVar[str] = "Wang et al. 2020, arXiv:1910.01279"
    value_range: ClassVar[str] = "0 or more; a weighted mean of the channels"

    def weights(self, batch: ImageBatch, layer: str, activations: Tensor, logits: Tensor) -> Tensor:
        model, images, targets = batch.model, batch.images, batch.targets
        black = model(torch.zeros_like(images[:1])).expand(len(images), -1)
        scores = target_logits(black, targets)[:, None].repeat(1, activations.shape[1])
        varied = ~is_constant(activations, (2, 3))
        for pairs in varied.nonzero().split(max(len(images), _LEAST_ROWS)):
            image, channel = pairs.unbind(1)
            masks = functional.interpolate(
                activations[image, channel].unsqueeze(1),
                size=tuple(images.shape[2:]),
                mode="bilinear",
                align_corners=True,
            )
            masks = masks - masks.amin(dim=(2, 3), keepdim=True)
            masked = images[image] * (masks / (masks.amax(dim=(2, 3), keepdim=True) + _EPSILON))
            scores[image, channel] = target_logits(model(masked), targets[image])
        return scores.softmax(dim=1)
