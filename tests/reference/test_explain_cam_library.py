"""Class activation maps against pytorch-grad-cam, and where the library does something else."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_grad_cam import (
    AblationCAM,
    EigenCAM,
    FullGrad,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
    XGradCAM,
)
from pytorch_grad_cam.guided_backprop import GuidedBackpropReLUModel
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from sparsight.explain import gradient
from sparsight.explain.base import Explainer, ImageBatch, to_image_size
from sparsight.explain.cam import (
    AblationCam,
    EigenCam,
    GradCam,
    GradCamPlusPlus,
    HiResCam,
    LayerCam,
    ScoreCam,
    WeightedCam,
    XGradCam,
)
from sparsight.explain.gradient import GuidedGradCam
from sparsight.explain.network import frozen
from sparsight.models.base import Normalise, build_network
from sparsight.models.resnet import ResNet18
from sparsight.models.thesis_cnn import ThesisCnn

# With the library's epsilon instead of the paper's.
LibraryPlusPlus = partial(GradCamPlusPlus, epsilon=1e-6)
LAYERS = ["conv1", "conv1_relu", "pool1", "conv2", "conv2_relu", "pool2"]
PAIRS = [
    (GradCam, GradCAM),
    (LibraryPlusPlus, GradCAMPlusPlus),
    (XGradCam, XGradCAM),
    (HiResCam, HiResCAM),
    (LayerCam, LayerCAM),
    (ScoreCam, ScoreCAM),
]
Case = tuple[nn.Module, Tensor, Tensor]


def min_max(maps: Tensor) -> Tensor:
    """As the library: the denominator carries 1e-7."""
    shifted = maps - maps.amin(dim=(1, 2), keepdim=True)
    return shifted / (shifted.amax(dim=(1, 2), keepdim=True) + 1e-7)


@pytest.fixture
def thesis() -> Case:
    model = build_network(ThesisCnn, 10, seed=3)
    generator = torch.Generator().manual_seed(4)
    images = torch.rand(16, 1, 28, 28, generator=generator)
    return model, images, torch.randint(0, 10, (16,), generator=generator)


@pytest.fixture
def resnet() -> Case:
    model = build_network(ResNet18, 5, 0, {"width": 8, "stem": "small"})
    generator = torch.Generator().manual_seed(6)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name in ("running_mean", "bias"):
                getattr(module, name).data.normal_(0, 0.1, generator=generator)
    images = torch.rand(4, 3, 16, 16, generator=generator)
    return model, images, torch.tensor([0, 3, 1, 4])


def own_maps(explainer: Explainer, case: Case) -> Tensor:
    model, images, targets = case
    with frozen(model):
        return explainer.explain(ImageBatch(model, images, targets, torch.arange(len(images)), "x"))


def library_maps(cam: Any, case: Case) -> np.ndarray:
    _, images, targets = case
    maps = cam(images, [ClassifierOutputTarget(target) for target in targets.tolist()])
    return np.asarray(maps)


def scaled(raw: Tensor, case: Case) -> np.ndarray:
    """As the library scales the map of a layer: without evidence against, before and after."""
    size = (case[1].shape[2], case[1].shape[3])
    return min_max(to_image_size(min_max(raw.clamp_min(0)), size, "bilinear")).numpy()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("own", "library"), PAIRS)
def test_equals_the_library_after_its_scaling(
    layer: str, own: type[Explainer], library: Any, thesis: Case
) -> None:
    if own is ScoreCam:
        # Else the mean of channels that it is would be below 0 everywhere before the ReLU.
        thesis[0].get_parameter("conv2.bias").data.add_(1)
    expected = library_maps(library(thesis[0], [thesis[0].get_submodule(layer)]), thesis)
    assert expected.max() > 0.9
    found = scaled(own_maps(own(layer=layer), thesis), thesis)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("own", "library"), [*PAIRS, (AblationCam, AblationCAM)])
def test_equals_the_library_on_a_residual_network(
    own: type[Explainer], library: Any, resnet: Case
) -> None:
    model = resnet[0]
    if own is AblationCam:
        # The library divides by the logit.
        model.get_parameter("fc.bias").data.add_(50)
    expected = library_maps(library(model, [model.get_submodule("layer2")]), resnet)
    assert expected.max() > 0.9
    found = scaled(own_maps(own(layer="layer2"), resnet), resnet)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("layer", ["conv1_relu", "pool1", "conv2_relu", "pool2"])
def test_ablation_cam_where_the_logit_is_positive(layer: str, thesis: Case) -> None:
    model, images, targets = thesis
    layer_maps = library_maps(AblationCAM(model, [model.get_submodule(layer)]), thesis)
    raw = own_maps(AblationCam(layer=layer), thesis)
    found = scaled(raw, thesis)
    logits = model(images).gather(1, targets[:, None]).squeeze(1)
    positive = (logits > 0).numpy()
    assert 3 < positive.sum() < 13
    np.testing.assert_allclose(found[positive], layer_maps[positive], atol=1e-4, rtol=0)
    # Elsewhere the division by the logit has turned evidence against the target into evidence.
    assert np.abs(found[~positive] - layer_maps[~positive]).max(axis=(1, 2)).min() > 0.1


def test_ablation_cam_before_what_is_no_relu() -> None:
    # The library has -1e7 and less for 0 where some activations are negative.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 2))
    case = model, torch.rand(3, 1, 28, 28), torch.tensor([0, 1, 0])
    conv, head = model[0], model[2]
    cam = AblationCAM(model, [conv])
    seen: list[np.ndarray] = []
    compute = cam.get_cam_weights
    cam.get_cam_weights = lambda *given: seen.append(compute(*given)) or seen[-1]
    library_maps(cam, case)
    assert np.abs(seen[0]).min() > 1e3
    # Each channel's contribution to the linear head, exactly.
    activations = conv(case[1]).detach()
    parts = head.weight.detach()[case[2]].view_as(activations) * activations
    weights = parts.sum((2, 3))
    expected = (weights[:, :, None, None] * activations).sum(1).clamp_min(0)
    torch.testing.assert_close(own_maps(AblationCam(layer="0"), case), expected)


def test_eigen_cam_up_to_its_sign(thesis: Case, resnet: Case) -> None:
    for case, layer in ((thesis, "conv1_relu"), (thesis, "pool2"), (resnet, "layer2")):
        cam = EigenCAM(case[0], [case[0].get_submodule(layer)])
        activations: list[Tensor] = []
        handle = (
            case[0]
            .get_submodule(layer)
            .register_forward_hook(
                lambda module, given, output, kept=activations: kept.append(output.detach())
            )
        )
        raw = own_maps(EigenCam(layer=layer, centred=True), case)
        handle.remove()
        projected = torch.as_tensor(
            cam.get_cam_image(None, None, None, activations[0].numpy(), None, False)
        )
        same = (projected.clamp_min(0) - raw).flatten(1).abs().amax(1)
        turned = ((-projected).clamp_min(0) - raw).flatten(1).abs().amax(1)
        size = raw.amax((1, 2))
        assert bool((torch.minimum(same, turned) < 1e-4 * size).all())


def test_the_librarys_eigen_cam_turns_some_images_inside_out(thesis: Case) -> None:
    # All channels are bright where the object is, in the middle or in a corner; LAPACK begins with
    # the first position, and the library takes its sign.
    generator = torch.Generator().manual_seed(0)
    object_ = torch.zeros(20, 6, 6)
    object_[:10, 2:5, 2:5] = 1
    object_[10:, :3, :3] = 1
    channels = torch.rand(20, 5, 1, 1, generator=generator) * object_[:, None]
    channels += 1e-3 * torch.rand(20, 5, 6, 6, generator=generator)
    cam = EigenCAM(thesis[0], [])
    projected = torch.as_tensor(cam.get_cam_image(None, None, None, channels.numpy(), None, False))
    inside = (projected * object_).sum((1, 2))
    assert bool((inside > 0).any())
    assert bool((inside < 0).any())
    for centred in (False, True):
        found = EigenCam(centred=centred).map_of(channels, torch.empty(0))
        assert bool(((found * object_).sum((1, 2)) > 0.9 * found.sum((1, 2))).all())


def test_guided_grad_cam_is_the_librarys_product(thesis: Case) -> None:
    _, images, targets = thesis
    found = own_maps(GuidedGradCam(layer="pool2"), thesis)
    assert bool((found.abs().amax((1, 2)) > 1e-3).sum() > 2)
    where = to_image_size(own_maps(GradCam(layer="pool2"), thesis), (28, 28), "bilinear")
    guided = GuidedBackpropReLUModel(thesis[0])
    for place in range(16):
        gradient = guided(images[[place]].clone(), int(targets[place]))[:, :, 0]
        expected = where[place].numpy() * gradient
        np.testing.assert_allclose(found[place], expected, atol=1e-5, rtol=1e-4)


def min_max_of_all(maps: Tensor) -> np.ndarray:
    return min_max(maps).numpy()


def test_full_grad_by_channel_is_the_librarys(thesis: Case) -> None:
    expected = library_maps(FullGrad(thesis[0], []), thesis)
    by_channel = min_max_of_all(own_maps(gradient.FullGrad(rescale="channel"), thesis))
    np.testing.assert_allclose(by_channel, expected, atol=1e-4, rtol=0)
    by_layer = min_max_of_all(own_maps(gradient.FullGrad(), thesis))
    assert np.abs(by_layer - expected).max() > 0.05


def test_biases_cancel_in_the_librarys_full_grad(thesis: Case) -> None:
    cam = FullGrad(thesis[0], [])
    expected = library_maps(cam, thesis)
    cam.bias_data = [1000 * bias for bias in cam.bias_data]
    np.testing.assert_allclose(library_maps(cam, thesis), expected, atol=1e-3, rtol=0)


def test_full_grad_and_who_normalises(resnet: Case) -> None:
    # The library does not see the normalisation inside the network; given normalised images, the
    # other bias terms, those of batch normalisation, are the same.
    model, images, targets = resnet
    found = min_max_of_all(own_maps(gradient.FullGrad(rescale="channel"), resnet))
    inside = library_maps(FullGrad(model, []), resnet)
    assert np.abs(found - inside).max() > 0.01
    outside = build_network(ResNet18, 5, 0, {"width": 8, "stem": "small", "normalisation": "none"})
    outside.load_state_dict(model.state_dict())
    expected = library_maps(FullGrad(outside, []), (outside, Normalise()(images), targets))
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("own", "library"),
    [(GradCam, GradCAM), (LibraryPlusPlus, GradCAMPlusPlus), (XGradCam, XGradCAM)],
)
def test_weights_equal_the_library_where_its_epsilon_decides(
    own: type[WeightedCam], library: Any
) -> None:
    generator = torch.Generator().manual_seed(8)
    activations = torch.rand(5, 3, 4, 4, generator=generator)
    gradients = torch.randn(5, 3, 4, 4, generator=generator) * 1e-3
    gradients[0] = 0
    activations[1, 0] *= 1e-9
    cam = library(nn.Sequential(nn.Conv2d(1, 1, 1)), [])
    expected = cam.get_cam_weights(None, None, None, activations.numpy(), gradients.numpy())
    found = own().weights(activations, gradients).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 20), st.integers(0, 20), st.data())
def test_resizing_equals_the_library(
    height: int, width: int, more_height: int, more_width: int, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 1000))
    maps = torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed))
    size = (height + more_height, width + more_width)
    expected = scale_cam_image(maps.numpy(), size[::-1])
    found = to_image_size(min_max(maps), size, "bilinear").numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
