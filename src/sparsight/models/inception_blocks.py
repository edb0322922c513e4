"""The blocks of Inception-V3, named as in torchvision, whose weights they take."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

Kernel = int | tuple[int, int]
#: modules that run side by side: name, channels at full width, kernel; a pooling has but a name
Step = tuple[tuple[Any, ...], ...]
#: steps that run one after the other
Branch = Sequence[Step]

#: channels of the first convolution at full width; all others keep their ratio to it
FULL_WIDTH = 32
POOL: Step = (("pool",),)


class ConvNormRelu(nn.Module):
    """Convolution, batch normalisation with an epsilon of 0.001, and ReLU, each a module."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padded: bool = False
    ) -> None:
        super().__init__()
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (high // 2, wide // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (high, wide), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)
        self.relu = nn.ReLU()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature maps [N, outputs, h', w'] of [N, inputs, h, w]."""
        maps: torch.Tensor = self.relu(self.bn(self.conv(hidden)))
        return maps


class Mixed(nn.Module):
    """Branches of convolutions, whose maps are put one behind the other.

    Parameters
    ----------
    inputs : channels.
    width : of the network, see `InceptionV3`.
    branches : in the order of their maps. With `halving`, the last convolution of each has a stride
        of 2 and no padding, and the pooling takes the maximum instead of the mean.
    """

    def __init__(
        self, inputs: int, width: int, branches: Sequence[Branch], halving: bool = False
    ) -> None:
        super().__init__()
        self.halving, self.width = halving, width
        self.branches: list[list[tuple[str, ...]]] = []
        self.outputs = sum(self._add_branch(inputs, branch) for branch in branches)

    def _add_branch(self, channels: int, branch: Branch) -> int:
        """Make a branch's modules; how many channels it gives."""
        names = []
        for index, step in enumerate(branch):
            last = self.halving and index == len(branch) - 1
            found = 0
            for name, *facts in step:
                if facts:
                    outputs = scaled(facts[0], self.width)
                    stride = 2 if last else 1
                    self.add_module(
                        name, ConvNormRelu(channels, outputs, facts[1], stride, padded=not last)
                    )
                else:
                    outputs = channels
                    self.add_module(
                        name, nn.MaxPool2d(3, 2) if self.halving else nn.AvgPool2d(3, 1, 1)
                    )
                found += outputs
            names.append(tuple(name for name, *_ in step))
            channels = found
        self.branches.append(names)
        return channels

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature maps [N, outputs, h', w'] of [N, inputs, h, w]."""
        found = []
        for branch in self.branches:
            maps = hidden
            for names in branch:
                maps = _joined([self.get_submodule(name)(maps) for name in names])
            found.append(maps)
        return _joined(found)


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def scaled(channels: int, width: int) -> int:
    """Channels of a module that has `channels` at full width; at least one."""
    return max(channels * width // FULL_WIDTH, 1)


def _one(name: str, channels: int, kernel: Kernel) -> Step:
    return ((name, channels, kernel),)


def block_a(pooled: int) -> list[Branch]:
    """35 x 35 maps: figure 5."""
    return [
        [_one("branch1x1", 64, 1)],
        [_one("branch5x5_1", 48, 1), _one("branch5x5_2", 64, 5)],
        [
            _one("branch3x3dbl_1", 64, 1),
            _one("branch3x3dbl_2", 96, 3),
            _one("branch3x3dbl_3", 96, 3),
        ],
        [POOL, _one("branch_pool", pooled, 1)],
    ]


def block_b() -> list[Branch]:
    """From 35 x 35 to 17 x 17: figure 10."""
    return [
        [_one("branch3x3", 384, 3)],
        [
            _one("branch3x3dbl_1", 64, 1),
            _one("branch3x3dbl_2", 96, 3),
            _one("branch3x3dbl_3", 96, 3),
        ],
        [POOL],
    ]


def block_c(inner: int) -> list[Branch]:
    """17 x 17 maps, kernels of 7 taken apart: figure 6."""
    return [
        [_one("branch1x1", 192, 1)],
        [
            _one("branch7x7_1", inner, 1),
            _one("branch7x7_2", inner, (1, 7)),
            _one("branch7x7_3", 192, (7, 1)),
        ],
        [
            _one("branch7x7dbl_1", inner, 1),
            _one("branch7x7dbl_2", inner, (7, 1)),
            _one("branch7x7dbl_3", inner, (1, 7)),
            _one("branch7x7dbl_4", inner, (7, 1)),
            _one("branch7x7dbl_5", 192, (1, 7)),
        ],
        [POOL, _one("branch_pool", 192, 1)],
    ]


def block_d() -> list[Branch]:
    """From 17 x 17 to 8 x 8."""
    return [
        [_one("branch3x3_1", 192, 1), _one("branch3x3_2", 320, 3)],
        [
            _one("branch7x7x3_1", 192, 1),
            _one("branch7x7x3_2", 192, (1, 7)),
            _one("branch7x7x3_3", 192, (7, 1)),
            _one("branch7x7x3_4", 192, 3),
        ],
        [POOL],
    ]


def block_e() -> list[Branch]:
    """8 x 8 maps, kernels of 3 taken apart side by side: figure 7."""
    return [
        [_one("branch1x1", 320, 1)],
        [
            _one("branch3x3_1", 384, 1),
            (("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))),
        ],
        [
            _one("branch3x3dbl_1", 448, 1),
            _one("branch3x3dbl_2", 384, 3),
            (("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))),
        ],
        [POOL, _one("branch_pool", 192, 1)],
    ]
