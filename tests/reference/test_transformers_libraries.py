"""Transformers of torchvision and timm: what explains them, and what scores their maps."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import SwinTransformer, VisionTransformer
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

import sparsight
from sparsight.io.errors import InputError
from sparsight.metrics.randomisation import NetworkRandomiser, drawable_layers
from sparsight.metrics.registry import METRICS

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
TARGETS = torch.tensor([3, 0])
SWIN: dict[str, Any] = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2)}


def vit_of_timm(**options: Any) -> nn.Module:
    found: nn.Module = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, num_classes=4, **options
    )
    return found


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "torchvision_vit": lambda: VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=4),
    "timm_vit": vit_of_timm,
    # registers, no class token, the mean of the patches
    "timm_registers": lambda: vit_of_timm(reg_tokens=4),
    "timm_mean": lambda: vit_of_timm(class_token=False, global_pool="avg"),
    "torchvision_swin": lambda: SwinTransformer([2, 2], window_size=[4, 4], num_classes=4, **SWIN),
    "torchvision_swin_v2": lambda: SwinTransformer(
        [2, 2],
        window_size=[4, 4],
        num_classes=4,
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
        **SWIN,
    ),
    "timm_swin": lambda: timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=32,
        patch_size=2,
        window_size=4,
        num_classes=4,
        **SWIN,
    ),
}
VITS = [name for name in NETWORKS if "swin" not in name]
SWINS = [name for name in NETWORKS if "swin" in name]
# the norm before the last attention; that behind the last block
LAYERS = {
    "torchvision_vit": "encoder.layers.encoder_layer_1.ln_1",
    "timm_vit": "blocks.1.norm1",
    "timm_registers": "blocks.1.norm1",
    "timm_mean": "norm",
    "torchvision_swin": "norm",
    "torchvision_swin_v2": "norm",
    "timm_swin": "norm",
}
BUILT: dict[str, nn.Module] = {}


def built(name: str) -> nn.Module:
    """With weights that tell patches apart, unlike those that training starts from."""
    if name not in BUILT:
        torch.manual_seed(0)
        network = NETWORKS[name]().eval().requires_grad_(False)
        for own, parameter in network.named_parameters():
            if parameter.ndim > 1 or "norm" in own or ".ln" in own:
                parameter += 0.2 * torch.randn_like(parameter)
        BUILT[name] = network
    return BUILT[name]


@pytest.mark.parametrize("name", VITS)
@pytest.mark.parametrize("method", ["attention_rollout", "gradient_attention", "legrad"])
def test_attention_gives_a_map_of_patches(name: str, method: str) -> None:
    maps = sparsight.explain(built(name), IMAGES, method, TARGETS)
    assert maps.shape == (2, 4, 4)
    assert (maps >= 0).all()
    assert (maps.flatten(1).std(dim=1) > 0).all()
    again = sparsight.explain(built(name), IMAGES, method, 3 - TARGETS)
    assert torch.equal(maps, again) == (method == "attention_rollout")


@pytest.mark.parametrize("method", ["attention_rollout", "gradient_attention"])
def test_fused_and_plain_attention_of_timm_give_the_same(method: str) -> None:
    network = built("timm_vit")
    fused = sparsight.explain(network, IMAGES, method, TARGETS)
    attentions = [one for one in network.modules() if hasattr(one, "fused_attn")]
    recorded: list[Tensor] = []
    try:
        for one in attentions:
            one.fused_attn = False
        with attentions[-1].attn_drop.register_forward_hook(
            lambda _module, _inputs, output: recorded.append(output)
        ):
            plain = sparsight.explain(network, IMAGES, method, TARGETS)
    finally:
        for one in attentions:
            one.fused_attn = True
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-7)
    assert recorded[0].shape == (2, 3, 17, 17)


def test_rollout_is_that_of_the_weights_that_torch_gives() -> None:
    network = built("torchvision_vit")
    weights: list[Tensor] = []

    def ask(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        options = {**kwargs, "need_weights": True, "average_attn_weights": True}
        weights.append(type(module).forward(module, *args, **options)[1])

    hooks = [
        module.register_forward_pre_hook(ask, with_kwargs=True)
        for module in network.modules()
        if isinstance(module, nn.MultiheadAttention)
    ]
    network(IMAGES)
    for hook in hooks:
        hook.remove()
    first, second = ((one + torch.eye(17)) / 2 for one in weights)
    expected = (second @ first)[:, 0, 1:].unflatten(1, (4, 4))
    found = sparsight.explain(network, IMAGES, "attention_rollout", TARGETS)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", SWINS)
@pytest.mark.parametrize("method", ["attention_rollout", "gradient_attention", "legrad"])
def test_windows_are_refused(name: str, method: str) -> None:
    with pytest.raises(InputError, match=method):
        sparsight.explain(built(name), IMAGES, method, TARGETS)


@pytest.mark.parametrize("name", NETWORKS)
def test_attn_lrp_explains_all(name: str) -> None:
    for gamma in ({}, {"gamma_convolution": 0.25, "gamma_linear": 0.05}):
        maps = sparsight.explain(built(name), IMAGES, "attn_lrp", TARGETS, **gamma)
        assert maps.shape == (2, 32, 32)
        assert maps.isfinite().all()
        assert maps.any()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", ["deep_lift", "lrp", "guided_backprop", "full_grad"])
def test_methods_for_rectifiers_are_refused(name: str, method: str) -> None:
    with pytest.raises(InputError, match=method):
        sparsight.explain(built(name), IMAGES, method, TARGETS)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "method",
    [
        *("grad_cam", "grad_cam_pp", "xgrad_cam", "hires_cam", "layer_cam"),
        *("eigen_cam", "score_cam", "ablation_cam", "mean_activation"),
    ],
)
def test_class_activation_maps(name: str, method: str) -> None:
    maps = sparsight.explain(built(name), IMAGES, method, TARGETS, layer=LAYERS[name])
    side = 8 if "swin" in name else 4
    assert maps.shape == (2, side, side)
    # the weighted sum of channels that are no rectifier's may be below 0 everywhere
    assert maps.isfinite().all()


@pytest.mark.parametrize("name", ["torchvision_vit", "timm_mean", "torchvision_swin"])
def test_grad_cam_is_that_of_pytorch_grad_cam(name: str) -> None:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, layer = built(name), LAYERS[name]

    def reshaped(tokens: Tensor) -> Tensor:
        if tokens.ndim == 4:
            return tokens.permute(0, 3, 1, 2)
        return tokens[:, -16:].transpose(1, 2).unflatten(2, (4, 4))

    cam = GradCAM(network, [network.get_submodule(layer)], reshape_transform=reshaped)
    network.requires_grad_(True)
    try:
        expected = cam(IMAGES, [ClassifierOutputTarget(one) for one in TARGETS.tolist()])
    finally:
        network.requires_grad_(False)
        cam.activations_and_grads.release()
    maps = sparsight.explain(network, IMAGES, "grad_cam", TARGETS, layer=layer)
    large = functional.interpolate(maps[:, None], (32, 32), mode="bilinear")[:, 0]
    large = large - large.amin(dim=(1, 2), keepdim=True)
    found = large / large.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-4)


def test_a_layer_that_only_the_class_token_leaves_is_refused() -> None:
    for name, layer in (("torchvision_vit", "encoder.ln"), ("timm_registers", "blocks.1")):
        with pytest.raises(InputError, match=layer):
            sparsight.explain(built(name), IMAGES, "grad_cam", TARGETS, layer=layer)


ASKING = [
    name for name in METRICS.entries if {"model", "explainer"} & {*METRICS.facts(name)["needs"]}
]
FEW = {"samples": 2, "draws": 1, "n_samples": 2}


@pytest.mark.parametrize("name", ["torchvision_vit", "timm_vit", "timm_swin"])
@pytest.mark.parametrize("metric", ASKING)
def test_metrics_that_ask_the_network(name: str, metric: str) -> None:
    known = METRICS.facts(metric)["parameters"]
    scores = sparsight.score(
        sparsight.explain(built(name), IMAGES, "attn_lrp", TARGETS),
        IMAGES,
        metric,
        TARGETS,
        network=built(name),
        method="attn_lrp",
        **{key: value for key, value in FEW.items() if key in known},
    )
    # superpixels of noise may be a single one, for which irof is undefined
    assert scores.isfinite().any() if metric == "irof" else scores.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_all_weights_of_a_randomised_transformer_are_new(name: str) -> None:
    network = built(name)
    drawn = NetworkRandomiser(0, keep_sparsity=False).randomise(network)
    before = dict(network.named_parameters())
    for own, parameter in drawn.named_parameters():
        # norms and biases are as at the start of training: equal where they never moved
        if parameter.ndim > 1:
            assert not torch.equal(parameter, before[own]), own
    layers = drawable_layers(network)
    covered = {
        f"{one}.{own}".lstrip(".")
        for one in layers
        for own in dict(layers[one].named_parameters(recurse=False))
    }
    assert covered == set(before)
    maps = [
        sparsight.explain(one, IMAGES, "attn_lrp", TARGETS).flatten() for one in (network, drawn)
    ]
    assert abs(torch.corrcoef(torch.stack(maps))[0, 1]) < 0.5
