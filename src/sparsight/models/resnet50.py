"""ResNet-50; its blocks and all that residual networks share are in `sparsight.models.resnet`."""

from typing import ClassVar

from sparsight.models.resnet import BasicBlock, Bottleneck, ResNet


class ResNet50(ResNet):
    """ResNet-50: sixteen bottlenecks; 23,528,522 parameters for ten classes at width 64."""

    name: ClassVar[str] = "resnet50"
    reference: ClassVar[str] = "He et al. 2016, arXiv 1512.03385"
    imagenet_weights: ClassVar[str] = "resnet50-0676ba61.pth"
    block: ClassVar[type[BasicBlock] | type[Bottleneck]] = Bottleneck
    stage_blocks: ClassVar[tuple[int, int, int, int]] = (3, 4, 6, 3)
    layer_strides: ClassVar[dict[str, int]] = {
        "conv1": 1,
        "relu": 1,
        "maxpool": 1,
        "layer1.0.conv1": 1,
        "layer1.0.conv2": 1,
        "layer1.0.conv3": 1,
        "layer1.0": 1,
        "layer1.1.conv1": 1,
        "layer1.1.conv2": 1,
        "layer1.1.conv3": 1,
        "layer1.1": 1,
        "layer1.2.conv1": 1,
        "layer1.2.conv2": 1,
        "layer1.2.conv3": 1,
        "layer1.2": 1,
        "layer1": 1,
        "layer2.0.conv1": 1,
        "layer2.0.conv2": 2,
        "layer2.0.conv3": 2,
        "layer2.0": 2,
        "layer2.1.conv1": 2,
        "layer2.1.conv2": 2,
        "layer2.1.conv3": 2,
        "layer2.1": 2,
        "layer2.2.conv1": 2,
        "layer2.2.conv2": 2,
        "layer2.2.conv3": 2,
        "layer2.2": 2,
        "layer2.3.conv1": 2,
        "layer2.3.conv2": 2,
        "layer2.3.conv3": 2,
        "layer2.3": 2,
        "layer2": 2,
        "layer3.0.conv1": 2,
        "layer3.0.conv2": 4,
        "layer3.0.conv3": 4,
        "layer3.0": 4,
        "layer3.1.conv1": 4,
        "layer3.1.conv2": 4,
        "layer3.1.conv3": 4,
        "layer3.1": 4,
        "layer3.2.conv1": 4,
        "layer3.2.conv2": 4,
        "layer3.2.conv3": 4,
        "layer3.2": 4,
        "layer3.3.conv1": 4,
        "layer3.3.conv2": 4,
        "layer3.3.conv3": 4,
        "layer3.3": 4,
        "layer3.4.conv1": 4,
        "layer3.4.conv2": 4,
        "layer3.4.conv3": 4,
        "layer3.4": 4,
        "layer3.5.conv1": 4,
        "layer3.5.conv2": 4,
        "layer3.5.conv3": 4,
        "layer3.5": 4,
        "layer3": 4,
        "layer4.0.conv1": 4,
        "layer4.0.conv2": 8,
        "layer4.0.conv3": 8,
        "layer4.0": 8,
        "layer4.1.conv1": 8,
        "layer4.1.conv2": 8,
        "layer4.1.conv3": 8,
        "layer4.1": 8,
        "layer4.2.conv1": 8,
        "layer4.2.conv2": 8,
        "layer4.2.conv3": 8,
        "layer4.2": 8,
        "layer4": 8,
    }
