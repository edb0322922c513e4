"""Whole families of explainers beside the libraries: equal maps, batch by batch."""

import time

import torch
from sidebyside import Row, compare

from sparsight.explain.base import ImageBatch, build_explainers, explain_batch, to_image_size
from sparsight.explain.network import frozen
from sparsight.metrics.preparation import min_max
from sparsight.models.base import build_network
from sparsight.models.registry import MODELS
from sparsight.models.thesis_cnn import ThesisCnn

LAYERS = ("conv2", "conv2_relu", "pool2")
COUNT = 500
#: a network of timm's on photographs, as a study explains it
ARCHITECTURE, SIDE, PHOTOGRAPHS, BATCH, STEPS = "timm.tf_efficientnet_lite0", 128, 200, 50, 4


def rows() -> list[Row]:
    """Grad-CAM++ of three layers, and the gradients of a library's network."""
    return [*grad_cam_rows(), *gradient_rows()]


def gradient_rows() -> list[Row]:
    """Saliency, input times gradient and integrated gradients beside a bare loop over captum."""
    from captum import attr

    torch.set_num_threads(1)
    network = build_network(MODELS.load(ARCHITECTURE), 10, 0).eval()
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(PHOTOGRAPHS, 3, SIDE, SIDE, generator=draw)
    targets = torch.randint(10, (PHOTOGRAPHS,), generator=draw)
    entries = {
        "saliency": {"method": "saliency", "parameters": {}},
        "input_x_gradient": {"method": "input_x_gradient", "parameters": {}},
        "integrated_gradients": {
            "method": "integrated_gradients",
            "parameters": {"n_steps": STEPS},
        },
    }
    explainers, ids = build_explainers(entries), torch.arange(PHOTOGRAPHS)

    def ours() -> dict[str, torch.Tensor]:
        with frozen(network):
            parts = [
                explain_batch(
                    explainers, ImageBatch(network, images[some], targets[some], ids[some])
                )
                for some in ids.split(BATCH)
            ]
        return {name: torch.cat([part[name] for part in parts]) for name in entries}

    def library() -> dict[str, torch.Tensor]:
        methods = {
            "saliency": lambda x, y: attr.Saliency(network).attribute(x, y, abs=True).amax(1),
            "input_x_gradient": lambda x, y: attr.InputXGradient(network).attribute(x, y).sum(1),
            "integrated_gradients": lambda x, y: (
                attr.IntegratedGradients(network).attribute(x, target=y, n_steps=STEPS).sum(1)
            ),
        }
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        return {
            name: torch.cat(
                [
                    method(images[some].clone().requires_grad_(), targets[some]).detach()
                    for some in ids.split(BATCH)
                ]
            )
            for name, method in methods.items()
        }

    theirs = library()
    for name, part in ours().items():
        assert torch.allclose(part, theirs[name].float(), rtol=1e-3, atol=1e-6), name
    return [
        compare(
            f"gradients of {PHOTOGRAPHS} images of {SIDE} pixels, EfficientNet-Lite0",
            ours,
            library,
            "captum, bare loop",
            "≥ 0.9",
            3,
            time.process_time,
        )
    ]


def grad_cam_rows() -> list[Row]:
    """All three layers, brought to image size and to [0, 1] as the library does."""
    from pytorch_grad_cam import GradCAMPlusPlus
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = ThesisCnn().eval()
    images, targets = torch.rand(COUNT, 1, 28, 28), torch.randint(10, (COUNT,))
    entries = {x: {"method": "grad_cam_pp", "parameters": {"layer": x}} for x in LAYERS}
    explainers = build_explainers(entries)

    def ours() -> dict[str, torch.Tensor]:
        with frozen(network):
            maps = explain_batch(
                explainers, ImageBatch(network, images, targets, torch.arange(COUNT))
            )
        return {
            name: min_max(to_image_size(min_max(part), (28, 28), "bilinear"))
            for name, part in maps.items()
        }

    def library() -> dict[str, torch.Tensor]:
        found = {}
        for layer in LAYERS:
            with GradCAMPlusPlus(model=network, target_layers=[getattr(network, layer)]) as cam:
                maps = cam(images, [ClassifierOutputTarget(int(t)) for t in targets])
            found[layer] = torch.from_numpy(maps)
        return found

    theirs = library()
    for name, part in ours().items():
        difference = (part - theirs[name]).abs().median().item()
        assert difference < 1e-4, f"{name}: the maps differ by {difference}"
    return [
        compare(
            f"Grad-CAM++, {COUNT} images, three layers",
            ours,
            library,
            "pytorch-grad-cam",
            "reported",
        )
    ]
