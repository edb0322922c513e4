"""How a photograph becomes a square: the same geometry for its pixels, boxes and points."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsight.io.errors import InputError

RESIZES = ("aspect", "squash")


@dataclass(frozen=True)
class Frame:
    """A photograph of `width` × `height` pixels, resized to `scaled`, of which a square is cut.

    Attributes
    ----------
    width, height : of the photograph, in pixels.
    scaled : (width, height) after resizing.
    left, top : what is cut off on these sides, in pixels of the resized photograph.
    side : of the square.
    """

    width: int
    height: int
    scaled: tuple[int, int]
    left: int
    top: int
    side: int

    @classmethod
    def of(cls, width: int, height: int, side: int, resize: str) -> "Frame":
        """`aspect`: the shorter side to `side`, then the middle; `squash`: both sides to `side`."""
        if resize == "squash":
            return cls(width, height, (side, side), 0, 0, side)
        shorter = min(width, height)
        # torchvision cuts the longer side down and rounds the margin half to even.
        scaled = (side * width // shorter, side * height // shorter)
        left, top = (round((length - side) / 2) for length in scaled)
        return cls(width, height, scaled, left, top, side)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where the point (x, y) of the photograph lies in the square; it may lie outside."""
        across = x * self.scaled[0] / self.width - self.left
        down = y * self.scaled[1] / self.height - self.top
        return across, down

    def box(self, x: float, y: float, width: float, height: float) -> NDArray[np.uint8]:
        """How much of each pixel of the square a box of the photograph covers.

        Parameters
        ----------
        x, y, width, height : upper left corner and lengths, in pixels of the photograph.

        Returns
        -------
        uint8 [side, side], 0..255: the exact share of the pixel's area.
        """
        left, top = self.place(x, y)
        right, bottom = self.place(x + width, y + height)
        cover = np.outer(_covered(top, bottom, self.side), _covered(left, right, self.side))
        return np.asarray(np.rint(255 * cover), np.uint8)

    def disc(self, x: float, y: float, radius: float) -> NDArray[np.uint8]:
        """A disc about the point (x, y) of the photograph.

        Parameters
        ----------
        x, y : in pixels of the photograph.
        radius : in pixels of the square.

        Returns
        -------
        uint8 [side, side], 0..255, with a rim that is one pixel wide.
        """
        across, down = self.place(x, y)
        centres = np.arange(self.side) + 0.5
        distance = np.hypot(centres[np.newaxis] - across, centres[:, np.newaxis] - down)
        return np.asarray(np.rint(255 * np.clip(radius + 0.5 - distance, 0, 1)), np.uint8)


def _covered(start: float, stop: float, side: int) -> NDArray[np.float64]:
    """Share of each of `side` unit intervals that lies between `start` and `stop`."""
    edges = np.clip(np.arange(side + 1, dtype=np.float64), start, stop)
    return np.diff(edges)


def checked_resize(resize: object) -> str:
    """The setting `resize`, when it is one of `RESIZES`.

    Raises
    ------
    InputError
        When it is anything else.
    """
    if resize not in RESIZES:
        raise InputError(f"'resize' must be one of {', '.join(RESIZES)}, not {resize!r}")
    return str(resize)
