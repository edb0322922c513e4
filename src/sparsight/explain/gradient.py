"""Gradients with respect to the input, and what is made of them."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.base import (
    Explainer,
    ImageBatch,
    channel_reduction,
    detached_float32,
    target_logits,
    to_image_size,
)
from sparsight.explain.cam import GradCam
from sparsight.explain.network import logit_gradient, operation, require_operations
from sparsight.explain.randomness import ImageSamples, image_generators, image_range
from sparsight.io.errors import InputError
from sparsight.models.base import Normalise, graph_nodes
from sparsight.rounding import is_constant

# Of methods that are defined for piecewise linear networks.
_REMEDY = "it is defined for networks of ReLU and max pooling between linear layers"


class Saliency(Explainer):
    """Absolute gradient of the target logit; one map by the largest channel, as in the paper.

    `reduction` may be "max" (section 3.1 of the paper), "sum" or "mean".
    """

    name: ClassVar[str] = "saliency"
    reference: ClassVar[str] = "Simonyan et al. 2014, arXiv:1312.6034"
    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "max"
    value_range: ClassVar[str] = "0 or more"
    cost: ClassVar[int] = 3
    parameters: ClassVar[dict[str, Any]] = {"reduction": "max"}
    allowed: ClassVar[dict[str, Any]] = {"reduction": ("max", "sum", "mean")}

    def explain(self, batch: ImageBatch) -> Tensor:
        sizes = logit_gradient(batch.model, batch.images, batch.targets).abs()
        return detached_float32(channel_reduction(sizes, self.settings["reduction"]))


class IntegratedGradients(Explainer):
    """Integrated gradients from a black image, by Gauss-Legendre quadrature with `n_steps` points.

    Channels are summed, which keeps completeness: a map sums to f(x) - f(0), as far as the
    quadrature goes. Gradients of a ReLU network jump along the path, which `n_steps` points see
    only roughly: a `thesis_cnn` trained on MNIST missed the difference by 0.2% in the median and
    1.9% at most over 1,000 clean test images; deeper networks, and images whose logit is near that
    of the black image, miss more. A job logs by how much, and keeps it for each image in its file,
    as `completeness_gaps`; more steps make it smaller.
    """

    name: ClassVar[str] = "integrated_gradients"
    reference: ClassVar[str] = "Sundararajan et al. 2017, arXiv:1703.01365"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; a map sums to about the logit minus that of a black image"
    complete: ClassVar[bool] = True
    cost: ClassVar[int] = 150
    cost_grows_with: ClassVar[str] = "n_steps"
    parameters: ClassVar[dict[str, Any]] = {"n_steps": 50}
    allowed: ClassVar[dict[str, Any]] = {"n_steps": "[1, inf)"}

    def explain(self, batch: ImageBatch) -> Tensor:
        # The import adds about 1 s to torch's.
        from captum.attr import IntegratedGradients as CaptumIntegratedGradients

        attributions = CaptumIntegratedGradients(batch.model).attribute(
            batch.inputs,
            baselines=0.0,
            target=batch.targets,
            n_steps=self.settings["n_steps"],
            # One step at a time: the memory of one backward pass, and the same order of additions
            # whatever the batch size is.
            internal_batch_size=len(batch),
        )
        return detached_float32(channel_reduction(attributions, "sum"))


class InputXGradient(Explainer):
    """Gradient of the target logit times the pixel; channels are summed.

    Exact for a linear network without bias, where a map sums to the logit. A black pixel gets 0.
    """

    name: ClassVar[str] = "input_x_gradient"
    label: ClassVar[str] = "input × gradient"
    reference: ClassVar[str] = "Shrikumar et al. 2016, arXiv:1605.01713"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; 0 where the image is black"
    cost: ClassVar[int] = 3

    def explain(self, batch: ImageBatch) -> Tensor:
        product = batch.images * logit_gradient(batch.model, batch.images, batch.targets)
        return detached_float32(channel_reduction(product, "sum"))


class SmoothGrad(Explainer):
    """Absolute mean of the gradients at `n_samples` copies of the image with normal noise.

    The noise has a standard deviation of `noise` times the image's range (its largest minus its
    smallest value; the paper advises 0.1 to 0.2), and noisy copies are not clipped to [0, 1]. As
    for `saliency`, the largest absolute channel is taken, so that the smoothing is all that
    differs; the absolute value is taken of the mean, not of the members. `captum.NoiseTunnel` draws
    for a whole batch at once and holds all samples of it in memory.
    """

    name: ClassVar[str] = "smooth_grad"
    label: ClassVar[str] = "SmoothGrad"
    reference: ClassVar[str] = "Smilkov et al. 2017, arXiv:1706.03825"
    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "max"
    value_range: ClassVar[str] = "0 or more"
    cost: ClassVar[int] = 150
    cost_grows_with: ClassVar[str] = "n_samples"
    parameters: ClassVar[dict[str, Any]] = {"n_samples": 50, "noise": 0.15}
    allowed: ClassVar[dict[str, Any]] = {"n_samples": "[1, inf)", "noise": "[0, inf)"}

    def explain(self, batch: ImageBatch) -> Tensor:
        images = batch.images.detach()
        samples = ImageSamples(images, image_generators(batch))
        deviation = self.settings["noise"] * image_range(images)
        total = torch.zeros_like(images)
        for _ in range(self.settings["n_samples"]):
            noisy = images + deviation * samples.normal()
            total += logit_gradient(batch.model, noisy, batch.targets)
        mean = total / self.settings["n_samples"]
        return detached_float32(channel_reduction(mean.abs(), "max"))


class GradientShap(Explainer):
    """Mean over `n_samples` of (x - b) times the gradient at a random point between b and x.

    Every sample draws, in this order: a baseline b of independent pixels, uniform between 0 and
    `baseline_maximum`; the share of x in the point, uniform between 0 and 1; and, where `noise` is
    above 0, normal noise on x with a standard deviation of `noise` times the image's range.

    Baselines are drawn rather than taken from the data: the images of a batch would make a map
    depend on its batch. The default maximum is that of the noise which the condition `noisy` puts
    on black pixels (51 of 255), so baselines look like that background; with 0 they are black.

    Channels are summed. In expectation a map sums to f(x) minus the mean of f over baselines.
    `captum.GradientShap` draws for a whole batch at once and holds all samples of it in memory.
    """

    name: ClassVar[str] = "gradient_shap"
    label: ClassVar[str] = "GradientSHAP"
    reference: ClassVar[str] = (
        "Lundberg and Lee 2017, arXiv:1705.07874; expected gradients: Erion et al. 2021, "
        "arXiv:1906.10670"
    )
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = (
        "any; a map sums to about the logit minus the mean logit of baselines"
    )
    cost: ClassVar[int] = 150
    cost_grows_with: ClassVar[str] = "n_samples"
    parameters: ClassVar[dict[str, Any]] = {"n_samples": 50, "baseline_maximum": 0.2, "noise": 0.0}
    allowed: ClassVar[dict[str, Any]] = {
        "n_samples": "[1, inf)",
        "baseline_maximum": "[0, inf)",
        "noise": "[0, inf)",
    }

    def explain(self, batch: ImageBatch) -> Tensor:
        images = batch.images.detach()
        samples = ImageSamples(images, image_generators(batch))
        total = torch.zeros_like(images)
        for _ in range(self.settings["n_samples"]):
            baselines = self.settings["baseline_maximum"] * samples.uniform()
            share = samples.uniform_per_image()
            noisy = images
            if self.settings["noise"] > 0:
                noisy = images + self.settings["noise"] * image_range(images) * samples.normal()
            path = noisy - baselines
            total += path * logit_gradient(batch.model, baselines + share * path, batch.targets)
        return detached_float32(channel_reduction(total / self.settings["n_samples"], "sum"))


class GuidedBackprop(Explainer):
    """Gradient of the target logit in which every ReLU lets only positive gradients pass.

    The pixels themselves follow no ReLU, so values may be negative. Channels are summed.

    ReLUs are found in the graph of the network's operations, not among its modules as captum does:
    functional, in-place and shared ones count too. A network without ReLUs, for which the method
    would be the plain gradient, is refused, and so is one with other non-linear operations than
    ReLU and max pooling.
    """

    name: ClassVar[str] = "guided_backprop"
    label: ClassVar[str] = "guided backpropagation"
    reference: ClassVar[str] = "Springenberg et al. 2015, arXiv:1412.6806"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any"
    cost: ClassVar[int] = 3

    def explain(self, batch: ImageBatch) -> Tensor:
        inputs = batch.inputs
        with torch.enable_grad():
            score = target_logits(batch.model(inputs), batch.targets).sum()
            require_operations(score, ("Relu", "MaxPool2DWithIndices"), self.name, _REMEDY)
            rectifiers = [node for node in graph_nodes(score) if operation(node) == "Relu"]
            if not rectifiers:
                raise InputError(
                    "explainer 'guided_backprop' would be the plain gradient on this network, "
                    "which has no ReLU; use saliency"
                )
            for node in rectifiers:
                # The graph, and the hooks with it, live as long as this call.
                node.register_prehook(
                    lambda gradients: tuple(one.clamp_min(0) for one in gradients)
                )
            (gradient,) = torch.autograd.grad(score, inputs)
        return detached_float32(channel_reduction(gradient, "sum"))


class GuidedGradCam(Explainer):
    """Guided backpropagation times the Grad-CAM map, upsampled as the scoring upsamples it.

    Channels of the image are summed. Networks that `guided_backprop` refuses are refused here.
    """

    name: ClassVar[str] = "guided_grad_cam"
    label: ClassVar[str] = "Guided Grad-CAM"
    reference: ClassVar[str] = "Selvaraju et al. 2017, arXiv:1610.02391"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; 0 where Grad-CAM is 0"
    cost: ClassVar[int] = 6
    parameters: ClassVar[dict[str, Any]] = {"layer": ""}

    def explain(self, batch: ImageBatch) -> Tensor:
        where = GradCam(layer=self.settings["layer"]).explain(batch)
        height, width = batch.images.shape[2:]
        where = to_image_size(where, (height, width), GradCam.interpolation)
        return detached_float32(where * GuidedBackprop().explain(batch))


# As in the library.
_EPSILON = 1e-7
# Operations that are linear between kinks at 0, besides linear ones.
_KNOWN = ("Relu", "LeakyRelu", "MaxPool2DWithIndices")
# What may be missing of a logit, as a share of what it is made of.
_TOLERANCE = 1e-2


class FullGrad(Explainer):
    """Sum of the input's and all layers' bias contributions, each brought to [0, 1] and upsampled.

    Contributions are those of `full_gradients`, in absolute value. `rescale` says over what minimum
    and maximum are taken: the "layer", as in the authors' code, or each "channel", as in the
    paper's sum over channels and in the library. Here as there 1e-7 is added to the maximum, which
    dims contributions of that size and below. By channel, the size of a bias cancels, and a channel
    with hardly any influence counts as much as the others. Biases without position (those of linear
    layers) are in no map. Where the network normalises its images, the library (1.5.7) multiplies
    the gradient with the image as it was before, so that contributions do not sum to the logit.

    A network is refused that is not piecewise linear, or whose contributions do not sum to the
    logit because it adds constants outside its modules.
    """

    name: ClassVar[str] = "full_grad"
    label: ClassVar[str] = "FullGrad"
    reference: ClassVar[str] = "Srinivas and Fleuret 2019, arXiv:1905.00780"
    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "0 or more"
    cost: ClassVar[int] = 3
    parameters: ClassVar[dict[str, Any]] = {"rescale": "layer"}
    allowed: ClassVar[dict[str, Any]] = {"rescale": ("layer", "channel")}

    def explain(self, batch: ImageBatch) -> Tensor:
        size = (batch.images.shape[2], batch.images.shape[3])
        maps = batch.images.new_zeros(len(batch), *size)
        total = batch.images.new_zeros(len(batch), dtype=torch.float64)
        parts = torch.zeros_like(total)

        def add(contributions: Tensor) -> None:
            share = contributions.double().flatten(1).sum(dim=1)
            total.add_(share)
            parts.add_(share.abs())
            if contributions.ndim == 4:
                # Upsampling is linear: the sum over channels comes first.
                rescaled = self._rescaled(contributions).sum(dim=1)
                maps.add_(to_image_size(rescaled, size, "bilinear"))

        logits = full_gradients(batch, add)
        if not bool(logits.isfinite().all()):
            raise InputError(
                "explainer 'full_grad' cannot take apart logits that are not finite; look at how "
                "the network was trained"
            )
        # So written that NaN does not pass.
        if not bool(((logits - total).abs() <= _TOLERANCE * (parts + logits.abs())).all()):
            raise InputError(
                "explainer 'full_grad' does not find all of the logit in this network; leave "
                "constants to modules that have no others inside"
            )
        return detached_float32(maps)

    def _rescaled(self, contributions: Tensor) -> Tensor:
        """Absolute values [N,C,h,w], brought to [0, 1]."""
        over = (1, 2, 3) if self.settings["rescale"] == "layer" else (2, 3)
        sizes = contributions.abs()
        constant = is_constant(sizes, over, keepdim=True)
        sizes = (sizes - sizes.amin(dim=over, keepdim=True)).masked_fill(constant, 0)
        return sizes / (sizes.amax(dim=over, keepdim=True) + _EPSILON)


def full_gradients(batch: ImageBatch, receive: Callable[[Tensor], None]) -> Tensor:
    """Take the target logits apart into contributions of the input and of all biases.

    The input's are gradient times input, a layer's are the gradient at its output times its bias,
    which is what a module without submodules gives for an input of zeros; for batch normalisation
    in evaluation mode, beta - gamma mean / deviation. The input is the normalised image where the
    network has a `Normalise`, so that it does not matter who normalises.

    `receive` is called with contributions [N,...], those of the last layer first and those of the
    input, [N,C,H,W], last; for a piecewise linear network all of them sum to the target logits,
    float32 [N], detached, which are returned. InputError for a network with other non-linear
    operations than ReLU and max pooling.
    """
    inputs = batch.inputs
    shifts: list[Tensor] = []

    def record(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        if len(arguments) != 1 or not (isinstance(output, Tensor) and output.requires_grad):
            return
        with torch.no_grad():
            # Not called as a module: hooks, this one among them, are for the images.
            bias = module.forward(torch.zeros_like(arguments[0][:1]))
        store = shifts.append if isinstance(module, Normalise) else receive
        if bool(bias.any()):
            output.register_hook(lambda gradient: store(gradient * bias))

    with ExitStack() as hooks, torch.enable_grad():
        for module in batch.model.modules():
            if not list(module.children()):
                hooks.enter_context(module.register_forward_hook(record))
        logits = target_logits(batch.model(inputs), batch.targets)
        require_operations(logits, _KNOWN, FullGrad.name, _REMEDY)
        (gradient,) = torch.autograd.grad(logits.sum(), inputs)
    receive(torch.stack([gradient * batch.images, *shifts]).sum(dim=0))
    return logits.detach()
