"""Statistics of few networks: associations, intervals, tests, their correction, the bootstrap.

A quantity that is not defined is NaN, never 0.

**The unit is the trained network.** Images of one network share its weights, so a test takes one
number per network (seed). What holds, and what does not, by simulation (`tests/statistics`):

* A level against dense: t over networks is nominal. It speaks of other trainings, scored on *these
  test images*, whose sampling does not show in the spread between networks; the bootstrap over
  images speaks of other images, for these networks. Images pooled over networks give neither.
* Correlations over levels, one per network: t over networks is nominal where the two series have
  nothing in common and return to their mean, a little liberal (7-8% instead of 5%) for random
  walks. Any trend over levels that the two share makes it significant, whatever its reason.
* The rank-partial correlation given density and the first differences remove a trend that goes on
  steadily with the level, but not a collapse at the sparse end that both series have: where nothing
  else is shared, they are significant in some 40% and 10% of cases.
* The gap to a control is nominal where the control follows the trend as closely as the explainer.
  A gap to a control that falls less far, or is noisier, shows only that.

**The bootstrap over images** uses one draw for all networks, levels, pruners and explainers, so
that what an image does to all of them cancels in a difference (Efron & Tibshirani 1993, An
Introduction to the Bootstrap, chapters 6 and 13; Owen 2007, doi:10.1214/07-AOAS122). Its intervals
are about *these networks* on other images of the same kind, not about other trainings.
"""

import math
from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

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
    return not values.size or bool(np.ptp(values) <= CONSTANT * np.max(np.abs(values)))


def _is_undefined(x: Series, y: Series) -> bool:
    return x.size < FEWEST_LEVELS or is_constant(x) or is_constant(y)


def _of_scipy(function: str, x: Series, y: Series) -> Any:
    """A result of scipy.stats, below three levels or if either series is constant one of NaN."""
    if _is_undefined(x, y):
        return SimpleNamespace(statistic=math.nan, pvalue=math.nan)
    from scipy import stats  # late: it takes a second to import

    return getattr(stats, function)(x, y)


def pearson(x: Series, y: Series) -> float:
    """Pearson r of two series [n] in [-1, 1]; NaN below three levels or if either is constant."""
    return float(_of_scipy("pearsonr", x, y).statistic)


def naive_p(x: Series, y: Series) -> float:
    """Two-sided p of Pearson r under independent observations; NaN where `pearson` is.

    Levels are ordered and autocorrelated, so it is far too small; it is given only for comparison
    with published numbers.
    """
    return float(_of_scipy("pearsonr", x, y).pvalue)


def spearman(x: Series, y: Series) -> float:
    """Spearman rho of two series [n], ties at their mean rank; NaN where `pearson` is."""
    return float(_of_scipy("spearmanr", x, y).statistic)


def kendall(x: Series, y: Series) -> float:
    """Kendall tau-b of two series [n]; NaN where `pearson` is."""
    return float(_of_scipy("kendalltau", x, y).statistic)


def first_difference(x: Series, y: Series) -> float:
    """Pearson r of the steps from each level to the next, which a shared trend does not raise.

    NaN below three steps or where either series steps by a constant.
    """
    # Steps are compared with the size of the series that they were taken from: steps of a straight
    # line differ only by rounding, however small they are.
    if _is_undefined(x, y) or any(
        np.ptp(np.diff(series)) <= CONSTANT * np.max(np.abs(series)) for series in (x, y)
    ):
        return math.nan
    return pearson(np.diff(x), np.diff(y))


def rank_partial(x: Series, y: Series, given: Series) -> float:
    """Spearman correlation of `x` and `y` with the ranks of `given` held fixed.

    (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2)) on ranks (Kendall & Gibbons, Rank
    Correlation Methods, 5th ed., chapter 8). NaN below four levels, if a series is constant, or if
    `x` or `y` is monotone in `given`: nothing is then left to correlate.
    """
    if x.size <= FEWEST_LEVELS:
        return math.nan
    xy, xz, yz = spearman(x, y), spearman(x, given), spearman(y, given)
    left = (1.0 - xz**2) * (1.0 - yz**2)
    # also where it is NaN
    if not left > 1e-12:
        return math.nan
    return float(np.clip((xy - xz * yz) / math.sqrt(left), -1.0, 1.0))


class Interval(NamedTuple):
    """Mean over networks with its Student t interval; `networks` had a defined value."""

    mean: float
    low: float
    high: float
    networks: int


class Range(NamedTuple):
    """The range of a statistic, and Fisher's scale of it, on which no limit can leave it.

    The scale is artanh of the range brought to [-1, 1]: Fisher's z of a correlation, half the logit
    of a share in [0, 1], and the statistic itself where it has no bounds. Only the error of an
    estimate is brought to it (the delta method), so that an interval is about the mean that tables
    show. Values transformed first would be about the transform's mean: where artanh r varies by .6
    round an r of .98, t intervals over ten networks then cover the mean of r in 66% of cases, with
    the delta method in 87%; and a network whose r is 1 would have none.
    (Fisher 1915, doi:10.1093/biomet/10.4.507.)
    """

    low: float
    high: float

    def to_scale(self, value: float) -> float:
        """The place of a value on the scale; infinite at the bounds."""
        if math.isinf(self.low):
            return value
        r = (value - self.low) / self._half - 1.0
        return math.atanh(r) if abs(r) < 1.0 else math.copysign(math.inf, r)

    def from_scale(self, place: float) -> float:
        """The value at a place of the scale."""
        if math.isinf(self.low):
            return place
        return self.low + self._half * (1.0 + math.tanh(place))

    def error_on_scale(self, value: float, error: float) -> float:
        """An error of a value, on the scale; infinite at the bounds."""
        if math.isinf(self.low):
            return error
        room = 1.0 - ((value - self.low) / self._half - 1.0) ** 2
        return error / self._half / room if room > 0.0 else math.inf

    @property
    def _half(self) -> float:
        return (self.high - self.low) / 2.0


UNBOUNDED = Range(-math.inf, math.inf)
#: of a correlation, of the difference of two, and of a share such as accuracy
CORRELATION, CORRELATION_GAP, SHARE = Range(-1.0, 1.0), Range(-2.0, 2.0), Range(0.0, 1.0)
#: of a share minus its chance level of one half
ABOVE_CHANCE = Range(-0.5, 0.5)


def student_interval(
    values: Sequence[float], confidence: float = 0.95, bounds: Range = UNBOUNDED
) -> Interval:
    """Mean of one value per trained network, with a Student t interval.

    NaN (undefined) is left out and not counted; the limits are NaN with fewer than two values.
    `confidence`, in (0, 1), is the coverage if values are normal and networks independent.

    `bounds` is the range of the values, which the interval does not leave: for correlations with
    the mean r and its standard error e it is tanh(artanh r ± t e / (1 - r²)).
    """
    defined = np.asarray([value for value in values if not math.isnan(value)], dtype=np.float64)
    if defined.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(defined.mean())
    if defined.size == 1:
        return Interval(mean, math.nan, math.nan, 1)
    from scipy import stats  # late: it takes a second to import

    error = float(defined.std(ddof=1)) / math.sqrt(defined.size)
    reach = float(stats.t.ppf(0.5 + confidence / 2.0, defined.size - 1)) * error
    place, step = bounds.to_scale(mean), bounds.error_on_scale(mean, reach)
    if reach == 0.0 or math.isinf(place):
        # Where all values lie on a bound there is no spread either.
        return Interval(mean, mean, mean, int(defined.size))
    low, high = bounds.from_scale(place - step), bounds.from_scale(place + step)
    return Interval(mean, low, high, int(defined.size))


class TTest(NamedTuple):
    """Student t test of a mean over networks against 0.

    `mean`, `low`, `high` as in `student_interval`. `p` is two-sided. `effect_size` is the mean in
    standard deviations between networks (Cohen's d_z for paired differences). `n` networks had a
    defined value, `up` of them above 0 and `down` below.
    """

    mean: float
    low: float
    high: float
    p: float
    effect_size: float
    n: int
    up: int
    down: int

    def columns(self, name: str) -> dict[str, Any]:
        """Columns of a row of a table: `name`, its limits, effect size, signs and p."""
        limits = {name: self.mean, f"{name}_low": self.low, f"{name}_high": self.high}
        signs = {"seeds_up": self.up, "seeds_down": self.down}
        return {**limits, "effect_size": self.effect_size, **signs, "p": self.p}


def one_sample_t(
    values: Sequence[float] | NDArray[np.float64],
    confidence: float = 0.95,
    bounds: Range = UNBOUNDED,
) -> TTest:
    """Test one value per trained network against 0 (Student 1908, doi:10.1093/biomet/6.1.1).

    Exact for independent networks and normal values. NaN (undefined) is left out and not counted.
    With fewer than two networks limits, ps and effect size are NaN. So are ps and effect size
    where all networks agree up to the rounding of float32 scores: an estimate without spread has no
    test, however far from 0 it is. `confidence`, in (0, 1), is that of the interval, which stays
    within `bounds` (see `student_interval`); the ps are those of the values as they are.
    """
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    mean, low, high, count = student_interval(defined.tolist(), confidence, bounds)
    p = effect = math.nan
    if count > 1 and not is_constant(defined):
        from scipy import special  # late: it takes a second to import

        effect = mean / float(defined.std(ddof=1))
        t = effect * math.sqrt(count)
        p = 2.0 * float(special.stdtr(count - 1, -abs(t)))
    up, down = int((defined > 0).sum()), int((defined < 0).sum())
    return TTest(mean, low, high, p, effect, count, up, down)


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p [n]: the expected share of false ones among the rejected is below the level.

    Valid for independent and for positively dependent tests (Benjamini & Hochberg 1995,
    doi:10.1111/j.2517-6161.1995.tb02031.x; Benjamini & Yekutieli 2001, doi:10.1214/aos/1013699998).
    NaN (no test) stays NaN and is not counted.
    """
    from statsmodels.stats.multitest import multipletests  # late: it takes a second to import

    values = np.array(p, dtype=np.float64)
    tested = ~np.isnan(values)
    if tested.any():
        values[tested] = multipletests(values[tested], method="fdr_bh")[1]
    return values


#: all exploratory tests of one pruner on one data set and model are one family
FAMILY = ("dataset", "model", "pruner")


def adjusted_p(
    table: pd.DataFrame,
    controls: Collection[str] = (),
    family: Sequence[str] = FAMILY,
    name: str = "p",
) -> pd.Series:
    """Adjusted p of each row, by Benjamini and Hochberg within each family; float64.

    The column `name` holds the ps. Rows that are equal in the columns `family` are one family.
    Rows whose `explainer` is one of `controls`, the yardstick and no finding, are not counted and
    have NaN.
    """
    found = pd.Series(np.nan, index=table.index, dtype="float64")
    tested = table[~control_flags(table, controls)] if controls else table
    for _, rows in tested.groupby(list(family)):
        found[rows.index] = benjamini_hochberg(rows[name].to_numpy(dtype=np.float64))
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
    """How often each image is drawn in each of B = `replicates` samples with replacement.

    Parameters
    ----------
    image_ids : int64 [N], all test images of the data set, ascending without repetition (else a
        `ValueError`), so that the same images always meet the same draw.
    seed : of the generator; not the seed of a network.

    Returns
    -------
    float32 [B, N] whole numbers; each row is multinomial and sums to N. float32 because it enters
    matrix products as a factor; counts are exact in it.
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
    """Mean of each column in each replicate, Σ w·x / Σ w over the finite values: float32 [B, K].

    Parameters
    ----------
    counts : float32 [B, N]; for fewer images than were drawn from, their columns of the draw.
    values : float32 [N, K]; what is not finite is undefined and left out.

    Returns
    -------
    NaN in replicates that drew no finite value. A column without spread has replicates without
    spread.
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
    """Percentile interval *for these networks*: low and high, float64 [...].

    `replicates` are [..., B]; one that is not finite is undefined. Quantiles are interpolated
    linearly between the defined ones; NaN where more than 1% are undefined, or there are none.
    Sound for means and their differences, not for correlations: see `correlation_interval`.
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
    last = np.maximum(defined - 1, 0)
    limits = []
    for share in ((1.0 - confidence) / 2.0, 1.0 - (1.0 - confidence) / 2.0):
        place = share * last
        below = np.floor(place).astype(np.int64)
        first, second = (
            np.take_along_axis(ordered, index[..., np.newaxis], axis=-1)[..., 0].astype(np.float64)
            for index in (below, np.minimum(below + 1, last))
        )
        limits.append(np.where(enough, first + (place - below) * (second - first), np.nan))
    return limits[0], limits[1]


def correlation_interval(
    replicates: NDArray[np.floating], estimate: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Basic interval *for these networks* of a correlation over levels, on Fisher's scale.

    `replicates` [B] are correlations, or means of them over networks, and `estimate` is that of the
    images as they are. NaN where `percentile_interval` is.

    The noise of finite images weakens a correlation, and every replicate has that noise twice. So
    replicates lie too far towards 0, by about as much as the estimate does, and a percentile
    interval may miss the estimate itself. This one is reflected at the estimate: with z = artanh,
    its limits are tanh(2 z(r) - z(q)), q the quantiles of the replicates (Davison & Hinkley 1997,
    Bootstrap Methods and their Application, section 5.2). Where accuracy falls by 3 points only it
    still covers less than it says, at 1,000 images (`tests/statistics`).
    """
    low, high = percentile_interval(np.arctanh(_clip(replicates)), confidence)
    twice = 2.0 * np.arctanh(_clip(np.float64(estimate)))
    return float(np.tanh(twice - high)), float(np.tanh(twice - low))


def _clip(r: NDArray[np.floating] | np.float64) -> NDArray[np.float64]:
    """Correlations off the ends -1 and 1, where Fisher's z is infinite."""
    return np.clip(np.asarray(r, dtype=np.float64), -1.0 + NEAR_ONE, 1.0 - NEAR_ONE)
