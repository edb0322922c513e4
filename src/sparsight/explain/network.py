"""Looking into a network without changing it: frozen state, layer outputs, gradients, operations.

A method that treats certain operations by rules of its own (DeepLIFT, guided backpropagation) is
silently something else where an operation escapes it. Modules do not tell: `torch.relu` in a
`forward` belongs to none. The graph tells every operation between the pixels and the score.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils.hooks import RemovableHandle

from sparsight.explain.base import target_logits
from sparsight.io.errors import InputError, hint
from sparsight.models.base import graph_nodes
from sparsight.models.tokens import map_form, prefix_tokens


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Put `model` in evaluation mode without parameter gradients; restore both at the end.

    Gradients with respect to parameters would cost a third of a backward pass, and are not wanted.
    """
    training = [(module, module.training) for module in model.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        model.requires_grad_(False)
        yield model
    finally:
        for module, mode in training:
            module.training = mode
        for parameter, wants in wanted:
            parameter.requires_grad_(wants)


@contextmanager
def hooks_restored(model: nn.Module) -> Iterator[None]:
    """Remove at the end all hooks that the block has added to modules of `model`.

    For foreign libraries, most of which leave their hooks behind when an exception passes.
    """
    tables = [
        (table, list(table))
        for module in model.modules()
        for attribute, table in vars(module).items()
        if attribute.endswith("_hooks") and isinstance(table, dict)
    ]
    try:
        yield
    finally:
        for table, before in tables:
            for key in [key for key in table if key not in before]:
                del table[key]


def named_layer(model: nn.Module, layer: str) -> nn.Module:
    """The submodule called `layer` ("layer4.1.conv2"); InputError with near names if none is."""
    modules: dict[str, nn.Module] = dict(model.named_modules())
    modules.pop("", None)
    if layer not in modules:
        raise InputError(f"the network has no layer '{layer}'{hint(layer, modules)}")
    return modules[layer]


def explained_layer(model: nn.Module, layer: str) -> str:
    """`layer`, or where it is empty the architecture's own `explain_layer`, or an InputError."""
    found = layer or getattr(model, "explain_layer", "")
    if not found:
        raise InputError("the network names no layer to explain; give the parameter 'layer'")
    return str(found)


@contextmanager
def record_outputs(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of named layers in one forward pass made inside the block.

    Yields a dict that the pass fills: layer to its output [N,C,h,w], part of the graph. Channels
    that are innermost are moved, and tokens of patches [N,T,C] are put into their grid; tokens that
    stand for no patch go on unrecorded. The graph starts at the first recorded layer: nothing
    before it is kept for the backward pass. InputError for an unknown layer, one that runs twice in
    a pass or never, or one without feature maps; and in the backward pass for one behind which only
    tokens that stand for no patch are read.
    """
    outputs: dict[str, Tensor] = {}
    prefix = prefix_tokens(model)
    images: list[torch.Size] = []

    def hook_of(layer: str) -> Any:
        def record(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor):
                raise InputError(
                    f"layer '{layer}' gives no array; name a convolution, an activation or a "
                    "pooling layer"
                )
            form = map_form(layer, output.shape, images[-1], prefix)
            if layer in outputs:
                raise InputError(
                    f"layer '{layer}' runs more than once in a forward pass, so that its output "
                    "is ambiguous; name a layer that runs once"
                )
            if form.grid and len(output) != images[-1][0]:
                raise InputError(
                    f"layer '{layer}' gives an array of shape {list(output.shape)}, whose first "
                    "dimension is not that of the images; name a layer that gives [N, T, D]"
                )
            maps = form.maps(output)
            kept = maps if maps.requires_grad else maps.detach().requires_grad_()
            outputs[layer] = kept
            # What follows may work in place (ReLU(inplace=True)) and would overwrite the record.
            restored = form.restored(output, kept)
            if form.prefix and restored.requires_grad:
                restored.register_hook(partial(_require_patches, layer, form.prefix))
            return restored

        return record

    def all_ran(*_: Any) -> None:
        for layer in layers:
            if layer not in outputs:
                raise InputError(f"layer '{layer}' does not run in a forward pass; name another")

    with ExitStack() as hooks:
        hooks.enter_context(
            model.register_forward_pre_hook(lambda _model, inputs: images.append(inputs[0].shape))
        )
        hooks.enter_context(model.register_forward_hook(all_ran))
        for layer in layers:
            hooks.enter_context(named_layer(model, layer).register_forward_hook(hook_of(layer)))
        yield outputs


def _require_patches(layer: str, prefix: int, gradient: Tensor) -> None:
    """Refuse a layer of whose tokens [N,T,D] only those before the patches reach the logit."""
    if bool(gradient[:, :prefix].any()) and not bool(gradient[:, prefix:].any()):
        raise InputError(
            f"behind layer '{layer}' the network reads its class token alone, so that no patch has "
            "a gradient; name a layer before the last attention, such as the norm in front of it"
        )


def layer_giving(
    model: nn.Module, layer: str, maps: Tensor, images: Sequence[int]
) -> RemovableHandle:
    """Let the layer give `maps` [M,C,h,w] inside a `with` block, whatever it gets.

    `images` is the shape of the images; what the layer gives has the form of its own output.
    """
    prefix = prefix_tokens(model)

    def give(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return map_form(layer, output.shape, images, prefix).restored(output, maps)

    return named_layer(model, layer).register_forward_hook(give)


def activations_and_gradients(
    model: nn.Module, images: Tensor, targets: Tensor, layers: Sequence[str]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Outputs of layers and the gradients of the target logits there, in one pass each way.

    Layer to (activations, gradients), both float32 [N,C,h,w], detached, of a frozen network for
    images float32 [N,C,H,W] and targets int64 [N].
    """
    with record_outputs(model, layers) as outputs, torch.enable_grad():
        # An image's logit depends on that image alone, so the sum gives each its own gradient.
        score = target_logits(model(images), targets).sum()
        activations = [outputs[layer] for layer in layers]
        gradients = torch.autograd.grad(score, activations, allow_unused=True)
    found = {}
    for layer, gradient in zip(layers, gradients, strict=True):
        if gradient is None:
            raise InputError(f"layer '{layer}' has no influence on the output; name another")
        found[layer] = (outputs[layer].detach(), gradient)
    return found


# Operations that are linear in the images when the network is in evaluation mode (up to a constant,
# as batch normalisation), so that their gradient explains them exactly.
_LINEAR = frozenset(
    (
        *("Add", "Sub", "Neg", "Sum", "Mean"),
        *("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm"),
        *("AvgPool2D", "AdaptiveAvgPool2D", "UpsampleNearest2D", "UpsampleBilinear2D"),
        *("ConstantPadNd", "ReflectionPad2D", "ReplicationPad2D", "Flip", "Roll", "Repeat"),
        *("View", "UnsafeView", "ReshapeAlias", "AsStrided", "Alias", "Clone", "ToCopy"),
        *("T", "Transpose", "Permute", "Squeeze", "Unsqueeze", "Expand"),
        *("Cat", "Stack", "Select", "Slice", "Split", "SplitWithSizes", "Gather", "Index"),
        # the pixels themselves
        "AccumulateGrad",
    )
)
# Linear as long as only one factor depends on the images.
_PRODUCTS = frozenset(
    ("Convolution", "CudnnConvolution", "Addmm", "Linear", "Mm", "Mv", "Bmm", "Mul", "Div")
)


def operation(node: Node) -> str:
    """Name of a node's operation: "Relu" for ReluBackward0."""
    return node.name().partition("Backward")[0].rpartition("::")[2]


def require_operations(score: Tensor, known: Collection[str], explainer: str, remedy: str) -> None:
    """Refuse, with an InputError, a network with other than linear operations and those in `known`.

    `score` is computed from images that ask for gradients, by a network whose parameters do not;
    `known` are names of operations (see `operation`); `explainer` and `remedy` are for the message.
    """
    for node in graph_nodes(score):
        name = operation(node)
        depends = [follower is not None for follower, _ in node.next_functions]
        scales = name in _PRODUCTS and sum(depends) == 1 and not (name == "Div" and not depends[0])
        if name not in known and name not in _LINEAR and not scales:
            raise InputError(
                f"explainer '{explainer}' has no rule for the operation '{name}' of this network; "
                f"{remedy}"
            )


def logit_gradient(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Gradient of each image's target logit with respect to its pixels; one pass each way.

    float32 [N,C,H,W], detached, of a frozen network for images of that shape and targets int64 [N].
    """
    inputs = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        score = target_logits(model(inputs), targets).sum()
        (gradient,) = torch.autograd.grad(score, inputs)
    return gradient


# Difference between the logits of a network and those of one changed for a method, as a share of
# the largest.
_TOLERANCE = 1e-3


def require_equal_logits(found: Tensor, expected: Tensor, explainer: str) -> None:
    """Refuse a network that gives other logits ([N,K] both) once it is changed for an explainer."""
    if not bool(expected.isfinite().all()):
        raise InputError(
            f"explainer '{explainer}' cannot explain logits that are not finite; look at how the "
            "network was trained"
        )
    # So written that NaN does not pass.
    if not bool((found - expected).abs().max() <= _TOLERANCE * expected.abs().max()):
        raise InputError(
            f"explainer '{explainer}' cannot bring this network into the form that it needs; "
            "register its modules in the order in which they run, and let sums make new tensors "
            "(a + b)"
        )
