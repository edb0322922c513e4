"""Planes of pixels laid out so that a neighbour is a fixed step away in memory."""

from dataclasses import dataclass

from torch import Tensor

#: (rows, columns) from a pixel to each pixel of its 3x3 neighbourhood, itself in the middle
OFFSETS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
CENTRE = OFFSETS.index((0, 0))


@dataclass(frozen=True)
class Grid:
    """A plane of `height` x `width` nodes within a ring of zeros, stored as one row of `size`.

    With the ring, a shift of the whole row by one number reaches the same neighbour of every node:
    stencils are sums of shifted contiguous memory. Both sides are even, so that the four kinds of
    nodes (even or odd row, even or odd column) are equally many; where the image's side is odd, the
    last row or column holds nodes that take no part.
    """

    height: int
    width: int

    @classmethod
    def holding(cls, height: int, width: int) -> "Grid":
        """The smallest grid for a plane of this size."""
        return cls(height + height % 2, width + width % 2)

    @property
    def stride(self) -> int:
        """Numbers from a node to the one below it."""
        return self.width + 2

    @property
    def size(self) -> int:
        """Numbers of a plane, the ring included."""
        return (self.height + 2) * self.stride

    @property
    def margin(self) -> int:
        """Numbers before the first node, and after the last."""
        return self.stride + 1

    def plane(self, row: Tensor) -> Tensor:
        """The same memory [..., size] as [..., height + 2, width + 2]."""
        found: Tensor = row.unflatten(-1, (self.height + 2, self.stride))
        return found

    def shifted(self, row: Tensor, down: int = 0, right: int = 0) -> Tensor:
        """Of every number from the first node to the last, the one so far from it.

        [..., size - 2 margin], of the same memory; between the rows of nodes lie numbers of the
        ring, for which the result is of no use.
        """
        step = down * self.stride + right
        return row[..., self.margin + step : row.shape[-1] - self.margin + step]

    def spread(self, planes: Tensor) -> Tensor:
        """Lay out [..., h, w], at most the grid's own size, as [..., size] with zeros around."""
        row = planes.new_zeros((*planes.shape[:-2], self.size))
        self.plane(row)[..., 1 : planes.shape[-2] + 1, 1 : planes.shape[-1] + 1] = planes
        return row
