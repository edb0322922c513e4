"""Narrower networks from the shapes of their weights: equal outputs, sizes of layers, refusals."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.models.shapes import narrow

OPTIONS = {"width": 6, "stem": "small"}


def trained(seed: int) -> ResNet18:
    """A network whose normalisations have statistics, scales and offsets of their own."""
    network = build_network(ResNet18, 3, seed, OPTIONS)
    draw = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if "bn" in name and value.is_floating_point():
            value.copy_(0.5 + torch.rand(value.shape, generator=draw))
    assert isinstance(network, ResNet18)
    return network.eval()


def test_a_resnet_without_some_channels_computes_the_same() -> None:
    network = trained(1)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    blocks = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
    for place, block in enumerate(blocks):
        # Channels inside of a block: with scale and offset 0 their maps are 0 behind the ReLU.
        count = len(state[f"{block}.bn1.weight"])
        kept = [channel for channel in range(count) if (channel + place) % 3]
        gone = [channel for channel in range(count) if channel not in kept]
        for part in ("weight", "bias"):
            network.state_dict()[f"{block}.bn1.{part}"][gone] = 0
        for key in ("conv1.weight", *(f"bn1.{x}" for x in ("weight", "bias"))):
            state[f"{block}.{key}"] = state[f"{block}.{key}"][kept]
        for key in ("running_mean", "running_var"):
            state[f"{block}.bn1.{key}"] = state[f"{block}.bn1.{key}"][kept]
        state[f"{block}.conv2.weight"] = state[f"{block}.conv2.weight"][:, kept]
    # Maps of the last block that the classifier does not read.
    kept = list(range(40))
    network.fc.weight.data[:, 40:] = 0
    for key in [key for key in state if key.startswith("layer4.") and "bn1" not in key]:
        if state[key].dim() and "conv1" not in key:
            state[key] = state[key][kept]
    state["layer4.1.conv1.weight"] = state["layer4.1.conv1.weight"][:, kept]
    network.layer4[1].conv1.weight.data[:, 40:] = 0
    state["fc.weight"] = state["fc.weight"][:, kept]

    smaller = trained(2)
    changed = narrow(smaller, state)
    smaller.load_state_dict(state)
    assert changed[0] == "layer1.0.conv1.weight"
    assert smaller.layer1[0].conv1.out_channels == smaller.layer1[0].conv2.in_channels == 4
    assert smaller.fc.in_features == smaller.layer4[1].bn2.num_features == 40
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.allclose(smaller(images), network(images), atol=1e-5)
    count = sum(value.numel() for value in smaller.parameters())
    assert count < 0.7 * sum(value.numel() for value in network.parameters())


def test_shared_weights_are_not_narrowed() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    slim = {**network.state_dict(), "0.weight": torch.ones(2, 3), "0.bias": torch.ones(2)}
    with pytest.raises(InputError, match=r"^0\.weight"):
        narrow(network, slim)


def test_what_fits_is_left_alone() -> None:
    network = trained(1)
    before = dict(network.named_parameters())
    assert narrow(network, trained(2).state_dict()) == []
    assert all(value is before[name] for name, value in network.named_parameters())


class Mixed(nn.Module):
    """All kinds of layers that can be narrowed."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.norm = nn.GroupNorm(2, width)
        self.depthwise = nn.Conv2d(width, 2 * width, 3, groups=width)
        self.grouped = nn.Conv2d(2 * width, 8, 1, groups=groups)
        self.layers = nn.LayerNorm(8)
        self.linear = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        """Outputs [N, 5]."""
        maps = self.grouped(self.depthwise(self.norm(self.conv(images)).relu()))
        logits: Tensor = self.linear(self.layers(maps.mean((2, 3))))
        return logits


def test_sizes_of_all_kinds_of_layers_follow() -> None:
    wide, slim = Mixed(8, 4), Mixed(4, 4)
    assert narrow(wide, slim.state_dict())
    wide.load_state_dict(slim.state_dict())
    images = torch.rand(2, 3, 9, 9)
    assert torch.equal(wide(images), slim(images))
    assert repr(wide) == repr(slim)


WRONG: dict[str, tuple[Callable[[], nn.Module], dict[str, tuple[int, ...]], str]] = {
    "wider": (lambda: nn.Linear(3, 2), {"weight": (2, 4)}, "weight"),
    "empty": (lambda: nn.Linear(3, 2), {"weight": (2, 0)}, "weight"),
    "kernel": (lambda: nn.Conv2d(3, 2, 3), {"weight": (2, 3, 1, 1)}, "weight"),
    "rank": (lambda: nn.Conv2d(3, 2, 1), {"weight": (2, 3)}, "weight"),
    "bias": (lambda: nn.Linear(3, 3), {"weight": (2, 3), "bias": (1,)}, "weight"),
    "bias alone": (lambda: nn.BatchNorm2d(3), {"bias": (2,)}, "bias"),
    "groups": (lambda: nn.GroupNorm(2, 4), {"weight": (3,), "bias": (3,)}, "weight"),
    "transposed": (lambda: nn.ConvTranspose2d(3, 2, 1), {"weight": (3, 1, 1, 1)}, "weight"),
    "attention": (lambda: nn.MultiheadAttention(4, 2), {"in_proj_weight": (6, 4)}, "in_proj"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_no_narrower_layer_has_is_refused_and_nothing_changes(case: str) -> None:
    make, shapes, key = WRONG[case]
    network = make()
    before = {name: value.shape for name, value in network.state_dict().items()}
    weights = {**network.state_dict(), **{name: torch.ones(of) for name, of in shapes.items()}}
    with pytest.raises(InputError, match=f"^{key}"):
        narrow(network, weights)
    assert {name: value.shape for name, value in network.state_dict().items()} == before
