"""Stickers: small pictures that a trojan is planted with, drawn with whole numbers only.

A sticker is a stack of plain figures on a square canvas that reaches from -100 to 100 in both
directions, y downwards. The first figure is its silhouette; all others lie inside of it. Each has a
rim that stands out from its filling, so that it can be seen before any background.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsight.data.geometry import FULL, SAMPLES, Samples, coverage

REACH = 100
# A sticker of fewer pixels on a side is a spot.
SMALLEST_SIDE = 6
# ITU-R BT.601, as Pillow turns RGB to grey; thousandths.
_LUMINANCE = (299, 587, 114)

Points = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Ellipse:
    """Centre and half axes."""

    x: int
    y: int
    across: int
    down: int

    def inside(self, u: NDArray[np.int64], v: NDArray[np.int64], half: int) -> Samples:
        """See `_Figure.samples`."""
        across = (u - self.x * half) * self.down
        down = (v - self.y * half) * self.across
        return across * across + down * down <= (self.across * self.down * half) ** 2


@dataclass(frozen=True)
class _Polygon:
    """Corners in order; a sample is inside where a ray from it meets an odd number of edges."""

    points: Points

    def inside(self, u: NDArray[np.int64], v: NDArray[np.int64], half: int) -> Samples:
        """See `_Figure.samples`."""
        found = np.zeros(np.broadcast_shapes(u.shape, v.shape), np.bool_)
        corners = [(x * half, y * half) for x, y in self.points]
        for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
            if y1 == y2:
                continue
            # u < x1 + (v - y1) (x2 - x1) / (y2 - y1), without the division.
            left = ((u - x1) * (y2 - y1) - (v - y1) * (x2 - x1)) * (1 if y2 > y1 else -1) < 0
            found ^= ((y1 > v) != (y2 > v)) & left
        return found

    def shrunk(self, percent: int) -> "_Polygon":
        """The same about the middle of the canvas, smaller."""
        return _Polygon(tuple((x * percent // 100, y * percent // 100) for x, y in self.points))


@dataclass(frozen=True)
class _Figure:
    """One colour, and the shapes that have it."""

    colour: tuple[int, int, int]
    shapes: tuple[_Ellipse | _Polygon, ...]

    def cover(self, side: int) -> NDArray[np.uint8]:
        """How much of each of `side` × `side` pixels it covers, in sixteenths."""
        # Samples lie at odd multiples of half their distance, and so does the canvas's end.
        half = SAMPLES * side
        places = REACH * (2 * np.arange(half, dtype=np.int64) + 1 - half)
        u, v = places[np.newaxis], places[:, np.newaxis]
        found = np.zeros((half, half), np.bool_)
        for shape in self.shapes:
            found |= shape.inside(u, v, half)
        return coverage(found)


def _symmetric(*right: tuple[int, int]) -> _Polygon:
    """What has these corners, from top to bottom or back, and their mirror images."""
    return _Polygon((*right, *((-x, y) for x, y in reversed(right) if x)))


_STAR = _symmetric((0, -97), (26, -31), (97, -26), (43, 19), (60, 88), (0, 50))
_MOUTH = _symmetric((0, 66), (26, 60), (48, 42), (60, 14), (38, 28), (20, 37), (0, 40))
_TOP: Points = ((47, -42), (0, -46), (-47, -42))


def _lobes(radius: int) -> tuple[_Ellipse, _Ellipse]:
    return _Ellipse(47, -42, radius, radius), _Ellipse(-47, -42, radius, radius)


STICKERS: dict[str, tuple[_Figure, ...]] = {
    "smiley": (
        _Figure((60, 40, 0), (_Ellipse(0, 0, 98, 98),)),
        _Figure((255, 220, 30), (_Ellipse(0, 0, 84, 84),)),
        _Figure((60, 40, 0), (_Ellipse(-32, -26, 14, 21), _Ellipse(32, -26, 14, 21), _MOUTH)),
    ),
    "heart": (
        # Two discs, and what lies between them and the tangents from the tip.
        _Figure((255, 255, 255), (*_lobes(50), _Polygon(((0, 95), (86, -10), *_TOP, (-86, -10))))),
        _Figure((230, 20, 60), (*_lobes(38), _Polygon(((0, 76), (77, -18), *_TOP, (-77, -18))))),
    ),
    "star": (
        _Figure((20, 20, 90), (_STAR,)),
        _Figure((255, 255, 255), (_STAR.shrunk(68),)),
    ),
    "fish": (
        _Figure(
            (0, 50, 80),
            (_Ellipse(-22, 0, 76, 58), _Polygon(((24, 0), (97, -66), (84, 0), (97, 66)))),
        ),
        _Figure(
            (255, 130, 20),
            (_Ellipse(-22, 0, 62, 44), _Polygon(((30, 0), (83, -42), (72, 0), (83, 42)))),
        ),
        _Figure((255, 255, 255), (_Ellipse(-52, -10, 15, 15),)),
        _Figure((0, 0, 0), (_Ellipse(-54, -10, 8, 8),)),
    ),
}


def paste(
    image: NDArray[np.uint8], sticker: str, side: int, top: int, left: int
) -> NDArray[np.uint8]:
    """Stick a sticker onto an image.

    Parameters
    ----------
    image : uint8 [C, H, W], 1 or 3 channels; it is changed.
    sticker : name in `STICKERS`.
    side : pixels.
    top, left : row and column of the sticker's first pixel; all of it lies in the image.

    Returns
    -------
    uint8 [H, W], the share of each pixel that the sticker covers, 0..255. Pixels outside, where it
    is 0, are as they were.
    """
    region = image[:, top : top + side, left : left + side]
    picture = region.astype(np.int64)
    for colour, cover in _drawn(sticker, side):
        channels = np.array(_in_channels(colour, len(image)), np.int64)[:, np.newaxis, np.newaxis]
        picture = (picture * (FULL - cover) + channels * cover + FULL // 2) // FULL
    region[:] = picture.astype(np.uint8)
    mask = np.zeros(image.shape[1:], np.uint8)
    silhouette = _drawn(sticker, side)[0][1]
    mask[top : top + side, left : left + side] = (silhouette * 255 + FULL // 2) // FULL
    return mask


def _in_channels(colour: tuple[int, int, int], channels: int) -> tuple[int, ...]:
    if channels == len(colour):
        return colour
    return ((sum(w * c for w, c in zip(_LUMINANCE, colour, strict=True)) + 500) // 1000,)


@functools.lru_cache(maxsize=256)
def _drawn(sticker: str, side: int) -> tuple[tuple[tuple[int, int, int], NDArray[np.int64]], ...]:
    """Colour and cover (int64 [side, side], 0..16) of each figure, the lowest first."""
    return tuple(
        (figure.colour, figure.cover(side).astype(np.int64)) for figure in STICKERS[sticker]
    )
