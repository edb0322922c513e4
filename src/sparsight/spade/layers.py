"""Which layers are pruned for a sample, a layer as a matrix, and how sparse each becomes."""

import fnmatch
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.explain.network import frozen, named_layer
from sparsight.io.errors import InputError, hint
from sparsight.models.base import weighted_modules

Receive = Callable[[str, nn.Module, Tensor], None]


@dataclass(frozen=True)
class PrunedLayer:
    """A convolution or linear layer as `groups` matrices of `rows` x `columns` weights."""

    name: str  # of the module in the network
    groups: int  # of the convolution; 1 for a linear layer
    rows: int  # outputs of a group
    columns: int  # inputs of a group times the positions of the kernel (K)
    block: int  # positions of the kernel (kh * kw), so many columns belong to one input channel

    @property
    def weights(self) -> int:
        """Number of weights of the layer."""
        return self.groups * self.rows * self.columns


def layer_of(name: str, module: nn.Module) -> PrunedLayer:
    """A layer's shape; `module` is a Conv2d or a Linear."""
    if isinstance(module, nn.Conv2d):
        block = math.prod(module.kernel_size)
        columns = module.in_channels // module.groups * block
        rows = module.out_channels // module.groups
        return PrunedLayer(name, module.groups, rows, columns, block)
    if isinstance(module, nn.Linear):
        return PrunedLayer(name, 1, module.out_features, module.in_features, 1)
    raise InputError(f"layer '{name}' is no two-dimensional convolution and no linear layer")


def pruned_layers(network: nn.Module, images: Tensor) -> list[PrunedLayer]:
    """All layers that are pruned for a sample, in the order in which a forward pass runs them.

    These are all two-dimensional convolutions but the stem (the first to run), and all linear
    layers, projections of shortcuts (`downsample`) among them, as in the paper's code. A layer that
    does not run is none of them, nor one that only trains (fact `training_only`).

    `network`: gives logits; it is left as it was. `images`: float32 [N, C, H, W] in [0, 1], on its
    device; one is enough. Raises InputError when no layer is left.
    """
    modules = weighted_modules(network, (nn.Conv2d, nn.Linear))
    order: dict[str, nn.Module] = {}
    with (
        observed_inputs(
            network, list(modules), lambda name, module, _: order.update({name: module})
        ),
        frozen(network),
        torch.no_grad(),
    ):
        network(images[:1])
    stem = next((name for name, module in order.items() if isinstance(module, nn.Conv2d)), "")
    found = [layer_of(name, module) for name, module in order.items() if name != stem]
    if not found:
        raise InputError("the network has no layer to prune for a sample besides its stem")
    return found


@contextmanager
def observed_inputs(network: nn.Module, names: Sequence[str], receive: Receive) -> Iterator[None]:
    """Call `receive(name, module, inputs)` whenever a named layer runs inside the block.

    Raises InputError for a name that the network does not have.
    """

    def observe(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        receive(name, module, inputs[0].detach())

    with ExitStack() as hooks:
        for name in names:
            layer = named_layer(network, name)
            handle = layer.register_forward_pre_hook(functools.partial(observe, name))
            hooks.callback(handle.remove)
        yield


def matrices(weight: Tensor, layer: PrunedLayer) -> Tensor:
    """A layer's weight as [groups, rows, columns], the columns of a channel side by side."""
    return weight.reshape(layer.groups, layer.rows, layer.columns)


def unfold_inputs(module: nn.Module, inputs: Tensor) -> Tensor:
    """What a layer's matrices are multiplied with, for outputs without bias [N, groups, rows, L].

    `module`: any Conv2d, or a Linear; `inputs`: float32 [N, C, H, W], or [N, ..., columns] for a
    linear layer. Returns float32 [N, groups, columns, L] for the L positions of the output.
    """
    if not isinstance(module, nn.Conv2d):
        # every position between the first and the last axis (tokens) is one input of the layer
        return inputs.reshape(len(inputs), -1, inputs.shape[-1]).transpose(1, 2).unsqueeze(1)
    inputs = pad_inputs(module, inputs)
    if math.prod(module.kernel_size) == 1:
        # the same as unfolding, without its copy
        vertical, horizontal = module.stride
        columns = inputs[:, :, ::vertical, ::horizontal].flatten(2)
    else:
        sizes: list[Any] = [module.kernel_size, module.dilation, 0, module.stride]
        columns = functional.unfold(inputs, *sizes)
    found: Tensor = columns.unflatten(1, (module.groups, -1))
    return found


def pad_inputs(module: nn.Conv2d, inputs: Tensor) -> Tensor:
    """A convolution's inputs [N, C, H, W] with its padding around them."""
    sides: list[int] = []
    # pad wants the last axis first
    for axis in (1, 0):
        if module.padding == "same":
            total = module.dilation[axis] * (module.kernel_size[axis] - 1)
            sides += [total // 2, total - total // 2]
        elif module.padding == "valid":
            sides += [0, 0]
        else:
            sides += [int(module.padding[axis])] * 2
    if not any(sides):
        return inputs
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return functional.pad(inputs, sides, mode)


def covers(pattern: str, name: str) -> bool:
    """Whether a pattern names a layer: by its name, a module around it, or with `*` and `?`."""
    return pattern == name or name.startswith(f"{pattern}.") or fnmatch.fnmatchcase(name, pattern)


#: the paper's for LRP on ResNet-50 (arXiv 2310.04519), found on ground truth; layers that are not
#: named keep their weights
_PUBLISHED_BLOCKS: dict[str, tuple[float, ...]] = {
    "layer1": (0.2, 0.8, 0.0),
    "layer2": (0.2, 0.0, 0.99, 0.95),
    "layer3": (0.8, 0.8, 0.9, 0.8, 0.0, 0.0),
    "layer4": (0.95, 0.95, 0.95),
}
_PUBLISHED_CLASSIFIER = 0.95
#: name to sparsity by module
PRESETS: dict[str, dict[str, float]] = {
    "published_resnet50": {
        **{
            f"{stage}.{block}": sparsity
            for stage, blocks in _PUBLISHED_BLOCKS.items()
            for block, sparsity in enumerate(blocks)
        },
        "fc": _PUBLISHED_CLASSIFIER,
    },
    "published_feature_visualisation": {
        "layer3.4": 0.95,
        "layer3.5": 0.95,
        "layer4": 0.95,
        "fc": 0.95,
    },
}
#: the preset that is made for the number of blocks of a residual network
BY_STAGE = "published_by_stage"
FORMS = ("constant", "preset", "layers")


def layer_sparsities(
    layers: Sequence[PrunedLayer], settings: Mapping[str, Any]
) -> dict[str, float]:
    """The sparsity of every layer.

    Returns layer to sparsity from 0 to below 1, for all layers, in their order.
    Raises InputError for another form, a sparsity outside its range, a pattern that names no layer,
    or two equally long ones that disagree.

    Parameters
    ----------
    layers : of `pruned_layers`.
    settings : exactly one of
        `constant`, a sparsity for all layers;
        `preset`: `published_resnet50` or `published_feature_visualisation`, both for ResNet-50, or
        `published_by_stage`, for other residual networks (`by_stage`);
        `layers`, a mapping of patterns to sparsities. A pattern is the name of a layer or of a
        module around it (`layer4`), or has `*` and `?`. Of several that name a layer the longest
        holds; a layer that none names keeps its weights.
    """
    given = [form for form in FORMS if form in settings]
    if len(given) != 1 or len(settings) != 1:
        raise InputError(
            f"sparsities has the keys {', '.join(sorted(settings)) or 'none'}; it must have "
            f"exactly one of {', '.join(FORMS)}"
        )
    patterns = settings[given[0]]
    if given[0] == "constant":
        patterns = {"*": patterns}
    elif given[0] == "preset":
        preset = patterns
        if preset not in (*PRESETS, BY_STAGE):
            raise InputError(
                f"unknown preset of sparsities '{preset}'{hint(str(preset), [*PRESETS, BY_STAGE])}"
            )
        patterns = by_stage(layers) if preset == BY_STAGE else PRESETS[preset]
    names = [layer.name for layer in layers]
    for pattern, sparsity in patterns.items():
        check_sparsity(f"sparsities: '{pattern}'", sparsity)
        if not any(covers(pattern, name) for name in names):
            raise InputError(f"sparsities: '{pattern}' names no pruned layer{hint(pattern, names)}")
    return {name: _sparsity(name, patterns) for name in names}


def _sparsity(name: str, patterns: Mapping[str, float]) -> float:
    matching = [pattern for pattern in patterns if covers(pattern, name)]
    # By length and not by place: mappings of a configuration are sorted by their keys.
    length = max(map(len, matching), default=0)
    longest = {pattern: float(patterns[pattern]) for pattern in matching if len(pattern) == length}
    if len(set(longest.values())) > 1:
        raise InputError(
            f"sparsities: {' and '.join(map(repr, sorted(longest)))} disagree on layer '{name}'; "
            "write its full name"
        )
    return next(iter(longest.values()), 0.0)


def check_sparsity(where: str, sparsity: Any) -> None:
    """InputError unless `sparsity` is a number from 0 to below 1."""
    number = isinstance(sparsity, (int, float)) and not isinstance(sparsity, bool)
    if not number or not 0 <= sparsity < 1:
        raise InputError(f"{where} is {sparsity!r}; it must be a number from 0 to below 1")


def by_stage(layers: Sequence[PrunedLayer]) -> dict[str, float]:
    """The published sparsities of ResNet-50 carried over to a residual network of other depth.

    Each block takes the value of the published block at the same relative depth of the same stage:
    the first that of the first, the last that of the last, and those between that of the nearest
    (of two equally near, the later). For ResNet-50 it is `published_resnet50`. This is ours and not
    the paper's, whose values were tuned for one network and one explainer; `sparsity_search` finds
    others.

    Raises InputError when the network has no stages `layer1` to `layer4` of numbered blocks.
    """
    found: dict[str, float] = {}
    for stage, published in _PUBLISHED_BLOCKS.items():
        numbered = (re.match(rf"{stage}\.(\d+)(\.|$)", layer.name) for layer in layers)
        blocks = {int(match[1]) for match in numbered if match}
        if not blocks:
            raise InputError(
                f"the preset {BY_STAGE} is for residual networks, but there is no block in a stage "
                f"'{stage}'; give sparsities by layers"
            )
        last = max(blocks)
        for block in blocks:
            # one block alone is a last one: it leads to the next stage
            depth = Fraction(block, last) if last else Fraction(1)
            place = math.floor(depth * (len(published) - 1) + Fraction(1, 2))
            found[f"{stage}.{block}"] = published[place]
    return {**found, "fc": _PUBLISHED_CLASSIFIER}


def zeros_asked(sparsity: float, weights: int) -> int:
    """floor(sparsity * weights), the sparsity taken exactly as it is written in decimals."""
    return math.floor(Fraction(str(sparsity)) * weights)


def share_out(total: int, sizes: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to `sizes`, in whole numbers and by largest remainder.

    Of equal remainders the first get more.
    """
    whole = sum(sizes)
    if not whole:
        return [0] * len(sizes)
    shares = [total * size // whole for size in sizes]
    remainders = [total * size % whole for size in sizes]
    order = sorted(range(len(sizes)), key=lambda place: (-remainders[place], place))
    for place in order[: total - sum(shares)]:
        shares[place] += 1
    return shares


def group_counts(sparsity: float, layer: PrunedLayer, zeros: Sequence[int]) -> list[int]:
    """How many weights of each group are to be zero, those counted that are zero already.

    Those still to be made are divided in proportion to the weights that each group has left.
    `zeros`: that each group has already, of an earlier pruning.
    """
    asked = zeros_asked(sparsity, layer.weights) - sum(zeros)
    left = [layer.rows * layer.columns - own for own in zeros]
    shares = share_out(max(asked, 0), left)
    return [own + share for own, share in zip(zeros, shares, strict=True)]
