"""Statistics of few networks: associations, intervals, tests, their correction, the bootstrap.

All functions return NaN where a quantity is not defined; none returns 0 in its place.

**The unit is the trained network.** Three networks scored on ten thousand images are three
observations of a level, not thirty thousand: images of one network share its weights. A test here
takes one number per network (seed). What holds, and what does not, by simulation
(`tests/statistics` prints the numbers):

* A level against dense: t over networks has its nominal coverage and error rate. It speaks of other
  trainings, scored on *these test images*: all networks see the same images, so their sampling does
  not show in the spread between networks. With few images and a level that treats images very
  differently, it says little about other images; the bootstrap over images does, for these
  networks. Images pooled over networks give neither.
* Correlations over levels, one per network: t over networks is nominal where the two series have
  nothing in common and return to their mean, a little liberal (7-8% instead of 5%) for random
  walks. Any trend over levels that the two share makes it significant, whatever its reason.
* The rank-partial correlation given density and the first differences remove a trend that goes on
  steadily with the level. They do *not* remove a collapse at the sparse end that both series have:
  the rank-partial correlation is then significant in some 40% of cases where nothing but the trend
  is shared, first differences in some 10%.
* The gap to a control is nominal where the control follows the trend as closely as the explainer.
  A gap to a control that falls less far, or is noisier, shows only that.

**The bootstrap over images** uses one draw for all networks, levels, pruners and explainers, so
that what an image does to all of them cancels in a difference. The networks stay as they are: its
intervals are about *these networks* on other images of the same kind, not about other trainings.

References
----------
Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 13 (percentile interval);
Owen 2007, "The pigeonhole bootstrap" (crossed factors), doi:10.1214/07-AOAS122.
"""

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sparsight.analysis.tables import FEWEST_LEVELS
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
    from scipy import stats  # late: it takes a second to import

    return float(stats.pearsonr(x, y).statistic)


def naive_p(x: Series, y: Series) -> float:
    """Two-sided p of Pearson r under independent observations, which levels are not.

    Levels are ordered and autocorrelated, so this p is far too small; it is given only for
    comparison with published numbers. NaN where `pearson` is.
    """
    if _undefined(x, y):
        return math.nan
    from scipy import stats  # late: it takes a second to import

    return float(stats.pearsonr(x, y).pvalue)


def spearman(x: Series, y: Series) -> float:
    """Spearman rho of two series [n], ties at their mean rank; NaN where `pearson` is."""
    if _undefined(x, y):
        return math.nan
    from scipy import stats  # late: it takes a second to import

    return float(stats.spearmanr(x, y).statistic)


def kendall(x: Series, y: Series) -> float:
    """Kendall tau-b of two series [n]; NaN where `pearson` is."""
    if _undefined(x, y):
        return math.nan
    from scipy import stats  # late: it takes a second to import

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
    from scipy import stats  # late: see `pearson`

    reach = float(stats.t.ppf(0.5 + confidence / 2.0, defined.size - 1)) * error
    return Interval(mean, mean - reach, mean + reach, int(defined.size))


class TTest(NamedTuple):
    """Student t test of a mean over networks against 0.

    `mean`, `low`, `high` as in `student_interval`. `p` two-sided, `p_greater` against means above
    0, `p_less` against means below 0. `effect_size` is the mean in standard deviations between
    networks (Cohen's d_z for paired differences). `n` networks had a defined value, `up` of them
    above 0 and `down` below.
    """

    mean: float
    low: float
    high: float
    p: float
    p_greater: float
    p_less: float
    effect_size: float
    n: int
    up: int
    down: int


def one_sample_t(values: Sequence[float] | NDArray[np.float64], confidence: float = 0.95) -> TTest:
    """Test one value per trained network against 0.

    Parameters
    ----------
    values : one per network: a difference to the dense network of the same seed, a correlation
        over levels, a gap to a control. NaN (undefined) is left out and not counted.
    confidence : coverage of the interval, in (0, 1).

    Returns
    -------
    TTest. With fewer than two networks the limits, the ps and the effect size are NaN. The same
    holds for ps and effect size where all networks agree up to the rounding of float32 scores: an
    estimate without spread has no test, however far from 0 it is. Its interval then has no width.

    References
    ----------
    Student 1908, doi:10.1093/biomet/6.1.1. Exact for independent networks and normal values.
    """
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    interval = student_interval(defined.tolist(), confidence)
    p = p_greater = p_less = effect = math.nan
    if defined.size > 1 and not is_constant(defined):
        from scipy import special  # late: see `pearson`

        effect = interval.mean / float(defined.std(ddof=1))
        t, freedom = effect * math.sqrt(defined.size), defined.size - 1
        p_less, p_greater = float(special.stdtr(freedom, t)), float(special.stdtr(freedom, -t))
        p = 2.0 * min(p_less, p_greater)
    return TTest(
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        p=p,
        p_greater=p_greater,
        p_less=p_less,
        effect_size=effect,
        n=interval.networks,
        up=int((defined > 0).sum()),
        down=int((defined < 0).sum()),
    )


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p: the chance of *any* false rejection among them stays below the level.

    Parameters
    ----------
    p : [n] of one family of tests; NaN (no test) stays NaN and is not counted.

    Returns
    -------
    float64 [n] in [0, 1]. Valid under every dependence.

    References
    ----------
    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    return _adjusted(p, "holm")


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p: the expected share of false ones among the rejected stays below the level.

    Parameters
    ----------
    p : [n] of one family of tests; NaN (no test) stays NaN and is not counted.

    Returns
    -------
    float64 [n] in [0, 1]. Valid for independent and for positively dependent tests.

    References
    ----------
    Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; Benjamini & Yekutieli 2001,
    doi:10.1214/aos/1013699998 (positive dependence).
    """
    return _adjusted(p, "fdr_bh")


def _adjusted(p: ArrayLike, method: str) -> NDArray[np.float64]:
    from statsmodels.stats.multitest import multipletests  # late: it takes a second to import

    values = np.array(p, dtype=np.float64)
    tested = ~np.isnan(values)
    if tested.any():
        values[tested] = multipletests(values[tested], method=method)[1]
    return values


#: all exploratory tests of one pruner on one data set and model are one family
FAMILY = ("dataset", "model", "pruner")


def adjusted_p(
    table: pd.DataFrame, controls: Collection[str], family: Sequence[str] = FAMILY
) -> pd.Series:
    """Adjusted `p` of each row, by Benjamini and Hochberg within each family.

    Parameters
    ----------
    table : with the columns `explainer`, `p` and those of `family`.
    controls : explainers that are controls. They are the yardstick, no finding: they are not
        counted and have no adjusted p.
    family : columns; rows that are equal in them are one family.

    Returns
    -------
    float64, parallel to the table; NaN for controls and for rows without p.
    """
    found = pd.Series(np.nan, index=table.index, dtype="float64")
    for _, rows in table[~table["explainer"].isin(list(controls))].groupby(list(family)):
        found[rows.index] = benjamini_hochberg(rows["p"].to_numpy(dtype=np.float64))
    return found


def control_flags(table: pd.DataFrame, controls: Collection[str]) -> pd.Series:
    """Whether each row's explainer is a control; bool, parallel to the table."""
    return table["explainer"].isin(list(controls))


Counts = NDArray[np.float32]
# Quantiles of the replicates that happen to be defined would be those of a selection. A subset of
# n images vanishes from a draw with probability exp(-n), so below five images there is no interval.
UNDEFINED_SHARE = 0.01
# float32 means give correlations to about this.
NEAR_ONE = 1e-7


def draw_counts(image_ids: NDArray[np.int64], replicates: int, seed: int) -> Counts:
    """How often each image is drawn in each replicate.

    Parameters
    ----------
    image_ids : int64 [N], all test images of the data set, ascending without repetition, so that
        the same images always meet the same draw, however a file orders them.
    replicates : B, how many samples of N images are drawn with replacement.
    seed : of the generator; not the seed of a network.

    Returns
    -------
    float32 [B, N] whole numbers; each row is multinomial and sums to N. float32 because it enters
    matrix products as a factor; counts are exact in it.

    Raises
    ------
    ValueError
        When the ids do not ascend strictly.
    """
    if np.any(np.diff(image_ids) <= 0):
        raise ValueError("image_ids must ascend without repetition")
    count = len(image_ids)
    generator = np.random.default_rng(seed)
    counts = np.zeros((replicates, count), dtype=np.float32)
    for replicate in counts if count else ():
        replicate[:] = np.bincount(generator.integers(count, size=count), minlength=count)
    return counts


def replicate_means(counts: Counts, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of each column in each replicate.

    Parameters
    ----------
    counts : float32 [B, N]; for fewer images than were drawn from, their columns of the draw.
    values : float32 [N, K]; what is not finite is undefined and left out.

    Returns
    -------
    float32 [B, K], Σ w·x / Σ w over the finite members; NaN in replicates that drew none of them.
    A column without spread has replicates without spread.
    """
    finite = np.isfinite(values)
    centre = centres(values)
    deviations = np.where(finite, values - centre, np.float32(0.0)).astype(np.float32)
    sums = counts @ deviations
    weights = counts.sum(axis=1, keepdims=True)
    if not finite.all():
        weights = counts @ finite.astype(np.float32)
    return ratio(sums, weights, centre)


def centres(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the finite values of each column [N, K] -> [K]; 0 where there are none.

    Deviations from it keep products in float32 exact to about 1e-7 of the *spread* of a column, not
    of its size.
    """
    finite = np.isfinite(values)
    count = np.maximum(finite.sum(axis=0), 1)
    total = np.sum(values, axis=0, dtype=np.float64, where=finite)
    return np.asarray(total / count, dtype=np.float32)


def ratio(
    sums: NDArray[np.float32], weights: NDArray[np.float32], centre: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Means [B, K] from weighted sums of deviations [B, K], weights [B, K or 1], centres [K]."""
    drawn = weights > 0
    means = centre + sums / np.where(drawn, weights, np.float32(1.0))
    return np.where(drawn, means, np.float32(np.nan))


def percentile_interval(
    replicates: NDArray[np.floating], confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile interval *for these networks*.

    Sound for means and their differences, not for correlations: see `correlation_interval`.

    Parameters
    ----------
    replicates : [..., B]; a replicate that is not finite is undefined.
    confidence : share of replicates between the limits, in (0, 1).

    Returns
    -------
    low, high : float64 [...]; NaN where more than 1% of the replicates are undefined, or there are
    none. Quantiles are interpolated linearly between the defined replicates.
    """
    values = np.where(np.isfinite(replicates), replicates, np.nan)
    size = values.shape[-1]
    if size == 0:
        nothing = np.full(values.shape[:-1], np.nan)
        return nothing, nothing.copy()
    # NaN is sorted to the end
    ordered = np.sort(values, axis=-1)
    defined = np.isfinite(ordered).sum(axis=-1)
    enough = defined >= size * (1.0 - UNDEFINED_SHARE)
    tail = (1.0 - confidence) / 2.0
    low, high = (_quantile(ordered, defined, share) for share in (tail, 1.0 - tail))
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def correlation_interval(
    replicates: NDArray[np.floating], estimate: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Basic interval *for these networks* of a correlation over levels, on Fisher's scale.

    The noise of finite images weakens a correlation, and every replicate has that noise twice. So
    replicates lie too far towards 0, by about as much as the estimate does, and a percentile
    interval may miss the estimate itself. This one is reflected at the estimate: with z = artanh,
    its limits are tanh(2 z(r) - z(q)), q the quantiles of the replicates. Where accuracy falls by 3
    points only it still covers less than it says, at 1,000 images (`tests/statistics`).

    Parameters
    ----------
    replicates : [B] correlations, or means of them over networks; not finite is undefined.
    estimate : of the images as they are, in [-1, 1].
    confidence : in (0, 1).

    Returns
    -------
    low, high in [-1, 1]; NaN where `percentile_interval` is.

    References
    ----------
    Davison & Hinkley 1997, Bootstrap Methods and their Application, section 5.2 (basic interval).
    """
    low, high = percentile_interval(np.arctanh(_inside(replicates)), confidence)
    twice = 2.0 * np.arctanh(_inside(np.float64(estimate)))
    return float(np.tanh(twice - high)), float(np.tanh(twice - low))


def _inside(r: NDArray[np.floating] | np.float64) -> NDArray[np.float64]:
    """Correlations off the ends -1 and 1, where Fisher's z is infinite."""
    return np.clip(np.asarray(r, dtype=np.float64), -1.0 + NEAR_ONE, 1.0 - NEAR_ONE)


def _quantile(
    ordered: NDArray[np.floating], defined: NDArray[np.int64], share: float
) -> NDArray[np.float64]:
    place = share * np.maximum(defined - 1, 0)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(defined - 1, 0))
    first, second = (
        np.take_along_axis(ordered, index[..., np.newaxis], axis=-1)[..., 0].astype(np.float64)
        for index in (below, above)
    )
    return np.asarray(first + (place - below) * (second - first), dtype=np.float64)
