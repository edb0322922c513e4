"""Layer-wise relevance propagation: rules on paper, conservation, and what it must leave alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch, build_explainers
from sparsight.explain.gradient import InputXGradient
from sparsight.explain.lrp import Lrp, merged_copy
from sparsight.explain.network import require_equal_logits
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError
from sparsight.models.base import Normalise
from sparsight.models.resnet import ResNet18

Batch = tuple[Tensor, Tensor, Tensor]
COMPOSITES = ["epsilon", "epsilon_plus", "alpha2_beta1"]
ZERO = torch.tensor([0])
IDS = torch.arange(3)
TARGETS = torch.tensor([1, 0, 3])


def build(**parameters: object) -> Explainer:
    return build_explainers({"x": {"method": "lrp", "parameters": parameters}})["x"]


def convolution(weights: list[list[float]]) -> nn.Conv2d:
    """1x1 convolution without bias."""
    layer = nn.Conv2d(len(weights[0]), len(weights), 1, bias=False)
    layer.weight.data.copy_(torch.tensor(weights).view(len(weights), -1, 1, 1))
    return layer


def relevance(model: nn.Module, pixels: list[float], **parameters: object) -> list[float]:
    """Of a network whose layers see each pixel as a channel; channels are summed at the end."""
    images = torch.tensor(pixels).view(1, 1, 1, -1)
    found = build(**parameters).explain(
        ImageBatch(model.eval().requires_grad_(False), images, ZERO, ZERO, "x")
    )
    return [round(value, 4) for value in found.flatten().tolist()]


class Turned(nn.Module):
    """Pixels [N,1,1,W] as channels [N,W,1,1]."""

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2)


def two_layers() -> nn.Module:
    # From pixels (2, 1, 1) the hidden units are 2*2 - 1 = 3 and 1*2 + 3 - 1 = 4; the logit is
    # 2*3 - 4 = 2, of which the first unit has 6 and the second -4.
    first = convolution([[2.0, -1.0, 0.0], [1.0, 3.0, -1.0]])
    last = nn.Linear(2, 1, bias=False)
    last.weight.data.copy_(torch.tensor([[2.0, -1.0]]))
    return nn.Sequential(Turned(), first, nn.ReLU(), nn.Flatten(), last)


@pytest.mark.parametrize(
    ("composite", "expected"),
    [
        # Contributions to the units are (4, -1, 0) of 3 and (2, 3, -1) of 4.
        # 6 * (4, -1, 0) / 3 - 4 * (2, 3, -1) / 4
        ("epsilon", [6.0, -5.0, 1.0]),
        # Positive ones alone: 6 * (4, 0, 0) / 4 - 4 * (2, 3, 0) / 5
        ("epsilon_plus", [4.4, -2.4, 0.0]),
        # Twice those, less 6 * (0, 1, 0) / 1 - 4 * (0, 0, 1) / 1
        ("alpha2_beta1", [8.8, -10.8, 4.0]),
    ],
)
def test_two_layers_on_paper(composite: str, expected: list[float]) -> None:
    assert relevance(two_layers(), [2.0, 1.0, 1.0], composite=composite) == expected


def test_epsilon_on_paper() -> None:
    # The logit 2 has the denominator 3: the units have 4 and -8/3 of 6 and -4. Then denominators
    # 4 and 5: 4 * (4, -1, 0) / 4 - 8/3 * (2, 3, -1) / 5
    expected = [round(4 - 16 / 15, 4), round(-1 - 24 / 15, 4), round(8 / 15, 4)]
    found = relevance(two_layers(), [2.0, 1.0, 1.0], composite="epsilon", epsilon=1.0)
    assert found == expected


class Shortcut(nn.Module):
    """A block that adds what a layer makes of its input to that input."""

    def __init__(self, layer: nn.Module, add: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.add = layer, add

    def forward(self, hidden: Tensor) -> Tensor:
        return self.add(self.layer(hidden), hidden)


def added_in_place(left: Tensor, right: Tensor) -> Tensor:
    left += right
    return left


@pytest.mark.parametrize("add", [torch.add, Tensor.__add__, lambda a, b: b + a, added_in_place])
def test_a_shortcut_has_its_share(add: Callable[[Tensor, Tensor], Tensor]) -> None:
    # From (1, 2): the layer gives 3*2 = 6 and 1, with the shortcut 7 and 3; the logit is 10.
    # The layer's part of each: 6 and 1, which belong to the second and the first pixel.
    layer = convolution([[0.0, 3.0], [1.0, 0.0]])
    last = nn.Linear(2, 1, bias=False)
    last.weight.data.fill_(1)
    model = nn.Sequential(Turned(), Shortcut(layer, add), nn.Flatten(), last)
    for composite in COMPOSITES[:2]:
        assert relevance(model, [1.0, 2.0], composite=composite) == [2.0, 8.0]
    # The layer has no negative contributions, so that its part counts twice.
    assert relevance(model, [1.0, 2.0], composite="alpha2_beta1") == [3.0, 14.0]


def test_average_pooling_hands_down_in_proportion() -> None:
    # The mean is 1/2, of a sum of 2.
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert relevance(model, [1.0, 3.0, 0.0, -2.0]) == [0.25, 0.75, 0.0, -0.5]


def test_max_pooling_hands_down_to_the_maximum() -> None:
    model = nn.Sequential(nn.MaxPool2d((1, 3)), nn.Flatten())
    assert relevance(model, [1.0, 3.0, 2.0]) == [0.0, 3.0, 0.0]


def test_normalisation_passes_relevance_through() -> None:
    # Normalised pixels are (1 - .5) / .25 = 2 and (0 - .5) / .25 = -2: with weights 3 and 1, 6 - 2.
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.data.copy_(torch.tensor([[3.0, 1.0]]))
    model = nn.Sequential(Normalise([0.5], [0.25]), nn.Flatten(), linear)
    assert relevance(model, [1.0, 0.0], composite="epsilon") == [6.0, -2.0]


def bias_free() -> nn.Module:
    torch.manual_seed(6)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        *(nn.ReLU(), nn.MaxPool2d(2)),
        nn.Conv2d(6, 8, 3, bias=False),
        *(nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
        nn.Linear(72, 4, bias=False),
    )
    return model.eval().requires_grad_(False)


def colour() -> Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(7)) - 0.3


def residual() -> nn.Module:
    """ResNet-18 as if trained: batch normalisation that does something."""
    torch.manual_seed(8)
    model = ResNet18(4, width=8, stem="strided")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.3, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return model.eval().requires_grad_(False)


def photographs() -> Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(9))


def test_relevance_is_conserved() -> None:
    model, images = bias_free(), colour()
    logits = model(images)[IDS, TARGETS]
    for composite in COMPOSITES:
        found = Lrp(composite=composite, epsilon=1e-9).explain(
            ImageBatch(model, images, TARGETS, IDS, "x")
        )
        torch.testing.assert_close(found.sum(dim=(1, 2)), logits, atol=1e-4, rtol=2e-3)


def test_the_epsilon_rule_is_input_times_gradient_without_biases() -> None:
    # Ancona et al., arXiv:1711.06104, proposition 1 (with ReLU); average pooling is linear.
    model, images = bias_free(), colour()
    found = Lrp(composite="epsilon", epsilon=1e-10).explain(
        ImageBatch(model, images, TARGETS, IDS, "x")
    )
    expected = InputXGradient().explain(ImageBatch(model, images, TARGETS, IDS, "x"))
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-3)
    for composite in COMPOSITES[1:]:
        other = Lrp(composite=composite).explain(ImageBatch(model, images, TARGETS, IDS, "x"))
        assert (other - expected).abs().max() > 0.1 * expected.abs().max()


def test_a_residual_network_hands_down_its_logit_less_the_biases() -> None:
    # Without batch normalisation's shifts nothing is lost in eight blocks with shortcuts.
    model, images = residual(), photographs()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
            module.bias.data.zero_()
    model.get_parameter("fc.bias").data.zero_()
    logits = model(images)[IDS, TARGETS]
    found = Lrp(composite="epsilon", epsilon=1e-9).explain(
        ImageBatch(model, images, TARGETS, IDS, "x")
    )
    torch.testing.assert_close(found.sum(dim=(1, 2)), logits, atol=1e-3, rtol=5e-3)


def test_merging_changes_no_logit_and_leaves_no_normalisation() -> None:
    model, images = residual(), photographs()
    merged = merged_copy(model)
    torch.testing.assert_close(merged(images), model(images), atol=1e-4, rtol=1e-4)
    norms = [module for module in merged.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 20
    given = torch.randn(2, 8, 3, 3)
    assert torch.equal(norms[0](given), given)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_merging_linear_layers(affine: bool, bias: bool) -> None:
    torch.manual_seed(10)
    norm = nn.BatchNorm1d(5, affine=affine)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    model = nn.Sequential(nn.Linear(4, 5, bias=bias), norm).eval()
    given = torch.randn(3, 4)
    torch.testing.assert_close(merged_copy(model)(given), model(given))


@pytest.mark.parametrize("composite", COMPOSITES)
def test_nothing_depends_on_the_batch(composite: str) -> None:
    model, images = residual(), photographs()
    explainer = Lrp(composite=composite)
    whole = explainer.explain(ImageBatch(model, images, TARGETS, IDS, "x"))
    assert whole.shape == (3, 32, 32)
    for row in range(3):
        part = slice(row, row + 1)
        alone = explainer.explain(ImageBatch(model, images[part], TARGETS[part], IDS[part], "x"))
        scale = float(whole[row].abs().max())
        torch.testing.assert_close(alone[0], whole[row], atol=1e-3 * scale, rtol=1e-3)


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {
        **{key: value.clone() for key, value in model.named_parameters()},
        **{key: value.clone() for key, value in model.named_buffers()},
    }


@pytest.mark.parametrize("targets", [TARGETS, TARGETS + 4])
def test_the_network_stays_as_it_was_even_where_it_fails(targets: Tensor) -> None:
    model, images = residual(), photographs()
    model.conv1.weight.requires_grad_(True)
    before, copy = state_of(model), images.clone()
    identities = {key: id(value) for key, value in model.named_parameters()}
    if int(targets.max()) > 3:
        with pytest.raises(InputError, match="cannot be explained"):
            Lrp().explain(ImageBatch(model, images, targets, IDS, "x"))
    else:
        Lrp().explain(ImageBatch(model, images, targets, IDS, "x"))
    after = state_of(model)
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert {key: id(value) for key, value in model.named_parameters()} == identities
    assert [p.requires_grad for p in model.parameters()] == [True] + [False] * 61
    assert model.conv1.weight.grad is None
    assert model.conv1.bias is None
    assert model.bn1.eps == 1e-5
    assert torch.equal(images, copy)
    assert all(
        not table
        for module in model.modules()
        for attribute, table in vars(module).items()
        if attribute.endswith("_hooks")
    )


class Custom(nn.Module):
    """Layers, and a forward pass of one's own."""

    def __init__(self, run: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.norm.running_mean.fill_(0.5)
        self.last = nn.Linear(3 * 256, 4)
        self.run = run

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.run(self, images).flatten(1))


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (lambda m, x: m.first(x).sigmoid(), "no rule for the operation 'sigmoid'"),
        (lambda m, x: m.first(x) * x, "no rule for the operation 'mul'"),
        (lambda m, x: torch.nn.functional.avg_pool2d(x, 1), "no rule for .* 'avg_pool2d'"),
        (lambda m, x: m.first(x) + 1, "no rule for the operation 'add'"),
        (lambda m, x: torch.add(m.first(x), x, alpha=2), "no rule for the operation 'add'"),
        (lambda m, x: m.first(m.first(x)), "a Conv2d runs more than once"),
        # registered side by side, but a ReLU runs between them
        (lambda m, x: m.norm(m.first(x).relu()), "register its modules in the order"),
    ],
)
def test_what_has_no_rule_is_refused(
    run: Callable[[nn.Module, Tensor], Tensor], sentence: str
) -> None:
    torch.manual_seed(11)
    model = Custom(run).eval().requires_grad_(False)
    with pytest.raises(InputError, match=sentence):
        Lrp().explain(ImageBatch(model, colour(), TARGETS, IDS, "x"))


def test_relu_and_max_pooling_need_no_modules() -> None:
    torch.manual_seed(11)
    pool = torch.nn.functional.max_pool2d
    model = Custom(lambda m, x: pool(m.norm(m.first(x)).relu(), 1)).eval().requires_grad_(False)
    as_modules = nn.Sequential(model.first, model.norm, nn.ReLU(), nn.Flatten(), model.last)
    found, expected = (
        Lrp(composite="alpha2_beta1").explain(ImageBatch(network, colour(), TARGETS, IDS, "x"))
        for network in (model, as_modules.eval())
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("composite", COMPOSITES)
def test_facts(composite: str) -> None:
    cost = build(composite=composite).facts()["cost"]
    assert cost == {"epsilon": 4, "epsilon_plus": 7, "alpha2_beta1": 13}[composite]
    assert build().facts()["cost"] == EXPLAINERS.facts("lrp")["cost"]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"composite": "gamma"}, "composite is 'gamma', but must be one of epsilon, epsilon_plus"),
        ({"epsilon": 0.0}, "epsilon is 0.0, but must be above 0"),
    ],
)
def test_unusable_parameters(parameters: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build(**parameters)


def test_thesis_network(network: nn.Module, batch: Batch) -> None:
    found = build().explain(ImageBatch(network, *batch, "x"))
    assert found.shape == (7, 28, 28)
    assert found.dtype == torch.float32
    assert not found.requires_grad


def test_nan_is_not_taken_for_equal_logits() -> None:
    fine, broken = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, torch.nan]])
    require_equal_logits(fine, fine, "lrp")
    with pytest.raises(InputError, match="cannot bring this network into the form"):
        require_equal_logits(broken, fine, "lrp")
    with pytest.raises(InputError, match="logits that are not finite"):
        require_equal_logits(broken, broken, "lrp")
