"""How one network's metric and accuracy move together over pruning levels."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis.correlated_levels import FEWEST_LEVELS
from sparsight.analysis.statistics import (
    CONSTANT,
    Series,
    first_difference,
    kendall,
    pearson,
    rank_partial,
    spearman,
)

COEFFICIENTS = ("pearson", "spearman", "kendall", "first_difference", "rank_partial")
#: Coefficients with an interval over draws of images. First differences have none: their noise is
#: that of the images, which a draw doubles, so that no interval covered what it said.
DRAWN_COEFFICIENTS = ("pearson", "spearman")

Replicates = NDArray[np.floating]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Association:
    """One network's levels at which a metric is defined: four series [n], levels ascending."""

    levels: NDArray[np.int64]
    metric: Series
    accuracy: Series
    density: Series

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Self:
        """From rows of `levels.csv` of one network; those without `mean` are left out."""
        series = rows.dropna(subset=["mean", "accuracy"]).sort_values("level")
        metric, accuracy, density = (
            series[name].to_numpy(dtype=np.float64) for name in ("mean", "accuracy", "density")
        )
        return cls(series["level"].to_numpy(dtype=np.int64), metric, accuracy, density)

    @cached_property
    def coefficients(self) -> dict[str, float]:
        """Each of `COEFFICIENTS`, in [-1, 1] or NaN."""
        return {
            "pearson": pearson(self.metric, self.accuracy),
            "spearman": spearman(self.metric, self.accuracy),
            "kendall": kendall(self.metric, self.accuracy),
            "first_difference": first_difference(self.metric, self.accuracy),
            "rank_partial": rank_partial(self.metric, self.accuracy, self.density),
        }

    def at(self, levels: Iterable[int]) -> "Association":
        """The same network at some of its levels."""
        kept = np.isin(self.levels, list(levels))
        if kept.all():
            return self
        columns = (self.metric, self.accuracy, self.density)
        return Association(self.levels[kept], *(column[kept] for column in columns))


def drawn_coefficients(metric: Replicates, accuracy: Replicates) -> dict[str, Doubles]:
    """Each of `DRAWN_COEFFICIENTS` in every draw of images.

    Parameters
    ----------
    metric, accuracy : [L, B] means of L levels, ascending, in B draws.

    Returns
    -------
    Coefficient to float64 [B]; NaN where the function of `sparsight.analysis.statistics` of that
    name is, or a level is undefined in the draw.
    """
    return {
        "pearson": _correlated(metric, accuracy),
        "spearman": _correlated(_ranks(metric), _ranks(accuracy)),
    }


def _correlated(x: Replicates, y: Replicates) -> Doubles:
    """Pearson r over the first axis; NaN where a series is constant or too short."""
    if x.shape[0] < FEWEST_LEVELS:
        return np.full(x.shape[1], np.nan)
    one, other = (_centred(values) for values in (x, y))
    size = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    r = (one * other).sum(axis=0) / np.where(size > 0, size, np.nan)
    return np.asarray(np.clip(r, -1.0, 1.0), dtype=np.float64)


def _centred(values: Replicates) -> Doubles:
    """Deviations from the mean over the first axis; 0 in draws in which the series is constant."""
    wide = np.asarray(values, dtype=np.float64)
    constant = np.ptp(wide, axis=0) <= CONSTANT * np.max(np.abs(wide), axis=0)
    return np.where(constant, 0.0, wide - wide.mean(axis=0))


def _ranks(values: Replicates) -> Doubles:
    """Ranks along the first axis, ties at their mean rank; NaN where the draw has a NaN.

    A constant series has equal ranks.
    """
    constant = np.ptp(values, axis=0) <= CONSTANT * np.max(np.abs(values), axis=0)
    ranks = np.full(values.shape, 0.5)
    for one in values:
        ranks += one < values
        ranks += 0.5 * (one == values)
    ranks = np.where(constant, 1.0, ranks)
    return np.where(np.isnan(values).any(axis=0), np.nan, ranks)
