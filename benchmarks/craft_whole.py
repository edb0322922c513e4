"""All of CRAFT on one class beside craft-xai: crops, passes, factors, importances and maps."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sidebyside import Row, compare
from torch import Tensor
from torch.nn.functional import interpolate

from sparsight.concepts.craft import (
    Craft,
    CropReader,
    craft_class,
    find_class,
    quiet,
)
from sparsight.data.packed import PackedSplit
from sparsight.explain.randomness import seeded
from sparsight.io.arrays import write_arrays
from sparsight.models.base import Architecture, build_network
from sparsight.models.resnet import ResNet18

IMAGES, CONCEPTS, DESIGNS, LABEL, BATCH, PATCH = 30, 10, 32, 3, 64, 2 / 7
# 7x7 maps, as those of 224 pixels and the published stem, of a network whose passes take seconds
SIDE, NETWORK = 112, {"width": 16, "stem": "strided"}
# the library stops fitting coefficients of whole images before they are settled, ours does not
BASIS_TOLERANCE, TOLERANCE, MAPS_TOLERANCE = 1e-3, 0.02, 0.05


class Found(NamedTuple):
    """Basis [K, D] with rows of length 1, importances [K], and maps of the images' coefficients."""

    basis: Tensor
    importances: Tensor
    maps: Tensor


def rows(images: int = IMAGES, pairs: int = 3) -> list[Row]:
    """One row: all that both do for the images of one class."""
    torch.set_num_threads(1)
    network = build_network(ResNet18, 10, 0, NETWORK).eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand((images, 3, 8, 8), generator=draw)
    smooth = interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
    pixels = (smooth * 255).round().to(torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.safetensors"
        _pack(path, pixels)
        with PackedSplit.open(path) as split:
            return [_row(network, split, pixels.float() / 255, pairs)]


def _pack(path: Path, pixels: Tensor) -> None:
    order = torch.arange(len(pixels))
    arrays = {"images": pixels, "labels": torch.full_like(order, LABEL), "image_ids": order}
    metadata = {"dataset": "smooth", "split": "train", "has_masks": "false", "data_hash": "0"}
    classes = json.dumps([str(label) for label in range(10)])
    write_arrays(
        path,
        {**arrays, "evaluation_rank": order},
        {**metadata, "classes": classes, "noise_maximum": "0"},
    )


def _row(network: Architecture, split: PackedSplit, images: Tensor, pairs: int) -> Row:
    settings: dict[str, Any] = Craft(
        concepts=CONCEPTS,
        patch=PATCH,
        designs=DESIGNS,
        sampler="halton",
        # the coefficients at each place of all images
        picture_images=len(images),
    ).settings
    positions = torch.arange(len(images))

    def ours() -> Found:
        reader = CropReader(network, split, PATCH, BATCH, torch.device("cpu"))
        found = find_class(reader, str(LABEL), LABEL, positions, settings, 0)
        return Found(found.factors.basis, found.importances, found.heat_maps)

    def theirs() -> Found:
        side = CropReader(network, split, PATCH, BATCH, torch.device("cpu")).grid.side
        library = craft_class()(
            network.feature_maps, network.class_logits, CONCEPTS, BATCH, side, "cpu"
        )
        with seeded(0, torch.device("cpu")), quiet():
            library.fit(images)
            importances = library.estimate_importance(images, LABEL, DESIGNS)
            maps = library.transform(images)
        basis = torch.from_numpy(library.W)
        lengths = basis.norm(dim=1)
        return Found(
            basis / lengths[:, None],
            torch.from_numpy(np.asarray(importances)),
            torch.from_numpy(np.asarray(maps)) * lengths,
        )

    _check(ours(), theirs())
    name = f"the whole of CRAFT, {len(images)} images of a class, {CONCEPTS} concepts"
    return compare(name, ours, theirs, "craft-xai", "reported", pairs, time.process_time)


def _check(own: Found, other: Found) -> None:
    """Both find the same concepts, of the same importance, at the same places."""
    basis = float((own.basis - other.basis).abs().max())
    assert basis <= BASIS_TOLERANCE, f"the bases differ by {basis}"
    importances = float((own.importances - other.importances).abs().max())
    assert own.importances.std() > 0.01, "all concepts have the same importance"
    assert importances <= TOLERANCE, f"the importances differ by {importances}"
    maps = float((own.maps - other.maps).norm() / other.maps.norm())
    assert maps <= MAPS_TOLERANCE, f"the maps differ by {maps} of their length"
