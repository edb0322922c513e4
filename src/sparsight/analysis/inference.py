"""Tests with the trained network as unit, and corrections for many of them.

Three networks scored on ten thousand images are three observations of a level, not thirty thousand:
images of one network share its weights. So a test here sees one number per network (seed).

What holds, and what does not, by simulation (`tests/statistics` prints the numbers):

* A level against dense: t over networks has its nominal coverage and error rate. It speaks of other
  trainings, scored on *these test images*: all networks see the same images, so their sampling does
  not show in the spread between networks. With few images and a level that treats images very
  differently, it says little of other images; the bootstrap over images says that, for these
  networks. Images pooled over networks give neither.
* Correlations over levels, one per network: t over networks is nominal where the two series have
  nothing in common and return to their mean, a little liberal (7-8% instead of 5%) for random
  walks. Any trend over levels that the two share makes it significant, whatever its reason.
* The rank-partial correlation given density and the first differences remove a trend that goes on
  steadily with the level. They do *not* remove a collapse at the sparse end that both series have:
  the rank-partial correlation is then significant in some 40% of cases where nothing but the trend
  is shared, first differences in some 10%.
* The gap to a control is nominal where the control follows the trend as closely as the explainer.
  A gap to a control that falls less far, or is noisier, tells only that.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sparsight.analysis.statistics import is_constant, student_interval


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
