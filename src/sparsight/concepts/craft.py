"""CRAFT: concepts as non-negative factors of the activations of crops, class by class.

Crops, and so everything that is computed of them, come in one order: image by image, and within an
image row by row. A crop's row is `place of its image * crops per image + place in the image`.

Nobody has published numbers for what CRAFT's authors and users judge by eye; the measures of
coherence are the project's own definitions.
"""

import functools
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.special import xlog1py, xlogy
from scipy.stats import qmc
from torch import Tensor
from torch.nn import functional

from sparsight.concepts.base import WHOLE, ConceptMethod, Findings, Measured, Ranked, StudiedNetwork
from sparsight.data.packed import PackedSplit
from sparsight.explain.randomness import image_seed, seeded
from sparsight.io.errors import InputError
from sparsight.io.job import log_progress
from sparsight.models.base import Architecture
from sparsight.rounding import ROUNDING, is_constant

NAN = float("nan")
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
    """The grid of an image of `height` x `width` pixels; a rest at the lower and right border is in
    no crop.

    `patch`: side of a crop as a share of the image's shorter side. Raises InputError when a crop
    would be empty, or larger than the image.
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

    `labels`, `image_ids`: int64 [N], of the split; `correct`: bool [N], the images that may be
    taken. Returns int64 [n], n at most `wanted`.
    """
    chosen = labels == label if correct is None else (labels == label) & correct
    ids = image_ids.tolist()
    positions = sorted(
        chosen.nonzero()[:, 0].tolist(),
        key=lambda place: image_seed(ids[place], "images of a class"),
    )
    return torch.tensor(positions[:wanted], dtype=torch.int64)


class CropReader:
    """Images and crops of an open split, and their maps at the network's feature cut.

    Except for what is returned, memory is bounded by `batch_size`: images, or crops, that go
    through the network at a time. `passes` counts them; `grid` says where the crops lie.
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
        """Maps [n, D, h, w], on the device, of images, or of crops enlarged to their size.

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
        for part in positions.split(self.batch_size):
            yield self.feature_maps(self.split.select(part).images("clean"))

    def crop_maps(self, positions: Tensor, rows: Tensor) -> Iterator[Tensor]:
        """Maps [b, D, h, w] of the crops in `rows`, in batches, on the device; see `crops`."""
        for part in rows.split(self.batch_size):
            yield self.feature_maps(self.crops(positions, part))

    def activations(self, positions: Tensor) -> Tensor:
        """Maps of all crops averaged over places, float32 [n * count, D], on the CPU."""
        found = [
            self.feature_maps(crops).mean(dim=(2, 3)).cpu()
            for part in positions.split(max(1, self.batch_size // self.grid.count))
            for crops in cut(self.split.select(part).images("clean"), self.grid).split(
                self.batch_size
            )
        ]
        return torch.cat(found)

    def crops(self, positions: Tensor, rows: Tensor) -> Tensor:
        """The crops in `rows`, int64 [m], of the images at `positions`, int64 [n].

        Returns float32 [m, C, side, side] in [0, 1].
        """
        return self._windows(self.split.select(self._images_of(positions, rows)).pixels, rows) / 255

    def masks(self, positions: Tensor, rows: Tensor) -> Tensor:
        """The object's mask in the crops in `rows`, float32 [m, side, side] of 0 and 1."""
        masks = self.split.select(self._images_of(positions, rows)).binary_masks()
        return self._windows(masks.unsqueeze(1), rows).squeeze(1)

    def mask_share(self, positions: Tensor) -> float:
        """Share of the pixels of all crops that belong to the object; NaN without masks."""
        if not self.split.has_masks or not len(positions):
            return NAN
        inside = pixels = 0
        for part in positions.split(self.batch_size):
            crops = cut(self.split.select(part).binary_masks().unsqueeze(1), self.grid)
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


@contextmanager
def _placeholder(name: str) -> Iterator[None]:
    """An empty module `name`, through which its submodules can be imported.

    It is gone at the end: other libraries would take it for the real one.
    """
    if name in sys.modules:
        yield
        return
    module, spec = ModuleType(name), find_spec(name)
    module.__spec__ = ModuleSpec(name, None)
    if spec is not None and spec.submodule_search_locations is not None:
        module.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]


@functools.cache
def craft_class() -> Any:
    """`Craft` of craft-xai, whose module imports TensorFlow for a sampler that it does not use."""
    with _placeholder("tensorflow"):
        from craft.craft_torch import Craft

    return Craft


@functools.cache
def overcomplete_class() -> Any:
    """`NMF` of overcomplete; the package's own start is slow, and fails with matplotlib 3.9."""
    with _placeholder("overcomplete"):
        from overcomplete.optimization.nmf import NMF

    return NMF


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings: of an iteration that ends at its limit, and of copied tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


#: coordinate descent ends when no coefficient moves by more than this share of the largest one
TOLERANCE = 1e-7
SWEEPS = 2000


@dataclass(frozen=True)
class Factors:
    """Non-negative coefficients and basis."""

    coefficients: Tensor  # float32 [n, K]: how much of each concept is in each crop
    # float32 [K, D], rows of length 1 (0 where a concept is not used), so that a coefficient is the
    # length of what its concept contributes
    basis: Tensor


def factorise(activations: Tensor, concepts: int, backend: str, seed: int) -> Factors:
    """Non-negative matrix factorisation: min ||A - U W|| with U, W >= 0.

    Raises InputError for another backend, or negative activations.

    Parameters
    ----------
    activations : float32 [n, D], not negative, on the CPU.
    concepts : K.
    backend : `craft_xai` (scikit-learn's coordinate descent, at most 200 rounds) or `overcomplete`
        (hierarchical alternating least squares in torch, at most 500).
    seed : of the start; equal seeds give equal factors.

    Notes
    -----
    Fel et al. 2023, arXiv:2211.10154, equation 1. A collapsed network maps all crops to one
    feature, up to rounding. Then one concept is that feature, and the others are zeros; a solver
    would divide the feature among concepts, and rounding errors among crops.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown backend '{backend}' (known: {', '.join(BACKENDS)})")
    if activations.min() < 0:
        raise InputError("activations are negative and have no non-negative factors")
    if is_constant(activations, 0).all():
        feature = activations.double().mean(dim=0)
        coefficients = torch.zeros((len(activations), concepts))
        basis = torch.zeros((concepts, activations.shape[1]))
        coefficients[:, 0] = feature.norm().float()
        basis[0] = functional.normalize(feature, dim=0).float()
        return Factors(coefficients, basis)
    with seeded(seed, torch.device("cpu")), quiet():
        coefficients, basis = BACKENDS[backend](activations, concepts)
    lengths = basis.norm(dim=1)
    basis = basis / lengths.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    return Factors(coefficients * lengths, basis)


def _craft_xai(activations: Tensor, concepts: int) -> tuple[Tensor, Tensor]:
    """The library's own `fit`, which wants images and a network: it gets the number of each crop as
    an image of one crop's size, and a network that looks the activations up."""
    count = len(activations)
    numbers = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(count, 3, 2, 2)
    method = craft_class()(
        lambda crops: activations[crops[:, 0, 0, 0].round().long()],
        number_of_concepts=concepts,
        batch_size=count,
        patch_size=2,
        device="cpu",
    )
    _, coefficients, basis = method.fit(numbers)
    return torch.from_numpy(np.asarray(coefficients, np.float32)), torch.from_numpy(basis)


def _overcomplete(activations: Tensor, concepts: int) -> tuple[Tensor, Tensor]:
    """The library's `fit`. Where that leaves a concept unused, which alternating least squares
    never change, its solver from a random start too, and the better of both."""
    method = overcomplete_class()(concepts)
    found: tuple[Tensor, Tensor] = method.fit(activations)
    if all((part != 0).any(dim=dim).all() for dim, part in enumerate(found)):
        return found
    start = method.init_random_z(activations), method.init_random_d(activations)
    again: tuple[Tensor, Tensor] = method.solver_fn(activations, *start, tol=method.tol)
    return min(found, again, key=lambda pair: float((activations - pair[0] @ pair[1]).norm()))


BACKENDS: dict[str, Callable[[Tensor, int], tuple[Tensor, Tensor]]] = {
    "craft_xai": _craft_xai,
    "overcomplete": _overcomplete,
}


def coefficients_of(activations: Tensor, basis: Tensor) -> Tensor:
    """How much of each concept is in other activations: min ||a - u W|| with u >= 0, row by row.

    Cyclic coordinate descent on all rows at once, to the solution: unlike the libraries' own, it
    depends neither on a start nor on the other rows.

    `activations`: float32 [N, D]; `basis`: float32 [K, D]. Returns float32 [N, K].
    """
    gram = (basis @ basis.T).double()
    aims = (activations @ basis.T).T.double()
    found = torch.zeros_like(aims)
    used = [k for k, length in enumerate(gram.diagonal().tolist()) if length > 0]
    for _ in range(SWEEPS if aims.numel() else 0):
        moved = torch.zeros((), dtype=torch.float64, device=aims.device)
        for k in used:
            before = found[k].clone()
            found[k] = (before + (aims[k] - gram[k] @ found) / gram[k, k]).clamp_min(0)
            moved = torch.maximum(moved, (found[k] - before).abs().max())
        if moved <= TOLERANCE * found.max():
            break
    return found.T.float()


SAMPLERS = ("sobol", "halton")
#: about so many numbers are sent through a pooling head at a time: they stay in the cache
CHUNK_NUMBERS = 2**18


def replicated_design(concepts: int, designs: int, sampler: str, seed: int) -> Tensor:
    """Masks A, B and, for each concept i, A with its column i from B.

    `concepts`, `designs`: K, and rows of A. `sampler`: `sobol`, scrambled by `seed`; or `halton`,
    craft-xai's, not scrambled: the same masks whatever the seed, and with few designs the masks of
    the last of many concepts move together (their primes are larger than the number of designs).

    Returns float32 [designs * (K + 2), K] in [0, 1].
    Raises InputError for another sampler; for less than 2 designs, or a number that is no power of
    2 with `sobol`.
    """
    if sampler not in SAMPLERS:
        raise InputError(f"unknown sampler '{sampler}' (known: {', '.join(SAMPLERS)})")
    if designs < 2 or (sampler == "sobol" and designs & (designs - 1)):
        raise InputError(f"'designs' is {designs}, it must be a power of 2, and at least 2")
    if sampler == "sobol":
        both = qmc.Sobol(2 * concepts, scramble=True, rng=seed).random(designs)
    else:
        both = qmc.Halton(2 * concepts, scramble=False).random(designs)
    first, second = torch.from_numpy(both).float().split(concepts, dim=1)
    replicated = first.repeat(concepts, 1, 1)
    each = torch.arange(concepts)
    replicated[each, :, each] = second.T
    return torch.cat([first, second, replicated.flatten(0, 1)])


def total_indices(outputs: Tensor, designs: int) -> Tensor:
    """Total-order indices by Jansen's estimator: Σ (f(A) - f(C_i))² / (2 n Var f(A)).

    `outputs`: float [N, designs * (K + 2)], in the order of `replicated_design`. Returns float32
    [N, K]; 0 where the outputs do not vary. Jansen 1999, doi:10.1016/S0010-4655(98)00154-4.
    """
    values = outputs.double()
    base = values[:, :designs]
    replicated = values[:, 2 * designs :].unflatten(1, (-1, designs))
    variance = base.var(dim=1, correction=1)
    flat = variance.sqrt() <= ROUNDING * base.abs().amax(dim=1)
    differences = (base[:, None] - replicated).square().sum(dim=2)
    indices: Tensor = differences / (2 * designs * variance)[:, None]
    return indices.masked_fill(flat[:, None], 0.0).float()


@torch.no_grad()
def pools_first(network: Architecture, maps: Tensor) -> bool:
    """Whether the network's head sees maps [n, D, h, w] only through their mean over places."""
    draw = torch.Generator().manual_seed(0)
    trial = torch.rand((4, *maps.shape[1:]), generator=draw).to(maps)
    try:
        pooled = network.class_logits(trial.mean(dim=(2, 3), keepdim=True))
    except RuntimeError:
        # the head wants maps of one size
        return False
    return bool(torch.allclose(pooled, network.class_logits(trial), rtol=1e-4, atol=1e-5))


@torch.no_grad()
def concept_importances(
    network: Architecture,
    coefficients: Tensor,
    basis: Tensor,
    label: int,
    masks: Tensor,
    designs: int,
    pools: bool,
    batch_size: int,
) -> Tensor:
    """Total-order index of each concept for a class's logit, image by image.

    A mask weakens each concept of an image alike at all places, the basis makes feature maps of
    what is left, and the head gives their logit. Where the head begins with a mean over places,
    the masks of all images go through it together.

    Returns float32 [N, K], on the CPU. Fel et al. 2023, arXiv:2211.10154, equation 3.

    Parameters
    ----------
    coefficients, basis : float32 [N, h, w, K], of whole images, and [K, D], on the device.
    masks : float32 [designs * (K + 2), K], of `replicated_design`, there too.
    pools : of `pools_first`.
    batch_size : feature maps at a time where the head does not pool.
    """
    if pools:
        at_once = max(1, CHUNK_NUMBERS // (basis.shape[1] * len(masks)))
        found = []
        for part in coefficients.mean(dim=(1, 2)).split(at_once):
            weakened = (part[:, None] * masks).flatten(0, 1)
            found.append(network.class_logits((weakened @ basis)[:, :, None, None])[:, label])
    else:
        found = [
            network.class_logits(((image * part[:, None, None]) @ basis).permute(0, 3, 1, 2))[
                :, label
            ]
            for image in coefficients
            for part in masks.split(batch_size)
        ]
    outputs = torch.cat(found).view(len(coefficients), len(masks))
    return total_indices(outputs, designs).cpu()


#: orders of crops that a chance level is the mean of
PERMUTATIONS = 10


def top_crops(coefficients: Tensor, wanted: int) -> list[Tensor]:
    """For each concept the rows of the crops that have most of it, int64 [at most `wanted`] each.

    Crops without any of a concept are left out; a concept of which all crops have the same, up to
    rounding, has none. Tied crops, whose coefficients differ by rounding of the largest, go in a
    random order, the same for every concept and network: in that of the rows, which are sorted by
    class, they would all fall to the first classes.

    `coefficients`: float32 [n, K].
    """
    if not len(coefficients):
        return [torch.empty(0, dtype=torch.int64)] * coefficients.shape[1]
    drawn = torch.randperm(len(coefficients), generator=torch.Generator().manual_seed(0))
    largest = coefficients.double().amax(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
    steps = (coefficients / (ROUNDING * largest)).round()
    order = drawn[steps[drawn].argsort(dim=0, descending=True, stable=True)[:wanted]]
    chosen = (coefficients > 0) & ~is_constant(coefficients, 0)
    return [rows[has[rows]] for rows, has in zip(order.T, chosen.T, strict=True)]


def of_most_important(values: Tensor, importances: Tensor, wanted: int) -> Tensor:
    """Values of the most important concepts; those tied for the last places share these out.

    `values`, `importances`: float32 [K]. Returns float32 [min(wanted, K)]. Each place for which
    concepts are tied has the mean of their defined values, as drawing among them on average.
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

    `heat_maps`: float32 [m, h, w], coefficients of the concept at each place of each top crop,
    brought to the masks' size (bilinear); `masks`: float32 [m, H, W] of 0 and 1. Returns Σ heat x
    mask / Σ heat over all crops, in [0, 1]; NaN where there is no heat.
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

    For few crops it is far above one over the number of classes: of ten crops of ten classes some
    class has about three. In closed form: the counts of the classes are independent binomial
    numbers given that they add up to `crops`, so that the chance of none being above t is a
    coefficient of the product of their generating functions, each cut off behind t.

    `sizes`: crops of each class; `crops`: drawn, at most their sum. Returns a value in (0, 1]; NaN
    without crops.
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

    `features`: float32 [n, D] of the crops, in the space of any network; `members`: for each
    concept the rows of its crops, int64. Returns float32 [K] twice, over pairs of different crops:
    both of the concept, and one of it and one of another; NaN where there is no pair.
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
    parts: list[Tensor] = []
    for values in (own, reference):
        centred = values.double() - values.double().mean(dim=0)
        parts.append((centred / centred.norm(dim=0)).masked_fill(is_constant(values, 0), 0.0))
    first, second = parts
    return first.T @ second


def matched_concepts(own: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Pair the concepts of two networks so that the correlations of their coefficients add up to
    the most (the Hungarian method).

    Cosines of the bases would say nothing: another seed's channels are in another order.

    `own`, `reference`: float32 [n, K] and [n, J], coefficients of the same crops. Returns int64
    [K], the reference's concept for each of `own`, -1 for those left over; and float32 [K], their
    correlation, NaN for those left over.
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

    The best of many pairings is above 0 by chance alone. Returns float32 [K], the mean over
    `PERMUTATIONS` orders, the same for every pair of networks with as many crops; NaN for concepts
    that were left over in all of them.
    """
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(own), generator=generator) for _ in range(PERMUTATIONS)]
    found = [matched_concepts(own, reference[order])[1] for order in orders]
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


@dataclass(frozen=True)
class ClassConcepts:
    """What CRAFT finds in one class; K concepts, n crops of N images."""

    name: str  # of the class
    label: int  # of the class
    positions: Tensor  # int64 [N], of its images in the split
    factors: Factors  # coefficients [n, K] of its crops, and basis [K, D]
    error: float  # relative error of the reconstruction
    keys: Tensor  # int64 [n], see `crop_keys`
    importances: Tensor  # float32 [K], mean over images of the total-order indices
    order: Tensor  # int64 [K], the concepts from the most important on
    purity: Tensor  # float32 [K], see `mask_purity`; NaN without masks
    mask_share: float  # what the purity of a concept would be that lies anywhere
    within: Tensor  # float32 [K], see `cosine_coherence`: of the sample, in the own space
    between: Tensor  # float32 [K], see `cosine_coherence`: of the sample, in the own space
    sample_rows: Tensor  # int64 [m], a sample of the crops, see `sample_of`
    sample_features: Tensor  # float32 [m, D] of the sample: a yardstick for other networks
    heat_maps: Tensor  # float32 [M, h, w, K], coefficients at each place of the first images


def find_class(
    reader: CropReader,
    name: str,
    label: int,
    positions: Tensor,
    settings: Mapping[str, Any],
    seed: int,
) -> ClassConcepts:
    """Find the concepts of one class in its images, at least one, at `positions` of the reader's
    split, with the settings of `Craft`."""
    activations = reader.activations(positions)
    factors = factorise(activations, settings["concepts"], settings["backend"], seed)
    importances, heat_maps = _whole_images(reader, positions, factors.basis, label, settings, seed)
    keys = crop_keys(reader.split.image_ids()[positions], reader.grid)
    rows = sample_of(keys, settings["sample_crops"])
    members = top_crops(factors.coefficients[rows], settings["top_crops"])
    within, between = cosine_coherence(activations[rows], members)
    return ClassConcepts(
        name=name,
        label=label,
        positions=positions,
        factors=factors,
        error=reconstruction_error(activations, factors.coefficients, factors.basis),
        keys=keys,
        importances=importances,
        order=importances.argsort(descending=True, stable=True),
        purity=_purities(reader, positions, factors, settings["top_crops"]),
        mask_share=reader.mask_share(positions),
        within=within,
        between=between,
        sample_rows=rows,
        sample_features=activations[rows],
        heat_maps=heat_maps,
    )


def _whole_images(
    reader: CropReader,
    positions: Tensor,
    basis: Tensor,
    label: int,
    settings: Mapping[str, Any],
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Importances [K], and the coefficients [M, h, w, K] of the images to be shown."""
    masks = replicated_design(len(basis), settings["designs"], settings["sampler"], seed)
    basis, masks = basis.to(reader.device), masks.to(reader.device)
    total, shown, pools = torch.zeros(len(basis), dtype=torch.float64), [], None
    left = settings["picture_images"]
    for maps in reader.maps(positions):
        pools = pools_first(reader.network, maps) if pools is None else pools
        found = place_coefficients(maps, basis)
        total += concept_importances(
            reader.network,
            found,
            basis,
            label,
            masks,
            settings["designs"],
            pools,
            reader.batch_size,
        ).sum(dim=0)
        shown.append(found[:left].cpu())
        left -= len(shown[-1])
    return (total / len(positions)).float(), torch.cat(shown)


def place_coefficients(maps: Tensor, basis: Tensor) -> Tensor:
    """Coefficients float32 [n, h, w, K] at each place of maps [n, D, h, w], of a basis [K, D]."""
    places = maps.permute(0, 2, 3, 1)
    return coefficients_of(places.flatten(0, 2), basis).view(*places.shape[:3], len(basis))


def _purities(reader: CropReader, positions: Tensor, factors: Factors, wanted: int) -> Tensor:
    """Mask purity of each concept; the top crops go through the network again for their maps."""
    members = top_crops(factors.coefficients, wanted)
    sizes = [len(rows) for rows in members]
    if not reader.split.has_masks or not sum(sizes):
        return torch.full((len(members),), torch.nan)
    rows = torch.cat(members)
    owners = torch.repeat_interleave(torch.arange(len(members)), torch.tensor(sizes))
    basis = factors.basis.to(reader.device)
    heat: list[Tensor] = []
    for maps in reader.crop_maps(positions, rows):
        found = place_coefficients(maps, basis).cpu()
        own = owners[len(heat) : len(heat) + len(found)]
        heat.extend(found[torch.arange(len(found)), :, :, own])
    masks = reader.masks(positions, rows)
    pairs = zip(torch.stack(heat).split(sizes), masks.split(sizes), strict=True)
    return torch.tensor([mask_purity(own_heat, own_masks) for own_heat, own_masks in pairs])


def concept_name(index: int) -> str:
    """Name of a row of a class's basis: `concept_00`, ..."""
    return f"concept_{index:02d}"


def ranked_rows(found: ClassConcepts) -> list[Ranked]:
    """The concepts of a class by importance; `value` is the mean coefficient over its crops."""
    means = found.factors.coefficients.mean(dim=0).tolist()
    importances = found.importances.tolist()
    return [
        Ranked(found.name, concept_name(concept), rank, importances[concept], means[concept])
        for rank, concept in enumerate(found.order.tolist(), start=1)
    ]


def measured_rows(
    classes: Sequence[ClassConcepts], settings: Mapping[str, Any], seed: int
) -> Iterator[Measured]:
    """Numbers of each concept and class, and means over all classes.

    What is about concepts is averaged over the `top_concepts` most important ones of each class;
    see `of_most_important` for those that are tied.
    """
    of_concepts: dict[str, Callable[[ClassConcepts], Tensor]] = {
        "mask_purity": lambda found: found.purity,
        "cosine_within": lambda found: found.within,
        "cosine_between": lambda found: found.between,
        "cosine_gap": lambda found: found.within - found.between,
    }
    for measure, value_of in of_concepts.items():
        most_important = [torch.empty(0)]
        for found in classes:
            values = value_of(found)
            for concept, value in enumerate(values.tolist()):
                yield Measured(measure, value, found.name, concept_name(concept))
            most_important.append(
                of_most_important(values, found.importances, settings["top_concepts"])
            )
        yield Measured(measure, float(torch.cat(most_important).nanmean()))
    of_classes = {
        "mask_share": [found.mask_share for found in classes],
        "reconstruction_error": [found.error for found in classes],
        "importance_entropy": [importance_entropy(found.importances) for found in classes],
    }
    for measure, numbers in of_classes.items():
        for found, number in zip(classes, numbers, strict=True):
            yield Measured(measure, number, found.name)
        yield Measured(measure, float(torch.tensor(numbers).nanmean()))
    for measure, numbers in _pooled_purities(classes, settings, seed).items():
        for concept, number in enumerate(numbers):
            yield Measured(measure, number, WHOLE, f"pooled_{concept:02d}")
        yield Measured(measure, float(torch.tensor(numbers).nanmean()))


def _pooled_purities(
    classes: Sequence[ClassConcepts], settings: Mapping[str, Any], seed: int
) -> dict[str, list[float]]:
    """Class purity, and by chance, of concepts of all classes together, from samples of crops."""
    if not classes:
        return {"class_purity": [], "class_purity_chance": []}
    concepts = settings["pooled_concepts"] or max(settings["concepts"], len(classes))
    features = torch.cat([found.sample_features for found in classes])
    sizes = [len(found.sample_features) for found in classes]
    owners = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor(sizes))
    factors = factorise(features, concepts, settings["backend"], seed)
    members = top_crops(factors.coefficients, settings["top_crops"])
    # most concepts have equally many top crops
    chance = {count: class_purity_chance(sizes, count) for count in {len(m) for m in members}}
    return {
        "class_purity": [class_purity(owners[rows]) for rows in members],
        "class_purity_chance": [chance[len(rows)] for rows in members],
    }


def arrays_of(classes: Sequence[ClassConcepts]) -> dict[str, Tensor]:
    """The arrays that `Craft` describes, without the pictures."""
    if not classes:
        return {}
    sizes = torch.tensor([len(found.keys) for found in classes])
    starts = (sizes.cumsum(0) - sizes).tolist()
    rows = [found.sample_rows + start for start, found in zip(starts, classes, strict=True)]
    return {
        "class_labels": torch.tensor([found.label for found in classes]),
        "basis": torch.stack([found.factors.basis for found in classes]),
        "importances": torch.stack([found.importances for found in classes]),
        "coefficients": torch.cat([found.factors.coefficients for found in classes]),
        "crop_classes": torch.repeat_interleave(torch.arange(len(classes)), sizes),
        "crop_keys": torch.cat([found.keys for found in classes]),
        "sample_features": torch.cat([found.sample_features for found in classes]),
        "sample_rows": torch.cat(rows),
    }


STABILITY = ("stability", "stability_chance")
COSINES = ("reference_cosine_within", "reference_cosine_between", "reference_cosine_gap")


class _Class(NamedTuple):
    """What the findings of one network hold about one class."""

    coefficients: Tensor
    keys: Tensor
    sample_features: Tensor
    sample_keys: Tensor


def _classes(findings: Findings) -> dict[str, _Class]:
    """By name; the rows name the classes in the order of the arrays."""
    arrays, found = findings.arrays, {}
    for place, name in enumerate(dict.fromkeys(row.class_name for row in findings.ranked)):
        own, sampled = arrays["crop_classes"] == place, arrays["sample_rows"]
        sample = arrays["crop_classes"][sampled] == place
        found[name] = _Class(
            arrays["coefficients"][own],
            arrays["crop_keys"][own],
            arrays["sample_features"][sample],
            arrays["crop_keys"][sampled[sample]],
        )
    return found


def _comparisons(own: _Class, reference: _Class, wanted: int) -> Iterator[tuple[str, Tensor]]:
    left, right = _common_places(own.keys, reference.keys)
    stability = (torch.full((own.coefficients.shape[1],), torch.nan),) * 2
    if len(left) > 1:
        pair = own.coefficients[left], reference.coefficients[right]
        stability = matched_concepts(*pair)[1], matched_by_chance(*pair)
    yield from zip(STABILITY, stability, strict=True)
    left, right = _common_places(own.keys, reference.sample_keys)
    members = top_crops(own.coefficients[left], wanted)
    within, between = cosine_coherence(reference.sample_features[right], members)
    yield from zip(COSINES, (within, between, within - between), strict=True)


def _common_places(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Where the keys that both have are in either."""
    _, left, right = np.intersect1d(first.numpy(), second.numpy(), return_indices=True)
    return torch.from_numpy(left), torch.from_numpy(right)


def shrink(images: Tensor, side: int) -> Tensor:
    """uint8 [n, C, h, w] of images float32 [n, C, H, W] in [0, 1], at most `side` pixels a side."""
    longest = max(images.shape[2:])
    if longest > side:
        size = [max(1, round(length * side / longest)) for length in images.shape[2:]]
        images = functional.interpolate(
            images, size=size, mode="bilinear", align_corners=False, antialias=True
        )
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def concept_pictures(
    reader: CropReader, classes: Sequence[ClassConcepts], settings: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Pictures of the first concepts of the first classes, as the settings of `Craft` say.

    Returns `top_crops` uint8 [classes, concepts, crops, C, p, p]; `picture_concepts` int64
    [classes, concepts], which concepts of the basis they are; `pictures` uint8 [classes, images, C,
    s, s]; `heat_maps` float32 [classes, concepts, images, h, w]. 0 where a class has fewer of them;
    empty without classes.
    """
    side, crops, images = (settings[f"picture_{name}"] for name in ("side", "crops", "images"))
    found: dict[str, list[Tensor]] = {}
    for each in classes[: settings["picture_classes"]]:
        concepts = each.order[: settings["top_concepts"]]
        top = [
            _fill(shrink(reader.crops(each.positions, rows), side), crops)
            for rows in top_crops(each.factors.coefficients[:, concepts], crops)
        ]
        whole = reader.split.select(each.positions[:images]).images("clean")
        heat = _fill(each.heat_maps[..., concepts], images)
        parts = {
            "top_crops": torch.stack(top),
            "picture_concepts": concepts,
            "pictures": _fill(shrink(whole, side), images),
            "heat_maps": heat.permute(3, 0, 1, 2).contiguous(),
        }
        for name, part in parts.items():
            found.setdefault(name, []).append(part)
    return {name: torch.stack(parts) for name, parts in found.items()}


def _fill(values: Tensor, wanted: int) -> Tensor:
    """`values` with rows of zeros up to the wanted number."""
    return torch.cat([values, values.new_zeros((wanted - len(values), *values.shape[1:]))])


class Craft(ConceptMethod):
    """Concepts of each class from crops of its images, with their importance and coherence.

    The crops' activations at the feature cut, averaged over places, are factorised: A ~ U W with
    U, W >= 0. A row of W is a concept, `concept_00` and so on; U says how much of it is in each
    crop. A concept's importance for the class is the total-order Sobol index of its logit (see
    `concept_importances`), averaged over the images.

    Rows: in each class the concepts by importance; `weight` is the importance, `value` the mean
    coefficient over the crops (rows of W have length 1: coefficients are in units of activation).

    Chance: `mask_share`, `class_purity_chance` and `stability_chance` say what the purities and the
    stability are when concepts mean nothing: the expected share of the most frequent class among as
    many crops drawn from the same pool, which is high for few crops; and the stability after the
    crops of one network are put into another order (mean of ten), since the best matching of
    concepts correlates by chance, too. Crops of one image are alike, which such an order does not
    keep.

    A network that has collapsed maps all crops to one feature. Then no crop has more of a concept
    than another: concepts have no top crops, purities and cosines are NaN, the stability is 0, and
    a note says so. Where only some crops are tied, their order is drawn.

    Passes: one for each crop and each image, and `top_crops` a concept for their maps where there
    are masks. What masked coefficients send through the head alone is not counted.

    Parameters
    ----------
    backend : `craft_xai` or `overcomplete`, whose factorisation is used.
    concepts : of each class.
    patch : side of a crop as a share of the image's; 2/7 is the published 64 of 224 pixels.
    split : where the images come from.
    classes : names of classes; empty: all.
    images_of_class : how many images of each class; where there are fewer, all.
    choose : `shared`, the same images of a class in every network, so that coefficients can be
        compared crop by crop and no number moves because other images were looked at; or `correct`,
        as published: only images that this network classifies correctly, which with sparser
        networks become fewer, and easier.
    designs, sampler : masks, see `replicated_design`; published: 32, `halton`.
    top_crops : how many crops a concept's numbers are about.
    top_concepts : how many of a class's most important concepts the means over concepts are about,
        and the pictures.
    sample_crops : how many crops of each class cosines and class purity are about; their features
        are kept, so fewer where there are many classes.
    pooled_concepts : concepts of all classes together, for class purity; 0: as many as there are
        classes, and at least `concepts`.
    picture_classes, picture_crops, picture_images, picture_side : how many classes, crops of a
        concept and images of a class are kept as pictures, and their longest side in pixels.

    Arrays
    ------
    `class_labels` int64 [G], in the order in which the classes come in the rows; `basis` float32
    [G, K, D]; `importances` float32 [G, K]; `coefficients` float32 [n, K], `crop_classes` int64
    [n] (places in `class_labels`) and `crop_keys` int64 [n] of all crops; `sample_features`
    float32 [m, D] and `sample_rows` int64 [m], features of a sample of crops and their rows among
    all crops; and those of `concept_pictures`.
    """

    name: ClassVar[str] = "craft"
    label: ClassVar[str] = "CRAFT"
    reference: ClassVar[str] = "Fel et al. 2023, arXiv:2211.10154"
    shared_names: ClassVar[bool] = False
    sheet: ClassVar[bool] = True
    measures: ClassVar[dict[str, tuple[str, str, str]]] = {
        "mask_purity": ("higher", "share, 0 to 1", "top crops' coefficients inside the object"),
        "mask_share": ("", "share, 0 to 1", "area of the mask in all crops: purity by chance"),
        "class_purity": (
            "higher",
            "share, 0 to 1",
            "most frequent class among the top crops of a concept of all classes together",
        ),
        "class_purity_chance": ("", "share, 0 to 1", "the same of as many crops drawn at random"),
        "cosine_within": ("higher", "cosine, 0 to 1", "similarity of a concept's top crops"),
        "cosine_between": ("lower", "cosine, 0 to 1", "similarity to the others' top crops"),
        "cosine_gap": ("higher", "cosine, -1 to 1", "cosine_within minus cosine_between"),
        "reconstruction_error": ("lower", "share, 0 to 1", "|A - UW| / |A|, Frobenius"),
        "importance_entropy": (
            "",
            "share, 0 to 1",
            "entropy of the importances divided by its largest value",
        ),
    }
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {
        "stability": (
            "higher",
            "correlation, -1 to 1",
            "correlation of matched concepts' coefficients on the same crops",
        ),
        "stability_chance": (
            "",
            "correlation, -1 to 1",
            "the same with the crops of one side in another order: stability by chance",
        ),
        "reference_cosine_within": (
            "higher",
            "cosine, 0 to 1",
            "similarity of a concept's top crops in the reference's feature space",
        ),
        "reference_cosine_between": (
            "lower",
            "cosine, 0 to 1",
            "similarity of a concept's top crops to those of the others, in the reference's space",
        ),
        "reference_cosine_gap": (
            "higher",
            "cosine, -1 to 1",
            "reference_cosine_within minus reference_cosine_between",
        ),
    }
    chance: ClassVar[dict[str, str]] = {
        "mask_purity": "mask_share",
        "class_purity": "class_purity_chance",
        "stability": "stability_chance",
    }
    parameters: ClassVar[dict[str, Any]] = {
        "backend": "craft_xai",
        "concepts": 10,
        "patch": 0.2857142857142857,
        "split": "train",
        "classes": [],
        "images_of_class": 500,
        "choose": "shared",
        "designs": 32,
        "sampler": "sobol",
        "top_crops": 10,
        "top_concepts": 5,
        "sample_crops": 500,
        "pooled_concepts": 0,
        "picture_classes": 10,
        "picture_crops": 5,
        "picture_images": 3,
        "picture_side": 64,
    }
    allowed: ClassVar[dict[str, Any]] = {
        "backend": ("craft_xai", "overcomplete"),
        "concepts": "[1, inf)",
        "patch": "(0, 1]",
        "images_of_class": "[1, inf)",
        "choose": ("shared", "correct"),
        "designs": "[2, inf)",
        "sampler": ("sobol", "halton"),
        "top_crops": "[2, inf)",
        "top_concepts": "[1, inf)",
        "sample_crops": "[2, inf)",
        "pooled_concepts": "[0, inf)",
        "picture_classes": "[1, inf)",
        "picture_crops": "[1, inf)",
        "picture_images": "[1, inf)",
        "picture_side": "[1, inf)",
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        replicated_design(1, self.settings["designs"], self.settings["sampler"], 0)

    def find(self, checkpoint: StudiedNetwork) -> Findings:
        """See `ConceptMethod.find`.

        Raises InputError for a split or a class that there is none of, and for negative features.
        """
        name = self.settings["split"]
        if name not in checkpoint.splits:
            raise InputError(
                f"CRAFT's 'split' is '{name}'; the data set has {', '.join(checkpoint.splits)}"
            )
        with PackedSplit.open(checkpoint.splits[name]) as split:
            reader = CropReader(
                checkpoint.network,
                split,
                self.settings["patch"],
                checkpoint.batch_size,
                checkpoint.device,
            )
            classes, notes = self._classes(checkpoint, reader)
            arrays = {**arrays_of(classes), **concept_pictures(reader, classes, self.settings)}
        return Findings(
            ranked=[row for found in classes for row in ranked_rows(found)],
            measured=list(measured_rows(classes, self.settings, checkpoint.seed)),
            arrays=arrays,
            notes=notes,
            passes=reader.passes,
        )

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        """See `ConceptMethod.compare`; each network's classes are those of its rows.

        `stability` is about all crops that both looked at. The cosines are those of
        `cosine_coherence`, of the reference's sample of crops: the own coefficients say which are
        a concept's top crops, the reference's features how alike they are. Whatever has the same
        reference is so measured by one yardstick. Means are over all concepts of a class.
        """
        first, second = _classes(own), _classes(reference)
        rows: list[Measured] = []
        means: dict[str, list[float]] = {measure: [] for measure in (*STABILITY, *COSINES)}
        for name in [name for name in first if name in second]:
            pair = first[name], second[name]
            for measure, values in _comparisons(*pair, self.settings["top_crops"]):
                for concept, value in enumerate(values.tolist()):
                    rows.append(Measured(measure, value, name, concept_name(concept)))
                means[measure].append(float(values.nanmean()))
                rows.append(Measured(measure, means[measure][-1], name))
        for measure, of_classes in means.items():
            rows.append(Measured(measure, float(torch.tensor(of_classes).nanmean())))
        return rows

    def _classes(
        self, checkpoint: StudiedNetwork, reader: CropReader
    ) -> tuple[list[ClassConcepts], list[str]]:
        split, settings = reader.split, self.settings
        unknown = [name for name in settings["classes"] if name not in split.classes]
        if unknown:
            raise InputError(
                f"CRAFT's 'classes' names '{unknown[0]}', which is no class of '{split.dataset}' "
                f"(known: {', '.join(split.classes)})"
            )
        correct = None
        if settings["choose"] == "correct":
            features = checkpoint.features.split(settings["split"])
            correct = features.logits.argmax(dim=1) == features.labels
        labels, ids, wanted = split.labels(), split.image_ids(), settings["images_of_class"]
        chosen = {
            name: images_of_class(labels, ids, label, wanted, correct)
            for label, name in enumerate(split.classes)
            if not settings["classes"] or name in settings["classes"]
        }
        classes = [
            find_class(
                reader, name, split.classes.index(name), positions, settings, checkpoint.seed
            )
            for name, positions in log_progress(chosen.items(), "classes", len(chosen))
            if len(positions)
        ]
        counts = {name: len(positions) for name, positions in chosen.items()}
        return classes, _notes(counts, wanted, classes)


def _notes(counts: Mapping[str, int], wanted: int, classes: Sequence[ClassConcepts]) -> list[str]:
    """Sentences on classes with fewer images than wanted, with none, and on collapsed ones."""
    notes, fewer = [], [count for count in counts.values() if count < wanted]
    if fewer:
        notes.append(
            f"CRAFT looked at fewer than {wanted} images of {len(fewer)} of {len(counts)} classes, "
            f"at {min(fewer)} of one"
        )
    if none := [name for name, count in counts.items() if not count]:
        notes.append(f"CRAFT found no images, and so no concepts, of {', '.join(none)}")
    if equal := [each for each in classes if is_constant(each.factors.coefficients, 0).all()]:
        notes.append(
            f"the network maps all crops of {len(equal)} of {len(classes)} classes to one feature: "
            "no crop has more of a concept than another, so purities and cosines are NaN and the "
            "stability is 0"
        )
    return notes
