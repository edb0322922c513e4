"""The thesis's network has the size and the layers that it claims."""

import pytest
import torch

from sparsight.models.base import build_network
from sparsight.models.registry import MODELS
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning.masks import prunable_parameters


def test_parameter_counts_are_those_of_the_thesis() -> None:
    network = ThesisCnn(10)
    assert sum(p.numel() for p in network.parameters()) == 2346
    assert sum(p.numel() for p in prunable_parameters(network).values()) == 2324


@pytest.mark.parametrize("name", sorted(MODELS.entries))
def test_declared_layers_have_the_declared_sizes(name: str) -> None:
    architecture = MODELS.load(name)
    network = build_network(architecture, 10, 0)
    seen: dict[str, tuple[int, ...]] = {}
    for layer in architecture.layers:
        module = network.get_submodule(layer)
        module.register_forward_hook(
            lambda _m, _i, output, layer=layer: seen.update({layer: tuple(output.shape[2:])})
        )
    assert network(torch.zeros(2, *architecture.input_shape)).shape == (2, 10)
    assert seen == architecture.layers
    assert architecture.explain_layer in architecture.layers
    assert dict(network.named_modules())[architecture.feature_cut] is not None


def test_weights_depend_on_the_seed_alone() -> None:
    first = build_network(ThesisCnn, 10, 7).state_dict()
    torch.rand(5)
    second, other = build_network(ThesisCnn, 10, 7).state_dict(), build_network(ThesisCnn, 10, 8)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other.state_dict()["conv1.weight"])


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    build_network(ThesisCnn, 10, 7)
    assert torch.equal(torch.rand(3), expected)
