"""Weights of few bits: rounded after training, channel by channel.

Symmetric and uniform, with a scale for each output channel (Nagel et al. 2021, arXiv 2106.08295,
sections 2.2 and 2.4); the values stay float32, so that everything else runs as before.
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InvariantError
from sparsight.models.base import tied_names
from sparsight.pruning.registry import MOST_BITS
from sparsight.rounding import FULL_BITS


def quantised(weight: Tensor, bits: int) -> Tensor:
    """The weight rounded to whole multiples of a scale of each channel.

    Of a channel (first axis) the scale is max|w| / (2^(bits-1) - 1), so that its largest weight
    stays as it is, and zero stays zero. What is quantised already does not change.

    Parameters
    ----------
    weight : floats of [channels, ...].
    bits : from 2 (three values a channel) on.
    """
    most = 2 ** (bits - 1) - 1
    exact = weight.detach().double()
    largest = exact.abs().flatten(1).amax(1).view(-1, *[1] * (exact.ndim - 1))
    # a channel of zeros stays so
    scale_of = torch.where(largest > 0, largest, 1.0)
    whole = (exact * most / scale_of).round()
    # in this order the largest weight comes out exactly; and no zero is negative
    found: Tensor = whole * scale_of / most + 0.0
    return found.to(weight.dtype)


def measured_bits(weights: Tensors) -> int:
    """The fewest bits, from 2 to 16, that hold every weight without loss; 32 where 16 do not.

    Any bits hold a channel with no more than one size of weight, such as one with one survivor.

    Parameters
    ----------
    weights : prunable parameter to [channels, ...], as stored.
    """
    for bits in range(2, MOST_BITS + 1):
        if all(torch.equal(quantised(weight, bits), weight) for weight in weights.values()):
            return bits
    return FULL_BITS


def quantise(network: nn.Module, names: Collection[str], bits: int) -> None:
    """Round the parameters `names` of a network in place; see `quantised`."""
    with torch.no_grad():
        for name in names:
            parameter = network.get_parameter(name)
            parameter.copy_(quantised(parameter, bits))


def check_quantised(network: nn.Module, before: Tensors, masks: Tensors, bits: int) -> None:
    """Channels hold at most 2^bits - 1 values, what has fallen is zero, and all else is as before.

    Parameters
    ----------
    before : state of the network before its weights were rounded.
    masks : prunable parameter to bool.

    Raises
    ------
    InvariantError
        Naming the parameter.
    """
    tied, most = tied_names(network), 2**bits - 1
    for name, value in network.state_dict().items():
        mask = masks.get(tied.get(name, name))
        if mask is None:
            if not torch.equal(value.cpu(), before[name].cpu()):
                raise InvariantError(f"quantisation has changed {name}, which is not prunable")
            continue
        found = value.detach().cpu()
        if (found[~mask] != 0).any():
            raise InvariantError(f"quantisation has moved a pruned weight of {name} from zero")
        values = (found.flatten(1).sort(dim=1).values.diff(dim=1) != 0).sum(1) + 1
        if int(values.max()) > most:
            raise InvariantError(
                f"a channel of {name} holds {int(values.max())} values, more than the {most} of "
                f"{bits} bits"
            )
