"""Which explainers run on networks of libraries, and that those that run are right there."""

import json
from collections.abc import Iterator
from typing import Any

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch, build_explainers
from sparsight.explain.network import frozen
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.files import write_json
from sparsight.models.base import build_network
from sparsight.models.foreign import ForeignNetwork
from sparsight.models.registry import MODELS
from sparsight.models.tracing import trace
from sparsight.study.reference_pages import RECORD
from sparsight.study.traced import refusal

SIDE, CLASSES = 64, 3
#: architecture to its options
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "torchvision.resnet34": {},
    "torchvision.vgg16_bn": {},
    "torchvision.mobilenet_v2": {},
    "torchvision.mobilenet_v3_small": {},
    "torchvision.densenet121": {},
    "torchvision.efficientnet_b0": {},
    "torchvision.convnext_tiny": {},
    "torchvision.vit_b_16": {"image_size": SIDE},
    "torchvision.swin_t": {},
    "timm.vit_tiny_patch16_224": {"img_size": SIDE},
    "timm.tf_efficientnet_lite0": {},
    "timm.resnet10t": {},
}
#: whose activations are ReLU, or ReLU6
RECTIFIED = ("torchvision.resnet34", "torchvision.vgg16_bn", "torchvision.densenet121")
RECTIFIED += ("torchvision.mobilenet_v2", "timm.tf_efficientnet_lite0", "timm.resnet10t")
#: whose normalisation follows the layers that it can be merged into
MERGED = ("torchvision.resnet34", "torchvision.vgg16_bn", "timm.resnet10t")
NAMES = [
    name for name in sorted(EXPLAINERS.entries) if EXPLAINERS.facts(name).get("needs_network", True)
]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def traced(request: pytest.FixtureRequest) -> tuple[str, ForeignNetwork]:
    """A library's network with random weights, statistics and biases."""
    name, options = request.param, ARCHITECTURES[request.param]
    _, network = trace(MODELS.load(name), CLASSES, options, (3, SIDE, SIDE))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
    return name, network


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> Iterator[dict[str, dict[str, str]]]:
    """Explainer to architecture to the reason why it is refused; recorded where that is asked."""
    whole: dict[str, dict[str, str]] = {}
    yield whole
    if request.config.getoption("--record-networks"):
        content = {"architectures": list(ARCHITECTURES), "explainers": whole, "side": SIDE}
        write_json(RECORD, content)


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}


@pytest.mark.parametrize("explainer", NAMES)
def test_it_runs_or_is_refused(
    traced: tuple[str, ForeignNetwork],
    explainer: str,
    found: dict[str, dict[str, str]],
    record: dict[str, Any],
    request: pytest.FixtureRequest,
) -> None:
    name, network = traced
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with frozen(network):
        reason = refusal(network, {"method": explainer, "parameters": {}}, image)
    found.setdefault(explainer, {})[name] = reason
    if not request.config.getoption("--record-networks"):
        assert reason == record["explainers"][explainer][name], "see `make networks`"


def images() -> Tensor:
    return torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2)).double()


def maps(network: nn.Module, method: str, **parameters: Any) -> Tensor:
    entry = {"family": "it", "method": method, "parameters": parameters}
    targets = torch.arange(3) % CLASSES
    batch = ImageBatch(network, images(), targets, torch.arange(3))
    return build_explainers({"it": entry})["it"].explain(batch).double()


def own_logits(network: nn.Module, inputs: Tensor) -> Tensor:
    return network(inputs).gather(1, (torch.arange(3) % CLASSES)[:, None])[:, 0]


def test_maps_are_right_on_networks_of_rectifiers(traced: tuple[str, ForeignNetwork]) -> None:
    """DeepLIFT is complete; LRP's epsilon rule is gradient times input; every ReLU is guided."""
    name, network = traced
    if name not in RECTIFIED:
        pytest.skip("other activations")
    network.double()
    try:
        with frozen(network):
            change = own_logits(network, images()) - own_logits(network, images() * 0)
            lifted = maps(network, "deep_lift")
            # As a share of what is added up: random networks hardly tell images apart.
            gap = (lifted.sum((1, 2)) - change).abs() / lifted.abs().sum((1, 2))
            assert gap.max() < 1e-5
            if name not in MERGED:
                return
            assert network.normalise is not None
            inputs = network.normalise(images()).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(own_logits(network.module, inputs).sum(), inputs)
            expected = (gradient * inputs).sum(1).detach()
            relevance = maps(network, "lrp", composite="epsilon", epsilon=1e-12)
            assert (relevance - expected).abs().max() < 0.01 * expected.abs().max()
            # captum hooks modules: it sees all ReLUs where each has its own.
            guided = captum.attr.GuidedBackprop(network).attribute(
                images().requires_grad_(), target=torch.arange(3) % CLASSES
            )
            assert torch.allclose(maps(network, "guided_backprop"), guided.sum(1), rtol=1e-4)
    finally:
        network.float()


FUNCTIONAL = """
import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(64, num_classes)

    def forward(self, x):
        x = functional.avg_pool2d(self.act(self.first(x)), 4)
        x = torch.relu(x + self.act(self.second(x)))
        return self.head(functional.adaptive_avg_pool2d(x, 4).flatten(1))
"""


def test_captum_agrees_on_functions_and_reused_activations(tmp_path: Any) -> None:
    """captum's DeepLIFT cannot run on the network itself, where activations work in place twice."""
    path = tmp_path / "net.py"
    path.write_text(FUNCTIONAL, encoding="utf-8")
    architecture = MODELS.load(f"{path}:Net")
    facts, _ = trace(architecture, CLASSES, {}, (3, SIDE, SIDE))
    network = build_network(architecture, CLASSES, 1, {}, facts["traced"]).eval().double()
    with frozen(network):
        expected = captum.attr.DeepLift(network).attribute(
            images().requires_grad_(), images() * 0, target=torch.arange(3) % CLASSES
        )
        found = maps(network, "deep_lift")
    assert torch.allclose(found, expected.sum(1).detach(), rtol=1e-4, atol=1e-8)
