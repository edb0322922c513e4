"""Converted networks compute the same with fewer units, counted on paper."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from sparsight.io.errors import InputError
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning.conversion import Constant, convert

IMAGES = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def thesis_network(seed: int = 0) -> ThesisCnn:
    torch.manual_seed(seed)
    return ThesisCnn().eval()


def pruned(network: nn.Module, left: int, seed: int = 0) -> nn.Module:
    """Only `left` weights, chosen at random, are not zero."""
    draw = torch.Generator().manual_seed(seed)
    weights = [p for name, p in network.named_parameters() if name.endswith("weight")]
    kept = torch.randperm(sum(w.numel() for w in weights), generator=draw) < left
    with torch.no_grad():
        for weight, part in zip(weights, kept.split([w.numel() for w in weights]), strict=True):
            weight.mul_(part.reshape(weight.shape))
    return network


def assert_same(network: nn.Module, converted: nn.Module, images: torch.Tensor = IMAGES) -> None:
    with torch.no_grad():
        torch.testing.assert_close(converted(images), network(images), rtol=1e-4, atol=1e-5)


def left(report) -> dict[str, int]:
    return {name: layer.channels_left for name, layer in report.layers.items()}


@pytest.mark.parametrize("weights", [2324, 500, 100, 60, 40, 20, 11, 5, 2, 0])
def test_at_every_sparsity_the_logits_are_the_same(weights):
    for seed in range(5):
        network = pruned(thesis_network(seed), weights, seed)
        converted, report = convert(network, IMAGES)
        assert_same(network, converted)
        if weights <= 2:
            assert report.total("channels_left") == 0
        if isinstance(converted, nn.Sequential):
            parts = [m for m in converted if isinstance(m, nn.Conv2d | nn.Linear)]
            assert [len(m.weight) for m in parts] == list(left(report).values())


def test_a_dense_network_stays_and_is_counted():
    network = thesis_network()
    converted, report = convert(network, IMAGES)
    assert left(report) == {"conv1": 4, "conv2": 8, "classifier": 10}
    assert (report.total("channels"), report.total("channels_left")) == (12, 12)
    # 26² positions x 4 x 9 weights, 11² x 8 x 4 x 9, 200 x 10
    counts = [layer.multiply_adds for layer in report.layers.values()]
    assert counts == [24336, 34848, 2000]
    for quantity in ("multiply_adds", "multiply_adds_converted", "multiply_adds_nonzero"):
        assert report.total(quantity) == 61184
    assert_same(network, converted)


def test_a_unit_that_nothing_reaches_becomes_a_bias():
    network = thesis_network()
    with torch.no_grad():
        network.conv1.weight[1] = 0
        network.conv1.bias.fill_(0.7)
    converted, report = convert(network, IMAGES)
    assert left(report) == {"conv1": 3, "conv2": 8, "classifier": 10}
    assert converted.conv2.weight.shape == (8, 3, 3, 3)
    expected = network.conv2.bias + 0.7 * network.conv2.weight[:, 1].sum((1, 2))
    torch.testing.assert_close(converted.conv2.bias, expected)
    assert_same(network, converted)
    # 26² x 3 x 9, 11² x 8 x 3 x 9, 200 x 10
    assert report.total("multiply_adds_converted") == 18252 + 26136 + 2000
    assert report.total("multiply_adds_nonzero") == 18252 + 34848 + 2000


def test_relu_cuts_a_negative_constant():
    network = thesis_network()
    with torch.no_grad():
        network.conv1.weight[1] = 0
        network.conv1.bias.fill_(-0.7)
    converted, _ = convert(network, IMAGES)
    torch.testing.assert_close(converted.conv2.bias, network.conv2.bias)
    assert_same(network, converted)


def test_a_unit_that_reaches_nothing_goes_and_takes_what_fed_only_it():
    network = thesis_network()
    with torch.no_grad():
        # channel 5 of conv2 has features 125..149; channel 2 of conv1 feeds channel 5 alone
        network.classifier.weight[:, 125:150] = 0
        network.conv2.weight[[0, 1, 2, 3, 4, 6, 7], 2] = 0
    converted, report = convert(network, IMAGES)
    assert left(report) == {"conv1": 3, "conv2": 7, "classifier": 10}
    assert converted.classifier.weight.shape == (10, 175)
    assert_same(network, converted)


def test_constants_travel_through_layers():
    """conv1's channel 0 is constant; conv2's channel 3 hears it alone and so is constant too."""
    network = thesis_network()
    with torch.no_grad():
        network.conv1.weight[0] = 0
        network.conv1.bias[0] = 0.5
        network.conv2.weight[3, 1:] = 0
        network.conv2.weight[3, 0] = 0.1
        network.conv2.bias[3] = 0.25
    converted, report = convert(network, IMAGES)
    assert left(report) == {"conv1": 3, "conv2": 7, "classifier": 10}
    # 0.25 + 9 x 0.1 x 0.5
    gained = 0.7 * network.classifier.weight[:, 75:100].sum(1)
    torch.testing.assert_close(converted.classifier.bias, network.classifier.bias + gained)
    assert_same(network, converted)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "classifier"])
def test_a_dead_layer_makes_a_constant(layer):
    network = thesis_network()
    with torch.no_grad():
        getattr(network, layer).weight.zero_()
    converted, report = convert(network, IMAGES)
    assert isinstance(converted, Constant)
    assert_same(network, converted)
    assert left(report) == {"conv1": 0, "conv2": 0, "classifier": 10}
    assert report.total("channels_left") == report.total("multiply_adds_converted") == 0
    assert report.total("multiply_adds_nonzero") > 0


def padded_network(bias: float, mode: str = "zeros") -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(
        OrderedDict(
            first=nn.Conv2d(1, 2, 3, padding=1),
            relu=nn.ReLU(),
            second=nn.Conv2d(2, 3, 3, padding="same", bias=False, padding_mode=mode),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            classifier=nn.Linear(48, 2),
        )
    ).eval()
    with torch.no_grad():
        network.first.weight[0] = 0
        network.first.bias[0] = bias
    return network


def test_before_zero_padding_a_constant_stays_unless_it_is_zero():
    images = torch.rand(4, 1, 4, 4)
    for bias, channels in ((0.5, 2), (-0.5, 1)):
        network = padded_network(bias)
        converted, report = convert(network, images)
        assert left(report) == {"first": channels, "second": 3, "classifier": 2}
        assert_same(network, converted, images)


def test_padding_that_repeats_the_border_keeps_constants_exact():
    images = torch.rand(4, 1, 4, 4)
    network = padded_network(0.5, "replicate")
    converted, report = convert(network, images)
    assert left(report)["first"] == 1
    assert converted.second.bias is not None  # the constant needs one
    assert_same(network, converted, images)


def test_strides_dilation_and_hidden_neurons():
    torch.manual_seed(0)
    images = torch.rand(8, 3, 12, 12)
    network = nn.Sequential(
        OrderedDict(
            a=nn.Conv2d(3, 4, 3, stride=2, dilation=2),
            pool=nn.MaxPool2d(2, 1, 1),
            relu=nn.ReLU(),
            flatten=nn.Flatten(),
            b=nn.Linear(100, 6),
            relu2=nn.ReLU(),
            c=nn.Linear(6, 3),
        )
    ).eval()
    with torch.no_grad():
        network.a.weight[2] = 0
        network.b.weight[1] = 0
        network.b.bias[1] = 2
        network.c.weight[:, 4] = 0
    converted, report = convert(network, images)
    assert left(report) == {"a": 3, "b": 4, "c": 3}
    assert [layer.multiply_adds for layer in report.layers.values()] == [4 * 27 * 16, 600, 18]
    assert_same(network, converted, images)


def test_the_model_is_not_changed():
    network = pruned(thesis_network(), 100)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    convert(network, IMAGES)
    assert all(before[name].equal(value) for name, value in network.state_dict().items())


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(images) + images)


class Forking(Branching):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.a(images)
        return self.b(images)


class Deciding(Branching):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.a(images) if images.sum() > 0 else self.b(images)


class Twice(Branching):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.a(self.a(images))


@pytest.mark.parametrize(
    ("network", "named"),
    [
        (Branching(), "'add' in Branching is no module"),
        (Forking(), "'b' is part of a branch"),
        (Twice(), "'a' is part of a branch"),
        (Deciding(), "Deciding cannot be traced"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), "'1' is a BatchNorm2d"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3, groups=2)), "'1' is a Conv2d"),
        (nn.Sequential(nn.Linear(28, 3)), "'0' is a Linear of a special kind"),
        (nn.Sequential(nn.MaxPool2d(2, dilation=2)), "'0' is a MaxPool2d of a special"),
        (nn.Sequential(nn.Flatten(2)), "'0' is a Flatten of a special"),
        (nn.Sequential(nn.ReLU()), "no weights to convert"),
    ],
)
def test_what_is_no_plain_chain_is_named(network, named):
    with pytest.raises(InputError, match=named):
        convert(network.eval(), IMAGES)


def test_weights_that_are_not_finite_are_refused():
    network = thesis_network()
    with torch.no_grad():
        network.conv2.bias[0] = torch.nan
    with pytest.raises(InputError, match="'conv2' has weights that are not finite"):
        convert(network, IMAGES)
