"""Coverage of 95% intervals where the truth is known, and of naive ones beside them."""

import numpy as np
import pytest

from sparsight.analysis.correlate import drawn_coefficients
from sparsight.analysis.statistics import (
    CORRELATION,
    correlation_interval,
    draw_counts,
    one_sample_t,
    pearson,
    percentile_interval,
    replicate_means,
)

# What differs between trainings (science: sd .01), and between images of one network.
NETWORK, IMAGE = 0.01, 0.05
EFFECT = -0.02


def differences(rng, seeds: int, images: int, shared: float) -> tuple[np.ndarray, float]:
    """A level minus dense [seeds, images], and what the level does to these very images.

    `shared` is the sd over images of what a level does to an image in *every* network.
    """
    image = shared * rng.standard_normal(images)
    network = NETWORK * rng.standard_normal((seeds, 1))
    own = IMAGE * rng.standard_normal((seeds, images))
    return EFFECT + image + network + own, EFFECT + float(image.mean())


def covers(interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize("seeds", [3, 5])
def test_t_over_networks(simulated, seeds):
    rng = np.random.default_rng(seeds)
    over_networks, pooled = [], []
    for _ in range(2000):
        values, _ = differences(rng, seeds, 1000, shared=0.0)
        over_networks.append(covers(one_sample_t(values.mean(axis=1)), EFFECT))
        pooled.append(covers(one_sample_t(values.ravel()), EFFECT))
    simulated.nominal(f"coverage, level - dense: t over {seeds} networks", over_networks, 0.95)
    simulated.between(
        f"coverage, level - dense: naive, {seeds} x 1000 images pooled", pooled, 0.1, 0.4
    )


def test_t_over_networks_speaks_of_these_images(simulated):
    """Networks share the test images: their error does not show in the spread of networks."""
    rng = np.random.default_rng(0)
    these, all_images = [], []
    for _ in range(2000):
        values, truth = differences(rng, 5, 100, shared=0.2)
        interval = one_sample_t(values.mean(axis=1))
        these.append(covers(interval, truth))
        all_images.append(covers(interval, EFFECT))
    simulated.nominal("coverage, t over 5 networks, 100 images, truth on these images", these, 0.95)
    simulated.between(
        "coverage, t over 5 networks, 100 images, truth on all images", all_images, 0.3, 0.6
    )


def cell_means(counts: np.ndarray, values: np.ndarray, shifts: range) -> np.ndarray:
    """Replicates [B, 3, 2] of values [images, 3 seeds, 2 levels].

    `shifts` 0 for all gives every cell the same draw. Otherwise each cell gets a draw of its own:
    rows of `counts` are independent, so rolling them by a different number is drawing anew.
    """
    columns = values.reshape(len(values), -1)
    means = [
        replicate_means(np.roll(counts, shift, axis=0), columns[:, [cell]])
        for cell, shift in enumerate(shifts)
    ]
    return np.concatenate(means, axis=1).reshape(len(counts), 3, 2)


def test_crossed_bootstrap_of_images(simulated):
    rng = np.random.default_rng(1)
    # three networks at two levels, fixed: what an interval "for these networks" is about
    network = 0.3 + NETWORK * rng.standard_normal((3, 2))
    truth = {"level - dense": (network[:, 1] - network[:, 0]).mean(), "level": network[:, 1].mean()}
    hits: dict[tuple[str, str], list[bool]] = {}
    widths: dict[tuple[str, str], list[float]] = {}
    for trial in range(1000):
        image = 0.15 * rng.standard_normal((150, 1, 1))  # shared by networks and levels
        level = 0.05 * rng.standard_normal((150, 1, 2))  # shared by networks
        own = 0.05 * rng.standard_normal((150, 3, 2))
        values = (network + image + level + own).astype(np.float32)
        counts = draw_counts(np.arange(150), 400, trial)
        for draw, shifts in (("one draw", [0] * 6), ("a draw per cell", range(6))):
            cells = cell_means(counts, values, shifts)
            found = {
                "level - dense": (cells[..., 1] - cells[..., 0]).mean(axis=1),
                "level": cells[..., 1].mean(axis=1),
            }
            for what, replicates in found.items():
                low, high = percentile_interval(replicates)
                hits.setdefault((what, draw), []).append(bool(low <= truth[what] <= high))
                widths.setdefault((what, draw), []).append(float(high - low))
    for what in truth:
        name = f"coverage, {what}, these networks: "
        simulated.nominal(f"{name}crossed bootstrap", hits[what, "one draw"], 0.95)
        ratio = np.mean(widths[what, "a draw per cell"]) / np.mean(widths[what, "one draw"])
        bounds = (0.98, 1.0) if what == "level - dense" else (0.55, 0.85)
        simulated.between(
            f"{name}naive, a draw per cell ({ratio:.2f} x as wide)",
            hits[what, "a draw per cell"],
            *bounds,
        )


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_mean_correlation_over_networks(simulated, seeds):
    """Fisher's scale keeps limits in [-1, 1], and covers better than t where r is near 1."""
    rng = np.random.default_rng(seeds)
    r = np.tanh(rng.normal(1.0, 0.5, (2000, seeds)))
    truth = float(np.tanh(rng.normal(1.0, 0.5, 10**6)).mean())
    plain = [one_sample_t(row) for row in r]
    bounded = [one_sample_t(row, bounds=CORRELATION) for row in r]
    covered = [covers(interval, truth) for interval in bounded]
    simulated.between(
        f"coverage, mean r of {seeds} networks: Fisher's scale", covered, 0.89, 0.97, "short"
    )
    plainly = [covers(interval, truth) for interval in plain]
    simulated.between(f"coverage, mean r of {seeds} networks: t", plainly, 0.85, 0.95)
    assert all(-1 <= one.low <= one.high <= 1 for one in bounded)


def test_interval_of_a_correlation_over_levels(simulated):
    """Image noise weakens a correlation, and resampling adds it a second time."""
    level = np.arange(26)
    collapse = 1 / (1 + np.exp(-(level - 20) / 1.5))
    for what, fall, reflected, percentile in (
        ("accuracy falls by 50 points, metric by .1", 1.0, (0.8, 1.0), (0.75, 1.0)),
        ("accuracy falls by 3 points, metric by .006", 0.06, (0.3, 0.7), (0.0, 0.1)),
    ):
        rng = np.random.default_rng(2)
        accuracy = 0.95 - 0.5 * fall * collapse
        metric = 0.2 - 0.1 * fall * (collapse + 0.3 * np.sin(level))
        truth = pearson(accuracy, metric)
        hits = {"reflected": [], "percentile": []}
        for trial in range(200):
            correct = rng.random((1000, 1)) < accuracy
            flipped = rng.random((1000, 26)) < 0.02
            score = metric + 0.1 * rng.standard_normal((1000, 1))
            score = score + 0.05 * rng.standard_normal((1000, 26))
            both = np.concatenate([correct ^ flipped, score], axis=1).astype(np.float32)
            means = replicate_means(draw_counts(np.arange(1000), 150, trial), both)
            r = drawn_coefficients(means.T[26:], means.T[:26])["pearson"]
            estimate = pearson(both[:, :26].mean(0), both[:, 26:].mean(0))
            low, high = correlation_interval(r, estimate)
            hits["reflected"].append(low <= truth <= high)
            low, high = percentile_interval(r)
            hits["percentile"].append(bool(low <= truth <= high))
        name = f"coverage, r for these networks, {what}: "
        simulated.between(f"{name}reflected", hits["reflected"], *reflected, "short")
        simulated.between(f"{name}naive, percentile", hits["percentile"], *percentile, "short")
