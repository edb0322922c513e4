"""From an explainer's raw maps to what a metric scores: treatment, size, normalisation.

The order is that of pytorch-grad-cam: treat at the map's own resolution, min-max there, bring to
image size, min-max again. In exact arithmetic the first min-max changes nothing after the second,
since bilinear interpolation commutes with scale and offset. In float32 it does: interpolation
rounds at the scale of the offset, which a single min-max afterwards would blow up.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from sparsight.data.packed import Batch
from sparsight.explain.base import to_image_size
from sparsight.io.errors import InputError
from sparsight.rounding import is_constant

T = TypeVar("T")


def _find(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise InputError(f"{kind} '{name}' is unknown (known: {', '.join(known)})")
    return known[name]


def min_max(maps: Tensor) -> Tensor:
    """Map each image's range to [0, 1]: (x - min) / (max - min), float32 [N, h, w].

    A map that is constant up to rounding (`is_constant`) becomes zeros, as a constant one does in
    pytorch-grad-cam: such a map shows nothing. The 1e-7 that pytorch-grad-cam adds to the maximum
    also dims maps whose maximum is near it; here maps of any scale give the same result. NaN stays
    NaN.
    """
    lowest = maps.amin(dim=(1, 2), keepdim=True)
    spread = maps.amax(dim=(1, 2), keepdim=True) - lowest
    constant = is_constant(maps, (1, 2), keepdim=True)
    return ((maps - lowest) / spread).masked_fill(constant, 0)


TREATMENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "signed": lambda maps: maps,
    "absolute": torch.abs,
    "positive": lambda maps: maps.clamp_min(0),
}
NORMALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda maps: maps,
    "min_max": min_max,
}
MASK_RULES: dict[str, Callable[[Batch], Tensor | None]] = {
    "none": lambda batch: None,
    "soft": Batch.soft_masks,
    "binary": Batch.binary_masks,
}


def treat(maps: Tensor, treatment: str) -> Tensor:
    """`maps` as they are ("signed"), |maps| ("absolute"), or negative values as 0 ("positive")."""
    return _find("treatment", treatment, TREATMENTS)(maps)


def normalise(maps: Tensor, normalisation: str) -> Tensor:
    """`maps` as they are ("none") or `min_max` of them."""
    return _find("normalisation", normalisation, NORMALISATIONS)(maps)


def masks_for(batch: Batch, mask_rule: str) -> Tensor | None:
    """A batch's masks as a metric wants them: float32 [N, H, W] in [0, 1], bool, or None.

    A pixel is inside a binary mask from half of the full mask value on.
    """
    return _find("mask rule", mask_rule, MASK_RULES)(batch)


def prepare(
    maps: Tensor, size: tuple[int, int], interpolation: str, treatment: str, normalisation: str
) -> Tensor:
    """Treat, resize and normalise raw maps.

    Parameters
    ----------
    maps : float32 [N, h, w] at their own resolution.
    size : (H, W) of the images.
    interpolation : the explainer's fact, see `sparsight.explain.base.to_image_size`.
    treatment, normalisation : the metric's facts.

    Returns
    -------
    float32 [N, H, W]. A map that holds NaN or infinity is NaN throughout, so that every metric of
    it is undefined; a map that is constant up to rounding at its own resolution, once treated, is
    exactly constant: no metric may rank, stretch or threshold the last bits of a map that has lost
    all contrast. InputError where maps of another size may not be interpolated.
    """
    if maps.ndim != 3:
        raise InputError(f"maps have the shape {tuple(maps.shape)} instead of [N, h, w]")
    # 0 times infinity is NaN, and so is a sum with NaN: this adds NaN where there is either.
    treated = treat(maps + (maps * 0).sum(dim=(1, 2), keepdim=True), treatment)
    constant = is_constant(treated, (1, 2), keepdim=True)
    treated = torch.where(constant, treated.amin(dim=(1, 2), keepdim=True), treated)
    if tuple(maps.shape[1:]) != tuple(size):
        native = normalise(treated, normalisation)
        lowest = native.amin(dim=(1, 2), keepdim=True)
        highest = native.amax(dim=(1, 2), keepdim=True)
        resized = to_image_size(native, size, interpolation)
        treated = torch.where(lowest == highest, lowest, resized)
    return normalise(treated, normalisation)
