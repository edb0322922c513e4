"""A crossed bootstrap over images: one draw for all networks, levels, pruners and explainers.

The images are what is drawn; the networks stay as they are. Its intervals therefore speak of *these
networks* on other images of the same kind, never of other trainings: those are the business of
`sparsight.analysis.inference`. Every level and network meets the same draw, so what an image does
to all of them cancels in a difference, as it does in the data.

References
----------
Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 13 (percentile interval);
Owen 2007, "The pigeonhole bootstrap" (crossed factors), doi:10.1214/07-AOAS122.
"""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float32]

# Quantiles of the replicates that happen to be defined would be those of a selection. A subset of
# n images vanishes from a draw with probability exp(-n), so below five images there is no interval.
UNDEFINED_SHARE = 0.01


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

    Sound for means and their differences. A correlation over levels is weakened by the noise of
    finite images, and every replicate has that noise twice: where the levels differ by little more
    than the noise, as they do for first differences or above a density floor, its interval lies too
    far towards 0 and may miss the estimate itself (simulated in `tests/statistics`).

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
