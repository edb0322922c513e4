"""CRAFT's Sobol importances beside craft-xai's own loop: equal indices from equal masks."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sidebyside import Row, compare
from torch import Tensor
from torch.nn.functional import interpolate

from sparsight.concepts.craft import (
    concept_importances,
    craft_class,
    crop_grid,
    pools_first,
    quiet,
    replicated_design,
)
from sparsight.explain.randomness import seeded
from sparsight.models.base import Architecture, build_network
from sparsight.models.resnet import ResNet18

IMAGES, CONCEPTS, DESIGNS, LABEL, BATCH, PATCH = 500, 10, 32, 3, 64, 2 / 7
# 7x7 maps, as those of 224 pixels and the published stem, of a network whose passes take seconds
SIDE, NETWORK = 112, {"width": 16, "stem": "strided"}
FITTED = 100
TOLERANCE = 1e-4


def rows() -> list[Row]:
    """With places and without, given the library's coefficients: passes and transform apart."""
    torch.set_num_threads(1)
    network = build_network(ResNet18, 10, 0, NETWORK).eval().requires_grad_(False)
    images = _images()
    library, basis = _fitted(network, images[:FITTED])
    masks = replicated_design(CONCEPTS, DESIGNS, "halton", 0)
    with quiet():
        places = torch.from_numpy(library.transform(images))
    vectors = places.mean(dim=(1, 2))

    def importances(coefficients: Tensor) -> Tensor:
        pools = pools_first(network, torch.empty((1, basis.shape[1], 7, 7)))
        found = concept_importances(
            network, coefficients, basis, LABEL, masks, DESIGNS, pools, BATCH
        )
        return found.mean(dim=0)

    def theirs(given: Tensor, head: Callable[[Tensor], Tensor]) -> Any:
        def estimate() -> np.ndarray:
            library.transform = lambda _: given.numpy()
            library.latent_to_logit = head
            with quiet():
                return np.asarray(library.estimate_importance(images, LABEL, DESIGNS))

        return estimate

    def flat_head(activations: Tensor) -> Tensor:
        return network.class_logits(activations[:, :, None, None])

    size = f"{IMAGES} images, {CONCEPTS} concepts"
    return [
        _row(
            f"importances, {size}, maps of 7x7",
            lambda: importances(places),
            theirs(places, network.class_logits),
        ),
        _row(
            f"importances, {size}, features without places",
            lambda: importances(vectors[:, None, None]),
            theirs(vectors, flat_head),
        ),
    ]


def _images() -> Tensor:
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand((IMAGES, 3, 8, 8), generator=draw)
    return interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")


def _fitted(network: Architecture, images: Tensor) -> tuple[Any, Tensor]:
    """The library, fitted to the crops of some images, and its basis."""
    grid = crop_grid(SIDE, SIDE, PATCH)
    library = craft_class()(
        network.feature_maps, network.class_logits, CONCEPTS, BATCH, grid.side, "cpu"
    )
    with seeded(0, torch.device("cpu")), quiet():
        library.fit(images)
    return library, torch.from_numpy(library.W)


def _row(
    name: str,
    ours: Callable[[], Tensor],
    theirs: Callable[[], np.ndarray],
) -> Row:
    found, expected = ours(), torch.from_numpy(theirs())
    assert expected.std() > 0.01, f"{name}: all concepts have the same importance"
    difference = float((found - expected).abs().max())
    assert difference <= TOLERANCE, f"{name}: the indices differ by {difference}"
    return compare(name, ours, theirs, "craft-xai", "≥ 3", 3, time.process_time)
