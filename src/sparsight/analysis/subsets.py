"""Means over subsets of images, as they are and in every replicate of the bootstrap.

Images that belong to the same subsets and have the same label form a *cell*. Every subset is a sum
of cells, so one product of counts and values serves them all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsight.analysis.bootstrap import Counts, centres, ratio

CORRECT, INCORRECT = "correct_matched", "incorrect_matched"
#: strata by the dense network's margin, from the smallest
STRATA = ("hard", "medium", "easy")
BOTH = "correct_at_both"
SUBSETS = ("all", BOTH, *STRATA, CORRECT, INCORRECT)
#: rows that hold no means but mean changes: this network's value minus the dense network's, image
#: by image, over what both get right. The subset `correct_at_both` holds other images at every
#: level, so its means must not be subtracted from each other.
CHANGE_AT_BOTH = "change_at_both"

Floats = NDArray[np.floating]
Members = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class SubsetMeans:
    """Means of K columns over one subset.

    Attributes
    ----------
    n, undefined : int64 [K], images with and without a finite value.
    mean : float64 [K], NaN where n is 0.
    replicates : float32 [B, K], NaN where a replicate drew none of the n.
    """

    n: NDArray[np.int64]
    undefined: NDArray[np.int64]
    mean: NDArray[np.float64]
    replicates: NDArray[np.float32]


def members_of_subsets(
    image_id: NDArray[np.int64],
    correct: NDArray[np.bool_],
    dense_correct: NDArray[np.bool_],
    dense_margin: NDArray[np.float64],
) -> dict[str, NDArray[np.bool_]]:
    """Which of N images belong to each of `SUBSETS`: bool [N].

    `correct_at_both` needs this network and the dense one of the same seed to be right. `hard`,
    `medium` and `easy` are thirds by the *dense* network's margin, so that a stratum holds the same
    images at every level; ties go by image id, the first thirds take what is left over, and an
    image without a margin is in none. `correct_matched` and `incorrect_matched` hold what this
    network gets right and wrong, and are matched on the label by `describe_subsets`.
    """
    found = {
        "all": np.ones(len(image_id), dtype=np.bool_),
        BOTH: correct & dense_correct,
    }
    order = np.lexsort((image_id, dense_margin))
    ranked = order[np.isfinite(dense_margin[order])]
    for name, places in zip(STRATA, np.array_split(ranked, len(STRATA)), strict=True):
        found[name] = np.zeros(len(image_id), dtype=np.bool_)
        found[name][places] = True
    return {**found, CORRECT: correct, INCORRECT: ~correct}


def describe_subsets(
    values: NDArray[np.float64],
    scored: NDArray[np.bool_],
    label: NDArray[np.int64],
    members: Members,
    counts: Counts,
) -> dict[str, SubsetMeans]:
    """Means over each subset.

    The means of `correct_matched` and `incorrect_matched` are standardised on the label: within
    each label that has both, the mean over its correct (incorrect) images; then their average,
    weighted by the label's number of incorrect images. Their difference does not mix "correct" with
    "an easy class". A replicate judges by the images that it drew which labels have both.

    Parameters
    ----------
    values : [N, K]; what is not finite is undefined.
    scored : bool [N, K], whether a value was to be had; others are not even counted as undefined.
    label : int64 [N].
    members : of `members_of_subsets`.
    counts : float32 [B, N], how often each replicate drew each image.

    Returns
    -------
    Subset to means; `n` of the matched subsets counts images of labels that have both, `undefined`
    all that are correct (incorrect) and lack a value.
    """
    finite = np.isfinite(values)
    centre = centres(np.asarray(values, dtype=np.float32))
    deviations = np.where(finite, values - centre, 0.0)
    cells = _Cells(label, members)
    factors = _Factors.of(deviations, finite).ordered(cells.order)
    observed = _sums(np.ones((1, len(values))), factors, cells)
    drawn = _sums(counts[:, cells.order], factors.single(), cells)
    lost = scored & ~finite
    return {
        name: SubsetMeans(
            n=np.rint(observed[name].images[0]).astype(np.int64),
            undefined=lost[chosen].sum(axis=0, dtype=np.int64),
            mean=_mean(observed[name], centre),
            replicates=ratio(drawn[name].sums, drawn[name].weights, centre),
        )
        for name, chosen in members.items()
    }


def _mean(one: "_Sums", centre: NDArray[np.float32]) -> NDArray[np.float64]:
    weights = one.weights[0]
    means = centre + one.sums[0] / np.where(weights > 0, weights, 1.0)
    return np.asarray(np.where(weights > 0, means, np.nan), dtype=np.float64)


class _Cells:
    """Images sorted by label and subsets; equal ones form a cell."""

    def __init__(self, label: NDArray[np.int64], members: Members) -> None:
        self.names = list(members)
        keys = [*(members[name] for name in self.names), label]
        self.order = np.lexsort(keys)
        sorted_keys = np.stack([np.asarray(key, dtype=np.int64)[self.order] for key in keys])
        changes = np.any(np.diff(sorted_keys, axis=1) != 0, axis=0)
        starts = [0, *(np.flatnonzero(changes) + 1).tolist()] if label.size else []
        self._keys = sorted_keys
        self._bounds = [*starts, label.size]

    def by_label(self) -> Iterator[list[tuple[slice, list[str]]]]:
        """For each label its cells: a slice of the sorted images, and the subsets they are in."""
        cells: list[tuple[slice, list[str]]] = []
        previous = None
        for start, stop in zip(self._bounds, self._bounds[1:], strict=False):
            *inside, label = self._keys[:, start]
            if cells and label != previous:
                yield cells
                cells = []
            previous = label
            subsets = [name for name, one in zip(self.names, inside, strict=True) if one]
            cells.append((slice(start, stop), subsets))
        if cells:
            yield cells


@dataclass(frozen=True)
class _Factors:
    """[N, F]: K deviations, the finite members of columns that lack some, and ones.

    `weight` [K] tells which of the F columns sums a column's weights: nearly all share the last.
    """

    matrix: Floats
    weight: NDArray[np.int64]

    @classmethod
    def of(cls, deviations: Floats, finite: NDArray[np.bool_]) -> "_Factors":
        lacking = np.flatnonzero(~finite.all(axis=0))
        ones = np.ones((len(finite), 1))
        weight = np.full(finite.shape[1], finite.shape[1] + len(lacking), dtype=np.int64)
        weight[lacking] = finite.shape[1] + np.arange(len(lacking))
        return cls(np.hstack([deviations, finite[:, lacking], ones]), weight)

    def ordered(self, order: NDArray[np.int64]) -> "_Factors":
        return _Factors(self.matrix[order], self.weight)

    def single(self) -> "_Factors":
        return _Factors(self.matrix.astype(np.float32), self.weight)


@dataclass(frozen=True)
class _Sums:
    """Weighted sums of deviations, their weights, and the images that entered; each [R, K]."""

    sums: Floats
    weights: Floats
    images: Floats


def _sums(weights: Floats, factors: _Factors, cells: _Cells) -> dict[str, _Sums]:
    """Sums for every subset, with weights [R, N] of the images in the order of the cells."""
    width = len(factors.weight)
    shape = (len(weights), factors.matrix.shape[1])
    summed = [name for name in cells.names if name not in (CORRECT, INCORRECT)]
    total = {name: np.zeros(shape, weights.dtype) for name in summed}
    # numerators of both matched subsets, their common denominator, correct images that entered
    matched = [np.zeros((len(weights), width), weights.dtype) for _ in range(4)]
    for label in cells.by_label():
        right, wrong = (np.zeros(shape, weights.dtype) for _ in range(2))
        sides = {CORRECT: right, INCORRECT: wrong}
        for images, subsets in label:
            product = weights[:, images] @ factors.matrix[images]
            for name in subsets:
                into = sides.get(name)
                into = total[name] if into is None else into
                into += product
        _match(right, wrong, factors.weight, matched)
    found = {
        name: _Sums(whole[:, :width], whole[:, factors.weight], whole[:, factors.weight])
        for name, whole in total.items()
    }
    correct, incorrect, denominator, entered = matched
    return {
        **found,
        CORRECT: _Sums(correct, denominator, entered),
        INCORRECT: _Sums(incorrect, denominator, denominator),
    }


def _match(
    right: Floats, wrong: Floats, weight: NDArray[np.int64], matched: list[NDArray[np.floating]]
) -> None:
    """Add one label to the numerators and denominators of the matched subsets."""
    width = len(weight)
    some_right, some_wrong = right[:, weight], wrong[:, weight]
    both = (some_right > 0) & (some_wrong > 0)
    if not both.any():
        return
    correct, incorrect, denominator, entered = matched
    scale = np.where(both, some_wrong / np.where(both, some_right, 1.0), 0.0)
    correct += right[:, :width] * scale.astype(right.dtype)
    incorrect += np.where(both, wrong[:, :width], 0.0)
    denominator += np.where(both, some_wrong, 0.0)
    entered += np.where(both, some_right, 0.0)
