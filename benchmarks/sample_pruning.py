"""The stages of pruning for one image with `obs_fast`, beside the published way of each.

The published way takes the copies one at a time, unfolds each layer's inputs and multiplies all of
them out, and solves a layer as SparseGPT does.
"""

import os
import time
from collections.abc import Callable

import torch
from sidebyside import Row, compare
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from sparsight.explain.network import frozen
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.spade.copies import solved_weights
from sparsight.spade.layers import PrunedLayer, observed_inputs, pruned_layers, zeros_asked
from sparsight.spade.registry import SOLVERS
from sparsight.spade.sample import PUBLISHED, augmented_copies, sample_hessians

#: of a ResNet-18, pixels a side, copies of the image, and the sparsity of all layers
WIDTH, SIDE, COPIES, SPARSITY, DAMPING = 32, 64, 64, 0.9, 0.01
SWEEP = 128


def rows() -> list[Row]:
    """A row for each stage; `SPADE_WIDTH` and `SPADE_COPIES` make them smaller."""
    torch.set_num_threads(1)
    width, copies = (
        int(os.environ.get(key, value))
        for key, value in (("SPADE_WIDTH", WIDTH), ("SPADE_COPIES", COPIES))
    )
    options = {"width": width, "stem": "strided"}
    network = build_network(ResNet18, 10, 0, options).eval()
    coarse = torch.rand((1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    images = functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
    image_ids = torch.tensor([0])
    layers = pruned_layers(network, images)
    sample = augmented_copies(images, copies, image_ids, "bench")[0]

    def hessians() -> dict[str, Tensor]:
        return sample_hessians(network, images, image_ids, layers, copies, "bench")

    found, weights = hessians(), _weights(network, layers)
    with frozen(network):
        singly = published_hessians(network, sample, layers)
        _same(found, singly)
        stages: list[tuple[str, Callable[[], object], str, Callable[[], object]]] = [
            (
                f"augment, {copies} copies",
                lambda: augmented_copies(images, copies, image_ids, "bench"),
                "torchvision v2, copy by copy",
                lambda: published_copies(images[0], copies),
            ),
            (
                f"forward with hooks, {copies} copies",
                lambda: hooked(network, sample, layers),
                "copy by copy",
                lambda: [hooked(network, one[None], layers) for one in sample],
            ),
            (
                f"augment, forward and Hessians of {len(layers)} layers",
                hessians,
                "copy by copy, unfold, one product in float64",
                lambda: published_hessians(
                    network, torch.stack(published_copies(images[0], copies)), layers
                ),
            ),
            (
                f"obs_fast of {len(layers)} layers, float64",
                lambda: solve(weights, layers, found),
                "SparseGPT's loop, float32",
                lambda: published_solve(weights, layers, singly),
            ),
        ]
        pairs = int(os.environ.get("SPADE_PAIRS", 3))
        return [
            compare(
                f"{name}, ResNet-18 of width {width}",
                ours,
                theirs,
                other,
                "reported",
                pairs,
                clock=time.process_time,
            )
            for name, ours, other, theirs in stages
        ]


def hooked(network: nn.Module, copies: Tensor, layers: list[PrunedLayer]) -> int:
    """Numbers that enter all layers in a forward pass."""
    seen = []
    names = [layer.name for layer in layers]
    with (
        observed_inputs(network, names, lambda _, __, inputs: seen.append(inputs.numel())),
        torch.no_grad(),
    ):
        network(copies)
    return sum(seen)


def published_copies(image: Tensor, count: int) -> list[Tensor]:
    """Copies float32 [3, H, W], each through transforms of its own."""
    crop, colour = PUBLISHED["random_resized_crop"], PUBLISHED["colour_jitter"]
    change = v2.Compose(
        [
            v2.RandomResizedCrop(SIDE, tuple(crop["scale"]), tuple(crop["ratio"])),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=colour["brightness"], hue=colour["hue"]),
        ]
    )
    return [change(image) for _ in range(count)]


def published_hessians(
    network: nn.Module, copies: Tensor, layers: list[PrunedLayer]
) -> dict[str, Tensor]:
    """(2 / N) X Xᵀ by layer, float64 [K, K], from the inputs of one copy after the other."""
    kept: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}

    def keep(name: str, module: nn.Module, inputs: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            kernel, stride = module.kernel_size, module.stride
            inputs = functional.unfold(inputs, kernel, module.dilation, module.padding, stride)[0]
        else:
            inputs = inputs.t()
        kept[name].append(inputs)

    with observed_inputs(network, list(kept), keep), torch.no_grad():
        for copy in copies:
            network(copy[None])
    found = {}
    for name, parts in kept.items():
        whole = torch.cat(parts, dim=1).double()
        found[name] = 2 / whole.shape[1] * whole @ whole.t()
    return found


def solve(
    weights: dict[str, Tensor], layers: list[PrunedLayer], hessians: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Our sparse weights of all layers."""
    solver = SOLVERS.load("obs_fast")()
    return {
        layer.name: solved_weights(
            weights[layer.name], layer, SPARSITY, solver, hessians[layer.name], [0], "bench"
        )
        for layer in layers
    }


def published_solve(
    weights: dict[str, Tensor], layers: list[PrunedLayer], hessians: dict[str, Tensor]
) -> dict[str, Tensor]:
    """SparseGPT's loop (arXiv 2301.00774, its public code), with blocks of a kernel's columns."""
    found = {}
    for layer in layers:
        matrix = weights[layer.name].reshape(layer.rows, layer.columns).clone()
        hessian = hessians[layer.name].float()
        dead = hessian.diagonal() == 0
        hessian.diagonal()[dead] = 1
        matrix[:, dead] = 0
        hessian.diagonal().add_(DAMPING * hessian.diagonal().mean())
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
        upper = torch.linalg.cholesky(inverse, upper=True)
        step = layer.block * max(SWEEP // layer.block, 1)
        for start in range(0, layer.columns, step):
            end = min(start + step, layer.columns)
            part, own = matrix[:, start:end].clone(), upper[start:end, start:end]
            errors = torch.zeros_like(part)
            fallen = torch.zeros_like(part, dtype=torch.bool)
            for column in range(end - start):
                if column % layer.block == 0:
                    here = slice(column, column + layer.block)
                    scores = (part[:, here] / own.diagonal()[here]).square()
                    threshold = scores.flatten().sort().values[int(scores.numel() * SPARSITY)]
                    fallen[:, here] = scores <= threshold
                before = part[:, column].clone()
                part[:, column] = before.masked_fill(fallen[:, column], 0)
                error = (before - part[:, column]) / own[column, column]
                # the column itself gets the value that it has
                part[:, column + 1 :] -= error[:, None] * own[column, column + 1 :]
                errors[:, column] = error
            matrix[:, start:end] = part
            matrix[:, end:] -= errors @ upper[start:end, end:]
        found[layer.name] = matrix
        # its threshold takes one weight more in each block
        assert int((matrix == 0).sum()) >= zeros_asked(SPARSITY, layer.weights)
    return found


def _weights(network: nn.Module, layers: list[PrunedLayer]) -> dict[str, Tensor]:
    return {x.name: network.get_parameter(f"{x.name}.weight").detach() for x in layers}


def _same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Equal Hessians, up to the rounding of float32 products."""
    for name, matrix in expected.items():
        scale = matrix.diagonal().mean()
        assert float((found[name][0, 0] - matrix).abs().max() / scale) < 1e-4, name
