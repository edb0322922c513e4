"""Association of two short series over pruning levels, and Student intervals over networks.

All functions return NaN where the quantity is not defined; none returns 0 in its place.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sparsight.analysis.correlated_levels import FEWEST_LEVELS
from sparsight.rounding import ROUNDING

Series = NDArray[np.float64]

# Scores are float32: a mean that varies by less than this share of its size is constant up to
# rounding, and a correlation with it would be a correlation with rounding errors.
CONSTANT = ROUNDING


def is_constant(values: Series) -> bool:
    """Whether a series [n] does not vary beyond the rounding of float32 scores."""
    if values.size == 0:
        return True
    return bool(np.ptp(values) <= CONSTANT * np.max(np.abs(values)))


def _undefined(x: Series, y: Series) -> bool:
    return x.size < FEWEST_LEVELS or is_constant(x) or is_constant(y)


def pearson(x: Series, y: Series) -> float:
    """Pearson r of two series [n] in [-1, 1]; NaN below three levels or if either is constant."""
    if _undefined(x, y):
        return math.nan
    return float(stats.pearsonr(x, y).statistic)


def naive_p(x: Series, y: Series) -> float:
    """Two-sided p of Pearson r under independent observations, which levels are not.

    Levels are ordered and autocorrelated, so this p is far too small; it is given only for
    comparison with published numbers. NaN where `pearson` is.
    """
    if _undefined(x, y):
        return math.nan
    return float(stats.pearsonr(x, y).pvalue)


def spearman(x: Series, y: Series) -> float:
    """Spearman rho of two series [n], ties at their mean rank; NaN where `pearson` is."""
    if _undefined(x, y):
        return math.nan
    return float(stats.spearmanr(x, y).statistic)


def kendall(x: Series, y: Series) -> float:
    """Kendall tau-b of two series [n]; NaN where `pearson` is."""
    if _undefined(x, y):
        return math.nan
    return float(stats.kendalltau(x, y).statistic)


def first_difference(x: Series, y: Series) -> float:
    """Pearson r of the steps from each level to the next.

    Two series that merely share a trend correlate in levels but not in steps. NaN below three steps
    or where either series steps by a constant.
    """
    if _undefined(x, y):
        return math.nan
    steps_x, steps_y = np.diff(x), np.diff(y)
    # Steps are compared with the size of the series that they were taken from: steps of a straight
    # line differ only by rounding, however small they are.
    if np.ptp(steps_x) <= CONSTANT * np.max(np.abs(x)) or np.ptp(steps_y) <= CONSTANT * np.max(
        np.abs(y)
    ):
        return math.nan
    return pearson(steps_x, steps_y)


def rank_partial(x: Series, y: Series, given: Series) -> float:
    """Spearman correlation of `x` and `y` with the ranks of `given` held fixed.

    (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2)) on ranks. NaN below four levels, if a
    series is constant, or if `x` or `y` is monotone in `given`: nothing is then left to correlate.

    References
    ----------
    Kendall & Gibbons, Rank Correlation Methods, 5th ed., chapter 8.
    """
    if x.size <= FEWEST_LEVELS or _undefined(x, y) or is_constant(given):
        return math.nan
    xy, xz, yz = spearman(x, y), spearman(x, given), spearman(y, given)
    left = (1.0 - xz**2) * (1.0 - yz**2)
    if left <= 1e-12:
        return math.nan
    return float(np.clip((xy - xz * yz) / math.sqrt(left), -1.0, 1.0))


class Interval(NamedTuple):
    """Mean over networks with its Student t interval; `networks` had a defined value."""

    mean: float
    low: float
    high: float
    networks: int


def student_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean of one value per trained network, with a Student t interval.

    Parameters
    ----------
    values : one per network; NaN (undefined) is left out and not counted.
    confidence : coverage in (0, 1) if the values were normal and the networks independent.

    Returns
    -------
    Interval; the limits are NaN with fewer than two values. They are not cut at the bounds of a
    correlation: a limit beyond 1 says that there are too few networks.
    """
    defined = np.asarray([value for value in values if not math.isnan(value)], dtype=np.float64)
    if defined.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(defined.mean())
    if defined.size == 1:
        return Interval(mean, math.nan, math.nan, 1)
    error = float(defined.std(ddof=1)) / math.sqrt(defined.size)
    reach = float(stats.t.ppf(0.5 + confidence / 2.0, defined.size - 1)) * error
    return Interval(mean, mean - reach, mean + reach, int(defined.size))
