"""Conversion: a masked network without its dead units, which computes the same.

Unstructured pruning leaves layers in their dense shape, so ordinary hardware saves nothing. What it
can save are units (channels of a convolution, neurons of a linear layer) that have become dead.
Only units that the weights prove dead are removed, none that merely stay silent on some images.

Own code, because torch has nothing for it: torch.nn.utils.prune only masks, and the sparsifier in
torch.ao.pruning that removes channels is experimental and chooses them itself. torch-simplify does
it, but stopped at torchvision 0.11 and needs more than the few lines below.
"""

import copy
import math
from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from sparsight.pruning.chain import Link, read_chain


@dataclass(frozen=True)
class LayerReport:
    """What conversion does to a layer.

    Attributes
    ----------
    channels, channels_left : units before and after; those of the last layer are the outputs of the
        network, which are never removed.
    multiply_adds, multiply_adds_converted : per image, of dense kernels before and after.
    multiply_adds_nonzero : per image, of the non-zero weights alone before conversion: what
        hardware for sparse weights could come down to.
    """

    channels: int
    channels_left: int
    multiply_adds: int
    multiply_adds_converted: int
    multiply_adds_nonzero: int


@dataclass(frozen=True)
class Report:
    """What conversion does to a network: layer to report, in the order of the data."""

    layers: dict[str, LayerReport]

    def total(self, quantity: str) -> int:
        """Sum over the layers of a quantity of `LayerReport`; channels without the outputs."""
        reports = list(self.layers.values())
        counted = reports[:-1] if quantity.startswith("channels") else reports
        return sum(int(getattr(report, quantity)) for report in counted)


class Constant(nn.Module):
    """A network through which nothing flows: the same logits [classes] for every image."""

    logits: torch.Tensor

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        return self.logits.expand(len(images), -1)


def convert(model: nn.Module, example: torch.Tensor) -> tuple[nn.Module, Report]:
    """Remove the dead units of a network.

    A unit is removed when nothing flows in (all its incoming weights are zero, so that its output
    is constant and moves into the biases of the next layer) or when nothing flows out (all its
    outgoing weights are zero); again, until no unit is. A constant unit stays where the next layer
    pads its input with zeros, unless its output is zero too: the borders would change.

    Parameters
    ----------
    model : a plain chain of Conv2d, ReLU, MaxPool2d, Flatten and Linear in evaluation mode, its
        masked weights exactly zero. It is not changed.
    example : float32 [N, C, H, W], images that it takes; only their shape counts.

    Returns
    -------
    The smaller network, equal to the model up to the rounding of float32, and the report. When a
    layer loses all its units the network is a `Constant`.

    Raises
    ------
    InputError
        When the model cannot be converted; the sentence names the module.
    """
    chain = read_chain(model, example)
    layers = _layers(chain, example.shape[1])
    while _remove_dead_units(layers):
        pass
    flows = all(bool(layer.alive.any()) for layer in layers)
    if not flows:
        for layer in layers[:-1]:
            layer.alive.zero_()
    report = Report({layer.link.name: layer.report() for layer in layers})
    if not flows:
        with torch.no_grad():
            # Where nothing flows, any image gives the same.
            return Constant(model(example[:1])[0].clone()).eval(), report
    rebuilt = {layer.link.name: layer.rebuilt() for layer in layers}
    modules = (
        (link.name.replace(".", "_"), rebuilt.get(link.name) or copy.deepcopy(link.module))
        for link in chain
    )
    return nn.Sequential(OrderedDict(modules)).eval(), report


class _Layer:
    """A layer with weights, on its way to be smaller.

    `weight` is float64 [units, units of the layer before, weights between the two], `bias` float64
    [units], `alive` bool [units] and `inputs` the `alive` of the layer before.
    """

    def __init__(self, link: Link, inputs: torch.Tensor) -> None:
        module = link.module
        assert isinstance(module, nn.Conv2d | nn.Linear)
        self.link, self.module, self.inputs = link, module, inputs
        units = link.shape[0]
        # After Flatten a channel becomes consecutive features: one row of weights per channel.
        self.weight = module.weight.detach().double().reshape(units, len(inputs), -1)
        given = module.bias
        self.bias = torch.zeros(units).double() if given is None else given.detach().double()
        self.alive = torch.ones(units, dtype=torch.bool)
        self.rectified = False

    @property
    def pads_with_zeros(self) -> bool:
        """Whether the borders of the input are set to zero."""
        module = self.module
        if isinstance(module, nn.Linear) or module.padding_mode != "zeros":
            return False
        if module.padding == "same":
            return max(module.kernel_size) > 1
        return module.padding != "valid" and any(module.padding)

    def flowing_in(self) -> torch.Tensor:
        """Units that any living unit before reaches, bool [units]."""
        return (self.weight[:, self.inputs] != 0).any(dim=2).any(dim=1)

    def flowing_out(self) -> torch.Tensor:
        """Units of the layer before that reach any living unit of this one, bool."""
        return (self.weight[self.alive] != 0).any(dim=2).any(dim=0)

    def constants(self) -> torch.Tensor:
        """What units give the next layer when nothing flows in, float64 [units]."""
        # Pooling takes the maximum of equal values.
        return self.bias.clamp(min=0) if self.rectified else self.bias

    def rebuilt(self) -> nn.Module:
        """The layer without its dead units."""
        old = self.module
        weight, bias = self.weight[self.alive][:, self.inputs], self.bias[self.alive]
        has_bias = old.bias is not None or bool(bias.any())
        new: nn.Conv2d | nn.Linear
        if isinstance(old, nn.Linear):
            new = nn.Linear(weight[0].numel(), len(weight), has_bias)
        else:
            new = nn.Conv2d(
                weight.shape[1],
                len(weight),
                old.kernel_size,  # type: ignore[arg-type]
                old.stride,  # type: ignore[arg-type]
                old.padding,  # type: ignore[arg-type]
                old.dilation,  # type: ignore[arg-type]
                bias=has_bias,
                padding_mode=old.padding_mode,
            )
        with torch.no_grad():
            new.weight.copy_(weight.reshape(new.weight.shape))
            if new.bias is not None:
                new.bias.copy_(bias)
        return new.to(old.weight.device, old.weight.dtype)

    def report(self) -> LayerReport:
        """Counts, before and after."""
        positions = math.prod(self.link.shape[1:])
        left = self.weight[self.alive][:, self.inputs]
        return LayerReport(
            channels=len(self.alive),
            channels_left=int(self.alive.sum()),
            multiply_adds=self.weight.numel() * positions,
            multiply_adds_converted=left.numel() * positions,
            multiply_adds_nonzero=int(self.module.weight.count_nonzero()) * positions,
        )


def _layers(chain: list[Link], channels: int) -> list[_Layer]:
    found: list[_Layer] = []
    inputs = torch.ones(channels, dtype=torch.bool)
    for link in chain:
        if link.has_weights:
            found.append(_Layer(link, inputs))
            inputs = found[-1].alive
        elif isinstance(link.module, nn.ReLU) and found:
            found[-1].rectified = True
    return found


def _remove_dead_units(layers: list[_Layer]) -> bool:
    """One pass over all layers but the last; whether any unit was removed."""
    before = sum(int(layer.alive.sum()) for layer in layers)
    for layer, following in pairwise(layers):
        values = layer.constants()
        constant = layer.alive & ~layer.flowing_in()
        if following.pads_with_zeros:
            constant &= values == 0
        moved = following.weight[:, constant].sum(dim=2) @ values[constant]
        following.bias = following.bias + moved
        layer.alive &= following.flowing_out() & ~constant
    return sum(int(layer.alive.sum()) for layer in layers) < before
