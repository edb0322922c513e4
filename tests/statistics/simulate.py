"""Values of networks and images, for the simulations of intervals and of verdicts."""

import numpy as np

IMAGES = 60
#: what the variance of a mean is made of: sds by network, by image, and of what is left
SPLITS = {"networks": (1.0, 1.0, 1.0), "images": (0.02, 2.0, 1.0), "residuals": (0.02, 0.2, 2.0)}


def values(rng: np.random.Generator, trials: int, networks: int, split: str) -> np.ndarray:
    """Values [trials, S, N] of mean 0."""
    shapes = ((trials, networks, 1), (trials, 1, IMAGES), (trials, networks, IMAGES))
    parts = zip(SPLITS[split], shapes, strict=True)
    return np.asarray(sum(sd * rng.standard_normal(shape) for sd, shape in parts))
