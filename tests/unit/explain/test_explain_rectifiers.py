"""DeepLIFT and guided backpropagation: on paper, and on every way to write a ReLU."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.explain.base import Explainer, ImageBatch
from sparsight.explain.deep_lift import DeepLift
from sparsight.explain.gradient import GuidedBackprop
from sparsight.io.errors import InputError

Batch = tuple[Tensor, Tensor, Tensor]


def linear(weights: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weights[0]), len(weights))
    layer.weight.data.copy_(torch.tensor(weights))
    layer.bias.data.copy_(torch.tensor(bias))
    return layer


def explain(explainer: Explainer, model: nn.Module, pixels: list[float]) -> list[float]:
    images = torch.tensor(pixels).view(1, 1, 1, -1)
    zero = torch.tensor([0])
    found = explainer.explain(
        ImageBatch(model.eval().requires_grad_(False), images, zero, zero, "x")
    )
    return [round(value, 5) for value in found.flatten().tolist()]


def test_rescale_rule_on_paper() -> None:
    # relu(a + b - 1): 2 at (2, 1), and 0 at (0, 0), where its argument is -1. The argument changes
    # by 3, the output by 2; the gradient would give 2 and 1.
    model = nn.Sequential(nn.Flatten(), linear([[1, 1]], [-1]), nn.ReLU())
    assert explain(DeepLift(), model, [2.0, 1.0]) == [1.33333, 0.66667]


def test_a_unit_that_does_not_change_has_its_gradient() -> None:
    # Both pixels cancel: relu(1 + a - b) at (1, 1) and at (0, 0); and the same below 0.
    for bias, expected in ((1, [1.0, -1.0]), (-1, [0.0, 0.0])):
        model = nn.Sequential(nn.Flatten(), linear([[1, -1]], [bias]), nn.ReLU())
        assert explain(DeepLift(), model, [1.0, 1.0]) == expected


def pooled(weights: list[list[float]], bias: list[float]) -> nn.Module:
    pool = nn.MaxPool2d((1, 2))
    return nn.Sequential(
        nn.Flatten(), linear(weights, bias), nn.Unflatten(1, (1, 1, 2)), pool, nn.Flatten()
    )


@pytest.mark.parametrize(
    ("bias", "pixels", "expected"),
    [
        # Units 3a + 1 and b + 2, 2 from black. At (1, 0) the first is 4: it rose by 3 of which 2
        # are the window's.
        ([1, 2], [1.0, 0.0], [2.0, 0.0]),
        # Units 3a + 2, b + 2, equal from black: the first rose to 5.
        ([2, 2], [1.0, 0.5], [3.0, 0.0]),
        # Negative pixels. Units fall from (3, 1) to (0, 1.5): the maximum falls by 1.5, because
        # the first unit has fallen by 3.
        ([3, 1], [-1.0, 0.5], [-1.5, 0.0]),
        # Equal from black, 2, and both fall: the maximum is now that of the second.
        ([2, 2], [-1.0, -0.5], [0.0, -0.5]),
    ],
)
def test_max_pooling_on_paper(
    bias: list[float], pixels: list[float], expected: list[float]
) -> None:
    model = pooled([[3, 0], [0, 1]], bias)
    assert explain(DeepLift(), model, pixels) == expected


def test_guided_backpropagation_on_paper() -> None:
    # Units 3 and 2 at (1, 1), with output weights 1 and -1: the second gradient is stopped. The
    # plain gradient is (1, 2) - (3, -1).
    model = nn.Sequential(
        nn.Flatten(), linear([[1, 2], [3, -1]], [0, 0]), nn.ReLU(), linear([[1, -1]], [0])
    )
    assert explain(GuidedBackprop(), model, [1.0, 1.0]) == [1.0, 2.0]
    # With weights -1 and 1 the first is stopped; at (0, 1) the second is off.
    model[3] = linear([[-1, 1]], [0])
    assert explain(GuidedBackprop(), model, [1.0, 1.0]) == [3.0, -1.0]
    assert explain(GuidedBackprop(), model, [0.0, 1.0]) == [0.0, 0.0]


class Residual(nn.Module):
    """Padded convolutions, batch normalisation, a shortcut, both poolings, scaled input.

    `style` says how its ReLUs are written.
    """

    def __init__(self, style: str) -> None:
        super().__init__()
        self.style = style
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.head = nn.Linear(4, 10)
        self.relus = nn.ModuleList(nn.ReLU(inplace=style == "in-place") for _ in range(2))

    def relu(self, place: int, values: Tensor) -> Tensor:
        if self.style == "functional":
            return functional.relu(values)
        relu: Tensor = self.relus[0 if self.style == "shared" else place](values)
        return relu

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.pool(self.relu(0, self.norm(self.conv1((images - 0.1) / 0.3))))
        hidden = hidden + self.conv2(hidden)
        hidden = functional.adaptive_avg_pool2d(self.relu(1, hidden), 1)
        logits: Tensor = self.head(hidden.flatten(1))
        return logits


def residual(style: str) -> nn.Module:
    torch.manual_seed(0)
    model = Residual("module")
    model.norm.running_mean.normal_()
    model.norm.bias.data.normal_()
    state = model.state_dict()
    model = Residual(style)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("style", ["module", "in-place", "shared"])
def test_deep_lift_is_complete(network: nn.Module, batch: Batch, style: str) -> None:
    images, targets, _ = batch
    images[:, :, :12] = 0
    rows = torch.arange(len(images))
    for model in (network, residual(style)):
        found = DeepLift().explain(ImageBatch(model, *batch, "d")).sum(dim=(1, 2))
        gain = model(images)[rows, targets] - model(torch.zeros_like(images))[rows, targets]
        assert gain.abs().min() > 1e-3
        torch.testing.assert_close(found, gain, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("style", ["in-place", "shared", "functional"])
def test_the_way_to_write_a_relu_does_not_matter(batch: Batch, style: str) -> None:
    for explainer in (GuidedBackprop(), DeepLift()):
        if style == "functional" and isinstance(explainer, DeepLift):
            continue
        expected = explainer.explain(ImageBatch(residual("module"), *batch, "x"))
        assert torch.equal(explainer.explain(ImageBatch(residual(style), *batch, "x")), expected)


class Functional(nn.Module):
    """A linear layer and whatever function."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 10)
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        outcome: Tensor = self.function(self.layer(images.flatten(1)))
        return outcome


class Doubled(nn.ReLU):
    """A ReLU in name only."""

    def forward(self, values: Tensor) -> Tensor:
        return 2 * super().forward(values)


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (functional.relu, "Relu"),
        (Doubled(), "Relu"),
        (lambda values: values.clamp_min(0), "ClampMin"),
        (lambda values: values * values, "Mul"),
        (lambda values: torch.ones(10) / (values + 9), "Div"),
        (lambda values: values.log_softmax(1), "LogSoftmax"),
        (nn.GELU(), "Gelu"),
        (nn.Hardswish(), "Hardswish"),
        (nn.Sigmoid(), "Sigmoid"),
    ],
)
def test_operations_without_a_rule_are_refused(
    batch: Batch, function: object, operation: str
) -> None:
    model = Functional(function).eval().requires_grad_(False)
    with pytest.raises(InputError, match=f"'deep_lift' has no rule for the operation '{operation}"):
        DeepLift().explain(ImageBatch(model, *batch, "d"))
    if operation == "Relu":
        GuidedBackprop().explain(ImageBatch(model, *batch, "g"))
    else:
        with pytest.raises(InputError, match=f"'guided_backprop' has no rule .* '{operation}"):
            GuidedBackprop().explain(ImageBatch(model, *batch, "g"))


def test_guided_backpropagation_without_relus_is_refused(batch: Batch) -> None:
    model = Functional(nn.Identity()).eval().requires_grad_(False)
    with pytest.raises(InputError, match="would be the plain gradient"):
        GuidedBackprop().explain(ImageBatch(model, *batch, "g"))


def test_functional_max_pooling_is_refused_by_deep_lift_alone(batch: Batch) -> None:
    model = Functional(lambda values: functional.max_pool1d(values, 2).relu())
    model.eval().requires_grad_(False)
    given = (batch[0], batch[1] % 5, batch[2], "x")
    with pytest.raises(InputError, match="no rule for the operation"):
        DeepLift().explain(ImageBatch(model, *given))
