"""AttnLRP: layer-wise relevance propagation through attention.

Relevance is an input times a gradient whose backward pass follows rules: with such gradients, the
plain backward pass is the epsilon rule for what is linear (with an epsilon of 0) and the Taylor
rule for a softmax, and only few operations need a rule of their own. The authors' library lxt says
the same in `lxt.efficient`; it needs six further packages, of which none is used for images, so
the rules are here. Tests work them out on paper; with lxt 2.1 (`lxt.explicit`) maps agree to its
epsilon.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn, where

from sparsight.explain.attention import SpelledAttention, require_attention
from sparsight.explain.base import (
    Explainer,
    ImageBatch,
    channel_reduction,
    detached_float32,
    target_logits,
)
from sparsight.explain.lrp import PASSING, depends_on_images
from sparsight.explain.network import require_equal_logits
from sparsight.io.errors import InputError
from sparsight.models.base import Normalise


class AttnLrp(Explainer):
    """Relevance that starts as the target logit and is handed down by rules made for attention.

    Linear layers, sums and means hand it down in proportion to contributions (epsilon rule), a
    product of two arrays gives half to each (proposition 3.3), a softmax has the rule of a Taylor
    expansion (proposition 3.1), and normalisations and activations pass it through (proposition
    3.4, equation 9). What a bias or a position embedding contributes stays there, and a softmax
    does not conserve relevance, so that a map does not sum to the logit.

    `gamma_convolution` and `gamma_linear` favour positive contributions in convolutions and linear
    layers by the gamma rule, as in zennit. The paper advises it against noise in vision
    transformers, with values searched for each network; the default is none.

    A network's own normalisation of its images passes relevance through: contributions are those of
    normalised pixels. Channels are summed. Operations without a rule are refused.
    """

    name: ClassVar[str] = "attn_lrp"
    label: ClassVar[str] = "AttnLRP"
    reference: ClassVar[str] = "arXiv:2402.05602"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; in units of the logit"
    cost: ClassVar[int] = 3
    needs_attention: ClassVar[bool] = True
    parameters: ClassVar[dict[str, Any]] = {"gamma_convolution": 0.0, "gamma_linear": 0.0}
    allowed: ClassVar[dict[str, Any]] = {
        "gamma_convolution": "[0, inf)",
        "gamma_linear": "[0, inf)",
    }

    def explain(self, batch: ImageBatch) -> Tensor:
        rules = _Rules(self.settings["gamma_convolution"], self.settings["gamma_linear"])
        with torch.enable_grad(), _pixels_seen(batch.model, batch.inputs) as seen, rules:
            logits = batch.model(seen[0])
        require_attention(self.name, rules.softmaxes)
        own = batch.model(batch.images[:1]).detach()
        require_equal_logits(logits[:1].detach(), own, self.name)
        score = target_logits(logits, batch.targets).sum()
        (gradient,) = torch.autograd.grad(score, seen[-1])
        return detached_float32(channel_reduction(seen[-1] * gradient, "sum"))

    def cost_on(self, shape: tuple[int, int, int]) -> int:
        """With the gamma rule, a layer has four parts, as in `lrp`."""
        return 13 if any(self.settings.values()) else self.cost


@contextmanager
def _pixels_seen(model: nn.Module, inputs: Tensor) -> Iterator[list[Tensor]]:
    """A list of `inputs` and then, once the network ran, what `Normalise` made of them, if any."""
    seen = [inputs]

    def start_here(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, Normalise):
                hooks.enter_context(module.register_forward_hook(start_here))
        yield seen


# Linear operations beyond those that only move values: their plain gradient is the epsilon rule.
_LINEAR = frozenset(
    (
        *("add", "add_", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "__rsub__", "rsub"),
        *("neg", "__neg__", "sum", "mean", "batch_norm", "avg_pool2d", "adaptive_avg_pool2d"),
        *("roll", "flip", "unbind", "expand", "expand_as", "unfold", "unflatten"),
        *("movedim", "swapaxes", "type_as", "narrow", "select", "index_select", "masked_fill"),
        *("repeat", "__get__"),
    )
)
# An activation is 0 at 0 and passes relevance through.
_ACTIVATIONS = ("relu", "gelu", "silu", "leaky_relu", "elu", "hardswish", "mish", "tanh")
_PRODUCTS = (
    *("matmul", "__matmul__", "__rmatmul__", "bmm"),
    *("mul", "mul_", "__mul__", "__rmul__", "__imul__", "multiply"),
)
_QUOTIENTS = ("div", "div_", "divide", "true_divide", "__truediv__")


class _Rules(SpelledAttention):
    """Runs the operations of a forward pass so that their gradients follow the rules."""

    def __init__(self, gamma_convolution: float, gamma_linear: float) -> None:
        super().__init__()
        self.softmaxes = 0
        self._gammas = {"conv2d": gamma_convolution, "linear": gamma_linear}

    def operation(
        self, name: str, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if name in _ACTIVATIONS:
            return _activation(func, args, kwargs)
        if name in _NORMS:
            return _NORMS[name](*args, **kwargs)
        factors = [depends_on_images(one) for one in args[:2]]
        if name in _PRODUCTS and all(factors):
            return func(*(one / 2 + one.detach() / 2 for one in args[:2]), **kwargs)
        if self._gammas.get(name):
            return _gamma_rule(func, self._gammas[name], *args, **kwargs)
        result = func(*args, **kwargs)
        if name == "softmax" and result.ndim > 2:
            self.softmaxes += 1
        known = (
            name in ("softmax", *self._gammas, *_PRODUCTS)
            or (name in _QUOTIENTS and not all(factors))
            or name in PASSING
            or name in _LINEAR
        )
        if known or not depends_on_images(result):
            return result
        raise InputError(
            f"explainer 'attn_lrp' has no rule for the operation '{name}' of this network; name "
            "another explainer"
        )


def _activation(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """f(x) as x times the constant f(x) / x."""
    inputs = args[0]
    options = {name: value for name, value in kwargs.items() if name != "inplace"}
    with torch.no_grad():
        found = func(inputs, *args[1:], **options)
        ratio = where(inputs == 0, 0, found / inputs)
    whole: Tensor = inputs * ratio
    return whole


def _layer_norm(
    inputs: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.layer_norm`, whose deviation is a constant."""
    dims = tuple(range(-len(normalized_shape), 0))
    centred = inputs - inputs.mean(dim=dims, keepdim=True)
    variance = inputs.detach().var(dim=dims, keepdim=True, correction=0)
    found = centred * (variance + eps).rsqrt()
    found = found if weight is None else found * weight
    whole: Tensor = found if bias is None else found + bias
    return whole


def _rms_norm(
    inputs: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """`torch.nn.functional.rms_norm`, whose mean square is a constant."""
    dims = tuple(range(-len(normalized_shape), 0))
    eps = torch.finfo(inputs.dtype).eps if eps is None else eps
    found = inputs * (inputs.detach().square().mean(dim=dims, keepdim=True) + eps).rsqrt()
    return found if weight is None else found * weight


def _normalize(
    inputs: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None
) -> Tensor:
    """`torch.nn.functional.normalize`, whose norm is a constant."""
    found: Tensor = inputs / inputs.detach().norm(p, dim, keepdim=True).clamp_min(eps)
    return found


_NORMS: dict[str, Callable[..., Tensor]] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "normalize": _normalize,
}


def _gamma_rule(
    func: Callable[..., Tensor],
    gamma: float,
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    def run(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        result: Tensor = func(inputs, weight, bias, *args, **kwargs)
        return result

    found: Tensor = _GammaRule.apply(inputs, weight, bias, gamma, run)
    return found


# Keeps denominators from 0.
_STABILISER = 1e-6


class _GammaRule(torch.autograd.Function):
    """A linear operation whose relevance goes to contributions of the output's own sign.

    Contributions of that sign count 1 + gamma times, as in zennit's `Gamma`. The gradient is the
    relevance divided by the input.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        gamma: float,
        run: Callable[..., Tensor],
    ) -> Tensor:
        output = run(inputs, weight, bias)
        ctx.save_for_backward(inputs, weight, bias, output)
        ctx.gamma, ctx.run = gamma, run
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, bias, output = ctx.saved_tensors
        relevance = gradients[0] * output
        total = torch.zeros_like(inputs)
        for sign in (1, -1):
            # Weights for positive inputs, and for negative ones, that favour outputs of this sign.
            favoured, opposed = (
                weight + ctx.gamma * side * (side * weight).clamp_min(0) for side in (sign, -sign)
            )
            shift = None if bias is None else bias + ctx.gamma * sign * (sign * bias).clamp_min(0)
            with torch.enable_grad():
                parts = [
                    inputs.detach().clamp_min(0).requires_grad_(),
                    inputs.detach().clamp_max(0).requires_grad_(),
                ]
                whole = ctx.run(parts[0], favoured, shift) + ctx.run(parts[1], opposed, None)
                share = relevance / (whole.detach() + sign * _STABILISER)
                share = where(sign * output > 0, share, 0)
                above, below = torch.autograd.grad(whole, parts, share)
            total += where(inputs < 0, below, above)
        return total, None, None, None, None
