"""Foreign classes through the adapters against calling the libraries directly."""

from typing import Any

import captum.attr
import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch, build_explainers, to_image_size
from sparsight.explain.captum_adapter import CaptumExplainer
from sparsight.explain.grad_cam_adapter import GradCamLibraryExplainer
from sparsight.explain.gradient import IntegratedGradients, Saliency
from sparsight.explain.network import frozen
from sparsight.io.errors import InputError
from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn

TARGETS = torch.tensor([3, 0, 9, 7])
IDS = torch.tensor([12, 7, 3, 40])
HALVES = [[0] * 14 + [1] * 14] * 28
WINDOW = {"sliding_window_shapes": (1, 7, 7), "strides": (1, 7, 7)}
LAYER_METHODS = ["LayerGradCam", "LayerActivation", "LayerGradientXActivation", "LayerDeepLift"]
# name, constructor (a "layer" is a module's name), attribute()
CAPTUM: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Deconvolution", {}, {}),
    ("GuidedBackprop", {}, {}),
    ("InputXGradient", {}, {}),
    ("Saliency", {}, {"abs": False}),
    ("DeepLift", {"multiply_by_inputs": False}, {}),
    ("IntegratedGradients", {}, {"n_steps": 5, "baselines": 0.5}),
    ("Occlusion", {}, WINDOW),
    ("FeatureAblation", {}, {"feature_mask": HALVES}),
    ("GuidedGradCam", {"layer": "conv2"}, {}),
    ("LayerConductance", {"layer": "conv2"}, {"n_steps": 4}),
    ("LayerIntegratedGradients", {"layer": "pool1"}, {"n_steps": 4}),
    ("NeuronGradient", {"layer": "classifier"}, {"neuron_selector": 3}),
    *((name, {"layer": "conv2"}, {}) for name in LAYER_METHODS),
]
RANDOM = [
    ("NoiseTunnel", {"attribution_method": "Saliency", "nt_samples": 3, "stdevs": 0.2}),
    ("GradientShap", {"baselines": 0, "n_samples": 3, "stdevs": 0.1}),
    ("KernelShap", {"n_samples": 8, "feature_mask": HALVES}),
    ("Lime", {"n_samples": 8, "feature_mask": HALVES}),
    ("ShapleyValueSampling", {"n_samples": 2, "feature_mask": HALVES}),
]
CAMS = [
    "GradCAM",
    "GradCAMPlusPlus",
    "XGradCAM",
    "HiResCAM",
    "LayerCAM",
    "GradCAMElementWise",
    "EigenCAM",
    "EigenGradCAM",
    "KPCA_CAM",
    "ScoreCAM",
    "AblationCAM",
    "FEM",
    "ShapleyCAM",
]


@pytest.fixture
def model() -> nn.Module:
    return build_network(ThesisCnn, 10, seed=3).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(4))


def explain(explainer: Explainer, model: nn.Module, images: Tensor) -> Tensor:
    with frozen(model):
        return explainer.explain(ImageBatch(model, images, TARGETS, IDS, "x"))


def as_configured(parameters: dict[str, Any]) -> dict[str, Any]:
    """YAML has lists and no tuples."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "constructor", "arguments"), CAPTUM, ids=[c[0] for c in CAPTUM])
def test_captum_classes_equal_direct_calls(
    model: nn.Module,
    images: Tensor,
    name: str,
    constructor: dict[str, Any],
    arguments: dict[str, Any],
) -> None:
    explainer = CaptumExplainer(name, **as_configured({**constructor, **arguments}))
    found = explain(explainer, model, images)
    constructor, arguments = dict(constructor), dict(arguments)
    if "layer" in constructor:
        constructor["layer"] = model.get_submodule(constructor["layer"])
    if "feature_mask" in arguments:
        arguments["feature_mask"] = torch.tensor(arguments["feature_mask"])
    if not name.startswith("Neuron") and name != "LayerActivation":
        arguments["target"] = TARGETS
    expected = getattr(captum.attr, name)(model, **constructor).attribute(images, **arguments)
    assert found.abs().max() > 0
    torch.testing.assert_close(found, expected.detach().sum(dim=1), atol=1e-5, rtol=1e-4)
    assert explainer.facts()["native"] == ("layer" if name.startswith("Layer") else "pixel")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "parameters"), RANDOM, ids=[r[0] for r in RANDOM])
def test_random_captum_classes_do_not_depend_on_the_batch(
    model: nn.Module, images: Tensor, name: str, parameters: dict[str, Any]
) -> None:
    whole = explain(CaptumExplainer(name, **parameters), model, images)
    rows = torch.tensor([2, 0])
    with frozen(model):
        part = CaptumExplainer(name, **parameters).explain(
            ImageBatch(model, images[rows], TARGETS[rows], IDS[rows], "x")
        )
        other = CaptumExplainer(name, **parameters).explain(
            ImageBatch(model, images, TARGETS, IDS, "y")
        )
    torch.testing.assert_close(part, whole[rows], atol=0, rtol=0)
    assert not torch.allclose(other, whole)


def test_own_gradients_equal_captums(model: nn.Module, images: Tensor) -> None:
    expected = captum.attr.Saliency(model).attribute(images.clone().requires_grad_(), TARGETS)
    found = explain(Saliency(), model, images)
    torch.testing.assert_close(found, expected.detach().amax(1), atol=1e-6, rtol=1e-5)
    # One pass with all steps at once, where ours takes them one after the other.
    expected = captum.attr.IntegratedGradients(model).attribute(images, target=TARGETS, n_steps=50)
    found = explain(IntegratedGradients(), model, images)
    torch.testing.assert_close(found, expected.detach().sum(1).float(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CAMS)
def test_cams_equal_direct_calls(
    model: nn.Module, images: Tensor, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    explainer = GradCamLibraryExplainer(name, layer="conv2_relu")
    found = explain(explainer, model, images)
    assert capsys.readouterr().err == ""
    assert found.shape == (4, 11, 11)
    assert found.dtype == torch.float32
    assert explainer.facts()["native"] == "layer"
    goals = [ClassifierOutputTarget(target) for target in TARGETS.tolist()]
    cam = getattr(pytorch_grad_cam, name)(model, [model.get_submodule("conv2_relu")])
    expected = cam(images, goals)
    assert expected.max() > 0.9
    resized = to_image_size(found, (28, 28), "bilinear")
    resized = resized - resized.amin(dim=(1, 2), keepdim=True)
    resized = resized / (resized.amax(dim=(1, 2), keepdim=True) + 1e-7)
    np.testing.assert_allclose(resized.numpy(), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "parameters", "layers"),
    [
        ("FullGrad", {}, []),
        ("XGradCAM", {"layers": ["conv1", "pool2"]}, ["conv1", "pool2"]),
        ("AblationCAM", {"layer": "conv2", "batch_size": 3}, None),
    ],
)
def test_cams_with_other_layers_and_parameters(
    model: nn.Module,
    images: Tensor,
    name: str,
    parameters: dict[str, Any],
    layers: list[str] | None,
) -> None:
    explainer = GradCamLibraryExplainer(name, **parameters)
    found = explain(explainer, model, images)
    if layers is None:
        assert found.shape == (4, 11, 11)
        return
    goals = [ClassifierOutputTarget(target) for target in TARGETS.tolist()]
    cam = getattr(pytorch_grad_cam, name)(model, [model.get_submodule(layer) for layer in layers])
    np.testing.assert_allclose(found.numpy(), cam(images, goals), atol=1e-5, rtol=0)
    assert explainer.facts()["native"] == "pixel"


def test_random_cam_does_not_depend_on_the_batch(model: nn.Module, images: Tensor) -> None:
    whole = explain(GradCamLibraryExplainer("RandomCAM", layer="conv2"), model, images)
    with frozen(model):
        part = GradCamLibraryExplainer("RandomCAM", layer="conv2").explain(
            ImageBatch(model, images[2:3], TARGETS[2:3], IDS[2:3], "x")
        )
    assert torch.equal(part, whole[2:3])


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_no_hooks_stay_behind(model: nn.Module, images: Tensor) -> None:
    explain(CaptumExplainer("GuidedBackprop"), model, images)
    explain(GradCamLibraryExplainer("GradCAM", layer="conv2"), model, images)
    kept = []
    for explainer in (
        CaptumExplainer("GuidedBackprop"),
        GradCamLibraryExplainer("GradCAM", layer="conv2"),
    ):
        with pytest.raises((IndexError, RuntimeError)) as caught, frozen(model):
            explainer.explain(ImageBatch(model, images, TARGETS + 7, IDS, "x"))
        # The traceback holds the library's object, which would only release them when deleted.
        kept.append(caught)
    left = {
        (name, attribute)
        for name, module in model.named_modules()
        for attribute, table in vars(module).items()
        if attribute.endswith("_hooks") and table
    }
    assert left == set()


@pytest.mark.parametrize(
    ("method", "parameters", "sentence"),
    [
        ("captum.Deconvolutoin", {}, r"'Deconvolutoin'.*did you mean 'Deconvolution'\?"),
        ("captum.GradientAttribution", {}, "no class 'GradientAttribution'"),
        ("captum.FeaturePermutation", {}, "depends on the other images"),
        ("captum.Occlusion", {}, "needs the parameter 'sliding_window_shapes'"),
        ("captum.LayerGradCam", {}, "needs the parameter 'layer'"),
        ("captum.Saliency", {"abz": True}, r"no parameter 'abz'.*did you mean 'abs'\?"),
        ("captum.Saliency", {"target": 3}, "no parameter 'target'"),
        ("captum.NoiseTunnel", {}, "needs the parameter 'attribution_method'"),
        ("captum.NoiseTunnel", {"attribution_method": "Saliency", "x": 1}, "no parameter 'x'"),
        ("grad_cam.XGradCam", {"layer": "a"}, r"'XGradCam'.*did you mean 'XGradCAM'\?"),
        ("grad_cam.XGradCAM", {}, "takes either 'layer' or 'layers'"),
        ("grad_cam.FullGrad", {"layer": "a"}, "takes no layer"),
        ("grad_cam.XGradCAM", {"layer": "a", "b": 1}, "no parameter 'b'"),
        ("grad_cam.FinerCAM", {"layer": "a"}, "chooses its targets itself"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(
    method: str, parameters: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        build_explainers({"a": {"method": method, "parameters": parameters}})


def test_a_captum_layer_without_maps_is_refused(model: nn.Module, images: Tensor) -> None:
    explainer = CaptumExplainer("LayerActivation", layer="classifier")
    with pytest.raises(InputError, match="gives no maps"):
        explain(explainer, model, images)
