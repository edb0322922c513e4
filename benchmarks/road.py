"""ROAD's imputation beside pytorch-grad-cam's: the same image and masks, without noise."""

import time

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from sidebyside import Row, compare

from sparsight.metrics.imputation import TOLERANCE, linear_imputation

SIDE = 224
PERCENTAGES = range(1, 92, 10)
# Standard deviations of the Gaussian that smooths a map of noise: as gradients are, as Grad-CAM is.
MAPS = {"map of single pixels": 0.0, "fine map": 1.5, "smooth map": 16.0}


def inputs(sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
    """An image float32 [3, H, W] of coarse and fine structure, and masks bool [10, H, W]."""
    draw = np.random.default_rng(0)
    layers = [gaussian_filter(draw.random((3, SIDE, SIDE)), (0, one, one)) for one in (1, 4, 16)]
    image = sum((layer - layer.mean()) / layer.std() for layer in layers)
    image = (image - image.min()) / (image.max() - image.min())
    order = np.argsort(-gaussian_filter(draw.random((SIDE, SIDE)), sigma), axis=None)
    ranks = np.empty(SIDE * SIDE, dtype=np.int64)
    ranks[order] = np.arange(SIDE * SIDE)
    removed = [ranks < round(one * SIDE * SIDE / 100) for one in PERCENTAGES]
    masks = torch.from_numpy(np.stack(removed).reshape(-1, SIDE, SIDE))
    return torch.from_numpy(image).float(), masks


def rows() -> list[Row]:
    """Two rows a kind of map: seconds by the clock, and of the processor."""
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    torch.set_num_threads(1)
    library, found = NoisyLinearImputer(noise=0.0), []
    for name, sigma in MAPS.items():
        image, masks = inputs(sigma)

        def ours(image: torch.Tensor = image, masks: torch.Tensor = masks) -> torch.Tensor:
            return linear_imputation(image[None], masks[None])[0]

        def theirs(image: torch.Tensor = image, masks: torch.Tensor = masks) -> torch.Tensor:
            return torch.stack([library(image, (~mask).float()) for mask in masks])

        # What it solves directly is what ours is measured against.
        expected = theirs()
        gaps = masks[:, None]
        error = ((ours() - expected) * gaps).flatten(2).norm(dim=2)
        worst = float((error / (expected * gaps).flatten(2).norm(dim=2)).max())
        assert worst <= TOLERANCE, f"{name}: the relative error is {worst}"
        title = f"impute ten shares of 3x{SIDE}x{SIDE}, {name}, error {worst:.0e}"
        for unit, clock in (("", time.perf_counter), (", CPU", time.process_time)):
            found.append(
                compare(title + unit, ours, theirs, "pytorch-grad-cam", "≥ 5", 3, clock=clock)
            )
    return found
