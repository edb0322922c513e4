"""Small pictures for figures: crops that have most of a concept, images, and heat maps on them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.concepts.craft.class_concepts import ClassConcepts
from sparsight.concepts.craft.coherence import top_crops
from sparsight.concepts.craft.crops import CropReader


def small(images: Tensor, side: int) -> Tensor:
    """uint8 [n, C, h, w] of images float32 [n, C, H, W] in [0, 1], at most `side` pixels a side."""
    longest = max(images.shape[2:])
    if longest > side:
        size = [max(1, round(length * side / longest)) for length in images.shape[2:]]
        images = functional.interpolate(
            images, size=size, mode="bilinear", align_corners=False, antialias=True
        )
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def concept_pictures(
    reader: CropReader, classes: Sequence[ClassConcepts], settings: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Pictures of the first concepts of the first classes.

    Parameters
    ----------
    reader : of the split that the images are in.
    classes : at least one.
    settings : of `Craft`: how many classes, concepts, crops and images, and of which size.

    Returns
    -------
    `top_crops` uint8 [classes, concepts, crops, C, p, p]; `picture_concepts` int64 [classes,
    concepts], which concepts of the basis they are; `pictures` uint8 [classes, images, C, s, s];
    `heat_maps` float32 [classes, concepts, images, h, w]. 0 where a class has fewer of them.
    """
    shown = classes[: settings["picture_classes"]]
    if not shown:
        return {}
    parts = [_pictures_of(reader, found, settings) for found in shown]
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


def _pictures_of(
    reader: CropReader, found: ClassConcepts, settings: Mapping[str, Any]
) -> dict[str, Tensor]:
    concepts, side = found.order[: settings["top_concepts"]], settings["picture_side"]
    coefficients = found.factors.coefficients[:, concepts]
    crops = [
        _filled(small(reader.crops(found.positions, rows), side), settings["picture_crops"])
        for rows in top_crops(coefficients, settings["picture_crops"])
    ]
    wanted = settings["picture_images"]
    images = reader.split.select(found.positions[:wanted]).images("clean")
    heat = _filled(found.heat_maps[..., concepts], wanted)
    return {
        "top_crops": torch.stack(crops),
        "picture_concepts": concepts,
        "pictures": _filled(small(images, side), wanted),
        "heat_maps": heat.permute(3, 0, 1, 2).contiguous(),
    }


def _filled(values: Tensor, wanted: int) -> Tensor:
    """`values` with rows of zeros up to the wanted number."""
    return torch.cat([values, values.new_zeros((wanted - len(values), *values.shape[1:]))])
