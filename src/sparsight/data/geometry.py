"""Coverage of pixels by simple figures, in whole numbers only, so on every machine alike.

The canvas is 512 units wide and high, whatever the number of pixels: figures are given in units,
and the same figure can be drawn at every size. Each pixel is sampled at 4×4 places; the number of
samples inside, 0..16, is its coverage.

To stay in whole numbers at every size, samples are placed on a grid `side` times finer than a unit
("fine units"), and lengths are multiplied likewise. A figure that is turned by the direction (a, b)
is measured in coordinates that are longer by the factor √(a² + b²), and lengths are multiplied by
that factor, rounded down once: nothing is ever divided.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CANVAS = 512
SAMPLES = 4
FULL = SAMPLES * SAMPLES
Words = NDArray[np.int64]
Samples = NDArray[np.bool_]

FIGURES = ("disc", "square", "triangle", "cross")


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels of an image of `side` × `side`, the last row and column excluded."""

    side: int
    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def around(cls, side: int, x: int, y: int, reach: int) -> "Window":
        """The pixels that anything within `reach` units of the point (x, y) can touch."""
        low = [max(0, ((place - reach) * side) // CANVAS) for place in (y, x)]
        high = [min(side, ((place + reach) * side) // CANVAS + 1) for place in (y, x)]
        return cls(side, low[0], max(low[0], high[0]), low[1], max(low[1], high[1]))

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Rows and columns, to index the last two dimensions of an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def coordinates(self, x: int, y: int, direction: tuple[int, int]) -> tuple[Words, Words]:
        """Coordinates of the samples as seen from (x, y), turned by `direction` = (a, b).

        Returns
        -------
        u, v : int64 [4·rows, 4·columns], in fine units times √(a² + b²).
        """
        # Samples lie in the middle of a quarter pixel, at odd multiples of half of it.
        half = CANVAS // (2 * SAMPLES)
        rows = np.arange(SAMPLES * self.top, SAMPLES * self.bottom, dtype=np.int64)
        columns = np.arange(SAMPLES * self.left, SAMPLES * self.right, dtype=np.int64)
        down = ((2 * rows + 1) * half - y * self.side)[:, np.newaxis]
        across = ((2 * columns + 1) * half - x * self.side)[np.newaxis]
        a, b = direction
        return a * across + b * down, a * down - b * across


def fine(length: int, side: int, direction: tuple[int, int]) -> int:
    """`length` units in the measure of `Window.coordinates`, rounded down."""
    a, b = direction
    return math.isqrt((length * side) ** 2 * (a * a + b * b))


def inside(figure: str, u: Words, v: Words, size: int, rim: int) -> Samples:
    """The samples inside a figure without its rim.

    Parameters
    ----------
    figure : one of `FIGURES`.
    u, v : coordinates from the figure's centre.
    size : radius of the disc; the other figures are scaled to look about as large.
    rim : what is taken off along the whole border, in the same measure.
    """
    if figure == "disc":
        radius = size - rim
        return u * u + v * v <= radius * radius
    if figure == "square":
        half = size * 7 // 8 - rim
        return (np.abs(u) <= half) & (np.abs(v) <= half)
    if figure == "triangle":
        # Three half planes at this distance from the centre; 887 / 1024 stands for √3 / 2.
        distance = 1024 * (size * 11 // 16 - rim)
        return (1024 * v <= distance) & (887 * np.abs(u) - 512 * v <= distance)
    length, width = size * 9 // 8 - rim, size * 3 // 8 - rim
    across, down = np.abs(u), np.abs(v)
    return (np.minimum(across, down) <= width) & (np.maximum(across, down) <= length)


def corners(figure: str, u: Words, v: Words, size: int) -> Samples:
    """The samples near the corners of a square or triangle, whether inside or not."""
    if figure == "square":
        near = size * 7 // 16
        return (np.abs(u) >= near) & (np.abs(v) >= near)
    if figure == "triangle":
        # A corner is opposite to each side: at more than 5/8 of the size from the centre.
        near = 1024 * (size * 5 // 8)
        return (-1024 * v >= near) | (887 * np.abs(u) + 512 * v >= near)
    return np.zeros(u.shape, np.bool_)


def arms(figure: str, u: Words, v: Words, size: int) -> Samples:
    """The samples beyond the middle of a cross, whether inside or not."""
    if figure != "cross":
        return np.zeros(u.shape, np.bool_)
    return np.maximum(np.abs(u), np.abs(v)) > size * 3 // 8


def stripes(u: Words, period: int, shift: int) -> Samples:
    """Every second half of a period along `u`."""
    return (u + shift) % period < period // 2


def spots(u: Words, v: Words, period: int, shift: int) -> Samples:
    """Discs with a radius of 5/16 of the period on a square lattice."""
    across = (u + shift) % period - period // 2
    down = (v + shift) % period - period // 2
    radius = period * 5 // 16
    return across * across + down * down <= radius * radius


def coverage(samples: Samples) -> NDArray[np.uint8]:
    """How many samples of each pixel are inside: uint8 [..., rows, columns], 0..16."""
    # Four samples next to each other are the bytes of one word: sums of at most 16 never carry, and
    # the product gathers all four bytes in the highest, in either order of bytes.
    words = np.ascontiguousarray(samples).view(np.uint32)
    columns = words[..., 0::4, :] + words[..., 1::4, :] + words[..., 2::4, :] + words[..., 3::4, :]
    return ((columns * np.uint32(0x01010101)) >> np.uint32(24)).astype(np.uint8)
