"""FullGrad: the logit, taken apart into what pixels and biases contribute."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.autograd_graph import require_operations
from sparsight.explain.base import Explainer, detached_float32, target_logits, to_image_size
from sparsight.io.errors import InputError
from sparsight.models.normalise import Normalise
from sparsight.rounding import is_constant

# As in the library.
_EPSILON = 1e-7
# Operations that are linear between kinks at 0, besides linear ones.
_KNOWN = ("Relu", "LeakyRelu", "MaxPool2DWithIndices")
_REMEDY = "it is defined for networks of ReLU and max pooling between linear layers"
# What may be missing of a logit, as a share of what it is made of.
_TOLERANCE = 1e-2


class FullGrad(Explainer):
    """Sum of the input's and all layers' bias contributions, each brought to [0, 1] and upsampled.

    Contributions are those of `full_gradients`, in absolute value. `rescale` says over what minimum
    and maximum are taken: the "layer", as in the authors' code, or each "channel", as in the
    paper's sum over channels and in the library, which add 1e-7 to the maximum, as is done here:
    contributions of that size and below are dimmed. By channel, the size of a bias cancels, and a
    channel with hardly any influence counts as much as the others. Biases without position (those
    of linear layers) are in no map.

    The library (1.5.7) knows the "channel" only. Where the network normalises its images, it
    multiplies the gradient with the image as it was before and leaves the rest out, so that
    contributions do not sum to the logit.

    A network is refused that is not piecewise linear, or whose contributions do not sum to the
    logit because it adds constants outside its modules.
    """

    name: ClassVar[str] = "full_grad"
    reference: ClassVar[str] = "arXiv:1905.00780"
    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "0 or more"
    cost: ClassVar[int] = 3
    native: ClassVar[str] = "pixel"
    interpolation: ClassVar[str] = "none"
    parameters: ClassVar[dict[str, Any]] = {"rescale": "layer"}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        if self.settings["rescale"] not in ("layer", "channel"):
            raise InputError(
                f"explainer 'full_grad': rescale is '{self.settings['rescale']}', but must be "
                "layer or channel"
            )

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; maps have image size.

        Raises
        ------
        InputError
            Also for other networks than piecewise linear ones with all biases in modules.
        """
        size = (images.shape[2], images.shape[3])
        maps = images.new_zeros(len(images), *size)
        total = images.new_zeros(len(images), dtype=torch.float64)
        parts = torch.zeros_like(total)

        def add(contributions: Tensor) -> None:
            share = contributions.double().flatten(1).sum(dim=1)
            total.add_(share)
            parts.add_(share.abs())
            if contributions.ndim == 4:
                # Upsampling is linear: the sum over channels comes first.
                rescaled = self._rescaled(contributions).sum(dim=1)
                maps.add_(to_image_size(rescaled, size, "bilinear"))

        logits = full_gradients(model, images, targets, add)
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


def full_gradients(
    model: nn.Module, images: Tensor, targets: Tensor, receive: Callable[[Tensor], None]
) -> Tensor:
    """Take the target logits apart into contributions of the input and of all biases.

    The input's are gradient times input, a layer's are the gradient at its output times its bias.
    A bias is what a module without submodules gives for an input of zeros: this holds alike for
    convolutions, linear layers and the implicit bias of batch normalisation in evaluation mode,
    beta - gamma mean / deviation. The input is the normalised image where the network has a
    `Normalise`, so that it does not matter who normalises.

    Parameters
    ----------
    model : frozen network that gives logits [N,K].
    images, targets : float32 [N,C,H,W] and int64 [N].
    receive : called with contributions [N,...], those of the last layer first and those of the
        input, [N,C,H,W], last. For a piecewise linear network all of them sum to the logits.

    Returns
    -------
    the target logits, float32 [N], detached.

    Raises
    ------
    InputError
        For a network with other non-linear operations than ReLU and max pooling.
    """
    inputs = images.detach().clone().requires_grad_()
    shifts: list[Tensor] = []

    def contributed(module: nn.Module, bias: Tensor) -> Callable[[Tensor], None]:
        store = shifts.append if isinstance(module, Normalise) else receive
        return lambda gradient: store(gradient * bias)

    def record(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if len(given) != 1 or not (isinstance(output, Tensor) and output.requires_grad):
            return
        with torch.no_grad():
            # Not called as a module: hooks, this one among them, are for the images.
            bias = module.forward(torch.zeros_like(given[0][:1]))
        if bool(bias.any()):
            output.register_hook(contributed(module, bias))

    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(record) for module in leaves]
    try:
        with torch.enable_grad():
            # An image's logit depends on that image alone, so the sum gives each its own gradient.
            logits = target_logits(model(inputs), targets)
            require_operations(logits, _KNOWN, FullGrad.name, _REMEDY)
            (gradient,) = torch.autograd.grad(logits.sum(), inputs)
    finally:
        for handle in handles:
            handle.remove()
    receive(torch.stack([gradient * images, *shifts]).sum(dim=0))
    return logits.detach()
