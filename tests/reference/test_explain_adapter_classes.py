"""What the explain adapters say of classes without an import: which there are, and their cost."""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError
from sparsight.metrics.registry import METRICS
from sparsight.metrics.run import within_budget

LIBRARIES = {"captum": "captum.attr", "grad_cam": "pytorch_grad_cam"}


@pytest.mark.parametrize("prefix", LIBRARIES)
def test_listed_classes_are_the_usable_ones(prefix: str) -> None:
    library = pytest.importorskip(LIBRARIES[prefix])
    listed = EXPLAINERS.facts(f"{prefix}.Any")["foreign_classes"]
    names = [name for name, value in vars(library).items() if inspect.isclass(value)]
    found = {name for name in names if not _is_refused(prefix, name)}
    assert set(listed) == found


@pytest.mark.parametrize("prefix", LIBRARIES)
def test_listed_parameters_are_those_without_which_nothing_is_built(prefix: str) -> None:
    pytest.importorskip(LIBRARIES[prefix])
    facts = EXPLAINERS.facts(f"{prefix}.Any")
    stand_ins = {"attribution_method": "Saliency"}
    for name, (_, *choices) in facts["foreign_classes"].items():
        needed = [choice.partition(" or ")[0] for choice in choices]
        given = {key: stand_ins.get(key, "x") for key in needed}
        EXPLAINERS.load(f"{prefix}.{name}")(**given)
        for key in needed:
            left = {other: value for other, value in given.items() if other != key}
            with pytest.raises(InputError, match=key):
                EXPLAINERS.load(f"{prefix}.{name}")(**left)


def _is_refused(prefix: str, name: str) -> bool:
    """Whether the adapter refuses the class itself, whatever its parameters."""
    try:
        EXPLAINERS.load(f"{prefix}.{name}")()
    except InputError as error:
        return "cannot be used" in str(error) or " class '" in str(error)
    except (TypeError, ValueError):
        return False
    return False


class Counted(nn.Module):
    """A layer of four channels and three classes; counts the rows that pass, backward twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.passes = 0
        self.conv, self.relu = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()
        self.pool, self.head = nn.AdaptiveAvgPool2d(2), nn.Linear(16, 3)

    def forward(self, images: Tensor) -> Tensor:
        self.passes += len(images)
        logits: Tensor = self.head(self.pool(self.relu(self.conv(images))).flatten(1))
        if logits.requires_grad:
            logits.register_hook(self._count_backward)
        return logits

    def _count_backward(self, gradient: Tensor) -> None:
        self.passes += 2 * len(gradient)


LAYER: dict[str, Any] = {"layer": "relu"}
NEURON: dict[str, Any] = {**LAYER, "neuron_selector": [0, 1, 1]}
# Method, parameters, cost for images of 8x8, how often the passes are counted: random methods run
# for the batch first, which shows that they are random. None: the backward passes do not begin at
# the logits.
COSTS: list[tuple[str, dict[str, Any], int, int | None]] = [
    ("captum.Saliency", {}, 3, 1),
    ("captum.DeepLift", {}, 6, 1),
    ("captum.DeepLiftShap", {"baselines": 0.0}, 12, 1),
    ("captum.FeatureAblation", {}, 65, 1),
    ("captum.FeatureAblation", {"feature_mask": [[[[0] * 4 + [1] * 4] * 8]]}, 3, 1),
    ("captum.GradientShap", {"baselines": 0.0}, 15, 2),
    ("captum.GradientShap", {"baselines": 0.0, "n_samples": 8}, 24, 2),
    ("captum.GuidedGradCam", LAYER, 6, 1),
    ("captum.IntegratedGradients", {}, 150, 1),
    ("captum.IntegratedGradients", {"n_steps": 7}, 21, 1),
    ("captum.InternalInfluence", LAYER, 150, 1),
    ("captum.KernelShap", {}, 25, 2),
    ("captum.KernelShap", {"n_samples": 40}, 40, 2),
    ("captum.LayerConductance", LAYER, 300, 1),
    ("captum.LayerDeepLift", LAYER, 6, 1),
    ("captum.LayerDeepLiftShap", {**LAYER, "baselines": 0.0}, 12, 1),
    ("captum.LayerFeatureAblation", {**LAYER, "layer_mask": [[[[0]], [[1]], [[2]], [[2]]]]}, 5, 1),
    ("captum.LayerGradientShap", {**LAYER, "baselines": 0.0}, 25, 2),
    ("captum.LayerIntegratedGradients", LAYER, 152, 1),
    ("captum.Lime", {}, 25, 2),
    ("captum.NeuronConductance", NEURON, 150, 1),
    ("captum.NeuronDeepLift", NEURON, 6, None),
    ("captum.NeuronFeatureAblation", NEURON, 65, 1),
    ("captum.NeuronIntegratedGradients", NEURON, 150, None),
    ("captum.NoiseTunnel", {"attribution_method": "Saliency"}, 15, 2),
    (
        "captum.NoiseTunnel",
        {"attribution_method": "IntegratedGradients", "nt_samples": 2, "n_steps": 10},
        60,
        2,
    ),
    ("captum.Occlusion", {"sliding_window_shapes": [1, 4, 4]}, 26, 1),
    ("captum.Occlusion", {"sliding_window_shapes": [1, 4, 4], "strides": [1, 2, 3]}, 10, 1),
    ("captum.Occlusion", {"sliding_window_shapes": [1, 3, 4], "strides": 2}, 13, 1),
    ("captum.ShapleyValueSampling", {"n_samples": 2}, 129, 2),
    (
        "captum.ShapleyValues",
        {"feature_mask": [[[[0] * 4 + [1] * 4] * 4 + [[2] * 8] * 4]]},
        19,
        1,
    ),
    ("captum.ShapleyValues", {}, 10**9, None),
    ("grad_cam.GradCAM", LAYER, 3, 1),
    ("grad_cam.RefineCAM", {"layers": ["conv", "relu"]}, 6, 1),
]


@pytest.mark.parametrize(("method", "parameters", "cost", "times"), COSTS)
def test_the_cost_is_the_number_of_passes(
    method: str, parameters: dict[str, Any], cost: int, times: int | None
) -> None:
    pytest.importorskip(LIBRARIES[method.partition(".")[0]])
    explainer = EXPLAINERS.load(method)(**parameters)
    assert explainer.cost_on((1, 8, 8)) == cost
    if times is not None:
        network = Counted().eval().requires_grad_(False)
        images = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        explainer.explain(ImageBatch(network, images, torch.tensor([1]), torch.tensor([5]), "x"))
        assert network.passes == cost * times


@pytest.mark.parametrize("method", ["ScoreCAM", "AblationCAM"])
def test_the_cost_of_channels_is_that_of_512(method: str) -> None:
    pytest.importorskip("pytorch_grad_cam")
    network = Counted().eval().requires_grad_(False)
    network.passes = 0
    explainer = EXPLAINERS.load(f"grad_cam.{method}")(**LAYER)
    images = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    explainer.explain(ImageBatch(network, images, torch.tensor([1]), torch.tensor([5]), "x"))
    assert explainer.facts()["cost"] - 512 == network.passes - 4


# Needed for a class to be built at all.
NEEDED = {
    "Occlusion": {"sliding_window_shapes": [1, 4, 4]},
    "NoiseTunnel": {"attribution_method": "Saliency"},
}


@pytest.mark.parametrize("prefix", LIBRARIES)
def test_the_table_of_costs_is_that_of_the_defaults(prefix: str) -> None:
    pytest.importorskip(LIBRARIES[prefix])
    facts = EXPLAINERS.facts(f"{prefix}.Any")
    for name, (cost, *_) in facts["foreign_classes"].items():
        found = None
        for more in ({}, LAYER, {"baselines": 0.0}, {**LAYER, "baselines": 0.0}):
            for selector in ({}, {"neuron_selector": 0}):
                try:
                    given = {**NEEDED.get(name, {}), **more, **selector}
                    found = EXPLAINERS.load(f"{prefix}.{name}")(**given).facts()["cost"]
                except InputError:
                    continue
        assert found == cost >= facts["cost"], name


def test_the_budget_refuses_dear_classes() -> None:
    pytest.importorskip("captum.attr")
    pytest.importorskip("pytorch_grad_cam")
    dear = {
        "grad_cam.ScoreCAM": LAYER,
        "grad_cam.AblationCAM": LAYER,
        "grad_cam.SESS": LAYER,
        "captum.Occlusion": {"sliding_window_shapes": [1, 4, 4]},
        "captum.ShapleyValueSampling": {},
        "captum.ShapleyValues": {},
        "captum.FeatureAblation": {},
        "captum.IntegratedGradients": {},
        "captum.Lime": {"n_samples": 500},
        "captum.NoiseTunnel": {"attribution_method": "Saliency", "nt_samples": 50},
    }
    cheap = {
        "grad_cam.GradCAM": LAYER,
        "captum.Saliency": {},
        "captum.KernelShap": {},
        "captum.IntegratedGradients": {"n_steps": 10},
    }
    metrics = {"again": METRICS.load("max_sensitivity")()}
    for methods, kept in ((dear, []), (cheap, ["again"])):
        recorded = {
            method: EXPLAINERS.load(method)(**parameters).facts()
            for method, parameters in methods.items()
        }
        found = within_budget(metrics, methods, recorded, 60)
        assert {method: list(names) for method, names in found.items()} == dict.fromkeys(
            methods, kept
        )
