"""FullGrad: the logit is made of its parts, and a map of theirs, by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch, to_image_size
from sparsight.explain.gradient import FullGrad, full_gradients
from sparsight.io.errors import InputError
from sparsight.models.base import Normalise, build_network
from sparsight.models.resnet import ResNet18

Batch = tuple[Tensor, Tensor, Tensor]


class Residual(nn.Module):
    """Normalised images, batch normalisation, a shortcut, both poolings, an in-place ReLU."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.normalise = Normalise((0.4,), (0.2,))
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4, affine=False)
        self.relu1, self.relu2 = nn.ReLU(inplace=True), nn.ReLU()
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
        for norm in (self.norm1, self.norm2):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
        self.norm1.weight.data.normal_()
        self.norm1.bias.data.normal_()

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.pool(self.relu1(self.norm1(self.conv1(self.normalise(images)))))
        logits: Tensor = self.head(self.relu2(hidden + self.norm2(self.conv2(hidden))))
        return logits


def parts_of(model: nn.Module, images: Tensor, targets: Tensor) -> tuple[list[Tensor], Tensor]:
    parts: list[Tensor] = []
    logits = full_gradients(ImageBatch(model, images, targets, targets), parts.append)
    return parts, logits


def test_parts_sum_to_the_logit(network: nn.Module, batch: Batch) -> None:
    images, targets, _ = batch
    residual = Residual().eval().requires_grad_(False)
    # Layers with a bias, and the input: the first has two convolutions and a head, the second no
    # part of its own for the normalisation of the images.
    for model, count in ((network, 4), (residual, 6)):
        parts, logits = parts_of(model, images, targets)
        assert len(parts) == count
        assert parts[-1].shape == images.shape
        torch.testing.assert_close(logits, model(images).gather(1, targets[:, None]).squeeze(1))
        total = sum(part.double().flatten(1).sum(dim=1) for part in parts)
        torch.testing.assert_close(total, logits.double(), atol=1e-5, rtol=1e-4)
    assert not any(module._forward_hooks for module in residual.modules())


def test_the_bias_of_batch_normalisation_by_hand() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1, eps=0.0), nn.Flatten(), nn.Linear(2, 1, bias=False))
    model.requires_grad_(False)
    norm = model.get_submodule("0")
    for name, value in {
        "weight": 3.0,
        "bias": 1.0,
        "running_mean": 2.0,
        "running_var": 4.0,
    }.items():
        getattr(norm, name).fill_(value)
    model.get_parameter("2.weight").copy_(torch.tensor([[1.0, -2.0]]))
    images = torch.tensor([[[[5.0, 7.0]]]])
    parts, logits = parts_of(model.eval(), images, torch.tensor([0]))
    # 1 - 3 * 2 / 2 = -2 at two outputs with gradients 1 and -2; input gradients 3 / 2 times those.
    assert [part.flatten().tolist() for part in parts] == [[-2.0, 4.0], [7.5, -21.0]]
    assert logits.tolist() == [-11.5]


def by_hand() -> nn.Module:
    """Two channels, x + 1 and 2x - 3, of which the logit takes the sum."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 1)).requires_grad_(False)
    model.get_parameter("0.weight").copy_(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
    model.get_parameter("0.bias").copy_(torch.tensor([1.0, -3.0]))
    model.get_parameter("2.weight").copy_(torch.tensor([[1.0, 1, 1, 0, 0, 1, 1, 0]]))
    return model


@pytest.mark.parametrize(
    ("rescale", "bias_parts"),
    [
        # Both channels to [0, 1].
        ("channel", [[1.0, 2.0], [2.0, 0.0]]),
        # |bias gradients| (1, 1, 1, 0) and (0, 3, 3, 0): divided by 3.
        ("layer", [[1 / 3, 4 / 3], [4 / 3, 0.0]]),
    ],
)
def test_a_map_by_hand(rescale: str, bias_parts: list[list[float]]) -> None:
    images = torch.tensor([[[[2.0, -1.0], [3.0, 5.0]]]])
    zero = torch.tensor([0])
    found = FullGrad(rescale=rescale).explain(ImageBatch(by_hand(), images, zero, zero, "f"))
    # Gradients (1, 3, 3, 0) times the image: sizes (2, 3, 9, 0).
    expected = torch.tensor([[2 / 9, 3 / 9], [1.0, 0.0]]) + torch.tensor(bias_parts)
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=0)


def test_layers_are_brought_to_image_size(network: nn.Module, batch: Batch) -> None:
    parts, _ = parts_of(network, *batch[:2])
    assert [tuple(part.shape[1:]) for part in parts] == [
        (10,),
        (8, 11, 11),
        (4, 26, 26),
        (1, 28, 28),
    ]
    expected = torch.zeros(7, 28, 28)
    for part in parts[1:]:
        sizes = part.abs() - part.abs().amin(dim=(1, 2, 3), keepdim=True)
        sizes = sizes / sizes.amax(dim=(1, 2, 3), keepdim=True)
        expected += to_image_size(sizes.sum(dim=1), (28, 28), "bilinear")
    found = FullGrad().explain(ImageBatch(network, *batch, "f"))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_it_does_not_matter_who_normalises() -> None:
    options: dict[str, Any] = {"width": 2, "stem": "small"}
    inside = build_network(ResNet18, 5, 0, options).eval().requires_grad_(False)
    outside = build_network(ResNet18, 5, 0, {**options, "normalisation": "none"})
    outside.eval().requires_grad_(False)
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    given = (torch.tensor([1, 4]), torch.arange(2), "f")
    found = FullGrad().explain(ImageBatch(inside, images, *given))
    expected = FullGrad().explain(ImageBatch(outside, Normalise()(images), *given))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


class Hidden(nn.Module):
    """Adds a constant that no module knows of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 3)

    def forward(self, images: Tensor) -> Tensor:
        return (self.conv(images) + 1).mean(dim=(2, 3))


def test_networks_that_are_more_than_their_parts_are_refused(batch: Batch) -> None:
    curved = nn.Sequential(nn.Conv2d(1, 10, 28), nn.Sigmoid(), nn.Flatten())
    for model, sentence in (
        (Hidden(), "'full_grad' does not find all of the logit"),
        (curved, "'full_grad' has no rule for the operation 'Sigmoid'"),
    ):
        with pytest.raises(InputError, match=sentence):
            FullGrad().explain(ImageBatch(model.eval().requires_grad_(False), *batch, "f"))
        assert not any(module._forward_hooks for module in model.modules())


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(InputError, match="rescale is 'image', but must be one of layer, channel"):
        FullGrad(rescale="image")


def test_nan_is_not_taken_for_parts_that_sum_to_the_logit() -> None:
    model = by_hand()
    model.get_parameter("2.bias").fill_(torch.nan)
    zero = torch.tensor([0])
    with pytest.raises(InputError, match="logits that are not finite"):
        FullGrad().explain(ImageBatch(model, torch.rand(1, 1, 2, 2), zero, zero, "f"))
