"""Every registered architecture has the layers and sizes that its facts claim."""

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.network import record_outputs
from sparsight.io.errors import InputError
from sparsight.models.base import Architecture, Normalise, build_network, check_maps
from sparsight.models.registry import MODELS
from sparsight.study.plan import layer_names, layer_size

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
        option_choices: ClassVar[dict[str, Any]] = {"width": "[1, inf)", "kind": ("a", "b")}

        def __init__(self, class_count: int, width: int, kind: str) -> None:
            super().__init__(class_count)
            self.given = (width, kind)

    found = build_network(Example, 2, 0, {"width": 3})
    assert found.options == {"width": 3, "kind": "a"}
    assert found.given == (3, "a")
    for wrong, words in [
        ({"kind": "c"}, "example.kind is 'c', but must be one of a, b"),
        ({"wdith": 8}, "did you mean 'width'"),
        ({"width": "8"}, "width is '8', but must be a whole number"),
        ({"width": 0}, "width is 0, but must be at least 1"),
    ]:
        with pytest.raises(InputError, match=words):
            build_network(Example, 2, 0, wrong)


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


def test_channels_that_are_innermost_are_recorded_as_maps() -> None:
    network, images = ChannelsInnermost(), torch.rand(*SQUARE)
    with record_outputs(network, ["features", "mixed"]) as outputs:
        network(images)
    mixed = network.mixed(outputs["features"].permute(0, 2, 3, 1))
    assert torch.equal(outputs["mixed"], mixed.permute(0, 3, 1, 2))
    assert outputs["mixed"].shape == (2, 12, 16, 16)


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


def test_numbers_by_hand_and_no_key_in_the_state() -> None:
    module = Normalise(mean=(0.5, 0.25), std=(0.5, 0.125))
    images = torch.tensor([1.0, 0.5]).view(1, 2, 1, 1)
    assert module(images).flatten().tolist() == [1.0, 2.0]
    assert not module.state_dict()
    assert not list(module.parameters())


def test_imagenet_is_the_default() -> None:
    from torchvision.transforms.functional import normalize

    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.allclose(Normalise()(images), expected)
