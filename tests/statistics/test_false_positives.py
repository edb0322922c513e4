"""How often tests find at the 5% level what is not there."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import signal, stats

from sparsight.analysis.statistics import (
    first_difference,
    naive_p,
    one_sample_t,
    pearson,
    rank_partial,
    spearman,
)

LEVELS = 26
DENSITY = 0.8 ** np.arange(LEVELS)
Pairs = Iterator[tuple[np.ndarray, np.ndarray]]


def test_level_against_dense_where_it_does_nothing(simulated):
    rng = np.random.default_rng(0)
    wilcoxon = []
    for _ in range(1000):
        network = 0.01 * rng.standard_normal((3, 1))
        values = network + 0.05 * rng.standard_normal((3, 1000))
        wilcoxon.append(stats.wilcoxon(values.ravel()).pvalue < 0.05)
    simulated.between("false +, naive: Wilcoxon over 3 x 1000 images", wilcoxon, 0.65, 0.85)
    for seeds in (3, 5):
        hits = []
        for _ in range(3000):
            network = 0.01 * rng.standard_normal(seeds)
            # the mean over 1000 images of sd .05
            error = 0.05 / np.sqrt(1000) * rng.standard_normal(seeds)
            hits.append(one_sample_t(network + error).p < 0.05)
        simulated.nominal(f"false +, paired t over {seeds} networks", hits, 0.05)


def autoregressive(rng: np.random.Generator, count: int) -> np.ndarray:
    """AR(.7) [count, levels], stationary."""
    noise = rng.standard_normal((count, 100 + LEVELS))
    return np.asarray(signal.lfilter([1.0], [1.0, -0.7], noise)[:, 100:])


def walk(rng: np.random.Generator, count: int) -> np.ndarray:
    """Random walks [count, levels]."""
    return rng.standard_normal((count, LEVELS)).cumsum(axis=1)


def pairs(make: Callable[..., np.ndarray], count: int, seed: int) -> Pairs:
    """Independent pairs of series."""
    rng = np.random.default_rng(seed)
    return zip(make(rng, count), make(rng, count), strict=True)


@pytest.mark.parametrize(
    ("name", "make", "low", "high"),
    [("AR(.7)", autoregressive, 0.15, 0.26), ("random walks", walk, 0.46, 0.6)],
)
def test_naive_p_over_levels(simulated, name, make, low, high):
    hits = [naive_p(x, y) < 0.05 for x, y in pairs(make, 2000, 1)]
    simulated.between(f"false +, naive p of r, independent {name}", hits, low, high)


def test_first_differences_of_random_walks(simulated):
    hits = [naive_p(np.diff(x), np.diff(y)) < 0.05 for x, y in pairs(walk, 2000, 2)]
    simulated.nominal("false +, naive p of r of first differences, random walks", hits, 0.05)


def over_networks(coefficients: list[float], seeds: int) -> list[bool]:
    """Significance of each group of as many networks."""
    groups = np.reshape(coefficients, (-1, seeds))
    return [one_sample_t(group).p < 0.05 for group in groups]


@pytest.mark.parametrize("seeds", [3, 5])
def test_r_per_network_of_autoregressive_series(simulated, seeds):
    r = [pearson(x, y) for x, y in pairs(autoregressive, 1200 * seeds, 3)]
    hits = over_networks(r, seeds)
    simulated.nominal(f"false +, t over {seeds} networks of r, independent AR(.7)", hits, 0.05)


@pytest.mark.parametrize(("seeds", "low", "high"), [(3, 0.05, 0.11), (5, 0.035, 0.1)])
def test_r_per_network_of_random_walks_is_a_little_liberal(simulated, seeds, low, high):
    """r of random walks is spread nearly evenly over [-1, 1], far from normal."""
    r = [pearson(x, y) for x, y in pairs(walk, 2000 * seeds, 4)]
    hits = over_networks(r, seeds)
    what = f"false +, t over {seeds} networks of r, random walks"
    simulated.between(what, hits, low, high, "liberal")


def test_first_difference_per_network(simulated):
    r = [first_difference(x, y) for x, y in pairs(walk, 4500, 5)]
    hits = over_networks(r, 3)
    simulated.nominal("false +, t over 3 networks of first differences, walks", hits, 0.05)


# Two curves that fall with the level for reasons of their own: steadily, or, as accuracy does under
# pruning, at the sparse end only.
SHAPES = {
    "steady fall": -np.arange(LEVELS) / (LEVELS - 1),
    "collapse": -1 / (1 + np.exp(-(np.arange(LEVELS) - 20) / 1.5)),
}
COEFFICIENTS: dict[str, Callable[..., float]] = {
    "r": lambda x, y, same, weak: pearson(x, y),
    "rank partial given density": lambda x, y, same, weak: rank_partial(x, y, DENSITY),
    "first differences": lambda x, y, same, weak: first_difference(x, y),
    "gap to a control that falls as far": lambda x, y, same, weak: pearson(x, y) - pearson(same, y),
    "gap to a control that falls less": lambda x, y, same, weak: pearson(x, y) - pearson(weak, y),
}
NOMINAL = (0.05, 0.05)


@pytest.mark.parametrize(
    ("shape", "coefficient", "low", "high"),
    [
        ("steady fall", "r", 0.95, 1.0),
        ("steady fall", "rank partial given density", *NOMINAL),
        ("steady fall", "first differences", *NOMINAL),
        ("steady fall", "gap to a control that falls as far", *NOMINAL),
        ("steady fall", "gap to a control that falls less", 0.45, 0.8),
        ("collapse", "r", 0.95, 1.0),
        ("collapse", "rank partial given density", 0.25, 0.6),
        ("collapse", "first differences", 0.06, 0.2),
        ("collapse", "gap to a control that falls as far", *NOMINAL),
        ("collapse", "gap to a control that falls less", 0.45, 0.8),
    ],
)
def test_a_trend_that_both_share(simulated, shape, coefficient, low, high):
    """Noise is independent, so nothing but the trend connects the two."""
    trials = 300 if low > 0.2 else 1200
    rng = np.random.default_rng(6)
    fall = SHAPES[shape]
    # metric, accuracy, and the metric of a control, which may fall less far
    series = 0.1 * rng.standard_normal((3 * trials, 4, LEVELS))
    series += np.stack([fall, fall, fall, 0.3 * fall])
    hits = over_networks([COEFFICIENTS[coefficient](*one) for one in series], 3)
    what = f"false +, both {shape}: t over 3 networks of {coefficient}"
    if (low, high) == NOMINAL:
        simulated.nominal(what, hits, 0.05)
    else:
        simulated.between(what, hits, low, high)


def test_spearman_per_network_of_autoregressive_series(simulated):
    r = [spearman(x, y) for x, y in pairs(autoregressive, 3600, 7)]
    hits = over_networks(r, 3)
    simulated.nominal("false +, t over 3 networks of rho, independent AR(.7)", hits, 0.05)
