"""Pictures of 8 bits, many in one file, as text that a script can hold.

A page that is opened from a file must not look at the pixels of other files, but at those of
pictures that its own scripts hold.
"""

import base64
import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sparsight.rounding import ROUNDING

Bytes = NDArray[np.uint8]
#: longest side of a stored map, in pixels; larger maps are averaged down to it
LARGEST_MAP = 64
#: maps up to this side are stored without loss
LOSSLESS_MAP = 32
#: of WebP, for larger maps and for photographs
QUALITY = 80
#: WebP holds at most 16,383 pixels a side
WIDEST = 8192
#: the byte of 0 in a signed map
ZERO = 128


def fit_map(values: NDArray[np.float32], longest: int = LARGEST_MAP) -> NDArray[np.float32]:
    """A map [h, w] as it is, or, where a side is longer than `longest`, averaged down to it."""
    height, width = values.shape
    if max(height, width) <= longest:
        return values
    scale = longest / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    pooled = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(values)[None], size)
    return np.asarray(pooled[0].numpy(), dtype=np.float32)


def encode_map(values: NDArray[np.float32], signed: bool) -> tuple[Bytes, list[float]]:
    """A map [h, w] in 8 bits, and the scale that leads back.

    The scale is `[low, high]`: byte b of an unsigned map stands for low + (high − low) · b / 255,
    that of a signed one for max(|low|, |high|) · (b − 128) / 127. It is `[value]` for a map that is
    constant up to rounding, and `[]` for one with values that are not finite; their bytes are 0.
    """
    blank = np.zeros(values.shape, dtype=np.uint8)
    if not np.isfinite(values).all():
        return blank, []
    low, high = float(values.min()), float(values.max())
    if high - low <= ROUNDING * max(abs(low), abs(high)):
        return blank, [low]
    if signed:
        coded = ZERO + 127.0 * (values / max(abs(low), abs(high)))
    else:
        coded = 255.0 * ((values - low) / (high - low))
    return np.rint(coded).astype(np.uint8), [low, high]


def make_sprite(cells: Bytes, lossless: bool) -> dict[str, Any]:
    """Cells uint8 [n, h, w] or [n, h, w, 3], from left to right and then down, in one picture.

    Returns
    -------
    `source` (a data URL of WebP), `width` and `height` of a cell, and `columns`.
    """
    count, height, width = cells.shape[:3]
    columns = max(1, min(count, WIDEST // width))
    rows = max(1, -(-count // columns))
    sheet = np.zeros((rows * height, columns * width, *cells.shape[3:]), dtype=np.uint8)
    for place, cell in enumerate(cells):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + height, left : left + width] = cell
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", lossless=lossless, quality=QUALITY, method=4)
    source = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"source": source, "width": width, "height": height, "columns": columns}


def to_colours(pixels: NDArray[np.uint8], longest: int) -> Bytes:
    """Images uint8 [n, C, H, W] as colours [n, h, w, 3], no side above `longest`."""
    channels = pixels[:, :3] if pixels.shape[1] >= 3 else pixels[:, :1]
    colours = np.moveaxis(channels, 1, -1)
    if colours.shape[-1] == 1:
        colours = np.repeat(colours, 3, axis=-1)
    height, width = colours.shape[1:3]
    if max(height, width) <= longest:
        return np.ascontiguousarray(colours)
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = [Image.fromarray(one).resize(size, Image.Resampling.BOX) for one in colours]
    return np.stack([np.asarray(one) for one in small])
