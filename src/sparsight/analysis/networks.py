"""Curves of several trained networks as arrays: networks x levels, each with its replicates."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsight.analysis.bootstrap import percentile_interval
from sparsight.analysis.resampled import Curves
from sparsight.analysis.statistics import CONSTANT
from sparsight.io.errors import InputError

KEYS = ["dataset", "model", "pruner", "explainer", "condition", "metric"]

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Networks:
    """One quantity of S networks at L levels.

    Attributes
    ----------
    seeds, levels : ascending, [S] and [L].
    density : float64 [S, L], share of prunable weights left; NaN where a network lacks the level.
    n : int64 [S, L], images with a defined value; 0 where a network lacks the level.
    mean : float64 [S, L], NaN where undefined.
    replicates : float32 [S, L, B], NaN where undefined. Column b is the same draw throughout.
    """

    seeds: tuple[int, ...]
    levels: tuple[int, ...]
    density: Doubles
    n: NDArray[np.int64]
    mean: Doubles
    replicates: NDArray[np.float32]

    def minus(self, other: "Networks") -> "Networks":
        """Difference to another quantity of the same networks and levels, paired by both.

        Differences within the rounding of float32 scores are 0: a control scores the same at every
        level, and a test of what is left would be one of rounding errors.
        """
        return replace(
            self,
            mean=difference(self.mean, other.mean),
            replicates=difference(self.replicates, other.replicates),
        )

    def against_dense(self) -> "Networks":
        """Difference to level 0 of the same network; NaN at level 0 itself and where it is not."""
        if 0 not in self.levels:
            return self.undefined()
        dense = self.levels.index(0)
        mean = difference(self.mean, self.mean[:, [dense]])
        replicates = difference(self.replicates, self.replicates[:, [dense]])
        mean[:, dense] = np.nan
        replicates[:, dense] = np.nan
        return replace(self, mean=mean, replicates=replicates)

    def undefined(self) -> "Networks":
        """The same networks and levels without any value."""
        nothing = np.full_like(self.mean, np.nan), np.full_like(self.replicates, np.nan)
        return replace(self, mean=nothing[0], replicates=nothing[1])

    def image_intervals(self, confidence: float) -> tuple[Doubles, Doubles]:
        """Limits [L] of the mean over networks on other images, *for these networks*.

        The networks with a defined mean are averaged draw by draw. A draw in which one of them is
        undefined is undefined: without it the average would be one of other networks.
        """
        defined = np.isfinite(self.mean)
        count = defined.sum(axis=0)
        total = np.where(defined[..., np.newaxis], self.replicates, np.float32(0.0)).sum(axis=0)
        average = total / np.where(count, count, np.nan)[:, np.newaxis]
        return percentile_interval(average, confidence)


def difference(one: Floats, other: Floats) -> Any:
    """`one` - `other`, exactly 0 where they agree up to the rounding of float32 scores."""
    found = one - other
    size = np.maximum(np.abs(one), np.abs(other))
    # False where either is NaN, which then stays
    return np.where(np.abs(found) <= CONSTANT * size, np.zeros_like(found), found)


def networks_by_subset(
    curves: Curves, subsets: Collection[str]
) -> Iterator[tuple[dict[str, str], dict[str, Networks]]]:
    """The curves of each data set, model, pruner, explainer, condition and metric.

    Parameters
    ----------
    curves : chains of one study; which networks they are of is told by the seed.
    subsets : which subsets of images are wanted.

    Yields
    ------
    `KEYS` with their values, in sorted order, and subset to its networks. All subsets of a key have
    the same seeds and levels.

    Raises
    ------
    InputError
        When the chains belong to several studies.
    """
    studies = sorted(set(curves.frame["study"]))
    if len(studies) > 1:
        raise InputError(
            f"statistics of several studies ({', '.join(studies)}); give one study at a time"
        )
    wanted = curves.frame[curves.frame["subset"].isin(list(subsets))]
    for names, rows in wanted.groupby(KEYS, sort=True):
        seeds, levels = np.unique(rows["seed"]), np.unique(rows["level"])
        found = {}
        for subset, part in rows.groupby("subset", sort=True):
            place = (
                np.searchsorted(seeds, part["seed"].to_numpy()),
                np.searchsorted(levels, part["level"].to_numpy()),
            )
            shape = (len(seeds), len(levels))
            images = np.zeros(shape, dtype=np.int64)
            images[place] = part["n"].to_numpy()
            replicates = np.full((*shape, curves.replicates.shape[1]), np.nan, dtype=np.float32)
            replicates[place] = curves.replicates[part.index.to_numpy()]
            found[str(subset)] = Networks(
                seeds=tuple(seeds.tolist()),
                levels=tuple(levels.tolist()),
                density=_placed(part["density"].to_numpy(), place, shape),
                n=images,
                mean=_placed(part["mean"].to_numpy(), place, shape),
                replicates=replicates,
            )
        yield {key: str(name) for key, name in zip(KEYS, names, strict=True)}, found


def _placed(values: Doubles, place: tuple[Any, Any], shape: tuple[int, int]) -> Doubles:
    whole = np.full(shape, np.nan)
    whole[place] = values
    return whole
