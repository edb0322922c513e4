"""Coverage of 95% intervals over networks and images, next to Student t over networks."""

import numpy as np
import pytest

from sparsight.analysis.correlate import drawn_coefficients
from sparsight.analysis.crossed import Estimate, NetworkShare, crossed, jackknife, pool
from sparsight.analysis.statistics import CORRELATION, one_sample_t
from tests.statistics.simulate import IMAGES, SPLITS, values

TRIALS = 2000


def covers(interval: tuple[float, float], truth: float) -> bool:
    low, high = interval
    return bool(low <= truth <= high)


def of_t(networks: np.ndarray) -> tuple[float, float]:
    """The interval over one value a network, its images held fixed."""
    found = one_sample_t(networks)
    return found.low, found.high


# what t over networks covers where images dominate: 65%, 43%, 27% and 19%
SHORT = {3: (0.57, 0.73), 5: (0.35, 0.52), 10: (0.19, 0.36), 20: (0.12, 0.27)}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("networks", SHORT)
def test_new_networks_and_new_images(simulated, networks, split):
    rng = np.random.default_rng(networks)
    drawn = values(rng, TRIALS, networks, split)
    both = [covers(crossed(one).interval(0.95), 0.0) for one in drawn]
    what = f"coverage, {split} dominate, {networks} networks x {IMAGES} images: "
    simulated.between(f"{what}crossed", both, 0.9, 1.0, "93.4% at least")
    low, high = SHORT[networks] if split == "images" else (0.87, 0.98)
    over_networks = [covers(of_t(one.mean(axis=1)), 0.0) for one in drawn]
    simulated.between(f"{what}t over networks", over_networks, low, high, "fixed images")


def test_images_that_only_some_networks_define(simulated):
    """An image of effect a, normal, is defined with probability Φ(a), in each network anew.

    The mean over defined images is E[aΦ(a)] / ½ = 1 / √π. Over those that are defined in five
    networks it is the mean of the largest of six normal numbers, 1.267.
    """
    from scipy import special

    rng = np.random.default_rng(0)
    found, complete = [], []
    for _ in range(TRIALS):
        effect = rng.standard_normal(200)
        drawn = effect + 0.2 * rng.standard_normal((5, 1)) + 0.5 * rng.standard_normal((5, 200))
        drawn[rng.random((5, 200)) > special.ndtr(effect)] = np.nan
        found.append(covers(crossed(drawn).interval(0.95), np.pi**-0.5))
        everywhere = drawn[:, np.isfinite(drawn).all(axis=0)]
        complete.append(covers(crossed(everywhere).interval(0.95), np.pi**-0.5))
    what = "coverage, half of the cells undefined, hard images rather: "
    simulated.between(f"{what}crossed", found, 0.915, 1.0, "about 95% or more")
    simulated.between(f"{what}naive, complete images", complete, 0.0, 0.1)


LEVELS = 12


def correlation(means: np.ndarray) -> np.ndarray:
    """Pearson r over the levels of two curves that follow each other: [..., 2 L] -> [...]."""
    curves = np.moveaxis(means, -1, 0)
    flat = curves.reshape(2 * LEVELS, -1)
    return drawn_coefficients(flat[:LEVELS], flat[LEVELS:])["pearson"].reshape(curves.shape[1:])


@pytest.mark.parametrize(
    ("points", "both", "over_networks"),
    [(15, (0.87, 1.0), (0.8, 0.97)), (3, (0.6, 0.9), (0.0, 0.25))],
)
def test_a_correlation_over_levels(simulated, points, both, over_networks):
    """The noise of images weakens a correlation; the jackknife takes most of that back."""
    rng = np.random.default_rng(1)
    level = np.arange(LEVELS)
    fall = points / 50 / (1 + np.exp(-(level - 9) / 1.5))
    accuracy, size = 0.95 - 0.5 * fall, points / 50

    def curves(networks: int) -> np.ndarray:
        wobble = 0.03 * size * rng.standard_normal((networks, LEVELS))
        return 0.2 - 0.1 * fall - 0.03 * size * np.sin(level) + wobble

    exact = curves(20_000)
    truth = correlation(np.hstack([np.broadcast_to(accuracy, exact.shape), exact])).mean()
    hits, naive = [], []
    for _ in range(300):
        correct = (rng.random((1, 200, 1)) < accuracy) ^ (rng.random((10, 200, LEVELS)) < 0.02)
        score = curves(10)[:, np.newaxis] + 0.1 * rng.standard_normal((1, 200, 1))
        score = score + 0.05 * rng.standard_normal((10, 200, LEVELS))
        data = np.concatenate([correct, score], axis=-1)
        found = crossed(jackknife(correlation, data), CORRELATION)
        hits.append(covers(found.interval(0.95), truth))
        naive.append(covers(of_t(correlation(data.mean(axis=1))), truth))
    what = f"coverage, r over levels, 10 networks x 200 images, fall of {points} points: "
    simulated.between(f"{what}jackknife", hits, *both, "about 95%" if points > 3 else "short")
    simulated.between(f"{what}t over networks", naive, *over_networks, "short")


@pytest.mark.parametrize(
    ("centre", "sd", "delta", "first"),
    [(0.5, 0.5, (0.92, 0.97), (0.88, 0.95)), (0.98, 0.6, (0.83, 0.92), (0.58, 0.74))],
)
def test_a_mean_of_correlations(simulated, centre, sd, delta, first):
    """Ten networks, whose artanh r is normal: the interval of the mean of r, on Fisher's bounds."""
    rng = np.random.default_rng(2)
    truth = np.tanh(np.arctanh(centre) + sd * rng.standard_normal(1_000_000)).mean()
    hits, transformed = [], []
    for z in np.arctanh(centre) + sd * rng.standard_normal((TRIALS, 10)):
        low, high = crossed(np.tanh(z)[:, np.newaxis], CORRELATION).interval(0.95)
        assert -1 <= low <= high <= 1
        hits.append(covers((low, high), truth))
        transformed.append(covers(of_t(z), np.arctanh(truth)))
    what = f"coverage, mean r of 10 networks, sd {sd} of artanh round {centre}: "
    simulated.between(f"{what}delta method", hits, *delta, "about 95%" if sd < 0.6 else "short")
    simulated.between(f"{what}transformed first", transformed, *first, "short")


@pytest.mark.parametrize("networks", [4, 10, 20])
def test_a_share_of_networks(simulated, networks):
    """The exact interval, next to that of the normal approximation."""
    rng = np.random.default_rng(networks)
    for share in (0.5, 0.9):
        drawn = rng.random((TRIALS, networks)) < share
        exact = [covers(NetworkShare.of(one).interval(0.95), share) for one in drawn]
        what = f"coverage, share of {networks} networks, {share}: "
        simulated.between(f"{what}exact", exact, 0.92, 1.0, "95% at least")
    means = drawn.mean(axis=1)
    reach = 1.96 * np.sqrt(means * (1 - means) / networks)
    naive = abs(means - share) <= reach
    simulated.between(f"{what}naive, normal", naive, 0.2, 0.93)


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_pooled_over_four_data_sets(simulated, spread):
    """Data sets of four networks each, with errors of .1 to .3 known up to χ² of three degrees."""
    rng = np.random.default_rng(3)
    errors = np.array([0.1, 0.15, 0.2, 0.3])
    hits = []
    for _ in range(TRIALS):
        means = spread * rng.standard_normal(4) + errors * rng.standard_normal(4)
        variances = errors**2 * rng.chisquare(3, 4) / 3
        estimates = [Estimate(*one, 3.0, 4) for one in zip(means, variances, strict=True)]
        hits.append(covers(pool(estimates).interval(0.95), 0.0))
    what = f"coverage, pooled over 4 data sets of 4 networks, sd {spread} between data sets"
    simulated.between(what, hits, 0.89, 1.0, "about 95%")
