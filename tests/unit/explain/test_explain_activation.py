"""The mean activation of a layer, against paper and against a hook."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.controls import MeanActivation
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError

Batch = tuple[Tensor, Tensor, Tensor]


class Tiny(nn.Module):
    """A 1x1 convolution of one channel into two, an in-place ReLU, and a module that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.relu = nn.ReLU(inplace=True)
        self.idle = nn.Conv2d(1, 1, 1)
        self.conv.weight.data.copy_(torch.tensor([1.0, -3.0]).view(2, 1, 1, 1))
        self.conv.bias.data.copy_(torch.tensor([0.0, 4.0]))

    def forward(self, images: Tensor) -> Tensor:
        return self.relu(self.conv(images)).mean(dim=(2, 3))


def explain(layer: str, images: Tensor, model: nn.Module, targets: int = 0) -> Tensor:
    count = len(images)
    return MeanActivation(layer=layer).explain(
        ImageBatch(model, images, torch.full((count,), targets), torch.arange(count), "m")
    )


def test_on_paper() -> None:
    images = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).view(1, 1, 2, 2)
    # The channels are x and 4 - 3x: before the ReLU their mean is 2 - x, so 2, 1, 0 and -1, and the
    # last is cut. The ReLU that follows works in place and must not be seen.
    found = explain("conv", images, Tiny())
    assert found.tolist() == [[[2.0, 1.0], [0.0, 0.0]]]
    # After the ReLU: (0 + 4)/2, (1 + 1)/2, (2 + 0)/2, (3 + 0)/2.
    assert explain("relu", images, Tiny()).tolist() == [[[2.0, 1.0], [1.0, 1.5]]]


@pytest.mark.parametrize("layer", ["conv2", "conv2_relu", "pool2"])
def test_equals_a_forward_hook(network: nn.Module, batch: Batch, layer: str) -> None:
    kept: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda module, given, output: kept.append(output)
    )
    network(batch[0])
    handle.remove()
    found = MeanActivation(layer=layer).explain(ImageBatch(network, *batch, "m"))
    torch.testing.assert_close(found, torch.relu(kept[0].mean(dim=1)))
    assert found.max() > 0
    assert found.dtype == torch.float32
    assert not found.requires_grad


def test_the_class_and_the_batch_do_not_matter(network: nn.Module, batch: Batch) -> None:
    images = batch[0]
    whole = explain("conv2", images, network)
    assert torch.equal(explain("conv2", images, network, targets=9), whole)
    single = torch.cat([explain("conv2", images[row : row + 1], network) for row in range(7)])
    torch.testing.assert_close(single, whole, atol=1e-6, rtol=1e-5)


def test_no_hook_stays_behind(network: nn.Module, batch: Batch) -> None:
    explain("conv2", batch[0], network)
    assert not network.get_submodule("conv2")._forward_hooks


def test_facts_say_that_it_is_a_control_that_needs_the_network() -> None:
    facts = EXPLAINERS.facts("mean_activation")
    assert facts["control"] is True
    assert facts.get("needs_network", True) is True
    assert (facts["native"], facts["interpolation"], facts["cost"]) == ("layer", "bilinear", 1)
    assert facts["parameters"] == {"layer": ""}


def test_the_default_layer_is_the_architectures_own(network: nn.Module, batch: Batch) -> None:
    assert network.explain_layer == "conv2"
    torch.testing.assert_close(
        explain("", batch[0], network), explain("conv2", batch[0], network), atol=0, rtol=0
    )


def test_unusable_layers(network: nn.Module) -> None:
    with pytest.raises(InputError, match="names no layer to explain; give the parameter 'layer'"):
        explain("", torch.zeros(1, 1, 2, 2), Tiny())
    with pytest.raises(InputError, match=r"no layer 'conv3'.*did you mean 'conv"):
        explain("conv3", torch.zeros(1, 1, 28, 28), network)
    with pytest.raises(InputError, match="'idle' does not run in a forward pass"):
        explain("idle", torch.zeros(1, 1, 2, 2), Tiny())
