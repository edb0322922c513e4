"""A mean over networks and images, both of them random: estimate, variance and interval.

All networks of a claim are scored on the same images, so its values form a matrix [S networks, N
images] with two crossed random factors (Obuchowski & Rockette 1995, doi:10.1080/03610919508813243;
Hillis 2007, doi:10.1002/sim.2532, with networks as readers). Student t over networks holds the
images fixed: where they differ more than the networks do, its intervals are too short, and more
networks make it worse (`tests/statistics`).

A statistic that is no mean over images has the same form after `jackknife`: a matrix of
pseudo-values takes the place of the values (Dorfman, Berbaum & Metz 1992,
doi:10.1097/00004424-199209000-00015; Hillis, Berbaum & Metz 2008,
doi:10.1016/j.acra.2007.12.015).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsight.analysis.statistics import NEAR_ONE, SHARE, UNBOUNDED, Range, is_constant

Matrix = NDArray[np.float64]


class Components(NamedTuple):
    """Variances of a value by network, by image, and of what is left; NaN is unknown."""

    networks: float
    images: float
    residual: float

    def at(self, networks: int, images: int) -> tuple[float, float]:
        """Variance of the mean, and its degrees of freedom, over that many networks and images."""
        expected = (
            images * self.networks + self.residual,
            networks * self.images + self.residual,
            self.residual,
        )
        return _variance_and_df(*expected, networks, images)


_UNKNOWN = Components(math.nan, math.nan, math.nan)


def _variance_and_df(
    between: float, shared: float, residual: float, networks: int, images: int
) -> tuple[float, float]:
    """V and df from the mean squares of networks, images and residual."""
    between, extra = max(between, residual), max(shared - residual, 0.0)
    spread = between**2 / (networks - 1)
    if images > 1:
        spread += shared**2 / (images - 1) + residual**2 / ((networks - 1) * (images - 1))
    df = (between + extra) ** 2 / spread if spread > 0 else math.nan
    return (between + extra) / (networks * images), min(df, 2.0 * (networks - 1))


@dataclass(frozen=True)
class Estimate:
    """An estimate whose interval is Student's t on the scale of its range.

    Attributes
    ----------
    value : the estimate; NaN where no network has a value.
    variance : of the estimate, in its own unit. NaN below two networks; 0 where nothing varies
        beyond the rounding of float32 scores, and then there is neither interval nor p: an estimate
        without spread has no test.
    df : degrees of freedom of the variance.
    networks : how many entered.
    bounds : range of the quantity, on whose scale the interval is computed.
    """

    value: float
    variance: float
    df: float
    networks: int
    bounds: Range = UNBOUNDED

    @property
    def has_test(self) -> bool:
        """Whether there is an interval."""
        return self.variance > 0

    def interval(self, confidence: float) -> tuple[float, float]:
        """Low and high at a confidence in (0, 1), within the bounds; NaN if none."""
        if not self.has_test:
            return math.nan, math.nan
        from scipy import special  # late: it takes a second to import

        centre, error = self._on_scale()
        reach = float(special.stdtrit(self.df, 0.5 + confidence / 2.0)) * error
        return self.bounds.from_scale(centre - reach), self.bounds.from_scale(centre + reach)

    def p(self, value: float) -> float:
        """Two-sided p against `value`: 1 - the confidence whose interval ends there.

        NaN without an interval. A value beyond the range is taken for its end, whose p is 0.
        """
        if not self.has_test or math.isnan(value):
            return math.nan
        from scipy import special  # late: it takes a second to import

        centre, error = self._on_scale()
        far = abs(self.bounds.to_scale(value) - centre) / error
        return 2.0 * float(special.stdtr(self.df, -far))

    def _on_scale(self) -> tuple[float, float]:
        """The estimate on its scale, and its standard error there."""
        low, high = self.bounds
        # a bias-corrected estimate may lie beyond the range
        value = float(np.clip(self.value, low + NEAR_ONE, high - NEAR_ONE))
        error = math.sqrt(self.variance)
        return self.bounds.to_scale(value), self.bounds.error_on_scale(value, error)


@dataclass(frozen=True)
class Crossed(Estimate):
    """An estimate over crossed networks and images.

    Attributes
    ----------
    images : how many entered; 1 for a quantity of the network as a whole.
    components : the variances behind the estimate's; a negative one is 0.
    """

    images: int = 1
    components: Components = _UNKNOWN

    def standard_errors(self) -> Components:
        """The parts of the standard error; their squares sum to the variance."""
        count = (self.networks, self.images, self.networks * self.images)
        parts = zip(self.components, count, strict=True)
        return Components(*(math.sqrt(part / max(n, 1)) for part, n in parts))

    def at(self, networks: int, images: int) -> "Crossed":
        """What the same estimate and components would give with other numbers of both."""
        variance, df = self.components.at(networks, images)
        return replace(self, variance=variance, df=df, networks=networks, images=images)


@dataclass(frozen=True)
class NetworkShare(Estimate):
    """The share of networks that say yes, with an exact interval.

    Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404. The p against a share is twice that of the
    smaller side, so that it belongs to the interval. `images` is 1: it is of whole networks.
    """

    images: ClassVar[int] = 1

    @classmethod
    def of(cls, answers: ArrayLike) -> "NetworkShare":
        """From one 1 or 0 a network, [S]; NaN is left out."""
        found = np.asarray(answers, dtype=np.float64)
        found = found[np.isfinite(found)]
        value = float(found.mean()) if found.size else math.nan
        return cls(value, value * (1.0 - value) / max(found.size, 1), math.nan, found.size, SHARE)

    @property
    def has_test(self) -> bool:
        """See `Estimate`."""
        return self.networks > 0

    def interval(self, confidence: float) -> tuple[float, float]:
        """See `Estimate`."""
        if not self.has_test:
            return math.nan, math.nan
        from scipy import special  # late: it takes a second to import

        tail, yes = 0.5 - confidence / 2.0, self.value * self.networks
        no = self.networks - yes
        low = float(special.betaincinv(yes, no + 1, tail)) if yes else 0.0
        return low, float(special.betaincinv(yes + 1, no, 1.0 - tail)) if no else 1.0

    def p(self, value: float) -> float:
        """See `Estimate`."""
        if not self.has_test or math.isnan(value):
            return math.nan
        from scipy import special  # late: it takes a second to import

        yes = round(self.value * self.networks)
        at_most = float(special.bdtr(yes, self.networks, value))
        at_least = float(special.bdtrc(yes - 1, self.networks, value)) if yes else 1.0
        return min(1.0, 2.0 * min(at_most, at_least))

    def at(self, networks: int, images: int) -> "NetworkShare":
        """As many networks that say yes as often; `images` says nothing.

        The share is kept, and not brought to whole networks, with which it would jump: the interval
        between whole numbers is that of the beta distributions there.
        """
        return replace(self, networks=networks)


def crossed(values: ArrayLike, bounds: Range = UNBOUNDED) -> Crossed:
    """The mean over networks and images, for new networks *and* new images.

    With the mean squares MS_S of networks, MS_I of images and MS_E of the residual, MS_S* =
    max(MS_S, MS_E) and A = max(MS_I - MS_E, 0),

        V  = (MS_S* + A) / (S N)
        df = (MS_S* + A)² / (MS_S*²/(S-1) + MS_I²/(N-1) + MS_E²/((S-1)(N-1))), at most 2(S-1).

    Parameters
    ----------
    values : float64 [S, N], NaN where an image is not defined in a network. [S, 1] is a quantity of
        the network as a whole: Student t over networks. A network or image without any defined
        value is left out, as is, where some values are undefined, a network with a single one.
    bounds : as in `Estimate`.

    A network's mean is over its own defined images, as in all tables. Images that are defined in
    every network would be easier ones, the more so the more networks there are, and the estimate
    would be about something else with each new network. So undefined cells are filled with
    `jackknife` pseudo-values of a network's mean, which leave it unchanged: a network's mean is a
    ratio of sums, in which an image counts with its value and with whether it has one.
    """
    matrix = np.asarray(values, dtype=np.float64)
    defined = np.isfinite(matrix)
    matrix = matrix[defined.any(axis=1)][:, defined.any(axis=0)]
    if not np.isfinite(matrix).all():
        matrix = jackknife(lambda means: means[..., 0], matrix[..., np.newaxis])
        matrix = matrix[np.isfinite(matrix).all(axis=1)]
    networks, images = matrix.shape
    if networks < 2:
        mean = float(matrix.mean()) if networks else math.nan
        return Crossed(mean, math.nan, math.nan, networks, bounds, images)
    between, shared, residual = _mean_squares(matrix)
    variance, df = _variance_and_df(between, shared, residual, networks, images)
    parts = (max(between - residual, 0.0) / images, max(shared - residual, 0.0) / networks)
    components = Components(*parts, residual)
    return Crossed(float(matrix.mean()), variance, df, networks, bounds, images, components)


def _mean_squares(matrix: Matrix) -> tuple[float, float, float]:
    """Mean squares of networks, images and residual; with one image only the first."""
    networks, images = matrix.shape
    if is_constant(matrix):
        return 0.0, 0.0, 0.0
    rows, columns = matrix.mean(axis=1), matrix.mean(axis=0)
    between = float(images * rows.var(ddof=1))
    if images == 1:
        return between, 0.0, 0.0
    left = matrix - rows[:, np.newaxis] - columns + matrix.mean()
    residual = float((left**2).sum() / ((networks - 1) * (images - 1)))
    return between, float(networks * columns.var(ddof=1)), residual


def jackknife(statistic: Callable[[Matrix], Matrix], data: ArrayLike) -> Matrix:
    """Pseudo-values of a statistic of means over images, for `crossed`: float64 [S, N].

    N T - (N - 1) T(-i), T being the statistic of a network and T(-i) the same without image i
    (Tukey 1958; Efron & Tibshirani 1993, chapter 11). Leaving out networks adds nothing, since the
    estimate is a mean over them. The pseudo-values of a mean are the values themselves. The mean of
    others is free of the bias of order 1/N by which the noise of images weakens a correlation.

    Parameters
    ----------
    statistic : a smooth function of means [..., K], over the last axis: a correlation over levels,
        the area under a curve, a ratio. One that jumps, as the level of a peak does, has no
        jackknife; give `crossed` its values [S, 1].
    data : float64 [S, N, K], of each image what the statistic takes the means of; what is not
        finite is left out of its mean.

    Returns
    -------
    NaN where the statistic is undefined, with all images or without one.
    """
    array = np.asarray(data, dtype=np.float64)
    defined = np.isfinite(array)
    array = np.where(defined, array, 0.0)
    sums, counts = array.sum(axis=1, keepdims=True), defined.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = statistic(sums / counts)
        without = statistic((sums - array) / (counts - defined))
    images = array.shape[1]
    return np.asarray(images * whole - (images - 1) * without)


def pool(estimates: Sequence[Estimate]) -> Estimate:
    """One estimate from those of independent data sets, whose own effects differ.

    Random effects with the variance between data sets of Paule & Mandel (1982,
    doi:10.6028/jres.087.022) and the interval of Hartung and Knapp (2001, doi:10.1002/sim.791)
    and of Sidik and Jonkman (2002, doi:10.1002/sim.1262). Its variance is not let fall below that
    of the ordinary random effects, as it would for data sets that agree by chance (Röver et al.
    2015, doi:10.1186/s12874-015-0091-1).

    Estimates without a variance are left out. With fewer than two the variance is NaN.
    """
    entered = [one for one in estimates if one.variance > 0]
    networks = sum(one.networks for one in entered)
    if len(entered) < 2:
        value = entered[0].value if entered else math.nan
        return Estimate(value, math.nan, math.nan, networks)
    from statsmodels.stats import meta_analysis  # late: it takes a second to import

    found = meta_analysis.combine_effects(
        np.array([one.value for one in entered]),
        np.array([one.variance for one in entered]),
        method_re="iterated",
    )
    variance = max(found.sd_eff_w_re**2, found.sd_eff_w_re_hksj**2)
    value, df = float(found.mean_effect_re), float(len(entered) - 1)
    return Estimate(value, float(variance), df, networks, entered[0].bounds)
