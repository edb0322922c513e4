"""Every explainer of another library that the reference page offers, on registered networks."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.network import frozen
from sparsight.explain.registry import EXPLAINERS
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.models.thesis_cnn import ThesisCnn

COUNT = 2
# The layer of each network that its studies explain, and the side of its images.
LAYERS = {"thesis_cnn": "conv2_relu", "resnet18": "layer4"}
SIDES = {"thesis_cnn": (1, 28, 28), "resnet18": (3, 32, 32)}


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return {
        "thesis_cnn": build_network(ThesisCnn, 10, seed=3),
        "resnet18": build_network(ResNet18, 10, 0, {"width": 8, "stem": "small"}),
    }


def batch(network: str) -> tuple[Tensor, Tensor, Tensor]:
    """Images in [0, 1], targets and ids."""
    generator = torch.Generator().manual_seed(4)
    images = torch.rand(COUNT, *SIDES[network], generator=generator)
    return images, torch.tensor([3, 0]), torch.tensor([12, 7])


def halves(network: str) -> list[Any]:
    """The feature mask of two superpixels, left and right."""
    _, height, width = SIDES[network]
    return [[[[0] * (width // 2) + [1] * (width // 2)] * height]]


def explainer_parameters(method: str, network: str) -> dict[str, Any]:
    """What `method` must be given, and what keeps it quick."""
    prefix, _, name = method.partition(".")
    channels = SIDES[network][0]
    layer = {"layer": LAYERS[network]}
    if prefix == "grad_cam":
        more: dict[str, Any] = {"SESS": {"num_scales": 2}}.get(name, {})
        return more if name == "FullGrad" else {**layer, **more}
    given: dict[str, Any] = {}
    if name.startswith(("Layer", "Neuron")) or name in ("GuidedGradCam", "InternalInfluence"):
        given |= layer
    if name.startswith("Neuron"):
        given["neuron_selector"] = [0, 1, 1]
    if name.endswith("Shap") and name != "KernelShap":
        given["baselines"] = 0.0
    if name in ("Lime", "KernelShap", "ShapleyValueSampling", "ShapleyValues", "FeatureAblation",
                "NeuronFeatureAblation"):  # fmt: skip
        given["feature_mask"] = halves(network)
    if name == "LayerFeatureAblation":
        given["layer_mask"] = [[[[0]]]]
    if name == "Occlusion":
        given |= {"sliding_window_shapes": [channels, 14, 14], "strides": [channels, 7, 7]}
    if name == "NoiseTunnel":
        given |= {"attribution_method": "Saliency", "nt_samples": 2}
    if name.endswith(("IntegratedGradients", "Conductance", "InternalInfluence")):
        given["n_steps"] = 4
    return given


OFFERED = [
    f"{prefix}.{name}"
    for prefix in ("captum", "grad_cam")
    for name in EXPLAINERS.facts(f"{prefix}.Any")["foreign_classes"]
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("network", LAYERS)
@pytest.mark.parametrize("method", OFFERED)
def test_every_offered_explainer_runs(
    method: str, network: str, networks: dict[str, nn.Module]
) -> None:
    explainer = EXPLAINERS.load(method)(**explainer_parameters(method, network))
    images, targets, ids = batch(network)
    with frozen(networks[network]):
        maps = explainer.explain(ImageBatch(networks[network], images, targets, ids, "x"))
    assert maps.ndim == 3
    assert len(maps) == COUNT
    assert maps.isfinite().all()
