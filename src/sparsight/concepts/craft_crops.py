"""Crops of images, on which CRAFT finds concepts: their features, and how coherent concepts are.

Crops, and so everything that is computed of them, come in one order: image by image, and within an
image row by row. A crop's row is `place of its image * crops per image + place in the image`.

Nobody has published numbers for what CRAFT's authors and users judge by eye; the measures of
coherence are the project's own definitions.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.special import xlog1py, xlogy
from torch import Tensor
from torch.nn import functional

from sparsight.concepts.linear import varies
from sparsight.data.packed import PackedSplit
from sparsight.explain.randomness import image_seed
from sparsight.io.errors import InputError
from sparsight.models.base import Architecture
from sparsight.rounding import ROUNDING

#: a crop begins this share of its side after the one before it, as in craft-xai
STRIDE = 0.8


@dataclass(frozen=True)
class Grid:
    """Where the crops of an image lie."""

    side: int  # of a crop, in pixels
    stride: int  # from one crop to the next, in pixels
    rows: int
    columns: int

    @property
    def count(self) -> int:
        """Crops of one image."""
        return self.rows * self.columns


def crop_grid(height: int, width: int, patch: float) -> Grid:
    """The grid of an image; what is left at the lower and right border is in no crop.

    `height`, `width`: of the image, in pixels. `patch`: side of a crop as a share of the image's
    shorter side; 2/7 is 64 of 224 pixels. Raises InputError when a crop would be empty, or larger
    than the image.
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

    Returns int64 [n], n at most `wanted`.

    Parameters
    ----------
    labels, image_ids : int64 [N], of the split.
    label : the class.
    correct : bool [N]; when given, only these images are taken.
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

        Raises InputError when an activation is negative: concepts are parts that add up.
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

        `positions`: int64 [n], of the images that the crops are of; `rows`: int64 [m], each below n
        * count.
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


NAN = float("nan")
#: orders of crops that a chance level is the mean of
PERMUTATIONS = 10


def top_crops(coefficients: Tensor, wanted: int) -> list[Tensor]:
    """For each concept the rows of the crops that have most of it, int64 [at most `wanted`] each.

    Parameters
    ----------
    coefficients : float32 [n, K]. Crops without any of the concept are left out. A concept of which
        all crops have the same, up to rounding, has none: no crop has more of it than another.

    Notes
    -----
    Crops are tied whose coefficients differ by no more than rounding of the largest. They go in a
    random order, the same for every concept and network: rows are sorted by class, and in their
    order ties would all fall to the first classes.
    """
    if not len(coefficients):
        return [torch.empty(0, dtype=torch.int64)] * coefficients.shape[1]
    drawn = torch.randperm(len(coefficients), generator=torch.Generator().manual_seed(0))
    largest = coefficients.double().amax(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
    steps = (coefficients / (ROUNDING * largest)).round()
    order = drawn[steps[drawn].argsort(dim=0, descending=True, stable=True)[:wanted]]
    chosen = (coefficients > 0) & varies(coefficients)
    return [rows[kept[rows]] for rows, kept in zip(order.T, chosen.T, strict=True)]


def of_most_important(values: Tensor, importances: Tensor, wanted: int) -> Tensor:
    """Values of the most important concepts; those tied for the last places share these out.

    `values`, `importances`: float32 [K]; `wanted`: how many, at most. Returns float32 [min(wanted,
    K)]. Each place for which concepts are tied has the mean of their defined values, which is what
    drawing among them gives on average.
    """
    order = importances.argsort(descending=True, stable=True)
    if wanted >= len(order) or importances[order[wanted - 1]] > importances[order[wanted]]:
        return values[order[:wanted]]
    border = importances[order[wanted]]
    sure = values[importances > border]
    shared = values[importances == border].nanmean()
    return torch.cat([sure, shared.expand(wanted - len(sure))])


def mask_purity(heat_maps: Tensor, masks: Tensor) -> float:
    """Share of a concept's heat over its top crops that lies inside the object's mask.

    Returns Σ heat x mask / Σ heat over all crops, in [0, 1]; NaN where there is no heat.

    Parameters
    ----------
    heat_maps : float32 [m, h, w], coefficients of the concept at each place of each top crop; they
        are brought to the masks' size (bilinear).
    masks : float32 [m, H, W] of 0 and 1.
    """
    if not len(heat_maps):
        return NAN
    size = tuple(masks.shape[1:])
    heat = functional.interpolate(heat_maps[:, None], size, mode="bilinear", align_corners=False)
    heat = heat[:, 0].double()
    total = heat.sum()
    return float((heat * masks).sum() / total) if total > 0 else NAN


def class_purity(labels: Tensor) -> float:
    """Share of the most frequent class among a concept's top crops; NaN without crops.

    `labels`: int64 [m], class of each crop.
    """
    return float(labels.bincount().max() / len(labels)) if len(labels) else NAN


def class_purity_chance(sizes: Sequence[int], crops: int) -> float:
    """Class purity to be expected of crops that are drawn at random from all, without repetition.

    It is above one over the number of classes, far above it for few crops: of ten crops of ten
    classes some class has about three. In closed form: the counts of the classes are independent
    binomial numbers given that they add up to `crops`, so that the chance of none being above t is
    a coefficient of the product of their generating functions, each cut off behind t.

    `sizes`: of each class, its crops among all. `crops`: drawn; at most the sum of `sizes`. Returns
    a value in (0, 1]; NaN without crops.
    """
    total = sum(sizes)
    if not 0 < crops <= total:
        return NAN
    counts, share = np.arange(crops + 1), crops / total
    chances = [_binomial(counts, size, share) for size in sizes]
    whole = _binomial(counts, total, share)[crops]
    expected = 0.0
    for most in range(crops):
        # the mean of a number of at least 0 is the sum of its chances to be above 0, 1, ...
        below = np.eye(1, crops + 1)[0]
        for chance in chances:
            below = np.convolve(below, chance[: most + 1])[: crops + 1]
        expected += 1 - below[crops] / whole
    return float(min(expected, crops) / crops)


def _binomial(counts: "np.ndarray[tuple[int], np.dtype[np.int64]]", size: int, share: float) -> Any:
    """Chance of each of the counts among `size`, each counted with probability `share`."""
    ways = [math.log(math.comb(size, k)) if k <= size else -math.inf for k in counts.tolist()]
    rest = np.maximum(size - counts, 0)
    return np.exp(np.array(ways) + xlogy(counts, share) + xlog1py(rest, -share))


def cosine_coherence(features: Tensor, members: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean cosine similarity of a concept's crops with each other, and with those of the others.

    Parameters
    ----------
    features : float32 [n, D] of the crops, in the space of any network.
    members : for each concept the rows of its crops, int64.

    Returns
    -------
    within : float32 [K], over pairs of two different crops of the concept; NaN below two crops.
    between : float32 [K], over pairs of a crop of the concept and a different crop of another
        concept; NaN where there is none.
    """
    units = functional.normalize(features.double(), dim=1)
    within, between = [], []
    for own, rows in enumerate(members):
        within.append(_mean_cosine(units, rows, rows))
        others = [other for k, other in enumerate(members) if k != own]
        between.append(_mean_cosine(units, rows, torch.cat([*others, rows[:0]])))
    return torch.tensor(within), torch.tensor(between)


def _mean_cosine(units: Tensor, first: Tensor, second: Tensor) -> float:
    different = first[:, None] != second[None]
    cosines = units[first] @ units[second].T
    return float(cosines[different].mean()) if different.any() else NAN


def correlations(own: Tensor, reference: Tensor) -> Tensor:
    """Pearson's r of each column of `own` [n, K] with each of `reference` [n, J], float64 [K, J].

    0 where a column is constant up to rounding: what does not vary follows nothing.
    """
    first, second = (_standardise(part) for part in (own, reference))
    return first.T @ second


def _standardise(values: Tensor) -> Tensor:
    centred = values.double() - values.double().mean(dim=0)
    return torch.where(varies(values), centred / centred.norm(dim=0), torch.zeros_like(centred))


def matched_concepts(own: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Pair the concepts of two networks so that the correlations of their coefficients, on the same
    crops, add up to the most (the Hungarian method).

    Cosines of the bases would say nothing: another seed's channels are in another order.

    Parameters
    ----------
    own, reference : float32 [n, K] and [n, J], coefficients of the same crops in both.

    Returns
    -------
    partners : int64 [K], the reference's concept for each of `own`; -1 for those left over.
    r : float32 [K], their correlation; NaN for those left over.
    """
    table = correlations(own, reference)
    rows, columns = linear_sum_assignment(-table.numpy())
    partners = torch.full((own.shape[1],), -1, dtype=torch.int64)
    r = torch.full((own.shape[1],), NAN)
    partners[rows] = torch.from_numpy(columns)
    r[rows] = table[rows, columns].float()
    return partners, r


def matched_by_chance(own: Tensor, reference: Tensor) -> Tensor:
    """What `matched_concepts` finds when the crops of one side are put into another order.

    The best of many pairings is above 0 by chance alone. The mean over `PERMUTATIONS` orders, the
    same for every pair of networks that looked at the same number of crops.

    `own`, `reference`: see `matched_concepts`. Returns float32 [K]; NaN for concepts that were left
    over in all of them.
    """
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(PERMUTATIONS):
        order = torch.randperm(len(reference), generator=generator)
        found.append(matched_concepts(own, reference[order])[1])
    return torch.stack(found).nanmean(dim=0)


def reconstruction_error(activations: Tensor, coefficients: Tensor, basis: Tensor) -> float:
    """||A - U W|| / ||A||, Frobenius; NaN where the activations are 0.

    `activations`, `coefficients`, `basis`: float32 [n, D], [n, K], [K, D].
    """
    length = activations.double().norm()
    rest = (activations - coefficients @ basis).double().norm()
    return float(rest / length) if length > 0 else NAN


def importance_entropy(importances: Tensor) -> float:
    """Shannon entropy of the importances as shares, divided by that of equal ones.

    `importances`: float32 [K], not negative. Returns a value in [0, 1]: 0 where one concept has
    all, 1 where all have the same; NaN where none has any, or there is only one concept.
    """
    shares = importances.double() / importances.double().sum()
    if len(shares) < 2 or shares.isnan().any():
        return NAN
    return float(torch.special.entr(shares).sum() / torch.tensor(len(shares)).double().log())
