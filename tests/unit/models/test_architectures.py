"""Every registered architecture has the layers and sizes that its facts claim."""

from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from sparsight.io.errors import InputError
from sparsight.models.base import Architecture, build_network
from sparsight.models.options import layer_names, layer_size
from sparsight.models.registry import MODELS

#: small enough for a test
SMALL: dict[str, dict[str, Any]] = {
    "inception_v3": {"width": 2},
    "resnet18": {"width": 2},
    "resnet50": {"width": 2},
}
SIDES = [(16, 16), (33, 47), (64, 65), (75, 75), (76, 99), (110, 90)]


def example_shape(name: str) -> tuple[int, int, int]:
    """Channels, height and width of images that an architecture takes."""
    facts = MODELS.facts(name)
    channels, *sides = facts["input_shape"]
    height, width = (side or max(32, facts["minimum_side"]) for side in sides)
    return channels, height, width


def cases() -> list[tuple[str, dict[str, Any], tuple[int, int]]]:
    """Architecture, options and size of image: all stems, odd sides where any side goes."""
    found: list[tuple[str, dict[str, Any], tuple[int, int]]] = []
    for name in sorted(MODELS.entries):
        facts = MODELS.facts(name)
        stems: tuple[str, ...] = facts["option_choices"].get("stem", ())
        small = SMALL.get(name, {})
        options = [{**small, "stem": stem} for stem in stems] or [small]
        large = [side for side in SIDES if min(side) >= facts["minimum_side"]][:3]
        sides = [facts["input_shape"][1:]] if facts["layers"] else large
        found += [(name, chosen, side) for chosen in options for side in sides]
    return found


@pytest.mark.parametrize(("name", "options", "side"), cases())
def test_declared_layers_have_the_declared_sizes(
    name: str, options: dict[str, Any], side: tuple[int, int]
) -> None:
    facts = MODELS.facts(name)
    network = build_network(MODELS.load(name), 10, 0, options).eval()
    modules = dict(network.named_modules())
    seen: dict[str, tuple[int, ...]] = {}
    for layer in layer_names(facts):
        modules[layer].register_forward_hook(
            lambda _m, _i, output, layer=layer: seen.update({layer: tuple(output.shape[2:])})
        )
    shape = (facts["input_shape"][0], *side)
    assert network(torch.zeros(2, *shape)).shape == (2, 10)
    expected = {layer: layer_size(facts, options, shape, layer) for layer in layer_names(facts)}
    assert seen == expected
    # in the order of the forward pass
    assert list(seen) == layer_names(facts)
    assert facts["explain_layer"] in seen
    assert facts["feature_cut"] in modules
    assert all(name in modules for name in facts["training_only"])
    assert facts["classifiers"]
    for classifier in facts["classifiers"]:
        assert modules[classifier].weight.shape[0] == 10


@pytest.mark.parametrize("name", sorted(MODELS.entries))
def test_every_rectifier_runs_once_and_leaves_its_input(name: str) -> None:
    network = build_network(MODELS.load(name), 10, 0, SMALL.get(name)).eval()
    runs: dict[str, int] = {}
    for key, module in network.named_modules():
        if isinstance(module, nn.ReLU):
            assert not module.inplace
            module.register_forward_hook(
                lambda *_, key=key: runs.update({key: runs.get(key, 0) + 1})
            )
    network(torch.rand(2, *example_shape(name)))
    assert runs
    assert set(runs.values()) == {1}


@pytest.mark.parametrize("name", sorted(MODELS.entries))
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        return build_network(MODELS.load(name), 10, seed, SMALL.get(name)).state_dict()

    first = weights(7)
    torch.rand(5)
    second, other = weights(7), weights(8)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_a_network_knows_its_options_and_refuses_others() -> None:
    class Example(Architecture):
        name = "example"
        option_defaults: ClassVar[dict[str, Any]] = {"width": 4, "kind": "a"}
        option_choices: ClassVar[dict[str, tuple[str, ...]]] = {"kind": ("a", "b")}

        def __init__(self, class_count: int, width: int, kind: str) -> None:
            super().__init__(class_count)
            self.given = (width, kind)

    found = build_network(Example, 2, 0, {"width": 3})
    assert found.options == {"width": 3, "kind": "a"}
    assert found.given == (3, "a")
    with pytest.raises(InputError, match="architecture example: 'kind' cannot be 'c'"):
        build_network(Example, 2, 0, {"kind": "c"})


@pytest.mark.parametrize("name", sorted(MODELS.entries))
def test_a_network_is_cut_in_two(name: str) -> None:
    network = build_network(MODELS.load(name), 10, 0, SMALL.get(name)).eval()
    seen: list[torch.Tensor] = []
    cut = network.get_submodule(network.feature_cut)
    cut.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    images = torch.rand(2, *example_shape(name)).requires_grad_()
    maps = network.feature_maps(images)
    # hooks see what they saw before, and `features` stops at the cut's output
    assert maps is seen[0]
    assert maps.ndim == 4
    assert torch.equal(network.class_logits(maps), network(images))
    (gradients,) = torch.autograd.grad(network.class_logits(maps)[:, 3].sum(), images)
    (expected,) = torch.autograd.grad(network(images)[:, 3].sum(), images)
    assert torch.equal(gradients, expected)
    assert gradients.abs().sum() > 0


class Whole(Architecture):
    """Writes only `forward`."""

    name = "whole"
    feature_cut = "conv"

    def __init__(self, class_count: int) -> None:
        super().__init__(class_count)
        self.conv = nn.Conv2d(1, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images).mean((2, 3))


def test_a_network_without_halves_has_features_and_no_head() -> None:
    network = build_network(Whole, 2, 0)
    images = torch.rand(3, 1, 4, 4)
    maps = network.feature_maps(images)
    assert torch.equal(maps, network.conv(images))
    assert not network.conv._forward_hooks
    maps.sum().backward()
    assert network.conv.weight.grad is not None
    with pytest.raises(InputError, match=r"whole cannot go on.*give Whole.*cut at 'conv'"):
        network.class_logits(maps)


def test_a_network_without_anything_is_told_apart() -> None:
    class Nothing(Architecture):
        name = "nothing"
        feature_cut = "conv"

    with pytest.raises(InputError, match="nothing has no forward pass; give Nothing"):
        Nothing(2)(torch.zeros(1))
