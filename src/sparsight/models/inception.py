"""Inception-V3 with torchvision's weights and keys, on which every explainer can run."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from sparsight.models.base import INCEPTION_MEAN, INCEPTION_STD, Architecture, Normalise

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
    """Branches of convolutions, whose maps are put one behind the other in the branches' order.

    `width` is that of the network, see `InceptionV3`. With `halving`, the last convolution of each
    branch has a stride of 2 and no padding, and the pooling takes the maximum instead of the mean.
    """

    def __init__(
        self, inputs: int, width: int, branches: Sequence[Branch], halving: bool = False
    ) -> None:
        super().__init__()
        self.branches: list[list[list[str]]] = []
        self.outputs = 0
        for branch in branches:
            channels, names = inputs, []
            for index, step in enumerate(branch):
                halves, found = halving and index == len(branch) - 1, 0
                for name, *facts in step:
                    if facts:
                        outputs, stride = scaled(facts[0], width), 2 if halves else 1
                        module: nn.Module = ConvNormRelu(
                            channels, outputs, facts[1], stride, padded=not halves
                        )
                    else:
                        outputs = channels
                        module = nn.MaxPool2d(3, 2) if halving else nn.AvgPool2d(3, 1, 1)
                    self.add_module(name, module)
                    found += outputs
                names.append([name for name, *_ in step])
                channels = found
            self.branches.append(names)
            self.outputs += channels

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


def _chain(name: str, *facts: tuple[int, Kernel]) -> list[Step]:
    """Convolutions one after the other, numbered from 1: the channels and kernel of each."""
    return [_one(f"{name}_{number}", *one) for number, one in enumerate(facts, 1)]


def block_a(pooled: int) -> list[Branch]:
    """35 x 35 maps: figure 5."""
    return [
        [_one("branch1x1", 64, 1)],
        _chain("branch5x5", (48, 1), (64, 5)),
        _chain("branch3x3dbl", (64, 1), (96, 3), (96, 3)),
        [POOL, _one("branch_pool", pooled, 1)],
    ]


def block_c(inner: int) -> list[Branch]:
    """17 x 17 maps, kernels of 7 taken apart: figure 6."""
    high, wide = (7, 1), (1, 7)
    return [
        [_one("branch1x1", 192, 1)],
        _chain("branch7x7", (inner, 1), (inner, wide), (192, high)),
        _chain(
            "branch7x7dbl", (inner, 1), (inner, high), (inner, wide), (inner, high), (192, wide)
        ),
        [POOL, _one("branch_pool", 192, 1)],
    ]


def block_e() -> list[Branch]:
    """8 x 8 maps, kernels of 3 taken apart side by side: figure 7."""

    def apart(name: str) -> Step:
        return ((f"{name}a", 384, (1, 3)), (f"{name}b", 384, (3, 1)))

    return [
        [_one("branch1x1", 320, 1)],
        [*_chain("branch3x3", (384, 1)), apart("branch3x3_2")],
        [*_chain("branch3x3dbl", (448, 1), (384, 3)), apart("branch3x3dbl_3")],
        [POOL, _one("branch_pool", 192, 1)],
    ]


#: layer to the channels of its convolution at full width, or to its branches
LAYERS: dict[str, int | list[Branch]] = {
    "Conv2d_1a_3x3": 32,
    "Conv2d_2a_3x3": 32,
    "Conv2d_2b_3x3": 64,
    "Conv2d_3b_1x1": 80,
    "Conv2d_4a_3x3": 192,
    "Mixed_5b": block_a(32),
    "Mixed_5c": block_a(64),
    "Mixed_5d": block_a(64),
    "Mixed_6a": [  # from 35 x 35 to 17 x 17: figure 10
        [_one("branch3x3", 384, 3)],
        _chain("branch3x3dbl", (64, 1), (96, 3), (96, 3)),
        [POOL],
    ],
    "Mixed_6b": block_c(128),
    "Mixed_6c": block_c(160),
    "Mixed_6d": block_c(160),
    "Mixed_6e": block_c(192),
    "Mixed_7a": [  # from 17 x 17 to 8 x 8
        _chain("branch3x3", (192, 1), (320, 3)),
        _chain("branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)),
        [POOL],
    ],
    "Mixed_7b": block_e(),
    "Mixed_7c": block_e(),
}
#: the layer behind which the auxiliary head branches off
MIDDLE = "Mixed_6e"
#: of the maps that the auxiliary head takes: those of images of 299 pixels
LEAST_SIDE = 17


class AuxiliaryHead(nn.Module):
    """A second classifier on maps half way up, whose loss trains the lower half more directly."""

    def __init__(self, inputs: int, width: int, class_count: int) -> None:
        super().__init__()
        middle, outputs = scaled(128, width), scaled(768, width)
        self.pool = nn.AvgPool2d(5, 3)
        self.conv0 = ConvNormRelu(inputs, middle, 1)
        self.conv1 = ConvNormRelu(middle, outputs, 5)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(outputs, class_count)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] of maps [N, inputs, h, w], h and w at least `LEAST_SIDE`."""
        hidden = self.conv1(self.conv0(self.pool(maps)))
        logits: torch.Tensor = self.fc(self.flatten(self.avgpool(hidden)))
        return logits


class InceptionV3(Architecture):
    """Inception-V3 with its auxiliary head; 24,371,444 parameters for ten classes at width 32.

    With the default options, the keys of its state_dict and, for equal weights, its outputs are
    those of torchvision with `transform_input`, for images normalised as there. Weights are
    initialised as there. The auxiliary head runs in training only (`training_logits`); its loss
    counts 0.4, as in the training script of TF-Slim, from whose weights torchvision's are made, and
    in PyTorch's tutorial on fine-tuning. The paper that introduced such heads has 0.3. Images below
    299 pixels leave it maps that are too small: then it stays untrained. It is never pruned, and
    densities leave it out.

    Parameters
    ----------
    class_count : number of logits.
    width : channels of the first convolution; those of all others are in proportion.
    normalisation : `inception` (images in [-1, 1]) or `none`.

    Reference
    ---------
    Szegedy et al. 2016, arXiv 1512.00567, figures 5 to 10; auxiliary heads Szegedy et al. 2015,
    arXiv 1409.4842, section 5.
    """

    name: ClassVar[str] = "inception_v3"
    reference: ClassVar[str] = "Szegedy et al. 2016, arXiv 1512.00567"
    input_shape: ClassVar[tuple[int, int, int]] = (3, 0, 0)
    minimum_side: ClassVar[int] = 75
    option_defaults: ClassVar[dict[str, int | str]] = {"width": 32, "normalisation": "inception"}
    option_choices: ClassVar[dict[str, Any]] = {
        "width": "[1, inf)",
        "normalisation": ("inception", "none"),
    }
    layer_windows: ClassVar[dict[str, tuple[int, int, int]]] = {
        "Conv2d_1a_3x3": (3, 2, 0),
        "Conv2d_2a_3x3": (3, 1, 0),
        "Conv2d_2b_3x3": (3, 1, 1),
        "maxpool1": (3, 2, 0),
        "Conv2d_3b_1x1": (1, 1, 0),
        "Conv2d_4a_3x3": (3, 1, 0),
        "maxpool2": (3, 2, 0),
        "Mixed_5b": (1, 1, 0),
        "Mixed_5c": (1, 1, 0),
        "Mixed_5d": (1, 1, 0),
        "Mixed_6a": (3, 2, 0),
        "Mixed_6b": (1, 1, 0),
        "Mixed_6c": (1, 1, 0),
        "Mixed_6d": (1, 1, 0),
        "Mixed_6e": (1, 1, 0),
        "Mixed_7a": (3, 2, 0),
        "Mixed_7b": (1, 1, 0),
        "Mixed_7c": (1, 1, 0),
    }
    explain_layer: ClassVar[str] = "Mixed_7c"
    feature_cut: ClassVar[str] = "Mixed_7c"
    classifiers: ClassVar[tuple[str, ...]] = ("fc", "AuxLogits.fc")
    auxiliary_weight: ClassVar[float] = 0.4
    training_only: ClassVar[tuple[str, ...]] = ("AuxLogits",)
    imagenet_weights: ClassVar[str] = "inception_v3_google-0cc3c7bd.pth"

    def __init__(
        self, class_count: int, width: int = FULL_WIDTH, normalisation: str = "inception"
    ) -> None:
        super().__init__(class_count)
        inside = normalisation == "inception"
        self.normalise = Normalise(INCEPTION_MEAN, INCEPTION_STD) if inside else nn.Identity()
        channels = 3
        for name, (kernel, stride, padding) in self.layer_windows.items():
            module: nn.Module = nn.MaxPool2d(kernel, stride)
            made_of = LAYERS.get(name)
            if isinstance(made_of, int):
                outputs, padded = scaled(made_of, width), padding > 0
                module = ConvNormRelu(channels, outputs, kernel, stride, padded)
                channels = outputs
            elif made_of is not None:
                module = Mixed(channels, width, made_of, halving=stride == 2)
                channels = module.outputs
            self.add_module(name, module)
            if name == MIDDLE:
                self.AuxLogits = AuxiliaryHead(channels, width, class_count)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.5)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, class_count)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                deviation = 0.001 if name == "AuxLogits.fc" else 0.1
                nn.init.trunc_normal_(module.weight, std=deviation)

    def _between(self, maps: torch.Tensor, start: int, stop: int | None) -> torch.Tensor:
        """The layers from `start` to `stop` (exclusive) of `layer_windows`."""
        for name in list(self.layer_windows)[start:stop]:
            maps = self.get_submodule(name)(maps)
        return maps

    def feature_maps(self, images: torch.Tensor) -> torch.Tensor:
        """Maps [N, D, h, w] of images [N, 3, H, W] in [0, 1]."""
        return self._between(self.normalise(images), 0, None)

    def class_logits(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] of maps [N, D, h, w]; training drops half of the features."""
        logits: torch.Tensor = self.fc(self.flatten(self.dropout(self.avgpool(maps))))
        return logits

    def training_logits(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits [N, classes] of the network, and of its auxiliary head if maps suffice for it."""
        upper = list(self.layer_windows).index(MIDDLE) + 1
        middle = self._between(self.normalise(images), 0, upper)
        auxiliary = self.AuxLogits(middle) if min(middle.shape[2:]) >= LEAST_SIDE else None
        return self.class_logits(self._between(middle, upper, None)), auxiliary
