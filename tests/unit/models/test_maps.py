"""Which layer outputs are maps of an image."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.network import recorded
from sparsight.io.errors import InputError
from sparsight.models.base import Architecture, check_maps

SQUARE, WIDE = (2, 3, 64, 64), (2, 3, 30, 60)


@pytest.mark.parametrize(
    ("output", "images"),
    [
        ((2, 512, 2, 2), SQUARE),
        ((2, 8, 8, 8), SQUARE),
        ((2, 1, 1, 1), SQUARE),
        ((2, 4, 8, 15), WIDE),
        ((2, 512, 1, 1), WIDE),
    ],
)
def test_maps(output: tuple[int, ...], images: tuple[int, ...]) -> None:
    check_maps("layer", output, images)


@pytest.mark.parametrize(
    ("output", "images"),
    [
        ((2, 7, 7, 768), SQUARE),
        ((2, 15, 30, 96), WIDE),
        ((2, 197, 768), SQUARE),
        ((2, 10), SQUARE),
        ((2, 8, 3, 7, 7), SQUARE),
    ],
)
def test_what_is_no_map_is_refused_by_name(
    output: tuple[int, ...], images: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match=r"'stages\.3'"):
        check_maps("stages.3", output, images)


class ChannelsInnermost(nn.Module):
    """As windowed transformers compute."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 12, 4, stride=4)
        self.mixed = nn.Linear(12, 12)
        self.classifier = nn.Linear(12, 2)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.mixed(self.features(images).permute(0, 2, 3, 1))
        logits: Tensor = self.classifier(hidden.mean(dim=(1, 2)))
        return logits


def test_layers_of_a_network_are_checked_as_they_run() -> None:
    network, images = ChannelsInnermost(), torch.rand(*SQUARE)
    with recorded(network, ["features"]) as outputs:
        network(images)
    assert outputs["features"].shape == (2, 12, 16, 16)
    with pytest.raises(InputError, match="'mixed'"), recorded(network, ["mixed"]):
        network(images)


class Named(Architecture):
    """With the submodules that torchvision's networks have."""

    name = "named"
    feature_cut = "features"

    def __init__(self) -> None:
        super().__init__(2)
        self.features = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images).mean(dim=(2, 3)))
        return logits


def test_submodules_called_features_and_head_hide_no_method() -> None:
    network = Named()
    assert network.feature_maps(torch.rand(*SQUARE)).shape == (2, 4, 64, 64)
    with pytest.raises(InputError, match="class_logits"):
        network.class_logits(torch.rand(2, 4, 8, 8))
