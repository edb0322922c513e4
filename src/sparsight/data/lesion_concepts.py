"""Concepts of skin lesions that are derived from photograph and mask: the ABCD of dermoscopy.

Nobody annotated them. They follow the ABCD rule (asymmetry, border, colour, differential structure
or diameter; Nachbar et al. 1994, doi:10.1016/S0190-9622(94)70061-3) as far as numbers can, and
their names begin with `derived_` wherever they appear. Each is measured as a number, on the whole
photograph at one size whatever the size of the packed images, and becomes true or false at a
threshold that comes from the training images alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsight.data.pictures import for_all, read_whole, read_whole_mask
from sparsight.data.raw import OBJECT

CONCEPTS = (
    "derived_asymmetry",
    "derived_irregular_border",
    "derived_colour_variance",
    "derived_large_diameter",
    "derived_blue_white",
)
# Longer side of the photograph on which is measured, in pixels.
MEASURED_SIDE = 256
Mask = NDArray[np.bool_]
Photograph = NDArray[np.uint8]


def measure(photograph: Photograph, mask: Mask) -> NDArray[np.float64]:
    """The five numbers of one lesion, in the order of `CONCEPTS`.

    Parameters
    ----------
    photograph : uint8 [H, W, 3], RGB.
    mask : bool [H, W], the lesion.

    Returns
    -------
    float64 [5]; NaN where nothing can be measured: all of an empty mask, and the last where no skin
    is around the lesion.
    """
    if not mask.any():
        return np.full(len(CONCEPTS), np.nan)
    return np.array(
        [
            asymmetry(mask),
            border_irregularity(mask),
            colour_variance(photograph, mask),
            relative_diameter(mask),
            blue_white_share(photograph, mask),
        ]
    )


def asymmetry(mask: Mask) -> float:
    """Share of the lesion that lies outside its mirror image, the mean over both principal axes.

    Parameters
    ----------
    mask : bool [H, W], not empty.

    Returns
    -------
    0 (both axes are axes of symmetry) to 1.

    References
    ----------
    Stoecker et al. 1992, doi:10.1016/0895-6111(92)90073-I: overlap about the principal axes.
    """
    rows, columns = np.nonzero(mask)
    points = np.stack([columns, rows]).astype(np.float64)
    centre = points.mean(axis=1, keepdims=True)
    offsets = points - centre
    _, axes = np.linalg.eigh(offsets @ offsets.T)
    outside = []
    for axis in axes.T:
        mirrored = 2 * np.outer(axis, axis @ offsets) - offsets + centre
        # Half a pixel is added before rounding down: `rint` would send halves to even places.
        across, down = np.floor(mirrored + 0.5 + 1e-9).astype(np.int64)
        inside = (across >= 0) & (across < mask.shape[1]) & (down >= 0) & (down < mask.shape[0])
        inside[inside] = mask[down[inside], across[inside]]
        outside.append(1 - inside.mean())
    return float(np.mean(outside))


def border_irregularity(mask: Mask) -> float:
    """Perimeter² / (4π · area): 1 for a disc, more for every other outline.

    The perimeter is estimated by Crofton's formula in four directions, so a disc of pixels has
    about 1. What lies beyond the photograph counts as skin.

    Parameters
    ----------
    mask : bool [H, W], not empty.
    """
    # Imported here: most jobs measure nothing.
    from skimage import measure as outlines

    crofton: Any = outlines.perimeter_crofton
    perimeter = float(crofton(np.pad(mask, 1), directions=4))
    return perimeter**2 / (4 * np.pi * float(mask.sum()))


def colour_variance(photograph: Photograph, mask: Mask) -> float:
    """Mean over the three channels of their variance within the lesion, on a scale of 0 to 1."""
    inside = photograph[mask].astype(np.float64) / 255
    return float(inside.var(axis=0).mean())


def relative_diameter(mask: Mask) -> float:
    """Diameter of the disc with the lesion's area, as a share of the photograph's shorter side.

    The photographs have no scale, so millimetres are not to be had.
    """
    return float(np.sqrt(4 * mask.sum() / np.pi) / min(mask.shape))


def blue_white_share(photograph: Photograph, mask: Mask) -> float:
    """Share of the lesion that is blue-whitish, by the rule of Celebi et al. 2008.

    A pixel is, when B / (R + G + B) ≥ 0.3 and -194 ≤ R - R(skin) < -51 (of 255), where R(skin) is
    the mean of the red channel around the lesion.

    Returns
    -------
    0..1; NaN where no skin is around the lesion.

    References
    ----------
    Celebi et al. 2008, doi:10.1016/j.compmedimag.2008.08.003.
    """
    if mask.all():
        return float("nan")
    skin = photograph[~mask][:, 0].astype(np.float64).mean()
    inside = photograph[mask].astype(np.float64)
    # Black has no blue share: it gets 0.
    blue = inside[:, 2] / np.maximum(inside.sum(axis=1), 1)
    red = inside[:, 0] - skin
    return float(((blue >= 0.3) & (red >= -194) & (red < -51)).mean())


def measure_files(photographs: Sequence[Path], masks: Sequence[Path]) -> NDArray[np.float64]:
    """`measure` for each pair of files, float64 [N, 5].

    Raises
    ------
    InputError
        When a file is no image, or a damaged one, and as `sparsight.data.pictures.decode_mask`.
    """
    values = np.empty((len(photographs), len(CONCEPTS)))

    def fill(row: int) -> None:
        photograph = read_whole(photographs[row], MEASURED_SIDE)
        height, width = photograph.shape[:2]
        mask = read_whole_mask(masks[row], photographs[row], (width, height))
        values[row] = measure(photograph, mask >= OBJECT)

    for_all(fill, len(photographs))
    return values


def thresholds(values: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """The quantile of each measure over the training images that have it.

    Parameters
    ----------
    values : float64 [N, 5] of the training images.
    quantile : 0..1; 0.5 is the median.

    Returns
    -------
    float64 [5]; NaN where no training image has the measure.
    """
    found = np.full(values.shape[1], np.nan)
    for column, one in enumerate(values.T):
        finite = one[np.isfinite(one)]
        if len(finite):
            found[column] = np.quantile(finite, quantile)
    return found


def exceeding(values: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which measures lie above their thresholds, bool [N, 5]; false where there is no measure."""
    return np.asarray(values > limits)
