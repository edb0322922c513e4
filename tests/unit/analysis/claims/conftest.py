"""Networks whose means are written by hand."""

import numpy as np
import pytest

from sparsight.analysis.claims.images import ImageCurve
from sparsight.io.errors import InputError

ACCURACY = ("", "accuracy", "all")
CLAIM = {
    **{"name": "a", "claim": "It is so.", "dataset": "digits", "model": "cnn"},
    **{"pruner": "magnitude", "condition": "noisy", "explainer": "cam", "metric": "iou"},
}


class HandMade:
    """Stands for `StudyImages`: means [seeds, levels] of each pruner by explainer, metric, subset.

    Of N images, image i lies `spread` x d_i from every mean, where d is evenly spaced from -1 to 1:
    all networks and levels move together. One image is the mean itself. `empty` is a share
    by level, or by pruner and level.
    """

    def __init__(self, means, *, pruner="magnitude", density=None, levels=None, **images):
        self.parts = {pruner: (means, density, levels)}
        self.spread, self.images = images.get("spread", 0.0), images.get("images", 1)
        self.empty = images.get("empty", {})

    def joined(self, other):
        """The same with the networks of another pruner."""
        self.parts |= other.parts
        return self

    def seeds(self, of):
        if of.pruner not in self.parts:
            return []
        means, _, _ = self.parts[of.pruner]
        return list(range(1, len(next(iter(means.values()))) + 1))

    def image_ids(self, of):
        return np.arange(self.images)

    def accuracy(self, of):
        return self.curve(of, *ACCURACY)

    def curve(self, of, explainer, metric, subset):
        means, density, levels = self.parts[of.pruner]
        if (explainer, metric, subset) not in means or of.condition != "noisy":
            raise InputError(f"there are no scores of {explainer} by {metric} ({of.condition})")
        mean = np.asarray(means[explainer, metric, subset], dtype=np.float64)
        levels = np.arange(mean.shape[1]) if levels is None else np.array(levels)
        left = np.broadcast_to(0.5**levels if density is None else density, mean.shape)
        counted = np.full(mean.shape, self.images)
        if self.images == 1:
            without = np.full((*mean.shape, 1), np.nan)
        else:
            away = self.spread * np.linspace(-1.0, 1.0, self.images)
            without = mean[:, :, np.newaxis] - away / (self.images - 1)
        everything = np.ones(self.images, dtype=np.bool_)
        seeds = tuple(self.seeds(of))
        return ImageCurve(seeds, levels, mean, left, without, counted, scored=everything)

    def empty_share(self, of, explainer, metric, levels):
        shares = {level: self.empty.get(level, 0.0) for level in levels}
        shares |= {level: self.empty.get((of.pruner, level), shares[level]) for level in shares}
        return max(shares.values(), default=np.nan)

    def dense_and_majority(self, of):
        return 0.9, 0.1


@pytest.fixture
def claim():
    """Function from a test and its keys to a claim."""
    return lambda test, **keys: {**CLAIM, "test": test, **keys}


@pytest.fixture
def curves():
    """Function from (explainer, metric, subset) -> means [seeds, levels] to the networks.

    Levels are halved from one to the next.
    """
    return HandMade
