"""What a network of others is, found from one forward pass: its classifier, layers, feature cut.

Names of layers are the library's. The order is that of the forward pass, and what depends on what
is read from autograd's graph, not from the order in which modules are registered.
"""

import inspect
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sparsight.io.errors import InputError
from sparsight.models.base import (
    NORMALISING,
    WEIGHTED,
    batch_norms,
    channels_innermost,
    check_maps,
    graph_nodes,
    predicts,
    prunable_parameters,
)
from sparsight.models.foreign import (
    NORMALISATION,
    ForeignArchitecture,
    ForeignNetwork,
    in_short,
    logits_graph,
    replace_classifier,
    tail_behind,
)
from sparsight.models.networks import measured_size
from sparsight.models.rewriting import equal, rewritable, rewrite_equal, separate

#: of the facts: raised when tracing finds others, see `sparsight.study.traced`
VERSION = 2
#: most tokens before those of the image (class and distillation tokens, registers)
MOST_PREFIXES = 16
#: words in the names of parameters that are positions or tokens and not weights
_EMBEDDING = ("pos", "embed", "token", "table", "gamma", "scale", "mask")


@dataclass
class Pass:
    """What hooks have seen of a forward pass: modules in the order in which they finished.

    Attributes
    ----------
    outputs : name of each module to its output, where that is an array; the last, of several.
    runs : name to how often it ran.
    passing : names of modules that gave what they got.
    made_by : node of autograd's graph to the convolution or linear layer that made it.
    logits : what the network gave.
    """

    outputs: dict[str, Tensor] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    passing: set[str] = field(default_factory=set)
    made_by: dict[Any, str] = field(default_factory=dict)
    logits: Any = None


def watched(network: ForeignNetwork, images: Tensor) -> Pass:
    """One forward pass in evaluation mode, with gradients; what fails in it is an `InputError`."""
    found = Pass()

    def hook_of(name: str) -> Any:
        def record(module: nn.Module, inputs: Any, output: Any) -> None:
            found.runs[name] = found.runs.get(name, 0) + 1
            if isinstance(output, Tensor):
                if inputs and output is inputs[0]:
                    found.passing.add(name)
                found.outputs.pop(name, None)
                found.outputs[name] = output
                if isinstance(module, WEIGHTED):
                    found.made_by[output.grad_fn] = name

        return record

    _check_inputs(network, images)
    with ExitStack() as hooks, torch.enable_grad():
        for name, module in network.named_modules():
            if name and module is not network.normalise:
                hooks.enter_context(module.register_forward_hook(hook_of(name)))
        try:
            found.logits = network.eval()(images)
        # Code of others may fail in any way.
        except Exception as error:
            raise InputError(
                f"architecture {network.name} fails on images of {tuple(images.shape[1:])} "
                f"(channels, height, width): {in_short(error)}; choose options for such images "
                "(timm: in_chans, img_size; torchvision: image_size), or another data set"
            ) from error
    return found


class _Places(TorchFunctionMode):
    """Which module is the first to call each function."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = [""]
        self.first: dict[str, str] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run `func`, and note where."""
        name = getattr(func, "__name__", "").replace("_", "").lower()
        self.first.setdefault(name, self.inside[-1])
        return func(*args, **(kwargs or {}))


def operation_places(network: nn.Module, image: Tensor) -> dict[str, str]:
    """Operation, in small letters without underscores, to the first module that does it.

    Both functions (`layernorm`) and operations of autograd's graph (`hardtanh`) are named.
    """
    places, graph = _Places(), dict[str, str]()

    def leave(name: str, output: Any) -> None:
        places.inside.pop()
        if isinstance(output, Tensor) and output.grad_fn is not None:
            operation = output.grad_fn.name().partition("Backward")[0].lower()
            graph.setdefault(operation, name)

    with ExitStack() as hooks, torch.enable_grad():
        for name, module in network.named_modules():
            if name:
                pre = module.register_forward_pre_hook(
                    lambda *_, name=name: places.inside.append(name)
                )
                post = module.register_forward_hook(
                    lambda _module, _inputs, output, name=name: leave(name, output)
                )
                hooks.enter_context(pre)
                hooks.enter_context(post)
        with places:
            network(image.detach().clone().requires_grad_())
    return {**places.first, **graph}


def _check_inputs(network: ForeignNetwork, images: Tensor) -> None:
    parameters = inspect.signature(network.module.forward).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in positional if p.default is p.empty]
    if len(needed) > 1:
        raise InputError(
            f"architecture {network.name} takes {len(needed)} inputs ({', '.join(needed)}), not "
            "one array of images; let a function wrap it"
        )
    if network.normalise is None:
        return
    # Grey images become as many equal channels as there are values.
    counts = {key: len(getattr(network.normalise, key)) for key in ("mean", "std")}
    channels = images.shape[1] if images.shape[1] > 1 else max(counts.values())
    for key, count in counts.items():
        if count not in (1, channels):
            raise InputError(
                f"architecture {network.name}: {NORMALISATION}.{key} has {count} values for "
                f"{channels} channels; state one value per channel, or choose another data set"
            )


def _checked_logits(network: ForeignNetwork, logits: Any, images: Tensor) -> Tensor:
    if not isinstance(logits, Tensor):
        raise InputError(
            f"architecture {network.name} gives a {type(logits).__name__} in evaluation mode, not "
            "one array of logits; choose an image classifier"
        )
    if logits.ndim != 2 or len(logits) != len(images):
        raise InputError(
            f"architecture {network.name} gives an array of shape {list(logits.shape)} for "
            f"{len(images)} images, not logits [N, classes]; choose an image classifier"
        )
    if not logits.requires_grad:
        raise InputError(f"architecture {network.name} gives logits without gradients")
    if not bool(logits.isfinite().all()):
        raise InputError(f"architecture {network.name} gives logits that are not finite (NaN)")
    return logits


def trace(
    architecture: ForeignArchitecture,
    class_count: int,
    options: Mapping[str, Any],
    shape: Sequence[int] | None = None,
) -> tuple[dict[str, Any], ForeignNetwork]:
    """Facts of a foreign architecture for images of `shape`, by default the library's own.

    Returns
    -------
    The facts, as plain values, and the network that was traced, in evaluation mode and ready to be
    explained. `input_shape`, `layers` (name to height and width), `explain_layer`, `feature_cut`
    (empty where there is none, and `uncut` says why), `classifiers` and `imagenet_weights` are
    those of `Architecture`. `tokens` has the `prefix` tokens and the `grid` [h, w] of those of the
    image, where the explain layer gives tokens. `batch_norm` and `attention`: whether there is
    batch normalisation that keeps statistics, or attention. `unknown_weights`: name to the share of
    all parameters of what is neither pruned nor known to be no weight. `size`: see
    `networks.NetworkSize`. `traced`: what `ForeignArchitecture.build` needs of all this.

    Raises
    ------
    InputError
        When the network cannot be built, fails on such images, or gives no logits for them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = architecture.plain(class_count, options)
        images = torch.rand(2, *(shape or architecture.shape(network.module, options)))
        found = watched(network, images)
        logits = _checked_logits(network, found.logits, images)
        classifiers = _classifiers(found, logits)
        if logits.shape[1] != class_count:
            for name in classifiers:
                replace_classifier(network, name, class_count)
            logits = watched(network, images).logits
        for parameter in network.parameters():
            # Layers that are drawn as zeros would hide what lies before them.
            if parameter.ndim > 1 and not bool(parameter.any()):
                nn.init.normal_(parameter, std=0.02)
        if logits.shape[1] != class_count:
            raise InputError(
                f"architecture {network.name} gives {logits.shape[1]} logits for {class_count} "
                "classes, and no layer that could be replaced gives them; let the function take "
                "num_classes"
            )
    rewritten = _rewritten(network, images)
    found = watched(network, images)
    logits = found.logits
    unused = _unused(network, logits)
    layers = _layers(network, found, images)
    explain_layer = _explain_layer(network, found, layers, classifiers)
    cut, uncut = _feature_cut(network, found, layers, images)
    traced = {
        "classifiers": classifiers if logits.shape[1] == class_count else [],
        "explain_layer": explain_layer,
        "feature_cut": cut,
        "image_shape": list(images.shape[1:]),
        "rewritten": rewritten,
        "tokens": layers[explain_layer].tokens if explain_layer else None,
        "training_only": unused,
        "uncut": uncut,
    }
    network.know(traced)
    facts = {
        **{key: traced[key] for key in ("classifiers", "explain_layer", "feature_cut", "tokens")},
        "batch_norm": bool(batch_norms(network)),
        "imagenet_weights": architecture.imagenet_weights(),
        "input_shape": traced["image_shape"],
        "layers": {name: list(layer.size) for name, layer in layers.items()},
        "size": asdict(measured_size(network, images[:1])),
        "traced": traced,
        "attention": _attends(network, logits),
        "uncut": uncut,
        "unknown_weights": unknown_weights(network),
    }
    return facts, network


def _rewritten(network: ForeignNetwork, images: Tensor) -> list[str]:
    """Give calls modules of their own; the names of the modules that were rewritten for that."""

    def run() -> Tensor:
        with torch.no_grad():
            logits: Tensor = network(images)
            return logits

    expected = run()
    separate(network.module)
    if not equal(run(), expected):
        raise InputError(
            f"architecture {network.name} drops the output of an activation that works in place; "
            "let it use what the activation returns"
        )
    return rewrite_equal(network.module, rewritable(network.module), run)


def _classifiers(found: Pass, logits: Tensor) -> list[str]:
    """The layers from which the logits come through no other layer, if all give as many."""
    names = {
        found.made_by[node] for node in graph_nodes(logits, found.made_by) if node in found.made_by
    }
    count = logits.shape[1]
    if any(
        found.outputs[name].shape[-1 if _is_flat(found, name) else 1] != count for name in names
    ):
        return []
    return sorted(names)


def _is_flat(found: Pass, name: str) -> bool:
    return found.outputs[name].ndim < 4


def _attends(network: ForeignNetwork, logits: Tensor) -> bool:
    operations = {node.name() for node in graph_nodes(logits)}
    fused = any("ScaledDotProduct" in name or "Attention" in name for name in operations)
    by_hand = {"SoftmaxBackward0", "BmmBackward0"} <= operations
    return (
        fused
        or by_hand
        or any(isinstance(module, nn.MultiheadAttention) for module in network.modules())
    )


def _unused(network: ForeignNetwork, logits: Tensor) -> list[str]:
    """The outermost modules none of whose weights the logits depend on."""
    parameters = dict(network.named_parameters())
    gradients = torch.autograd.grad(
        logits.sum(), list(parameters.values()), allow_unused=True, retain_graph=True
    )
    used = {id(p) for p, g in zip(parameters.values(), gradients, strict=True) if g is not None}
    found: list[str] = []
    for name, module in network.named_modules():
        own = [id(parameter) for parameter in module.parameters()]
        if own and not used.intersection(own) and not any(name.startswith(f"{x}.") for x in found):
            found.append(name)
    return found


@dataclass(frozen=True)
class Layer:
    """Where an explainer can look: the size of the maps, and which tokens are those of the image.

    `tokens` is empty for feature maps [N, C, h, w]; for tokens [N, T, D] it has their `grid` and
    how many others stand before them (`prefix`). `innermost`: whether maps are [N, h, w, C].
    """

    size: tuple[int, int]
    tokens: dict[str, Any] | None = None
    innermost: bool = False


def _layers(network: ForeignNetwork, found: Pass, images: Tensor) -> dict[str, Layer]:
    """Modules that give maps or tokens of an image once, in the order in which they finish."""
    layers: dict[str, Layer] = {}
    grid: tuple[int, int] | None = None
    tokens, merged = 0, False
    attention = _attention(network)
    for name, output in found.outputs.items():
        if found.runs[name] > 1 or len(output) != len(images) or _inside(name, attention):
            continue
        if output.ndim == 4 and channels_innermost(output.shape, images.shape):
            grid = (int(output.shape[1]), int(output.shape[2]))
            layers[name] = Layer(grid, innermost=True)
        elif output.ndim == 4:
            height, width = int(output.shape[2]), int(output.shape[3])
            # What attention computes for each pair of tokens has four dimensions too.
            if _are_maps(name, output, images) and not 0 < tokens < height * width:
                grid = (height, width)
                layers[name] = Layer(grid)
        elif output.ndim == 3 and grid is not None:
            prefix = int(output.shape[1]) - math.prod(grid)
            tokens = int(output.shape[1])
            merged = merged or prefix < 0
            if 0 <= prefix <= MOST_PREFIXES:
                layers[name] = Layer(grid, {"grid": list(grid), "prefix": prefix})
    # Where tokens are merged on the way, those of the last blocks stand for places not known here.
    return {n: layer for n, layer in layers.items() if not (merged and layer.tokens)}


def _are_maps(name: str, output: Tensor, images: Tensor) -> bool:
    try:
        check_maps(name, output.shape, images.shape)
    except InputError:
        return False
    return True


def _resizes(network: ForeignNetwork, name: str) -> bool:
    """Whether a module gives maps of one size whatever it gets, so that places mean nothing."""
    return isinstance(network.get_submodule(name), nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d)


def _attention(network: nn.Module) -> list[str]:
    """Modules that are attention by the name of their class."""
    return [
        n for n, module in network.named_modules() if "attention" in type(module).__name__.lower()
    ]


def _inside(name: str, modules: Collection[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)


def _explain_layer(
    network: ForeignNetwork, found: Pass, layers: Mapping[str, Layer], classifiers: Sequence[str]
) -> str:
    """The last layer of which more than one place counts for the logits; empty without any.

    Behind the last attention to a class token, no other token counts. Maps of classes are left out,
    and so are maps before the first attention: they are pixels in other units. Of tokens, those
    count that a block, or a normalisation in it, gives.
    """
    order = list(found.runs)
    first = min((order.index(name) for name in classifiers), default=len(order))
    attending = min((order.index(n) for n in _attention(network) if n in found.runs), default=-1)
    names = [
        name
        for name, layer in layers.items()
        if math.prod(layer.size) > 1
        and not (_resizes(network, name) or name in found.passing)
        and attending < order.index(name) < first
        and (not (layer.tokens or layer.innermost) or _gives_tokens(network.get_submodule(name)))
    ]
    outputs = [found.outputs[name] for name in names]
    if not outputs:
        return ""
    # The sum of logits may not depend on anything, where they are shares.
    weights = torch.linspace(0.5, 1, found.logits.shape[1])
    gradients = torch.autograd.grad(
        (found.logits * weights).sum(), outputs, allow_unused=True, retain_graph=True
    )
    for name, gradient in zip(reversed(names), reversed(gradients), strict=True):
        if gradient is None:
            continue
        tokens = layers[name].tokens
        over, start = (2, tokens["prefix"]) if tokens else (1, 0)
        over = 3 if layers[name].innermost else over
        places = gradient.abs().amax(dim=over).flatten(1)[:, start:]
        if int((places[0] > 0).sum()) > 1:
            return name
    return ""


def _gives_tokens(module: nn.Module) -> bool:
    return bool(list(module.children())) or "Norm" in type(module).__name__


def _feature_cut(
    network: ForeignNetwork, found: Pass, layers: Mapping[str, Layer], images: Tensor
) -> tuple[str, str]:
    """The last module with maps from whose output alone the logits follow, or why there is none."""
    try:
        owner, graph = logits_graph(network.module)
    except InputError as error:
        return "", str(error)
    why = "no module of its forward pass gives feature maps [N, C, h, w]"
    targets = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    for target in reversed(targets):
        name = f"{owner}.{target}" if owner else target
        layer = layers.get(name)
        if layer is None or layer.tokens or layer.innermost or math.prod(layer.size) == 1:
            continue
        if _resizes(network, name) or name in found.passing:
            continue
        try:
            inside, tail = tail_behind(network.module, name)
            with torch.no_grad():
                logits = tail(network.module.get_submodule(inside), found.outputs[name].detach())
            if equal(logits, found.logits.detach()):
                return name, ""
            why = f"what follows '{name}' cannot be run by itself"
        except Exception as error:
            why = str(error) if isinstance(error, InputError) else in_short(error)
    return "", why


def unknown_weights(network: nn.Module) -> dict[str, float]:
    """Weights that are neither prunable nor known to be none, with their shares of all parameters.

    Scales of normalisation, biases, embeddings, positions and tokens are known to be none.
    """
    pruned = prunable_parameters(network)
    norms = {
        f"{name}.{key}"
        for name, module in network.named_modules()
        if isinstance(module, (*NORMALISING, nn.Embedding)) or "Norm" in type(module).__name__
        for key, _ in module.named_parameters(recurse=False)
    }
    parameters = {n: p for n, p in network.named_parameters() if predicts(network, n)}
    whole = sum(parameter.numel() for parameter in parameters.values())
    return {
        name: parameter.numel() / whole
        for name, parameter in parameters.items()
        if parameter.squeeze().ndim > 1
        and name not in pruned
        and name not in norms
        and not any(word in name.rpartition(".")[2] for word in _EMBEDDING)
    }
