"""Residual networks with torchvision's weights and keys, on which every explainer can run."""

from typing import Any, ClassVar

import torch
from torch import nn

from sparsight.models.base import Architecture, Normalise


class Block(nn.Module):
    """Convolutions with batch normalisation and ReLU one after the other, and a shortcut.

    The first 3x3 convolution has the stride, as in torchvision ("ResNet V1.5" for bottlenecks, in
    whose paper it is the first convolution). Each ReLU is a module of its own and works on a copy:
    torchvision's blocks use one in-place ReLU several times, on which DeepLift and hooks on
    rectifiers fail.
    """

    #: sides of the convolutions' kernels
    kernels: ClassVar[tuple[int, ...]]
    #: channels of the last convolution, as a multiple of `planes`, which all others have
    expansion: ClassVar[int]

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        channels, outputs, last = inputs, planes * self.expansion, len(self.kernels)
        strided = 1 + self.kernels.index(3)
        for number, kernel in enumerate(self.kernels, 1):
            wide, step = outputs if number == last else planes, stride if number == strided else 1
            conv = nn.Conv2d(channels, wide, kernel, step, kernel // 2, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(wide))
            if number == last:
                self.downsample = projection(inputs, outputs, stride)
            self.add_module(f"relu{number}", nn.ReLU())
            channels = wide

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature maps [N, planes · expansion, h / stride, w / stride] of [N, inputs, h, w]."""
        residual, last = hidden, len(self.kernels)
        for number in range(1, last + 1):
            residual = self.get_submodule(f"conv{number}")(residual)
            residual = self.get_submodule(f"bn{number}")(residual)
            if number == last:
                shortcut = hidden if self.downsample is None else self.downsample(hidden)
                residual = residual + shortcut
            residual = self.get_submodule(f"relu{number}")(residual)
        return residual


class BasicBlock(Block):
    """Two 3x3 convolutions."""

    kernels: ClassVar[tuple[int, ...]] = (3, 3)
    expansion: ClassVar[int] = 1


class Bottleneck(Block):
    """Convolutions: 1x1 to `planes` channels, 3x3, 1x1 to four times as many."""

    kernels: ClassVar[tuple[int, ...]] = (1, 3, 1)
    expansion: ClassVar[int] = 4


def projection(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Projection of a shortcut; None where it is the identity, as torchvision has it."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(Architecture):
    """What residual networks of all depths share; a depth names its block and their numbers.

    With the default options, the keys of its state_dict and, for equal weights and normalised
    images, its outputs are those of torchvision. Weights are initialised as there.

    Parameters
    ----------
    class_count : number of logits.
    width : channels of the first stage's 3x3 convolutions; they double in each of the three others.
    stem : `imagenet` (7x7 convolution of stride 2, then 3x3 max pooling of stride 2), `strided`
        (3x3 of stride 2) or `small` (3x3 of stride 1).
    normalisation : `imagenet` (by its mean and deviation) or `none`.

    Reference
    ---------
    He et al. 2016, arXiv 1512.03385; initialisation He et al. 2015, arXiv 1502.01852, by fan out.
    """

    block: ClassVar[type[Block]]
    stage_blocks: ClassVar[tuple[int, int, int, int]]
    input_shape: ClassVar[tuple[int, int, int]] = (3, 0, 0)
    minimum_side: ClassVar[int] = 16
    option_defaults: ClassVar[dict[str, int | str]] = {
        "width": 64,
        "stem": "imagenet",
        "normalisation": "imagenet",
    }
    option_choices: ClassVar[dict[str, Any]] = {
        "width": "[1, inf)",
        "stem": ("imagenet", "strided", "small"),
        "normalisation": ("imagenet", "none"),
    }
    stem_strides: ClassVar[dict[str, dict[str, int]]] = {
        "imagenet": {"conv1": 2, "relu": 2, "": 4},
        "strided": {"": 2},
        "small": {"": 1},
    }
    explain_layer: ClassVar[str] = "layer4"
    feature_cut: ClassVar[str] = "layer4"
    classifiers: ClassVar[tuple[str, ...]] = ("fc",)
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self,
        class_count: int,
        width: int = 64,
        stem: str = "imagenet",
        normalisation: str = "imagenet",
    ) -> None:
        super().__init__(class_count)
        self.normalise = Normalise() if normalisation == "imagenet" else nn.Identity()
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        else:
            self.conv1 = nn.Conv2d(3, width, 3, 2 if stem == "strided" else 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
        channels = width
        for index, count in enumerate(self.stage_blocks):
            planes, stride = width * 2**index, 2 if index else 1
            first, channels = self.block(channels, planes, stride), planes * self.block.expansion
            others = (self.block(channels, planes, 1) for _ in range(count - 1))
            self.add_module(f"layer{index + 1}", nn.Sequential(first, *others))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, class_count)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def feature_maps(self, images: torch.Tensor) -> torch.Tensor:
        """Maps [N, D, h, w] of images [N, 3, H, W] in [0, 1]."""
        hidden = self.relu(self.bn1(self.conv1(self.normalise(images))))
        hidden = self.maxpool(hidden)
        maps: torch.Tensor = self.layer4(self.layer3(self.layer2(self.layer1(hidden))))
        return maps

    def class_logits(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] of maps [N, D, h, w]."""
        logits: torch.Tensor = self.fc(self.flatten(self.avgpool(maps)))
        return logits


class ResNet18(ResNet):
    """ResNet-18: eight basic blocks; 11,181,642 parameters for ten classes at width 64."""

    name: ClassVar[str] = "resnet18"
    reference: ClassVar[str] = "He et al. 2016, arXiv 1512.03385"
    imagenet_weights: ClassVar[str] = "resnet18-f37072fd.pth"
    block: ClassVar[type[Block]] = BasicBlock
    stage_blocks: ClassVar[tuple[int, int, int, int]] = (2, 2, 2, 2)
    layer_strides: ClassVar[dict[str, int]] = {
        "conv1 relu maxpool layer1.0.conv1 layer1.0.conv2 layer1.0 layer1.1.conv1 "
        "layer1.1.conv2 layer1.1 layer1": 1,
        "layer2.0.conv1 layer2.0.conv2 layer2.0 layer2.1.conv1 layer2.1.conv2 layer2.1 layer2": 2,
        "layer3.0.conv1 layer3.0.conv2 layer3.0 layer3.1.conv1 layer3.1.conv2 layer3.1 layer3": 4,
        "layer4.0.conv1 layer4.0.conv2 layer4.0 layer4.1.conv1 layer4.1.conv2 layer4.1 layer4": 8,
    }


class ResNet50(ResNet):
    """ResNet-50: sixteen bottlenecks; 23,528,522 parameters for ten classes at width 64."""

    name: ClassVar[str] = "resnet50"
    reference: ClassVar[str] = "He et al. 2016, arXiv 1512.03385"
    imagenet_weights: ClassVar[str] = "resnet50-0676ba61.pth"
    block: ClassVar[type[Block]] = Bottleneck
    stage_blocks: ClassVar[tuple[int, int, int, int]] = (3, 4, 6, 3)
    layer_strides: ClassVar[dict[str, int]] = {
        "conv1 relu maxpool layer1.0.conv1 layer1.0.conv2 layer1.0.conv3 layer1.0 "
        "layer1.1.conv1 layer1.1.conv2 layer1.1.conv3 layer1.1 layer1.2.conv1 layer1.2.conv2 "
        "layer1.2.conv3 layer1.2 layer1 layer2.0.conv1": 1,
        "layer2.0.conv2 layer2.0.conv3 layer2.0 layer2.1.conv1 layer2.1.conv2 layer2.1.conv3 "
        "layer2.1 layer2.2.conv1 layer2.2.conv2 layer2.2.conv3 layer2.2 layer2.3.conv1 "
        "layer2.3.conv2 layer2.3.conv3 layer2.3 layer2 layer3.0.conv1": 2,
        "layer3.0.conv2 layer3.0.conv3 layer3.0 layer3.1.conv1 layer3.1.conv2 layer3.1.conv3 "
        "layer3.1 layer3.2.conv1 layer3.2.conv2 layer3.2.conv3 layer3.2 layer3.3.conv1 "
        "layer3.3.conv2 layer3.3.conv3 layer3.3 layer3.4.conv1 layer3.4.conv2 layer3.4.conv3 "
        "layer3.4 layer3.5.conv1 layer3.5.conv2 layer3.5.conv3 layer3.5 layer3 layer4.0.conv1": 4,
        "layer4.0.conv2 layer4.0.conv3 layer4.0 layer4.1.conv1 layer4.1.conv2 layer4.1.conv3 "
        "layer4.1 layer4.2.conv1 layer4.2.conv2 layer4.2.conv3 layer4.2 layer4": 8,
    }
