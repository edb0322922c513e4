"""Photographs as arrays: decoded, brought to RGB and to one size, a few at a time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sparsight.io.errors import CorruptFile

if TYPE_CHECKING:
    from PIL.Image import Image

RESIZES = ("aspect", "squash")
# Decoding releases the interpreter's lock; more threads than this would only wait for the disk.
WORKERS = 2


def read_pictures(paths: Sequence[Path], side: int, resize: str) -> NDArray[np.uint8]:
    """Decode photographs in the order of `paths`.

    Parameters
    ----------
    paths : files in any format that Pillow reads; greyscale becomes RGB.
    side : of the square results, in pixels.
    resize : `aspect`: the shorter side to `side`, then the middle; `squash`: both sides to `side`.
        Both are torchvision's `Resize` (and `CenterCrop`) on a Pillow image: bilinear, and
        antialiased where it shrinks.

    Returns
    -------
    uint8 [N, 3, side, side]; that and two decoded photographs are all that is in memory.

    Raises
    ------
    CorruptFile
        When a file is no image, or a damaged one.

    Notes
    -----
    The values depend on the JPEG decoder (they may differ by one or two of 255 between releases
    of libjpeg-turbo), so a data hash may differ between environments.
    """
    images = np.empty((len(paths), 3, side, side), np.uint8)

    def fill(row: int) -> None:
        images[row] = read_picture(paths[row], side, resize)

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for _ in pool.map(fill, range(len(paths))):
                pass
        except BaseException:
            # The first bad file ends it, not the last.
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return images


def read_picture(path: Path, side: int, resize: str) -> NDArray[np.uint8]:
    """Decode one photograph, uint8 [3, side, side]; see `read_pictures`."""
    # Imported here: most jobs decode nothing.
    from PIL import Image

    try:
        with Image.open(path) as opened:
            whole = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CorruptFile(
            f"{path} is not an image that can be read ({type(error).__name__}); replace it by the "
            "original file"
        ) from error
    return np.asarray(_resized(whole, side, resize)).transpose(2, 0, 1)


def _resized(whole: "Image", side: int, resize: str) -> "Image":
    from PIL.Image import Resampling

    if resize == "squash":
        return whole.resize((side, side), Resampling.BILINEAR)
    width, height = whole.size
    shorter = min(width, height)
    # torchvision cuts the longer side down and rounds the margin half to even.
    size = (side * width // shorter, side * height // shorter)
    left, top = (round((length - side) / 2) for length in size)
    return whole.resize(size, Resampling.BILINEAR).crop((left, top, left + side, top + side))
