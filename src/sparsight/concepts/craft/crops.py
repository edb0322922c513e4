"""Crops of images, on which CRAFT finds concepts: where they lie, and what a network makes of them.

Crops, and so everything that is computed of them, come in one order: image by image, and within an
image row by row. A crop's row is `place of its image * crops per image + place in the image`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.data.packed import PackedSplit
from sparsight.explain.randomness import image_seed
from sparsight.io.errors import InputError
from sparsight.models.base import Architecture

#: a crop begins this share of its side after the one before it, as in craft-xai
STRIDE = 0.8


@dataclass(frozen=True)
class Grid:
    """Where the crops of an image lie.

    Attributes
    ----------
    side, stride : of a crop and between crops, in pixels.
    rows, columns : how many there are.
    """

    side: int
    stride: int
    rows: int
    columns: int

    @property
    def count(self) -> int:
        """Crops of one image."""
        return self.rows * self.columns


def crop_grid(height: int, width: int, patch: float) -> Grid:
    """The grid of an image; what is left at the lower and right border is in no crop.

    Parameters
    ----------
    height, width : of the image, in pixels.
    patch : side of a crop as a share of the image's shorter side; 2/7 is 64 of 224 pixels.

    Raises
    ------
    InputError
        When a crop would be empty, or larger than the image.
    """
    side = round(patch * min(height, width))
    if not 1 <= side <= min(height, width):
        raise InputError(
            f"'patch' {patch} makes crops of {side} pixels of images of {height} x {width}; choose "
            "a share of the side above 0 and at most 1"
        )
    stride = max(1, int(STRIDE * side))
    return Grid(side, stride, (height - side) // stride + 1, (width - side) // stride + 1)


def cut(images: Tensor, grid: Grid) -> Tensor:
    """All crops [N * count, C, side, side] of images [N, C, H, W], of any dtype."""
    windows = images.unfold(2, grid.side, grid.stride).unfold(3, grid.side, grid.stride)
    return windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, images.shape[1], grid.side, grid.side)


def crop_keys(image_ids: Tensor, grid: Grid) -> Tensor:
    """`image id * crops of an image + place`, int64 [N * count]: the same in every network."""
    return (image_ids[:, None] * grid.count + torch.arange(grid.count)).flatten()


def sample_of(keys: Tensor, wanted: int) -> Tensor:
    """Rows of `wanted` crops (all, where there are fewer), ascending, drawn from the keys alone.

    Networks that looked at the same crops draw the same ones.
    """
    drawn = [image_seed(key, "sample of crops") for key in keys.tolist()]
    return torch.tensor(drawn).argsort(stable=True)[:wanted].sort().values


def images_of_class(
    labels: Tensor, image_ids: Tensor, label: int, wanted: int, correct: Tensor | None = None
) -> Tensor:
    """Positions of the first `wanted` images of a class, in an order drawn from their ids alone.

    Every network, level and seed gets the same images, and fewer are part of more.

    Parameters
    ----------
    labels, image_ids : int64 [N], of the split.
    label : the class.
    correct : bool [N]; when given, only these images are taken.

    Returns
    -------
    int64 [n], n at most `wanted`.
    """
    chosen = labels == label if correct is None else (labels == label) & correct
    positions: list[int] = torch.nonzero(chosen).reshape(-1).tolist()
    ids = image_ids.tolist()
    positions.sort(key=lambda position: image_seed(ids[position], "images of a class"))
    return torch.tensor(positions[:wanted], dtype=torch.int64)


class CropReader:
    """Images and crops of an open split, and their maps at the network's feature cut.

    Nothing is read or computed for more than a batch at a time, except what is returned.

    Parameters
    ----------
    network : in evaluation mode, on `device`.
    split : open, of the network's data set.
    patch : see `crop_grid`.
    batch_size : images, or crops, that go through the network at a time.

    Attributes
    ----------
    grid : where the crops lie.
    batch_size, device : as given.
    passes : images and crops that have gone through the network so far.
    """

    def __init__(
        self,
        network: Architecture,
        split: PackedSplit,
        patch: float,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self.network, self.split = network, split
        self.grid = crop_grid(*split.image_shape[1:], patch)
        self.passes = 0
        self.device, self.batch_size = device, batch_size

    @torch.no_grad()
    def feature_maps(self, images: Tensor) -> Tensor:
        """Maps [n, D, h, w] of a batch of images, or of crops, which are first brought to the
        images' size (bilinear); on the device.

        Raises
        ------
        InputError
            When an activation is negative: concepts are parts that add up.
        """
        size = self.split.image_shape[1:]
        inputs = images.to(self.device)
        if tuple(inputs.shape[2:]) != size:
            inputs = functional.interpolate(inputs, size=size, mode="bilinear", align_corners=False)
        maps = self.network.feature_maps(inputs)
        self.passes += len(images)
        if maps.min() < 0:
            raise InputError(
                f"CRAFT needs features that are not negative, and '{self.network.feature_cut}' of "
                f"{self.network.name} gives negative ones; let its feature_cut name a module "
                "behind a ReLU"
            )
        return maps

    def maps(self, positions: Tensor) -> Iterator[Tensor]:
        """Maps [b, D, h, w] of whole images, in batches, on the device."""
        for start in range(0, len(positions), self.batch_size):
            batch = self.split.select(positions[start : start + self.batch_size])
            yield self.feature_maps(batch.images("clean"))

    def crop_maps(self, positions: Tensor, rows: Tensor) -> Iterator[Tensor]:
        """Maps [b, D, h, w] of the crops in `rows`, in batches, on the device; see `crops`."""
        for part in rows.split(self.batch_size):
            yield self.feature_maps(self.crops(positions, part))

    def activations(self, positions: Tensor) -> Tensor:
        """Maps of all crops averaged over places, float32 [n * count, D], on the CPU."""
        images_at_once = max(1, self.batch_size // self.grid.count)
        found = []
        for start in range(0, len(positions), images_at_once):
            batch = self.split.select(positions[start : start + images_at_once])
            for crops in cut(batch.images("clean"), self.grid).split(self.batch_size):
                found.append(self.feature_maps(crops).mean(dim=(2, 3)).cpu())
        return torch.cat(found)

    def crops(self, positions: Tensor, rows: Tensor) -> Tensor:
        """The crops in `rows`, float32 [m, C, side, side] in [0, 1].

        Parameters
        ----------
        positions : int64 [n], of the images that the crops are of.
        rows : int64 [m], each below n * count.
        """
        pixels = self.split.select(self._images_of(positions, rows)).pixels
        return self._windows(pixels, rows) / 255

    def masks(self, positions: Tensor, rows: Tensor) -> Tensor:
        """The object's mask in the crops in `rows`, float32 [m, side, side] of 0 and 1."""
        masks = self.split.select(self._images_of(positions, rows)).binary_masks()
        return self._windows(masks.unsqueeze(1), rows).squeeze(1)

    def mask_share(self, positions: Tensor) -> float:
        """Share of the pixels of all crops that belong to the object; NaN without masks."""
        if not self.split.has_masks or not len(positions):
            return float("nan")
        inside = pixels = 0
        for start in range(0, len(positions), self.batch_size):
            masks = self.split.select(positions[start : start + self.batch_size]).binary_masks()
            crops = cut(masks.unsqueeze(1), self.grid)
            inside, pixels = inside + int(crops.sum()), pixels + crops.numel()
        return inside / pixels

    def _images_of(self, positions: Tensor, rows: Tensor) -> Tensor:
        return positions[torch.div(rows, self.grid.count, rounding_mode="floor")]

    def _windows(self, images: Tensor, rows: Tensor) -> Tensor:
        """Of each image the one crop that is wanted, float32 [m, C, side, side]."""
        side, stride = self.grid.side, self.grid.stride
        found = torch.empty((len(rows), images.shape[1], side, side))
        for row, place in enumerate((rows % self.grid.count).tolist()):
            y, x = (step * stride for step in divmod(place, self.grid.columns))
            found[row] = images[row, :, y : y + side, x : x + side]
        return found
