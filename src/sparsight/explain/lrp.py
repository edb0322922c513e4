"""Layer-wise relevance propagation, by the rules of zennit.

zennit knows layers by their modules. What it does not see, it takes for the gradient: an addition
outside modules would give all relevance to both sides. It also changes the network in place, and
does not undo that when an exception passes. Here the network is copied, batch normalisation is
merged, and every operation outside modules with a rule is looked at in the forward pass: additions
split their relevance, and unknown operations are refused.
"""

import copy
import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sparsight.explain.base import (
    Explainer,
    ImageBatch,
    channel_reduction,
    detached_float32,
    target_logits,
)
from sparsight.explain.network import require_equal_logits
from sparsight.io.errors import InputError
from sparsight.models.base import Normalise

# Composite to its cost: a forward pass, and per part of its rule for convolutions one more and a
# backward pass.
_COSTS = {"epsilon": 4, "epsilon_plus": 7, "alpha2_beta1": 13}
# Keeps denominators from 0 in all rules but the epsilon rule, whose own is a parameter.
_STABILISER = 1e-6

Receive = Callable[[str, nn.Module, Tensor, Tensor, Tensor], None]


class Lrp(Explainer):
    """Relevance that starts as the target logit and is handed down in proportion to contributions.

    `composite` names the rules: `epsilon` is the epsilon rule everywhere (equation 58);
    `epsilon_plus` takes only positive contributions in convolutions, and `alpha2_beta1` positive
    ones twice and negative ones once (equation 60), both with the epsilon rule in linear layers.
    `epsilon` is that rule's stabiliser; the other rules have one of 1e-6, as in zennit. Average
    pooling and sums hand down in proportion to their inputs, max pooling to its maximum,
    activations pass relevance through.

    Batch normalisation is first merged into the layer before it. A network's own normalisation of
    its images passes relevance through: contributions are those of normalised pixels. Channels are
    summed. With the epsilon rule a map sums to the logit less what biases contribute.

    Convolutions, linear layers, batch normalisation and average pooling must be modules that run
    once. Other operations than those named are refused.
    """

    name: ClassVar[str] = "lrp"
    label: ClassVar[str] = "LRP"
    reference: ClassVar[str] = (
        "Bach et al., PLoS ONE 10 (2015), doi:10.1371/journal.pone.0130140; rules of zennit: "
        "Anders et al. 2021, arXiv:2106.13200"
    )
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; in units of the logit"
    cost: ClassVar[int] = 7
    parameters: ClassVar[dict[str, Any]] = {"composite": "epsilon_plus", "epsilon": 1e-6}
    allowed: ClassVar[dict[str, Any]] = {
        "composite": ("epsilon", "epsilon_plus", "alpha2_beta1"),
        "epsilon": "(0, inf)",
    }

    def explain(self, batch: ImageBatch) -> Tensor:
        relevance = self.propagate(batch)
        return detached_float32(channel_reduction(relevance, "sum"))

    def propagate(self, batch: ImageBatch, receive: Receive | None = None) -> Tensor:
        """Relevance of every pixel and channel, [N, C, H, W].

        `receive` gets, of each convolution and linear layer: name, module, inputs, outputs and the
        relevance of the outputs. The module is that of a copy with merged batch normalisation.
        """
        from zennit.core import BasicHook

        network = merged_copy(batch.model)
        inputs = batch.inputs
        rules = self._rules()
        ruled = {
            module: rule
            for name, module in network.named_modules()
            if (rule := rules.module_map({}, name, module)) is not None
        }
        # Such a rule holds the module's last input only.
        watch = WatchedOperations(one for one, rule in ruled.items() if isinstance(rule, BasicHook))
        # Before and after the hooks of the rules.
        for module in ruled:
            module.register_forward_pre_hook(watch.enter)
        # On leaving, zennit lets go of the tensors that it holds for the backward pass.
        with rules.context(network), torch.enable_grad():
            for module in ruled:
                module.register_forward_hook(watch.leave)
            if receive is not None:
                for name, module in network.named_modules():
                    if isinstance(module, nn.Conv2d | nn.Linear):
                        module.register_forward_hook(functools.partial(_report, name, receive))
            with watch:
                logits = network(inputs)
            own = batch.model(batch.images[:1]).detach()
            require_equal_logits(logits[:1].detach(), own, self.name)
            score = target_logits(logits, batch.targets)
            (relevance,) = torch.autograd.grad(score, inputs, grad_outputs=score.detach())
        found: Tensor = relevance
        return found

    def _rules(self) -> Any:
        """The zennit composite: which module has which rule."""
        from zennit.composites import LayerMapComposite, layer_map_base
        from zennit.rules import AlphaBeta, Epsilon, Pass, ZPlus
        from zennit.types import Convolution

        epsilon = self.settings["epsilon"]
        convolutions = {
            "epsilon": Epsilon(epsilon=epsilon),
            "epsilon_plus": ZPlus(stabilizer=_STABILISER),
            "alpha2_beta1": AlphaBeta(alpha=2, beta=1, stabilizer=_STABILISER),
        }
        return LayerMapComposite(
            [
                (Normalise, Pass()),
                *layer_map_base(_STABILISER),
                (Convolution, convolutions[self.settings["composite"]]),
                (nn.Linear, Epsilon(epsilon=epsilon)),
            ]
        )

    def cost_on(self, shape: tuple[int, int, int]) -> int:
        """The cost of the chosen composite."""
        return _COSTS[self.settings["composite"]]


def _report(
    name: str, receive: Receive, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    """Forward hook of a module: tell of it once its outputs have their relevance."""
    given, gave = inputs[0].detach(), output.detach()
    output.register_hook(lambda relevance: receive(name, module, given, gave, relevance.detach()))


#: operations through which relevance flows as gradients do: they move values, choose one of them,
#: or let them pass. Where ReLU gives 0, there is no relevance.
PASSING = frozenset(
    (
        *("relu", "relu_", "dropout", "max_pool2d", "_max_pool2d", "adaptive_max_pool2d"),
        *("flatten", "view", "reshape", "squeeze", "unsqueeze", "permute", "transpose"),
        *("contiguous", "clone", "to", "float", "requires_grad_", "cat", "stack", "chunk", "split"),
        *("__getitem__", "pad", "alias"),
    )
)
# `a += b` is `add_` here. What else holds `a` would miss the sum, which the logits then tell.
_SUMS = frozenset(("add", "add_", "__add__", "__radd__", "__iadd__"))


def merged_copy(model: nn.Module) -> nn.Module:
    """A copy of the network in which batch normalisation is part of the layer before it.

    The layer before is that of the order in which modules are registered: compare logits
    (`require_equal_logits`). Batch normalisation that follows no layer is left alone.
    """
    network = copy.deepcopy(model)
    # timm's batch normalisation holds the activation that follows it.
    leaves = [
        module
        for module in network.modules()
        if not list(module.children()) or isinstance(module, nn.BatchNorm2d)
    ]
    for layer, norm in itertools.pairwise(leaves):
        if (
            isinstance(layer, nn.Conv2d | nn.Linear)
            and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
            and norm.running_mean is not None
            and len(layer.weight) == norm.num_features
        ):
            _merge(layer, norm)
    return network.requires_grad_(False)


def _merge(layer: Any, norm: Any) -> None:
    """Let the layer do what it and the normalisation did, and the normalisation nothing."""
    scale = (norm.running_var + norm.eps).rsqrt()
    shift = -norm.running_mean * scale
    if norm.affine:
        shift = shift * norm.weight + norm.bias
        scale = scale * norm.weight
    bias = shift if layer.bias is None else shift + layer.bias * scale
    shape = (-1, *[1] * (layer.weight.ndim - 1))
    layer.weight = nn.Parameter((layer.weight * scale.view(shape)).detach())
    layer.bias = nn.Parameter(bias.detach())
    norm.running_mean, norm.running_var = torch.zeros_like(bias), torch.ones_like(bias)
    norm.eps, norm.affine, norm.weight, norm.bias = 0.0, False, None, None


class WatchedOperations(TorchFunctionMode):
    """Splits the relevance of sums and refuses operations without a rule, inside a `with` block.

    Operations inside modules with the hooks `enter` and `leave` are those modules' own; `once` are
    those that may run only once.
    """

    def __init__(self, once: Iterable[nn.Module]) -> None:
        super().__init__()
        self._inside = 0
        self._once = set(once)
        self._ran: set[nn.Module] = set()

    def enter(self, module: nn.Module, _inputs: Any) -> None:
        """Forward pre-hook of a module."""
        self._inside += 1
        if module in self._once & self._ran:
            raise InputError(
                "explainer 'lrp' needs each layer to run once in a forward pass, but a "
                f"{type(module).__name__} runs more than once; give each place its own module"
            )
        self._ran.add(module)

    def leave(self, *_: Any) -> None:
        """Forward hook of a module."""
        self._inside -= 1

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run `func`, or its counterpart that splits relevance."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        if not self._inside and name in _SUMS and len(args) == 2 and not kwargs:
            left, right = args
            if isinstance(left, Tensor) and isinstance(right, Tensor) and left.shape == right.shape:
                return _SplitSum.apply(left, right)
        result = func(*args, **kwargs)
        if self._inside or name in PASSING or not depends_on_images(result):
            return result
        raise InputError(
            f"explainer 'lrp' has no rule for the operation '{name}' of this network; it needs "
            "convolutions, linear layers, batch normalisation, average pooling and activations "
            "other than ReLU as modules, and knows sums of two feature maps and max pooling"
        )


def depends_on_images(result: Any) -> bool:
    """Whether an array, or one of several, is part of the graph of the images."""
    if isinstance(result, tuple | list):
        return any(depends_on_images(part) for part in result)
    return isinstance(result, Tensor) and result.requires_grad


class _SplitSum(torch.autograd.Function):
    """a + b, whose relevance is split in proportion to a and b (the epsilon rule)."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        total = left + right
        ctx.save_for_backward(left, right, total)
        return total

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor, Tensor]:
        left, right, total = ctx.saved_tensors
        share = relevance[0] / (total + torch.where(total < 0, -_STABILISER, _STABILISER))
        return left * share, right * share
