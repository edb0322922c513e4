"""DeepLIFT: what differs from a black image, carried back by multipliers instead of gradients.

Our own, because captum 0.9.0 carries back the plain gradient of a max pooling that follows a ReLU,
and loses completeness where the baseline's units differ within a window, as they do near padding;
its multiplier of units in front of a max pooling that equal the baseline comes from the first image
of the batch (its issue 1276); and it does not notice ReLUs outside modules. Where none of this
matters, equality with captum is tested.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.explain.base import (
    Explainer,
    ImageBatch,
    channel_reduction,
    detached_float32,
    target_logits,
)
from sparsight.explain.network import require_operations

# Smaller differences from the baseline count as none, and the gradient is taken; as in captum.
_EPSILON = 1e-10
# Relative error that a layer's float32 sums may have.
_ROUNDING = 1e-6


class DeepLift(Explainer):
    """DeepLIFT with the Rescale rule from a black image.

    Max pooling has more than one input, and the Rescale rule gives it no answer. Here a window's
    difference goes to the unit that is its maximum in the image; or, where the baseline's maximum
    is larger (by more than 1e-6 of its size) and elsewhere, to that one. Channels are summed, which
    keeps completeness: a map sums to f(x) - f(0). A unit that differs from the baseline by less
    than 1e-10 has the gradient for its multiplier, as in captum.

    ReLUs and max poolings must be modules (`nn.ReLU`, `nn.ReLU6`, `nn.MaxPool2d`); in-place ones
    will do, and so will one that is used several times. A network with other non-linear operations
    is refused.
    """

    name: ClassVar[str] = "deep_lift"
    label: ClassVar[str] = "DeepLIFT"
    reference: ClassVar[str] = "Shrikumar et al. 2017, arXiv:1704.02685"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; a map sums to the logit minus that of a black image"
    complete: ClassVar[bool] = True
    cost: ClassVar[int] = 3

    def explain(self, batch: ImageBatch) -> Tensor:
        inputs = batch.inputs
        with torch.enable_grad(), _multipliers(batch.model):
            # The baseline is the batch's last row, so that every layer sees both.
            logits = batch.model(torch.cat([inputs, torch.zeros_like(inputs[:1])]))
            score = target_logits(logits[:-1], batch.targets).sum()
            remedy = "it needs ReLU and max pooling as modules, and nothing else that is not linear"
            require_operations(score, (), self.name, remedy)
            (multipliers,) = torch.autograd.grad(score, inputs)
        return detached_float32(channel_reduction(batch.images * multipliers, "sum"))


@contextmanager
def _multipliers(model: nn.Module) -> Iterator[None]:
    """Let the gradients of ReLUs and max poolings be their multipliers inside the block.

    Their outputs [N+1,...], the last row being the baseline, keep their values, but become linear
    in their inputs.
    """
    held: dict[nn.Module, Tensor] = {}

    def hold(module: nn.Module, inputs: Any) -> tuple[Tensor]:
        held[module] = inputs[0]
        # A module that works in place overwrites only the copy.
        return (inputs[0].clone(),)

    def replace(module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        inputs = held.pop(module)
        if isinstance(module, nn.MaxPool2d):
            return _linear_pool(module, inputs)
        # Difference of outputs over difference of inputs, the gradient where there is none; in the
        # last row, the baseline's own, it does not matter.
        change = (inputs - inputs[-1:]).detach()
        differs = change.abs() >= _EPSILON
        ratio = (output - output[-1:]).detach() / torch.where(differs, change, 1)
        slope = (inputs > 0) & (inputs < getattr(module, "max_val", torch.inf))
        multiplier = torch.where(differs, ratio, slope.to(ratio))
        return output.detach() + multiplier * (inputs - inputs.detach())

    with ExitStack() as hooks:
        for module in model.modules():
            # Subclasses may compute anything; without hooks they are refused.
            pools = type(module) is nn.MaxPool2d and not module.return_indices
            if type(module) in (nn.ReLU, nn.ReLU6) or pools:
                hooks.enter_context(module.register_forward_pre_hook(hold))
                hooks.enter_context(module.register_forward_hook(replace))
        yield


def _linear_pool(module: nn.MaxPool2d, inputs: Tensor) -> Tensor:
    """Max pooling of [N+1,C,h,w] as a linear function of one unit of each window.

    That unit's difference from the baseline has the sign of the window's and is no smaller, so that
    multipliers are in [0, 1].
    """
    pooled, places = functional.max_pool2d(
        inputs.detach(),
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.ceil_mode,
        return_indices=True,
    )
    values, places, maxima = inputs.flatten(2), places.flatten(2), pooled.flatten(2)
    baseline = values[-1:].detach().expand_as(values)
    # A black image gives many windows of equal units, one of which is the maximum by rounding.
    ties = baseline.gather(2, places) >= maxima[-1:] - _ROUNDING * maxima[-1:].abs()
    places = torch.where((maxima >= maxima[-1:]) | ties, places, places[-1:])
    chosen = values.gather(2, places)
    change = chosen.detach() - baseline.gather(2, places)
    differs = change.abs() >= _EPSILON
    ratio = (maxima - maxima[-1:]) / torch.where(differs, change, 1)
    multiplier = torch.where(differs, ratio.clamp(0, 1), 1)
    return (maxima + multiplier * (chosen - chosen.detach())).view_as(pooled)
