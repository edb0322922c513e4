"""Frozen state and recorded layers leave a network as it was."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.network import (
    activations_and_gradients,
    frozen,
    hooks_restored,
    named_layer,
    record_outputs,
)
from sparsight.io.errors import InputError


def hook_count(model: nn.Module) -> int:
    return sum(
        len(table)
        for module in model.modules()
        for attribute, table in vars(module).items()
        if attribute.endswith("_hooks")
    )


class Twice(nn.Module):
    """One ReLU used twice, and a convolution that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.relu = nn.ReLU()
        self.idle = nn.Conv2d(1, 2, 1)
        self.aside = nn.Conv2d(1, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        self.aside(images)
        return self.relu(self.relu(self.conv(images))).mean(dim=(2, 3))


def test_frozen_restores_modes_and_gradients(network: nn.Module) -> None:
    network.train()
    named_layer(network, "conv2").eval()
    named_layer(network, "conv1").requires_grad_(True)
    before = {name: module.training for name, module in network.named_modules()}
    with frozen(network):
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
    with pytest.raises(RuntimeError, match="stop"), frozen(network):
        raise RuntimeError("stop")
    assert {name: module.training for name, module in network.named_modules()} == before
    wants = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    assert [name for name, wanted in wants.items() if wanted] == ["conv1.weight", "conv1.bias"]


def test_hooks_are_released_at_the_end_and_after_an_exception(network: nn.Module) -> None:
    with record_outputs(network, ["conv1", "pool2"]):
        assert hook_count(network) == 4, "two of the network, two of its layers"
    assert hook_count(network) == 0
    with pytest.raises(RuntimeError, match="stop"), record_outputs(network, ["conv1", "pool2"]):
        raise RuntimeError("stop")
    assert hook_count(network) == 0
    with pytest.raises(InputError, match="no layer"), record_outputs(network, ["conv1", "conv9"]):
        pass
    assert hook_count(network) == 0


def test_hooks_are_released_when_the_forward_pass_fails(network: nn.Module) -> None:
    with pytest.raises(RuntimeError):
        activations_and_gradients(
            network, torch.zeros(1, 5, 28, 28), torch.zeros(1).long(), ["conv1"]
        )
    assert hook_count(network) == 0


def test_foreign_hooks_are_removed_and_own_ones_kept(network: nn.Module) -> None:
    calls = []
    layer = named_layer(network, "conv1")
    layer.register_forward_hook(lambda *_: calls.append("kept"))

    def fail_with_hooks() -> None:
        layer.register_forward_hook(lambda *_: calls.append("foreign"))
        layer.register_full_backward_hook(lambda *_: None)
        network.register_forward_pre_hook(lambda *_: None)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), hooks_restored(network):
        fail_with_hooks()
    network(torch.zeros(1, 1, 28, 28))
    assert calls == ["kept"]
    assert hook_count(network) == 1


def test_gradients_reach_neither_parameters_nor_images(network: nn.Module) -> None:
    network.requires_grad_(True)
    images = torch.rand(2, 1, 28, 28)
    with frozen(network):
        found = activations_and_gradients(network, images, torch.tensor([1, 2]), ["conv2"])
    assert all(parameter.grad is None for parameter in network.parameters())
    assert images.grad is None
    assert not images.requires_grad
    assert not any(tensor.requires_grad for tensor in found["conv2"])


def test_works_where_gradients_are_switched_off(network: nn.Module) -> None:
    with torch.no_grad():
        found = activations_and_gradients(
            network, torch.rand(2, 1, 28, 28), torch.tensor([1, 2]), ["pool2"]
        )
    weight = network.get_parameter("classifier.weight")
    assert torch.equal(found["pool2"][1], weight[[1, 2]].view(2, 8, 5, 5))


def test_output_is_recorded_before_an_in_place_successor() -> None:
    def build(inplace: bool) -> nn.Module:
        torch.manual_seed(0)
        convolution = nn.Conv2d(1, 2, 3)
        return nn.Sequential(convolution, nn.ReLU(inplace), nn.Flatten(), nn.Linear(32, 3))

    images, targets = torch.rand(4, 1, 6, 6) - 0.5, torch.tensor([0, 1, 2, 0])
    plain, in_place = (
        activations_and_gradients(build(inplace), images, targets, ["0", "1"])
        for inplace in (False, True)
    )
    assert (plain["0"][0] < 0).any()
    for layer in ("0", "1"):
        assert torch.equal(plain[layer][0], in_place[layer][0])
        assert torch.equal(plain[layer][1], in_place[layer][1])


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ("rel", r"no layer 'rel'.*did you mean 'relu'\?"),
        ("relu", "layer 'relu' runs more than once"),
        ("idle", "layer 'idle' does not run"),
        ("aside", "layer 'aside' has no influence"),
    ],
)
def test_layers_that_cannot_be_explained(layer: str, sentence: str) -> None:
    images, targets = torch.rand(1, 1, 4, 4), torch.tensor([1])
    with pytest.raises(InputError, match=sentence):
        activations_and_gradients(Twice(), images, targets, [layer])


def test_a_layer_without_feature_maps_is_refused(network: nn.Module) -> None:
    with pytest.raises(InputError, match="layer 'classifier'"):
        activations_and_gradients(
            network, torch.rand(1, 1, 28, 28), torch.tensor([1]), ["classifier"]
        )
