"""Class activation maps against pytorch-grad-cam."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from sparsight.explain.base import to_image_size
from sparsight.explain.cam import GradCam, GradCamPlusPlus
from sparsight.explain.network import frozen
from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn

LAYERS = ["conv1", "conv1_relu", "pool1", "conv2", "conv2_relu", "pool2"]


def min_max(maps: Tensor) -> Tensor:
    """As the library: the denominator carries 1e-7."""
    shifted = maps - maps.amin(dim=(1, 2), keepdim=True)
    return shifted / (shifted.amax(dim=(1, 2), keepdim=True) + 1e-7)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("own", "library"), [(GradCam, GradCAM), (GradCamPlusPlus, GradCAMPlusPlus)]
)
def test_equals_the_library_after_its_scaling(
    layer: str, own: type[GradCam], library: type[GradCAM]
) -> None:
    model = build_network(ThesisCnn, 10, seed=3)
    generator = torch.Generator().manual_seed(4)
    images = torch.rand(16, 1, 28, 28, generator=generator)
    targets = torch.randint(0, 10, (16,), generator=generator)
    with frozen(model):
        raw = own(layer=layer).explain(model, images, targets, torch.arange(16), "x")
    cam = library(model, [model.get_submodule(layer)])
    expected = cam(images, [ClassifierOutputTarget(target) for target in targets.tolist()])
    found = min_max(to_image_size(min_max(raw), (28, 28), "bilinear"))
    assert expected.max() > 0.9
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("own", "library"), [(GradCam, GradCAM), (GradCamPlusPlus, GradCAMPlusPlus)]
)
def test_weights_equal_the_library_where_its_epsilon_decides(
    own: type[GradCam], library: type[GradCAM]
) -> None:
    generator = torch.Generator().manual_seed(8)
    activations = torch.rand(5, 3, 4, 4, generator=generator)
    gradients = torch.randn(5, 3, 4, 4, generator=generator) * 1e-3
    gradients[0] = 0
    cam = library(nn.Sequential(nn.Conv2d(1, 1, 1)), [])
    expected = cam.get_cam_weights(None, None, None, activations.numpy(), gradients.numpy())
    found = own.weights(activations, gradients).numpy()
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
