"""Which layers are pruned, and that matrices and unfolded inputs give a layer's outputs."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.spade.layers import (
    PrunedLayer,
    covers,
    layer_of,
    matrices,
    observed_inputs,
    pruned_layers,
    unfold_inputs,
)


def test_layers_of_the_thesis_network(thesis: nn.Module, pictures: Any) -> None:
    images, _ = pictures(1, channels=1, side=28)
    assert pruned_layers(thesis, images) == [
        PrunedLayer("conv2", 1, 8, 36, 9),
        PrunedLayer("classifier", 1, 10, 200, 1),
    ]


def test_layers_of_a_residual_network_are_in_the_order_of_execution(
    residual: nn.Module, pictures: Any
) -> None:
    names = [layer.name for layer in pruned_layers(residual, pictures(1)[0])]
    assert len(names) == 20
    assert "conv1" not in names
    assert names[:2] == ["layer1.0.conv1", "layer1.0.conv2"]
    place = names.index("layer2.0.conv1")
    assert names[place : place + 3] == [
        "layer2.0.conv1",
        "layer2.0.conv2",
        "layer2.0.downsample.0",
    ]
    assert names[-1] == "fc"


def test_the_order_is_that_of_execution_not_of_definition(pictures: Any) -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 2)
            self.second = nn.Conv2d(4, 4, 3)
            self.first = nn.Conv2d(3, 4, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.last(self.second(self.first(images)).mean((2, 3)))

    assert [layer.name for layer in pruned_layers(Turned(), pictures(1)[0])] == ["second", "last"]


def test_layers_that_do_not_run_or_only_train_are_none(depthwise: nn.Module, pictures: Any) -> None:
    depthwise.training_only = ("last",)  # type: ignore[assignment]
    layers = pruned_layers(depthwise, pictures(1)[0])
    assert layers == [
        PrunedLayer("depthwise", 8, 1, 9, 9),
        PrunedLayer("pointwise", 1, 12, 8, 1),
        PrunedLayer("grouped", 4, 2, 9, 3),
        PrunedLayer("strided", 1, 6, 8, 1),
        PrunedLayer("same", 2, 3, 18, 6),
        PrunedLayer("tokens", 1, 5, 6, 1),
    ]
    assert layers[2].weights == depthwise.grouped.weight.numel()


def test_a_network_of_a_stem_alone(pictures: Any) -> None:
    stem = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(InputError, match="besides its stem"):
        pruned_layers(stem, pictures(1)[0])


CONVOLUTIONS = [
    nn.Conv2d(6, 4, 3),
    nn.Conv2d(6, 4, 1),
    nn.Conv2d(6, 4, 1, stride=(2, 3)),
    nn.Conv2d(6, 4, 1, padding=(1, 2)),
    nn.Conv2d(6, 4, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(1, 3)),
    nn.Conv2d(6, 6, 3, padding=1, groups=6),
    nn.Conv2d(6, 12, 3, stride=2, dilation=2, padding=2, groups=3),
    nn.Conv2d(6, 4, 1, stride=2, groups=2),
    nn.Conv2d(6, 4, (4, 3), padding="same", dilation=(2, 2)),
    nn.Conv2d(6, 4, (4, 3), padding="valid"),
    nn.Conv2d(6, 4, 3, padding=(1, 2), padding_mode="circular"),
    nn.Conv2d(6, 4, (2, 3), padding="same", padding_mode="reflect", groups=2),
]


@pytest.mark.parametrize("module", CONVOLUTIONS, ids=str)
def test_matrices_times_unfolded_inputs_are_a_convolution(module: nn.Conv2d) -> None:
    inputs = torch.rand(2, 6, 11, 9, generator=torch.Generator().manual_seed(0))
    wanted = module(inputs).detach()
    if module.bias is not None:
        wanted = wanted - module.bias.detach().view(-1, 1, 1)
    layer = layer_of("here", module)
    found = matrices(module.weight.detach(), layer) @ unfold_inputs(module, inputs)
    assert found.shape[:3] == (2, layer.groups, layer.rows)
    assert torch.allclose(found.flatten(1, 2), wanted.flatten(2), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 5), (3, 4, 5), (3, 2, 4, 5)])
def test_matrices_times_unfolded_inputs_are_a_linear_layer(shape: tuple[int, ...]) -> None:
    module = nn.Linear(5, 7, bias=False)
    inputs = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    found = matrices(module.weight.detach(), layer_of("here", module)) @ unfold_inputs(
        module, inputs
    )
    wanted = module(inputs).detach().reshape(3, -1, 7).transpose(1, 2)
    assert torch.allclose(found[:, 0], wanted, atol=1e-6)


def test_other_modules_are_refused() -> None:
    with pytest.raises(InputError, match="layer 'here' is no"):
        layer_of("here", nn.Conv1d(1, 1, 1))


def test_hooks_are_removed_however_the_block_ends(thesis: nn.Module, pictures: Any) -> None:
    seen: list[str] = []

    def receive(name: str, module: nn.Module, inputs: Tensor) -> None:
        seen.append(name)
        if name == "classifier":
            raise RuntimeError("stop")

    images, _ = pictures(1, channels=1, side=28)
    with (
        pytest.raises(RuntimeError, match="stop"),
        observed_inputs(thesis, ["conv2", "classifier"], receive),
    ):
        thesis(images)
    assert seen == ["conv2", "classifier"]
    assert not any(module._forward_pre_hooks for module in thesis.modules())
    with (
        pytest.raises(InputError, match="no layer 'conv3'"),
        observed_inputs(thesis, ["conv2", "conv3"], receive),
    ):
        pass
    assert not any(module._forward_pre_hooks for module in thesis.modules())


def test_what_a_pattern_covers() -> None:
    assert covers("layer4", "layer4.1.conv2")
    assert covers("layer4.1.conv2", "layer4.1.conv2")
    assert covers("layer?.*.conv1", "layer2.0.conv1")
    assert not covers("layer1", "layer10.conv1")
    assert not covers("conv2", "layer4.1.conv2")
