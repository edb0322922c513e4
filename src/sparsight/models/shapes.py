"""Networks whose layers are narrower than their architecture's: rebuilt from their weights' shapes.

Structured pruning removes whole channels and neurons, and leaves every layer in its place. The
shapes of the weights then say all that there is to know of the network.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from sparsight.io.errors import InputError
from sparsight.models.base import tied_names

Shapes = Mapping[str, torch.Size]


def narrow(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Give the layers of a network the widths that they have in a state_dict.

    Convolutions, linear layers and batch, group and layer normalisations may have fewer inputs and
    outputs, never more; kernels stay as they are. Groups of a depthwise convolution fall with its
    channels, those of any other grouped convolution, and of a group normalisation, stay as many.
    Weights of layers that change are zeros afterwards: load the state_dict. Whether the layers fit
    each other only a forward pass can tell.

    Parameters
    ----------
    network : of the dense shapes; changed in place.
    weights : names of `network.state_dict()` to tensors; names that either lacks are passed over.

    Returns
    -------
    Names of the weights whose shape changed, in the network's order; empty where all fit.

    Raises
    ------
    InputError
        Before anything changes, where a shape is none that such a layer can have; the message
        begins with the key, and says what is expected and what is found.
    """
    own, tied = network.state_dict(), tied_names(network)
    changed = [key for key in own if key in weights and weights[key].shape != own[key].shape]
    for key in changed:
        expected, found = own[key].shape, weights[key].shape
        if len(found) != len(expected) or found[2:] != expected[2:]:
            raise _refused(key, expected, found, "only widths of layers may differ")
        if any(not 0 < new <= old for new, old in zip(found, expected, strict=True)):
            raise _refused(key, expected, found, "layers may be narrower, but not wider or empty")
        if key in tied or key in tied.values():
            raise _refused(key, expected, found, "weights that layers share cannot be narrowed")
    layers: dict[str, tuple[nn.Module, dict[str, torch.Size]]] = {}
    for key in changed:
        name, _, _ = key.rpartition(".")
        module = network.get_submodule(name)
        shapes = {
            part: weights.get(f"{name}.{part}".lstrip("."), tensor).shape
            for part, tensor in module.state_dict().items()
            if "." not in part
        }
        _check_layer(module, shapes, key, own[key].shape, weights[key].shape)
        layers[name] = module, shapes
    for module, shapes in layers.values():
        _resize(module, shapes)
    return changed


def _refused(key: str, expected: torch.Size, found: torch.Size, why: str) -> InputError:
    return InputError(f"{key} is {list(found)}, but {list(expected)} in the dense network: {why}")


def _check_layer(
    module: nn.Module, shapes: Shapes, key: str, expected: torch.Size, found: torch.Size
) -> None:
    """Refuse layers of which nothing is known, and parts of a layer that do not fit each other."""
    kind = type(module).__name__
    if not isinstance(module, nn.Linear | _ConvNd | _BatchNorm | nn.GroupNorm | nn.LayerNorm):
        raise _refused(key, expected, found, f"a {kind} cannot be narrowed")
    if isinstance(module, _ConvNd) and module.transposed:
        raise _refused(key, expected, found, "transposed convolutions cannot be narrowed")
    weighs = isinstance(module, nn.Linear | _ConvNd)
    outputs = {part: shape[:1] if weighs else shape for part, shape in shapes.items() if len(shape)}
    if len(set(outputs.values())) > 1:
        texts = ", ".join(f"{part} {list(shapes[part])}" for part in outputs)
        raise _refused(key, expected, found, f"the parts of the {kind} do not fit ({texts})")
    if isinstance(module, _ConvNd | nn.GroupNorm):
        groups = module.num_groups if isinstance(module, nn.GroupNorm) else _groups(module, shapes)
        if shapes["weight"][0] % groups:
            raise _refused(key, expected, found, f"{groups} groups need a multiple of channels")


def _groups(module: _ConvNd, shapes: Shapes) -> int:
    """Groups of a convolution with a weight of this shape."""
    if module.groups > 1 and module.groups == module.in_channels:
        return max(1, shapes["weight"][0] // (module.out_channels // module.groups))
    return int(module.groups)


def _resize(module: nn.Module, shapes: Shapes) -> None:
    """Give a layer these shapes, and the sizes that it states of itself."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = shapes["weight"]
    elif isinstance(module, _ConvNd):
        module.groups = _groups(module, shapes)
        outputs, inputs = shapes["weight"][:2]
        module.out_channels, module.in_channels = outputs, inputs * module.groups
    elif isinstance(module, _BatchNorm):
        module.num_features = next(shape[0] for shape in shapes.values() if len(shape))
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = shapes["weight"][0]
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(shapes["weight"])
    for part, shape in shapes.items():
        old = getattr(module, part)
        new = torch.zeros(shape, dtype=old.dtype, device=old.device)
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, requires_grad=old.requires_grad)
        setattr(module, part, new)
