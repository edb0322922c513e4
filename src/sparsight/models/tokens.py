"""Tokens of a transformer as maps: which of them stand for patches, and in which grid."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.models.base import channels_innermost, check_maps

#: a class token and four registers: more tokens than these are not taken for prefix tokens
MOST_PREFIX_TOKENS = 5


@dataclass(frozen=True)
class TokenGrid:
    """The first `prefix` tokens stand for no patch; the others are `height` rows of `width`."""

    prefix: int
    height: int
    width: int

    def maps(self, tokens: Tensor) -> Tensor:
        """Maps [N, ..., h, w] of values [N, ..., T], one for each token: a view."""
        found: Tensor = tokens[..., self.prefix :].unflatten(-1, (self.height, self.width))
        return found


def token_grid(tokens: int, images: Sequence[int], prefix: int | None = None) -> TokenGrid | None:
    """How `tokens` tokens cover images [N, C, H, W]; None where no grid fits.

    A grid has a patch for every `stride` pixels of both sides. Without `prefix`, at most
    `MOST_PREFIX_TOKENS` tokens may be left over: grids of whole patches go first, and of these the
    largest. With `prefix`, the other tokens fill a grid, or else all of them do: those of the layer
    that cuts the patches.
    """
    known = sorted(_grids(*images[2:]), reverse=True)
    if prefix is None:
        fitting = [one for one in known if 0 <= tokens - one[1] <= MOST_PREFIX_TOKENS]
    else:
        fitting = [one for left in (prefix, 0) for one in known if tokens - one[1] == left]
    return next((TokenGrid(tokens - size, *sides) for _, size, sides in fitting), None)


def _grids(height: int, width: int) -> Iterator[tuple[bool, int, tuple[int, int]]]:
    """Whether the patches are whole, how many there are, and the sides, of two patches or more."""
    for stride in range(1, max(height, width)):
        whole = height % stride == width % stride == 0
        for side in (math.floor, math.ceil):
            sides = side(height / stride), side(width / stride)
            if sides[0] * sides[1] > 1:
                yield whole, sides[0] * sides[1], sides


def prefix_tokens(network: nn.Module) -> int | None:
    """How many tokens before the patches a network of timm states; None where none states it."""
    stated = {
        found
        for module in network.modules()
        if isinstance(found := getattr(module, "num_prefix_tokens", None), int)
    }
    return stated.pop() if len(stated) == 1 else None


@dataclass(frozen=True)
class MapForm:
    """How a layer's output holds maps [N, D, h, w].

    It is such maps; or they are innermost, [N, h, w, D]; or, with `grid`, tokens [N, T, D].
    """

    innermost: bool = False
    grid: TokenGrid | None = None

    @property
    def prefix(self) -> int:
        """Number of tokens that are in no map."""
        return self.grid.prefix if self.grid else 0

    def maps(self, output: Tensor) -> Tensor:
        """The maps [N, D, h, w] of an output: a view."""
        if self.grid:
            return self.grid.maps(output.transpose(1, 2))
        return output.permute(0, 3, 1, 2) if self.innermost else output

    def restored(self, output: Tensor, maps: Tensor) -> Tensor:
        """A new output with these maps [M, D, h, w]; its prefix tokens are those of `output`."""
        if self.grid:
            before = output[:, : self.grid.prefix].expand(len(maps), -1, -1)
            return torch.cat([before, maps.flatten(2).transpose(1, 2)], dim=1)
        return (maps.permute(0, 2, 3, 1) if self.innermost else maps).clone()


def map_form(
    layer: str, output: Sequence[int], images: Sequence[int], prefix: int | None = None
) -> MapForm:
    """How the output (a shape) of a layer holds maps of images [N, C, H, W].

    InputError, with the layer's name, for another output, or tokens without a grid.

    Parameters
    ----------
    prefix : number of tokens before those of the patches, where it is known (`prefix_tokens`).
    """
    if len(output) == 3:
        grid = token_grid(output[1], images, prefix)
        if grid is None:
            raise InputError(
                f"layer '{layer}' gives {output[1]} tokens, which fill no grid over images of "
                f"{images[2]} x {images[3]} pixels; name a layer that gives maps"
            )
        return MapForm(grid=grid)
    if len(output) == 4 and channels_innermost(output, images):
        return MapForm(innermost=True)
    check_maps(layer, output, images)
    return MapForm()
