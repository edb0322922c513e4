"""Class activation maps: worked out by hand, and sharing one pass."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch, build_explainers, explain_batch
from sparsight.explain.cam import GradCam, GradCamPlusPlus, HiResCam, LayerCam, XGradCam
from sparsight.io.errors import InputError

Batch = tuple[Tensor, Tensor, Tensor]
FAMILY = {
    "pp_conv2": {"method": "grad_cam_pp", "parameters": {"layer": "conv2"}},
    "pp_conv2_relu": {"method": "grad_cam_pp", "parameters": {"layer": "conv2_relu"}},
    "pp_pool2": {"method": "grad_cam_pp", "parameters": {"layer": "pool2"}},
    "plain_conv2": {"method": "grad_cam", "parameters": {"layer": "conv2"}},
    "axioms": {"method": "xgrad_cam", "parameters": {"layer": "conv2_relu"}},
    "detailed": {"method": "layer_cam", "parameters": {"layer": "conv1_relu"}},
    "signed": {"method": "hires_cam"},
    "common": {"method": "eigen_cam", "parameters": {"layer": "pool2"}},
    "common_alone": {"method": "eigen_cam", "parameters": {"layer": "pool1"}},
}
UNSIGNED = [name for name in FAMILY if name != "signed"]


@pytest.fixture
def by_hand() -> nn.Module:
    """Doubles a 2x2 image; class 1 weighs the result with [[1, 0], [-1, 2]], class 0 negatively."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Flatten(), nn.Linear(4, 2, bias=False))
    model.requires_grad_(False)
    model.get_parameter("0.weight").fill_(2.0)
    model.get_parameter("2.weight").copy_(torch.tensor([[-1.0, -1, -1, 0], [1, 0, -1, 2]]))
    return model


IMAGE = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


def test_grad_cam_by_hand(by_hand: nn.Module) -> None:
    # Mean gradient 1/2, activations twice the image.
    maps = GradCam(layer="0").explain(
        ImageBatch(by_hand, IMAGE, torch.tensor([1]), torch.tensor([0]), "g")
    )
    torch.testing.assert_close(maps, IMAGE[:, 0])
    # Mean gradient below zero: nothing is left after the ReLU.
    maps = GradCam(layer="0").explain(
        ImageBatch(by_hand, IMAGE, torch.tensor([0]), torch.tensor([0]), "g")
    )
    assert maps.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]


def test_grad_cam_plus_plus_by_hand(by_hand: nn.Module) -> None:
    # The activations sum to 20: alpha is 1/(2+20) where the gradient is 1 and 4/(8+160) where it
    # is 2; the weight is 1/22 + 2/42.
    explainer = GradCamPlusPlus(layer="0")
    maps = explainer.explain(ImageBatch(by_hand, IMAGE, torch.tensor([1]), torch.tensor([0]), "g"))
    torch.testing.assert_close(maps, 2 * IMAGE[:, 0] * (1 / 22 + 2 / 42), atol=0, rtol=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-16, 1e-30])
def test_small_gradients_keep_the_shares_of_the_paper(size: float) -> None:
    activations = torch.ones(1, 2, 2, 2) * 1e-9
    gradients = torch.tensor([[[[3.0, 0], [0, -1]], [[1, 1], [0, 0]]]]) * size
    # S g is far below 2: alpha is 1/2 wherever there is a gradient.
    weights = GradCamPlusPlus().weights(activations, gradients)
    torch.testing.assert_close(weights / size, torch.tensor([[1.5, 1.0]]), atol=0, rtol=1e-6)


def test_the_librarys_epsilon_makes_weights_depend_on_the_scale() -> None:
    activations, gradients = torch.zeros(1, 2, 1, 1), torch.tensor([3e-5, 1e-5]).view(1, 2, 1, 1)
    # g³ / (2 g² + 1e-6): about 27 to 1 instead of 3 to 1.
    weights = GradCamPlusPlus(epsilon=1e-6).weights(activations, gradients)
    assert 26 < float(weights[0, 0] / weights[0, 1]) < 27


def test_nothing_divided_by_nothing_weighs_nothing() -> None:
    # The second channel's denominator is 2 - 2.
    activations = torch.tensor([0.0, -4.0]).view(1, 2, 1, 1)
    gradients = torch.tensor([0.0, 0.5]).view(1, 2, 1, 1)
    assert GradCamPlusPlus().weights(activations, gradients).tolist() == [[0.0, 0.0]]
    empty = torch.tensor([0.0, 2.0]).view(1, 2, 1, 1)
    assert XGradCam(epsilon=0.0).weights(empty, torch.ones(1, 2, 1, 1)).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("method", [GradCamPlusPlus, XGradCam])
@pytest.mark.parametrize("epsilon", [-1e-6, float("nan"), float("inf")])
def test_epsilon_is_a_number_from_0_on(method: type[Explainer], epsilon: float) -> None:
    with pytest.raises(InputError, match=f"{method.name}.*epsilon"):
        method(epsilon=epsilon)


def test_xgrad_cam_by_hand(by_hand: nn.Module) -> None:
    # Gradient times activation is 2 - 6 + 16, of a channel that sums to 20.
    maps = XGradCam(layer="0").explain(
        ImageBatch(by_hand, IMAGE, torch.tensor([1]), torch.tensor([0]), "x")
    )
    torch.testing.assert_close(maps, 2 * IMAGE[:, 0] * 12 / 20, atol=0, rtol=1e-6)
    # -2 - 4 - 6 for the other class: nothing is left after the ReLU.
    maps = XGradCam(layer="0").explain(
        ImageBatch(by_hand, IMAGE, torch.tensor([0]), torch.tensor([0]), "x")
    )
    assert maps.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]


def test_hires_cam_by_hand(by_hand: nn.Module) -> None:
    maps = HiResCam(layer="0").explain(
        ImageBatch(by_hand, IMAGE, torch.tensor([1]), torch.tensor([0]), "h")
    )
    assert maps.tolist() == [[[2.0, 0.0], [-6.0, 16.0]]]


def test_layer_cam_by_hand(by_hand: nn.Module) -> None:
    maps = LayerCam(layer="0").explain(
        ImageBatch(by_hand, IMAGE, torch.tensor([1]), torch.tensor([0]), "l")
    )
    assert maps.tolist() == [[[2.0, 0.0], [0.0, 16.0]]]
    # Negative activations under positive gradients leave nothing.
    maps = LayerCam(layer="0").explain(
        ImageBatch(by_hand, -IMAGE, torch.tensor([1]), torch.tensor([0]), "l")
    )
    assert maps.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]


def test_hires_cam_is_the_contribution_to_a_linear_head(network: nn.Module, batch: Batch) -> None:
    images, targets, _ = batch
    maps = HiResCam(layer="pool2").explain(ImageBatch(network, *batch, "h"))
    logits = network(images).gather(1, targets[:, None]).squeeze(1)
    bias = network.get_parameter("classifier.bias")[targets]
    torch.testing.assert_close(maps.sum(dim=(1, 2)), logits - bias, atol=1e-5, rtol=1e-5)
    # Each position by itself: the logit without it loses its value.
    kept: list[Tensor] = []
    pool = network.get_submodule("pool2")
    pool.register_forward_hook(lambda module, given, output: kept.append(output))
    network(images)
    kept[0][:, :, 3, 1] = 0
    left = network.get_submodule("classifier")(kept[0].flatten(1)).gather(1, targets[:, None])
    torch.testing.assert_close(maps[:, 3, 1], logits - left.squeeze(1), atol=1e-5, rtol=1e-4)


def test_xgrad_cam_keeps_its_axioms_on_a_linear_head(network: nn.Module, batch: Batch) -> None:
    images, targets, _ = batch
    kept: list[Tensor] = []
    pool, head = network.get_submodule("pool2"), network.get_submodule("classifier")
    pool.register_forward_hook(lambda module, given, output: kept.append(output))
    logits = network(images).gather(1, targets[:, None])
    gradients = head.get_parameter("weight")[targets].view_as(kept[0])
    parts = XGradCam().weights(kept[0], gradients) * kept[0].sum(dim=(2, 3))
    for channel in range(8):
        without = kept[0].clone()
        without[:, channel] = 0
        loss = logits - head(without.flatten(1)).gather(1, targets[:, None])
        torch.testing.assert_close(parts[:, [channel]], loss, atol=1e-5, rtol=1e-4)
    conserved = parts.sum(dim=1) + head.get_parameter("bias")[targets]
    torch.testing.assert_close(conserved[:, None], logits, atol=1e-5, rtol=1e-5)


def test_maps_are_raw_and_of_the_layers_size(network: nn.Module, batch: Batch) -> None:
    maps = explain_batch(build_explainers(FAMILY), ImageBatch(network, *batch))
    assert {name: tuple(found.shape) for name, found in maps.items()} == {
        "pp_conv2": (7, 11, 11),
        "pp_conv2_relu": (7, 11, 11),
        "pp_pool2": (7, 5, 5),
        "plain_conv2": (7, 11, 11),
        "axioms": (7, 11, 11),
        "detailed": (7, 26, 26),
        "signed": (7, 11, 11),
        "common": (7, 5, 5),
        "common_alone": (7, 13, 13),
    }
    assert maps["signed"].min() < 0
    for name, found in maps.items():
        assert found.dtype == torch.float32
        assert found.min() >= 0 or name not in UNSIGNED
        # Not brought to [0, 1] per image.
        assert found.flatten(1).amax(1).unique().numel() > 2


def test_one_pass_serves_all_layers_and_methods(network: nn.Module, batch: Batch) -> None:
    explainers = build_explainers(FAMILY)
    apart = {
        name: explainer.explain(ImageBatch(network, *batch, name))
        for name, explainer in explainers.items()
    }
    passes = []
    network.register_forward_hook(lambda *_: passes.append(1))
    together = explain_batch(explainers, ImageBatch(network, *batch))
    assert len(passes) == 1
    assert list(together) == list(FAMILY)
    for name in FAMILY:
        torch.testing.assert_close(together[name], apart[name], atol=0, rtol=0)


def test_other_explainers_in_the_family_keep_their_own_pass(
    network: nn.Module, batch: Batch
) -> None:
    first, *others = FAMILY
    entries = {
        first: FAMILY[first],
        "saliency": {"method": "saliency"},
        **{name: FAMILY[name] for name in others},
        "centre": {"method": "centre"},
    }
    found = explain_batch(build_explainers(entries), ImageBatch(network, *batch))
    assert list(found) == list(entries)


@pytest.mark.parametrize("name", FAMILY)
def test_batch_size_does_not_matter(network: nn.Module, batch: Batch, name: str) -> None:
    explainer = build_explainers(FAMILY)[name]
    whole = explainer.explain(ImageBatch(network, *batch, name))
    images, targets, ids = batch
    alone = torch.cat(
        [
            explainer.explain(
                ImageBatch(network, images[i : i + 1], targets[i : i + 1], ids[i : i + 1], name)
            )
            for i in range(len(images))
        ]
    )
    torch.testing.assert_close(whole, alone, atol=1e-6, rtol=1e-4)


def test_the_default_layer_is_the_architectures_own(network: nn.Module) -> None:
    images, targets, ids = torch.rand(2, 1, 28, 28), torch.tensor([3, 4]), torch.arange(2)
    maps = [
        GradCam(**layer).explain(ImageBatch(network, images, targets, ids, "a"))
        for layer in ({}, {"layer": "conv2"}, {"layer": "pool2"})
    ]
    torch.testing.assert_close(maps[0], maps[1], atol=0, rtol=0)
    assert maps[0].shape != maps[2].shape


def test_maps_of_activations_alone_need_no_backward_pass(network: nn.Module, batch: Batch) -> None:
    enabled: list[bool] = []
    network.register_forward_hook(lambda *_: enabled.append(torch.is_grad_enabled()))
    entries = {name: FAMILY[name] for name in ("common", "common_alone")}
    assert list(explain_batch(build_explainers(entries), ImageBatch(network, *batch))) == list(
        entries
    )
    assert enabled == [False]
