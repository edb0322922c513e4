"""Our networks' relevance against zennit's own composites and canonisers on torchvision's."""

import pytest
import torch
import torchvision
from torch import Tensor, nn
from zennit.composites import EpsilonAlpha2Beta1, EpsilonPlus, LayerMapComposite, layer_map_base
from zennit.core import Composite
from zennit.rules import Epsilon
from zennit.torchvision import ResNetCanonizer
from zennit.types import Linear

from sparsight.explain.base import ImageBatch
from sparsight.explain.lrp import Lrp
from sparsight.models.base import Normalise
from sparsight.models.resnet import ResNet18

TARGETS = torch.tensor([3, 0])


@pytest.fixture
def foreign() -> nn.Module:
    """torchvision's network, with batch normalisation that does something."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return model.eval().requires_grad_(False)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "alpha2_beta1"])
def test_resnet(foreign: nn.Module, images: Tensor, composite: str) -> None:
    canonizers = [ResNetCanonizer()]
    rules: dict[str, Composite] = {
        "epsilon": LayerMapComposite(
            [*layer_map_base(), (Linear, Epsilon(epsilon=1e-3))], canonizers=canonizers
        ),
        "epsilon_plus": EpsilonPlus(epsilon=1e-3, canonizers=canonizers),
        "alpha2_beta1": EpsilonAlpha2Beta1(epsilon=1e-3, canonizers=canonizers),
    }
    normalised = Normalise()(images).requires_grad_()
    with rules[composite].context(foreign) as changed:
        scores = changed(normalised)[torch.arange(2), TARGETS]
        (expected,) = torch.autograd.grad(scores, normalised, grad_outputs=scores.detach())
    expected = expected.sum(1)

    own = ResNet18(5)
    own.load_state_dict(foreign.state_dict())
    wrapped = nn.Sequential(Normalise(), foreign)
    for model in (own.eval().requires_grad_(False), wrapped):
        found = Lrp(composite=composite, epsilon=1e-3).explain(
            ImageBatch(model, images, TARGETS, torch.arange(2), "x")
        )
        scale = float(expected.abs().max())
        torch.testing.assert_close(found, expected, atol=1e-3 * scale, rtol=1e-3)
