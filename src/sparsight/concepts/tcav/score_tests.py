"""Are a concept's TCAV scores other than those of random concepts?"""

import math
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Shares of images are the same up to rounding, or differ by an image at least.
NO_SPREAD = 1e-12


class ScoreTest(NamedTuple):
    """Arrays float64 [C, K] for C classes and K concepts; NaN for classes without images.

    `p` two-sided, `adjusted` for the K concepts of a class, `effect` in standard deviations
    between draws (Cohen's d), positive where the concept's scores are above those of random ones,
    NaN where neither varies between draws.
    """

    p: Array
    adjusted: Array
    effect: Array


def against_random(scores: Array, random: Array) -> ScoreTest:
    """Welch's two-sided t test of each concept's scores against those of random concepts.

    The draws share the images of one bank, so p speaks of the choice of images from it, not of
    other banks or other networks.

    Where neither group varies between draws there is no t, and p is that of the exact permutation
    test of the means: twice the share of assignments of the R + R' scores to groups that part them
    as these do, 2 R! R'! / (R + R')!, at most 1; 1 where all scores are the same.

    Parameters
    ----------
    scores : [R, C, K], TCAV scores of R draws.
    random : [R', C], those of random concepts.

    Reference
    ---------
    Kim et al. 2018 (arXiv:1711.11279) section 3.5; Welch 1947 (doi:10.1093/biomet/34.1-2.28);
    Benjamini & Hochberg 1995 (doi:10.1111/j.2517-6161.1995.tb02031.x).
    """
    from scipy import stats  # late: it takes a second to import

    other = random[:, :, np.newaxis]
    spread = scores.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)
    varies, there = spread > NO_SPREAD, ~np.isnan(spread)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # of groups without spread, whose results are not used
        warnings.simplefilter("ignore", RuntimeWarning)
        p = np.asarray(stats.ttest_ind(scores, other, axis=0, equal_var=False).pvalue)
        difference = scores.mean(axis=0) - other.mean(axis=0)
        effect = np.where(varies, difference / np.sqrt(spread / 2), np.nan)
    parted = min(1.0, 2 / math.comb(len(scores) + len(random), len(scores)))
    constant = np.where(np.abs(difference) > NO_SPREAD, parted, 1.0)
    p = np.where(varies, p, np.where(there, constant, np.nan))
    adjusted = np.full_like(p, np.nan)
    for row, values in enumerate(p):
        tested = ~np.isnan(values)
        if tested.any():
            adjusted[row, tested] = stats.false_discovery_control(values[tested])
    return ScoreTest(p, adjusted, effect)
