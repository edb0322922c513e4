"""From an explainer's raw maps to what a metric scores: treatment, size, normalisation.

The order is that of pytorch-grad-cam: treat at the map's own resolution, min-max there, bring to
image size, min-max again. In exact arithmetic the first min-max changes nothing after the second,
since bilinear interpolation commutes with scale and offset. In float32 it does: interpolation
rounds at the scale of the offset, which a single min-max afterwards would blow up.
"""

import torch
from torch import Tensor

from sparsight.data.packed import Batch
from sparsight.explain.base import to_image_size
from sparsight.io.errors import InputError
from sparsight.rounding import is_constant

TREATMENTS = ("signed", "absolute", "positive")
NORMALISATIONS = ("none", "min_max")
MASK_RULES = ("none", "soft", "binary")


def treat(maps: Tensor, treatment: str) -> Tensor:
    """`maps` as they are ("signed"), |maps| ("absolute"), or negative values as 0 ("positive")."""
    if treatment == "signed":
        return maps
    if treatment == "absolute":
        return maps.abs()
    if treatment == "positive":
        return maps.clamp_min(0)
    raise InputError(f"treatment '{treatment}' is unknown (known: {', '.join(TREATMENTS)})")


def min_max(maps: Tensor) -> Tensor:
    """Map each image's range to [0, 1]: (x - min) / (max - min), float32 [N, h, w].

    A map that is constant up to rounding (`is_constant`) becomes zeros, as a constant one does in
    pytorch-grad-cam, which divides by max + 1e-7: such a map shows nothing. pytorch-grad-cam's 1e-7
    also dims maps whose maximum is near it; here maps of any scale give the same result. NaN stays
    NaN.
    """
    lowest = maps.amin(dim=(1, 2), keepdim=True)
    spread = maps.amax(dim=(1, 2), keepdim=True) - lowest
    constant = is_constant(maps, (1, 2), keepdim=True)
    return ((maps - lowest) / spread).masked_fill(constant, 0)


def without_rounding(maps: Tensor) -> Tensor:
    """Maps float32 [N, h, w], each that is constant up to rounding at its lowest value.

    Networks whose maps have lost all contrast differ from place to place in the last bits. No
    metric may rank, stretch or threshold these: such a map scores what a constant one does.
    """
    constant = is_constant(maps, (1, 2), keepdim=True)
    return torch.where(constant, maps.amin(dim=(1, 2), keepdim=True), maps)


def normalise(maps: Tensor, normalisation: str) -> Tensor:
    """`maps` as they are ("none") or `min_max` of them."""
    if normalisation == "none":
        return maps
    if normalisation == "min_max":
        return min_max(maps)
    known = ", ".join(NORMALISATIONS)
    raise InputError(f"normalisation '{normalisation}' is unknown (known: {known})")


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
    exactly constant.

    Raises
    ------
    InputError
        For an unknown rule, or where maps of another size may not be interpolated.
    """
    if maps.ndim != 3:
        raise InputError(f"maps have the shape {tuple(maps.shape)} instead of [N, h, w]")
    # 0 times infinity is NaN, and so is a sum with NaN: this adds NaN where there is either.
    treated = treat(maps + (maps * 0).sum(dim=(1, 2), keepdim=True), treatment)
    treated = without_rounding(treated)
    if tuple(maps.shape[1:]) != tuple(size):
        native = normalise(treated, normalisation)
        lowest, highest = (
            native.amin(dim=(1, 2), keepdim=True),
            native.amax(dim=(1, 2), keepdim=True),
        )
        treated = to_image_size(native, size, interpolation)
        treated = torch.where(lowest == highest, lowest, treated)
    return normalise(treated, normalisation)


def masks_for(batch: Batch, mask_rule: str) -> Tensor | None:
    """A batch's masks as a metric wants them: float32 [N, H, W] in [0, 1], bool, or None.

    A pixel is inside a binary mask from half of the full mask value on.
    """
    if mask_rule == "none":
        return None
    if mask_rule == "soft":
        return batch.soft_masks()
    if mask_rule == "binary":
        return batch.binary_masks()
    raise InputError(f"mask rule '{mask_rule}' is unknown (known: {', '.join(MASK_RULES)})")
