"""Which layers are pruned for a sample, and a layer as a matrix that meets unfolded inputs."""

import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.explain.network import frozen, named_layer
from sparsight.io.errors import InputError
from sparsight.models.base import weighted_modules

Receive = Callable[[str, nn.Module, Tensor], None]


@dataclass(frozen=True)
class PrunedLayer:
    """A convolution or linear layer as `groups` matrices of `rows` x `columns` weights.

    Attributes
    ----------
    name : of the module in the network.
    groups : of the convolution; 1 for a linear layer.
    rows : outputs of a group.
    columns : inputs of a group times the positions of the kernel (K).
    block : positions of the kernel (kh * kw), so many columns belong to one input channel.
    """

    name: str
    groups: int
    rows: int
    columns: int
    block: int

    @property
    def weights(self) -> int:
        """Number of weights of the layer."""
        return self.groups * self.rows * self.columns


def described(name: str, module: nn.Module) -> PrunedLayer:
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
    layers. Projections of shortcuts (`downsample`) are among them: the paper leaves out nothing but
    the stem, and the code of Optimal Brain Compression, on which it builds, takes every convolution
    that it finds. A layer that does not run is none of them, nor one that only trains (fact
    `training_only`).

    Parameters
    ----------
    network : gives logits; it is left as it was.
    images : float32 [N, C, H, W] in [0, 1], on its device; one is enough.

    Raises
    ------
    InputError
        When no layer is left.
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
    found = [described(name, module) for name, module in order.items() if name != stem]
    if not found:
        raise InputError("the network has no layer to prune for a sample besides its stem")
    return found


@contextmanager
def observed_inputs(network: nn.Module, names: Sequence[str], receive: Receive) -> Iterator[None]:
    """Call `receive(name, module, inputs)` whenever a named layer runs inside the block.

    The hooks are removed at the end of the block, however it ends.

    Raises
    ------
    InputError
        For a name that the network does not have.
    """

    def hook_of(name: str) -> Any:
        def observe(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            receive(name, module, inputs[0].detach())

        return observe

    handles = []
    try:
        for name in names:
            handles.append(named_layer(network, name).register_forward_pre_hook(hook_of(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def matrices(weight: Tensor, layer: PrunedLayer) -> Tensor:
    """A layer's weight as [groups, rows, columns], the columns of a channel side by side."""
    return weight.reshape(layer.groups, layer.rows, layer.columns)


def unfolded(module: nn.Module, inputs: Tensor) -> Tensor:
    """What a layer's matrices are multiplied with.

    `matrices(weight) @ unfolded(inputs)` are the outputs without bias, [N, groups, rows, L].

    Parameters
    ----------
    module : a Conv2d with any kernel, stride, padding, dilation and groups, or a Linear.
    inputs : float32 [N, C, H, W] for a convolution, [N, ..., columns] for a linear layer.

    Returns
    -------
    float32 [N, groups, columns, L], L being the positions of the output.
    """
    if not isinstance(module, nn.Conv2d):
        # every position between the first and the last axis (tokens) is one input of the layer
        return inputs.reshape(len(inputs), -1, inputs.shape[-1]).transpose(1, 2).unsqueeze(1)
    inputs = padded(module, inputs)
    if math.prod(module.kernel_size) == 1:
        # the same as unfolding, without its copy
        vertical, horizontal = module.stride
        columns = inputs[:, :, ::vertical, ::horizontal].flatten(2)
    else:
        columns = functional.unfold(
            inputs, _pair(module.kernel_size), _pair(module.dilation), 0, _pair(module.stride)
        )
    found: Tensor = columns.unflatten(1, (module.groups, -1))
    return found


def padded(module: nn.Conv2d, inputs: Tensor) -> Tensor:
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


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def covers(pattern: str, name: str) -> bool:
    """Whether a pattern names a layer: by its name, a module around it, or with `*` and `?`."""
    return pattern == name or name.startswith(f"{pattern}.") or fnmatch.fnmatchcase(name, pattern)


def named(layers: Sequence[PrunedLayer]) -> Mapping[str, PrunedLayer]:
    """Layers by name, in their order."""
    return {layer.name: layer for layer in layers}
