"""What all class activation maps and their relatives have in common, and guided Grad-CAM."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch, build_explainers, to_image_size
from sparsight.explain.cam import GradCam
from sparsight.explain.gradient import GuidedBackprop
from sparsight.explain.registry import EXPLAINERS
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.models.thesis_cnn import ThesisCnn

Batch = tuple[Tensor, Tensor, Tensor]
AT_LAYERS = [
    "grad_cam",
    "grad_cam_pp",
    "xgrad_cam",
    "hires_cam",
    "layer_cam",
    "eigen_cam",
    "score_cam",
    "ablation_cam",
]
METHODS = [*AT_LAYERS, "guided_grad_cam", "full_grad"]
SIGNED = ["hires_cam", "guided_grad_cam"]


def build(method: str) -> Explainer:
    return build_explainers({"x": {"method": method}})["x"]


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    model = build_network(ResNet18, 5, 0, {"width": 8, "stem": "strided"}).eval()
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # As after training: without, the implicit biases would be 0.
            module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=generator))
            module.bias.data.copy_(0.1 * torch.randn(module.num_features, generator=generator))
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def pictures() -> Batch:
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    return images, torch.tensor([4, 0, 2]), torch.arange(3)


@pytest.mark.parametrize("method", METHODS)
def test_on_a_residual_network(method: str, resnet: nn.Module, pictures: Batch) -> None:
    images, targets, ids = pictures
    copy = images.clone()
    explainer = build(method)
    maps = explainer.explain(ImageBatch(resnet, *pictures, "x"))
    # layer4 of 32 pixels at half of them.
    side = 2 if method in AT_LAYERS else 32
    assert maps.shape == (3, side, side)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert maps.is_contiguous()
    assert torch.equal(images, copy)
    assert torch.equal(explainer.explain(ImageBatch(resnet, *pictures, "y")), maps)
    assert (maps != 0).any()
    assert method in SIGNED or bool((maps >= 0).all())
    alone = explainer.explain(ImageBatch(resnet, images[1:2], targets[1:2], ids[1:2], "x"))
    torch.testing.assert_close(alone[0], maps[1], atol=1e-5 * float(maps.abs().max()), rtol=1e-3)
    # The class is looked at, but for eigen_cam.
    other = explainer.explain(ImageBatch(resnet, images, (targets + 1) % 5, ids, "x"))
    assert torch.equal(other, maps) == (method == "eigen_cam")
    for module in resnet.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize("method", METHODS)
def test_an_image_is_explained_by_itself(method: str, network: nn.Module, batch: Batch) -> None:
    images, targets, ids = batch
    explainer = build(method)
    whole = explainer.explain(ImageBatch(network, *batch, "x"))
    order = torch.tensor([4, 0, 6])
    found = explainer.explain(ImageBatch(network, images[order], targets[order], ids[order], "x"))
    torch.testing.assert_close(found, whole[order], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [0.0, 0.7])
def test_flat_activations_give_flat_maps(method: str, level: float, batch: Batch) -> None:
    """A layer of which pruning has left nothing but biases: no map shows anything of the image."""
    network = build_network(ThesisCnn, 10, seed=1).eval().requires_grad_(False)
    for layer in ("conv1", "conv2"):
        network.get_parameter(f"{layer}.weight").zero_()
        network.get_parameter(f"{layer}.bias").fill_(level)
    maps = build(method).explain(ImageBatch(network, *batch, "x"))
    assert maps.isfinite().all()
    # The gradient at a flat layer need not be flat: these show where the classifier looks.
    if method in ("hires_cam", "layer_cam", "full_grad") and level:
        return
    if method in AT_LAYERS:
        torch.testing.assert_close(maps, maps[:, :1, :1].expand_as(maps), atol=1e-6, rtol=1e-6)
        assert maps.any() == (level > 0)
    else:
        assert not maps.any()


def test_facts_are_literal_and_those_of_the_defaults() -> None:
    for method in METHODS:
        literal = EXPLAINERS.facts(method)
        facts = build(method).facts()
        for fact in ("reference", "signed", "reduction", "value_range", "cost", "native"):
            assert facts[fact] == literal[fact], (method, fact)
        assert literal["signed"] == (method in SIGNED), method
        expected = ("layer", "bilinear") if method in AT_LAYERS else ("pixel", "none")
        assert (literal["native"], literal["interpolation"]) == expected, method


def test_guided_grad_cam_is_a_product(network: nn.Module, batch: Batch) -> None:
    where = to_image_size(GradCam().explain(ImageBatch(network, *batch, "x")), (28, 28), "bilinear")
    expected = where * GuidedBackprop().explain(ImageBatch(network, *batch, "x"))
    assert torch.equal(build("guided_grad_cam").explain(ImageBatch(network, *batch, "x")), expected)
    assert (expected < 0).any()
    assert (expected > 0).any()
