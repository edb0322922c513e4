"""Whole units: what is tied to one, which fall, and networks without them."""

import copy
import logging
from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vision_transformer import Encoder

from sparsight.io.errors import InputError, InvariantError
from sparsight.pruning.criteria import Magnitude
from sparsight.pruning.masks import Step, dense_masks
from sparsight.pruning.observation import Observation
from sparsight.pruning.removal import measure_removal, remove_units
from sparsight.pruning.selection import Rule
from sparsight.pruning.structures import Units, check_units, find_units

SHAPE = (3, 32, 32)


class Residual(nn.Module):
    """A stem, and a block whose output is added to it; 8 and 6 channels."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), norm(8)
        self.first, self.first_norm = nn.Conv2d(8, 6, 3, padding=1, bias=False), norm(6)
        self.second, self.second_norm = nn.Conv2d(6, 8, 3, padding=1, bias=False), norm(8)
        self.head = nn.Linear(8 * 4, 5)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        stem = self.norm(self.stem(images)).relu()
        hidden = self.first_norm(self.first(stem)).relu()
        whole = (stem + self.second_norm(self.second(hidden))).relu()
        return self.head(functional.adaptive_avg_pool2d(whole, 2).flatten(1))


class Inverted(nn.Module):
    """An inverted bottleneck with a depthwise convolution and a gate; both halves of it are read.

    The expansion has 12 channels, which the depthwise convolution and the gate share.
    """

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.norm = nn.Conv2d(3, 12, 1, bias=False), nn.BatchNorm2d(12)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.squeeze, self.excite = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.left, self.right = nn.Conv2d(12, 4, 1), nn.Conv2d(12, 6, 1)
        self.head = nn.Linear(10, 5)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        hidden = functional.hardswish(self.depthwise(self.norm(self.expand(images)).relu()))
        gate = self.excite(self.squeeze(hidden.mean((2, 3), keepdim=True)).relu()).sigmoid()
        hidden = hidden * gate
        joined = torch.cat([self.left(hidden), self.right(hidden)], 1)
        return self.head(joined.relu().mean((2, 3)))


class Attentive(nn.Module):
    """torchvision's encoder with nn.MultiheadAttention: 2 layers, 4 heads, 24 hidden units."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.encoder = Encoder(16, 2, 4, 16, 24, 0.0, 0.0)
        self.head = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.encoder(self.patches(images).flatten(2).transpose(1, 2)).mean(1))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "residual": Residual,
    "inverted": Inverted,
    "convnext": lambda: timm.create_model("test_convnext", num_classes=5),
    "resnet": lambda: timm.create_model("test_resnet", num_classes=5),
    "efficientnet": lambda: timm.create_model("test_efficientnet", num_classes=5),
    "vit": lambda: timm.create_model("test_vit", num_classes=5, img_size=32),
    "attentive": Attentive,
}
CONVOLUTIONAL = ["residual", "inverted", "convnext", "resnet", "efficientnet"]


def trained(name: str) -> nn.Module:
    """A network none of whose parameters is zero or one, in evaluation mode."""
    torch.manual_seed(1)
    network = NETWORKS[name]().eval()
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim < 2:
                value.uniform_(0.2, 1.0)
        for key, value in network.named_buffers():
            if "running" in key:
                value.uniform_(0.5, 1.5)
    return network


def pruned(network: nn.Module, units: Units, masks: dict[str, Tensor]) -> nn.Module:
    """A copy whose fallen units are zero, with everything tied to them."""
    found = copy.deepcopy(network)
    with torch.no_grad():
        for name, mask in {**masks, **units.further_masks(masks)}.items():
            found.get_parameter(name).mul_(mask)
    return found


def half(
    network: nn.Module, units: Units, density: float = 0.5, scope: str = "layer"
) -> dict[str, Tensor]:
    """Masks of prunable parameters at a density."""
    rule = Rule(Magnitude(), scope, "units")
    step = Step(density=density)
    return rule.select(network, dense_masks(network), step, 1, None, SHAPE, units)[0]


def dense_weights(network: nn.Module) -> dict[str, Tensor]:
    """Prunable parameters."""
    return {name: network.get_parameter(name).detach() for name in dense_masks(network)}


def density(masks: dict[str, Tensor]) -> float:
    """Share of weights that are left."""
    return sum(int(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values())


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_zero_and_removed_units_give_equal_logits(name: str) -> None:
    network = trained(name)
    units = find_units(network, SHAPE)
    masks = half(network, units, 0.6)
    zero, images = pruned(network, units, masks), torch.rand(2, *SHAPE)
    smaller = remove_units(zero, units, masks, images[:1])
    assert torch.allclose(smaller(images), zero(images), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(network(images), zero(images), rtol=1e-2, atol=1e-2)
    left = sum(value.numel() for value in smaller.parameters())
    tied = units.masks(units.alive(masks))
    assert left == sum(
        int(tied[key].sum()) if key in tied else value.numel()
        for key, value in network.named_parameters()
    )


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_fallen_unit_is_silent_whatever_its_readers_hold(name: str) -> None:
    network = trained(name)
    units = find_units(network, SHAPE)
    masks = half(network, units)
    zero, images = pruned(network, units, masks), torch.rand(2, *SHAPE)
    before = zero(images)
    # and its readers are zero whatever it holds: `find_units` tries that itself
    with torch.no_grad():
        for (key, dim), unit in units.ties.items():
            if dim == 1 and key in masks:
                gone = ~units.alive(masks)[unit] & (unit >= 0)
                zero.get_parameter(key).movedim(1, 0)[gone] = 1
    assert torch.allclose(zero(images), before, rtol=1e-5, atol=1e-5)
    assert density(masks) < 0.9


def test_channels_that_an_addition_couples_are_one_unit() -> None:
    network = trained("residual")
    units = find_units(network, SHAPE)
    assert units.group.bincount().tolist() == [8, 6]
    alive = torch.ones(14, dtype=torch.bool)
    alive[2] = False
    fallen = {
        name: (~mask).nonzero() for name, mask in units.masks(alive).items() if not mask.all()
    }
    rows = {"stem.weight": 27, "stem.bias": 1, "second.weight": 54}
    norms = {f"{n}.{part}": 1 for n in ("norm", "second_norm") for part in ("weight", "bias")}
    # of the classifier, the four positions that are left of a channel
    assert {name: len(at) for name, at in fallen.items()} == {
        **rows,
        **norms,
        "first.weight": 54,
        "head.weight": 20,
    }
    assert fallen["first.weight"][:, 1].unique().tolist() == [2]
    assert fallen["head.weight"][:, 1].unique().tolist() == [8, 9, 10, 11]


def test_a_depthwise_convolution_and_a_gate_couple_channels() -> None:
    units = find_units(trained("inverted"), SHAPE)
    assert sorted(units.group.bincount().tolist()) == [4, 4, 6, 12]
    whole = units.ties["expand.weight", 0]
    for place in (("depthwise.weight", 0), ("depthwise.bias", 0), ("excite.weight", 0)):
        assert torch.equal(units.ties[place], whole)
    for place in (("left.weight", 1), ("right.weight", 1), ("squeeze.weight", 1)):
        assert torch.equal(units.ties[place], whole)
    # each half of what is concatenated is a group of its own
    joined = units.ties["head.weight", 1]
    assert torch.equal(joined[:4], units.ties["left.weight", 0])
    assert torch.equal(joined[4:], units.ties["right.weight", 0])


@pytest.mark.parametrize(
    ("name", "made", "read"),
    [
        ("vit", "blocks.0.attn.qkv", "blocks.0.attn.proj.weight"),
        (
            "attentive",
            "encoder.layers.encoder_layer_0.self_attention.in_proj",
            "encoder.layers.encoder_layer_0.self_attention.out_proj.weight",
        ),
    ],
)
def test_a_head_is_its_rows_of_queries_keys_and_values(name: str, made: str, read: str) -> None:
    network = trained(name)
    units = find_units(network, SHAPE)
    weight, bias = ("_weight", "_bias") if name == "attentive" else (".weight", ".bias")
    width = network.get_parameter(read).shape[1]
    heads = units.ties[read, 1]
    count = len(heads.unique())
    assert torch.equal(heads - heads[0], torch.arange(width) // (width // count))
    for part in (made + weight, made + bias):
        assert torch.equal(units.ties[part, 0], heads.repeat(3))
    hidden = [group for group in units.names if "mlp" in group]
    assert len(hidden) == len(units.names) / 2


def test_layer_norms_streams_are_no_units() -> None:
    network = trained("convnext")
    units = find_units(network, SHAPE)
    assert all(".mlp." in name for name in units.names)
    assert not any("norm" in name or "gamma" in name for name, _ in units.ties)


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("name", ["residual", "vit"])
def test_units_are_nested_and_whole_and_come_near_the_density(name: str, scope: str) -> None:
    network = trained(name)
    units = find_units(network, SHAPE)
    first = half(network, units, 0.75, scope)
    rule = Rule(Magnitude(), scope, "units")
    second, _ = rule.select(network, first, Step(density=0.6), 1, None, SHAPE, units)
    for masks in (first, second):
        check_units(units, masks, int(units.alive(masks).sum()))
    assert not any((second[key] & ~first[key]).any() for key in first)
    assert density(second) < density(first) < 1
    widest = 0.06 if scope == "global" else 0.15
    assert density(first) == pytest.approx(0.75, abs=widest)
    assert density(second) == pytest.approx(0.6, abs=widest)
    if scope == "layer":
        left = units.alive(first)
        shares = {
            int(size): int(left[units.group == group].sum())
            for group, size in enumerate(units.group.bincount())
        }
        lost = [(size - kept) / size for size, kept in shares.items()]
        # rounded down to whole units
        assert max(lost) - min(lost) < 1 / min(shares)


@pytest.mark.parametrize("wanted", [1.0, 0.97, 0.8, 0.5])
def test_the_nearest_number_of_the_worst_units_falls(wanted: float) -> None:
    network = trained("residual")
    units = find_units(network, SHAPE)
    dense = dense_masks(network)
    order = units.scores(
        Magnitude().scores(Observation(dense_weights(network), 1)), dense
    ).argsort()
    alive, reached = torch.ones(14, dtype=torch.bool), {0: 1.0}
    for number, unit in enumerate(order.tolist(), 1):
        alive[unit] = False
        tied = units.masks(alive)
        reached[number] = density({name: mask & tied[name] for name, mask in dense.items()})
    best = min(reached, key=lambda number: abs(reached[number] - wanted))
    masks = half(network, units, wanted, "global")
    assert (~units.alive(masks)).nonzero()[:, 0].tolist() == sorted(order[:best].tolist())
    assert density(masks) == pytest.approx(reached[best])


def test_the_score_of_a_unit_is_the_mean_of_its_weights() -> None:
    network = trained("residual")
    units = find_units(network, SHAPE)
    scores = dense_weights(network)
    own = [
        scores["first.weight"][3].flatten(),
        scores["second.weight"][:, 3].flatten(),
    ]
    assert units.scores(scores, dense_masks(network))[8 + 3] == pytest.approx(
        torch.cat(own).double().mean().item()
    )


def test_a_weight_in_row_and_column_of_one_unit_counts_once() -> None:
    index = torch.arange(2)
    units = Units(
        ("a",),
        torch.zeros(2, dtype=torch.long),
        {("w", 0): index, ("w", 1): index},
        {"w": torch.Size([2, 2])},
    )
    weight = torch.tensor([[1.0, 2.0], [3.0, 8.0]])
    masks = {"w": torch.ones(2, 2, dtype=torch.bool)}
    assert units.scores({"w": weight}, masks).tolist() == [2.0, pytest.approx(13 / 3)]


def test_one_unit_of_each_group_stays(caplog: pytest.LogCaptureFixture) -> None:
    network = trained("residual")
    units = find_units(network, SHAPE)
    with caplog.at_level(logging.WARNING):
        masks = half(network, units, 0.001, "global")
    assert units.group[units.alive(masks)].tolist() == [0, 1]
    assert "0.001" in caplog.text


def test_half_a_unit_or_a_dead_group_is_found() -> None:
    network = trained("residual")
    units = find_units(network, SHAPE)
    masks = half(network, units)
    count = int(units.alive(masks).sum())
    with pytest.raises(InvariantError, match="units are left"):
        check_units(units, masks, count + 1)
    broken = {name: mask.clone() for name, mask in masks.items()}
    first = tuple(broken["second.weight"].nonzero()[0].tolist())
    broken["second.weight"][first] = False
    with pytest.raises(InvariantError, match="wholly"):
        check_units(units, broken, count)
    none = {name: mask.clone() for name, mask in masks.items()}
    none["first.weight"][:] = none["second.weight"][:] = False
    with pytest.raises(InvariantError, match="no unit"):
        check_units(units, none, int(units.alive(none).sum()))


class Recurrent(nn.Module):
    """A network that reads an image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = nn.GRU(96, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.rows(images.transpose(1, 2).flatten(2))[0][:, -1])


@pytest.mark.parametrize(
    "make",
    [lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5)), Recurrent],
    ids=["linear", "recurrent"],
)
def test_networks_without_units_are_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(InputError, match="structure"):
        find_units(make(), SHAPE)


def test_groups_that_a_norm_averages_over_are_no_units() -> None:
    torch.manual_seed(1)
    with pytest.raises(InputError, match="structure"):
        find_units(Residual(lambda width: nn.GroupNorm(2, width)), SHAPE)


def test_what_removal_saves() -> None:
    network = trained("residual")
    units = find_units(network, SHAPE)
    alive = torch.arange(14) % 2 == 0
    tied = units.masks(alive)
    masks = {name: mask & tied[name] for name, mask in dense_masks(network).items()}
    zero = pruned(network, units, masks)
    found = measure_removal(zero, units, masks, torch.rand(4, *SHAPE))
    # 4 of 8 and 3 of 6 channels
    layers = {False: (3 * 8 * 9, 2 * 6 * 8 * 9, 160), True: (3 * 4 * 9, 2 * 3 * 4 * 9, 80)}
    for small, suffix in ((False, ""), (True, "_left")):
        convolutions, head = sum(layers[small][:2]), layers[small][2]
        channels = 4 if small else 8
        others = channels + 4 * channels + (6 if small else 12) + 5
        assert found[f"parameters{suffix}"] == convolutions + head + others
        exact = 1024 * convolutions + head
        assert found[f"multiply_adds{suffix}"] == pytest.approx(exact, rel=0.1)
        assert found[f"milliseconds{suffix}"] > 0
