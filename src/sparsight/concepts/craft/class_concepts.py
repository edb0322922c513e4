"""CRAFT on one class: its crops, their factors, how much each concept matters, where it lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparsight.concepts.craft.coherence import (
    cosine_coherence,
    mask_purity,
    reconstruction_error,
    top_crops,
)
from sparsight.concepts.craft.crops import CropReader, crop_keys, sample_of
from sparsight.concepts.craft.factorisation import Factors, coefficients_of, factorise
from sparsight.concepts.craft.importance import concept_importances, pools_first, replicated_design


@dataclass(frozen=True)
class ClassConcepts:
    """What CRAFT finds in one class; K concepts, n crops of N images.

    Attributes
    ----------
    name, label : of the class.
    positions : int64 [N], of its images in the split.
    factors : coefficients [n, K] of its crops, and basis [K, D].
    error : relative error of the reconstruction.
    keys : int64 [n], see `crop_keys`.
    importances : float32 [K], mean over images of the total-order indices.
    order : int64 [K], the concepts from the most important on.
    purity : float32 [K], see `mask_purity`; NaN without masks.
    mask_share : what the purity of a concept would be that lies anywhere.
    within, between : float32 [K], see `cosine_coherence`: of the sample, in the own space.
    sample_rows : int64 [m], a sample of the crops, see `sample_of`, ...
    sample_features : float32 [m, D], ... whose features are a yardstick for other networks.
    heat_maps : float32 [M, h, w, K], coefficients at each place of the first images.
    """

    name: str
    label: int
    positions: Tensor
    factors: Factors
    error: float
    keys: Tensor
    importances: Tensor
    order: Tensor
    purity: Tensor
    mask_share: float
    within: Tensor
    between: Tensor
    sample_rows: Tensor
    sample_features: Tensor
    heat_maps: Tensor


def find_class(
    reader: CropReader,
    name: str,
    label: int,
    positions: Tensor,
    settings: Mapping[str, Any],
    seed: int,
) -> ClassConcepts:
    """Find the concepts of one class.

    Parameters
    ----------
    reader : of the split that the images are in.
    positions : int64 [N], of the images, at least one.
    settings : of `Craft`.
    """
    activations = reader.activations(positions)
    factors = factorise(activations, settings["concepts"], settings["backend"], seed)
    importances, heat_maps = _whole_images(reader, positions, factors.basis, label, settings, seed)
    keys = crop_keys(reader.split.image_ids()[positions], reader.grid)
    rows = sample_of(keys, settings["sample_crops"])
    members = top_crops(factors.coefficients[rows], settings["top_crops"])
    within, between = cosine_coherence(activations[rows], members)
    return ClassConcepts(
        name=name,
        label=label,
        positions=positions,
        factors=factors,
        error=reconstruction_error(activations, factors.coefficients, factors.basis),
        keys=keys,
        importances=importances,
        order=importances.argsort(descending=True, stable=True),
        purity=_purities(reader, positions, factors, settings["top_crops"]),
        mask_share=reader.mask_share(positions),
        within=within,
        between=between,
        sample_rows=rows,
        sample_features=activations[rows],
        heat_maps=heat_maps,
    )


def _whole_images(
    reader: CropReader,
    positions: Tensor,
    basis: Tensor,
    label: int,
    settings: Mapping[str, Any],
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Importances [K], and the coefficients [M, h, w, K] of the images to be shown."""
    masks = replicated_design(len(basis), settings["designs"], settings["sampler"], seed)
    basis, masks = basis.to(reader.device), masks.to(reader.device)
    total, shown, pools = torch.zeros(len(basis), dtype=torch.float64), [], None
    left = settings["picture_images"]
    for maps in reader.maps(positions):
        pools = pools_first(reader.network, maps) if pools is None else pools
        found = place_coefficients(maps, basis)
        total += concept_importances(
            reader.network,
            found,
            basis,
            label,
            masks,
            settings["designs"],
            pools,
            reader.batch_size,
        ).sum(dim=0)
        shown.append(found[:left].cpu())
        left -= len(shown[-1])
    return (total / len(positions)).float(), torch.cat(shown)


def place_coefficients(maps: Tensor, basis: Tensor) -> Tensor:
    """Coefficients float32 [n, h, w, K] at each place of maps [n, D, h, w], of a basis [K, D]."""
    places = maps.permute(0, 2, 3, 1)
    return coefficients_of(places.flatten(0, 2), basis).view(*places.shape[:3], len(basis))


def _purities(reader: CropReader, positions: Tensor, factors: Factors, wanted: int) -> Tensor:
    """Mask purity of each concept; the top crops go through the network again for their maps."""
    members = top_crops(factors.coefficients, wanted)
    sizes = [len(rows) for rows in members]
    if not reader.split.has_masks or not sum(sizes):
        return torch.full((len(members),), torch.nan)
    rows = torch.cat(members)
    owners = torch.repeat_interleave(torch.arange(len(members)), torch.tensor(sizes))
    basis = factors.basis.to(reader.device)
    heat: list[Tensor] = []
    for maps in reader.crop_maps(positions, rows):
        found = place_coefficients(maps, basis).cpu()
        own = owners[len(heat) : len(heat) + len(found)]
        heat.extend(found[torch.arange(len(found)), :, :, own])
    masks = reader.masks(positions, rows)
    pairs = zip(torch.stack(heat).split(sizes), masks.split(sizes), strict=True)
    return torch.tensor([mask_purity(own_heat, own_masks) for own_heat, own_masks in pairs])
