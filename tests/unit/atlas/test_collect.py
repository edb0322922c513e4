"""What is gathered over the networks of a study."""

import numpy as np

from sparsight.atlas.collect import checkpoints_of, floor_range

NETWORK = {
    "dataset": "shapes",
    "model": "cnn",
    "seeds": [1, 2],
    "pruners": {"p": 2, "retrain": 2},
}


class _SeedsAsScores:
    """Every network scores 10 × seed + level on the first image and nothing on the second."""

    def table(self, places, score, image_ids):
        assert score == ("clean", "cam", "soft_iou")
        return np.array([[10.0 * place.seed + place.level, np.nan] for place in places])


def test_the_dense_network_comes_before_the_levels_of_pruners():
    places = [(place.pruner, place.level) for place in checkpoints_of(NETWORK, 1)]
    assert places == [("dense", 0), ("p", 1), ("p", 2), ("retrain", 1), ("retrain", 2)]


def test_the_floor_goes_over_retrained_networks_of_all_seeds():
    ids = np.array([5, 6])
    score = ("clean", "cam", "soft_iou")
    low, high = floor_range(_SeedsAsScores(), NETWORK, ["retrain"], score, ids)
    np.testing.assert_array_equal(low, [11.0, np.nan])
    np.testing.assert_array_equal(high, [22.0, np.nan])
