"""What every architecture says of itself."""

from abc import ABC
from typing import ClassVar

import torch
from torch import nn


class Architecture(nn.Module, ABC):
    """A network whose facts are literal class attributes: the workflow reads them from the source.

    `forward` maps images [N, C, H, W] (float32, range 0 to 1) to logits [N, classes].
    """

    name: ClassVar[str]
    reference: ClassVar[str]
    #: channels, height, width that it takes
    input_shape: ClassVar[tuple[int, int, int]]
    #: modules that a layer explainer may name, in the order of the forward pass, and the height and
    #: width of their outputs
    layers: ClassVar[dict[str, tuple[int, int]]]
    #: where class activation maps are taken by default
    explain_layer: ClassVar[str]
    #: the module whose output is the feature vector or map that concept methods use
    feature_cut: ClassVar[str]

    def __init__(self, class_count: int) -> None:
        super().__init__()
        self.class_count = class_count


def build_network(architecture: type[Architecture], class_count: int, seed: int) -> Architecture:
    """A freshly initialised network; the same seed gives the same weights whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture(class_count)
