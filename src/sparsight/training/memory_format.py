"""How the arrays of a training lie in memory."""

import torch
from torch import nn

from sparsight.training.recipe import Recipe

#: channels that oneDNN's AVX2 kernels take at a time
_BLOCK = 8


def memory_format(network: nn.Module, recipe: Recipe) -> torch.memory_format:
    """`torch.channels_last` where the recipe asks for it and the network bears it.

    oneDNN's backward pass of a strided 1x1 convolution with fewer input channels than a block
    writes past its workspace, on processors with AVX2 and without AVX-512, when the channels are
    innermost (github.com/uxlfoundation/oneDNN/issues/6035, seen with torch 2.15): the heap is
    corrupted, silently at first. Networks with such a layer stay contiguous, on every machine.
    """
    corrupting = any(
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels // module.groups < _BLOCK
        for module in network.modules()
    )
    if recipe.channels_last and not corrupting:
        return torch.channels_last
    return torch.contiguous_format
