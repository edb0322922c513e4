"""Agreement against scipy and scikit-image, image by image, and top-k against plain sets."""

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.metrics import structural_similarity

from sparsight.metrics.agreement import spearman, ssim, top_k_iou
from sparsight.metrics.preparation import prepare


def pair(seed, shape, zeros):
    """Two batches that have something in common; the share `zeros` of each is 0.

    To four decimals: what is equal up to rounding, which only a library tells apart, is equal.
    """
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=shape)
    found = []
    for _ in range(2):
        values = (shared + generator.normal(size=shape)).round(4)
        values[generator.random(shape) < zeros] = 0
        found.append(torch.from_numpy(values.astype(np.float32)))
    return found


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("shape", [(8, 11, 11), (8, 28, 28), (3, 5, 7)])
def test_spearman_is_that_of_scipy(zeros, shape):
    first, second = pair(1, shape, zeros)
    values = spearman(first, second)
    for row, value in enumerate(values.tolist()):
        a, b = first[row].numpy().ravel(), second[row].numpy().ravel()
        if np.ptp(a) == 0 or np.ptp(b) == 0:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-6)


@pytest.mark.parametrize("size", [(28, 28), (7, 7), (9, 30)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_ssim_is_that_of_scikit_image(size, scale):
    first, second = (
        prepare(raw * scale, size, "bilinear", "signed", "min_max")
        for raw in pair(2, (6, 5, 5), 0.3)
    )
    values = ssim(first, second)
    for row in range(len(values)):
        a, b = (maps[row].numpy().astype(np.float64) for maps in (first, second))
        expected = structural_similarity(
            a, b, win_size=7, data_range=1, gaussian_weights=False, use_sample_covariance=True
        )
        assert values[row].item() == pytest.approx(expected, abs=1e-6)


def test_ssim_of_nearly_flat_maps_is_that_of_scikit_image():
    """One bright pixel in a flat map: variances are tiny differences of means near 1."""
    generator = torch.Generator().manual_seed(0)
    first, second = (1 - 1e-4 * torch.rand((2, 20, 20), generator=generator) for _ in range(2))
    first[:, 0, 0], second[:, 19, 19] = 0, 0
    for row, value in enumerate(ssim(first, second).tolist()):
        a, b = (maps[row].numpy().astype(np.float64) for maps in (first, second))
        assert value == pytest.approx(structural_similarity(a, b, data_range=1), abs=1e-6)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_top_k_iou_of_maps_without_ties_is_that_of_sets(share):
    first, second = pair(3, (5, 12, 12), 0.0)
    count = max(1, round(share * 144))
    for row, value in enumerate(top_k_iou(first, second, share).tolist()):
        a, b = (set(maps[row].numpy().ravel().argsort()[-count:]) for maps in (first, second))
        assert value == pytest.approx(len(a & b) / len(a | b), abs=1e-6)
