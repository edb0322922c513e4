"""The convolutional network of Lukkien's thesis on MNIST."""

from typing import ClassVar

import torch
from torch import nn

from sparsight.models.base import Architecture


class ThesisCnn(Architecture):
    """Two 3x3 convolutions without padding, each with ReLU and 2x2 max pooling, and a linear layer.

    2,346 parameters for ten classes, 2,324 of them prunable (the weights of the three layers).

    Parameters
    ----------
    class_count : number of logits.

    Reference
    ---------
    Lukkien, "The effect of unstructured pruning on the explanatory quality of heatmaps".
    """

    name: ClassVar[str] = "thesis_cnn"
    reference: ClassVar[str] = (
        "Lukkien, The effect of unstructured pruning on the explanatory quality of heatmaps"
    )
    input_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    layers: ClassVar[dict[str, tuple[int, int]]] = {
        "conv1": (26, 26),
        "conv1_relu": (26, 26),
        "pool1": (13, 13),
        "conv2": (11, 11),
        "conv2_relu": (11, 11),
        "pool2": (5, 5),
    }
    explain_layer: ClassVar[str] = "conv2"
    feature_cut: ClassVar[str] = "pool2"
    classifiers: ClassVar[tuple[str, ...]] = ("classifier",)

    def __init__(self, class_count: int = 10) -> None:
        super().__init__(class_count)
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.conv1_relu = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 8, 3)
        self.conv2_relu = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(200, class_count)
        for layer in (self.conv1, self.conv2, self.classifier):
            # OpenLTH, on which the thesis is built, initialises weights so by default.
            nn.init.kaiming_normal_(layer.weight)

    def feature_maps(self, images: torch.Tensor) -> torch.Tensor:
        """Maps [N, 8, 5, 5] of images [N, 1, 28, 28]."""
        hidden = self.pool1(self.conv1_relu(self.conv1(images)))
        maps: torch.Tensor = self.pool2(self.conv2_relu(self.conv2(hidden)))
        return maps

    def class_logits(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] of maps [N, 8, 5, 5]."""
        logits: torch.Tensor = self.classifier(self.flatten(maps))
        return logits
