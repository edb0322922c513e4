"""Sorting and counting pixels: the slow steps of metrics that go by rank."""

import numpy as np
import torch
from torch import Tensor


def ascending(values: Tensor) -> Tensor:
    """Each row of `values` [N, n] in ascending order, NaN last.

    On the CPU numpy sorts: values alone, with vector instructions, which torch's sort, made for
    values with their indices, does not use (some twenty times slower on 28x28 maps).
    """
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    return torch.from_numpy(np.sort(values.detach().numpy(), axis=1))


def zeros_and_ones(flags: Tensor) -> Tensor:
    """float32 of bool, to count by sums: exact up to 2^24, and much faster than sums of bool.

    By way of bytes: torch converts these with vector instructions, and bool without.
    """
    return flags.view(torch.uint8).float()
