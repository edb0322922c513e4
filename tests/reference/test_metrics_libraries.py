"""Metrics against scikit-image, scikit-learn and scipy, on equal inputs."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from skimage.filters import threshold_otsu
from sklearn.metrics import jaccard_score, roc_auc_score

from sparsight.metrics.complexity import entropy
from sparsight.metrics.localisation import otsu_iou, otsu_threshold, pixel_roc_auc
from sparsight.metrics.preparation import prepare

SEEDS = range(4)


def heatmaps_of(seed):
    """Forty heatmaps: rough ones, interpolated ones, and ones with most pixels near or at 0."""
    generator = torch.Generator().manual_seed(seed)
    rough, sparse = torch.rand((2, 10, 28, 28), generator=generator)
    coarse = torch.rand((20, 7, 7), generator=generator)
    coarse[10:] = coarse[10:].pow(3)
    maps = [rough, (sparse - 0.5).clamp_min(0).square(), coarse]
    return torch.cat([prepare(part, (28, 28), "bilinear", "positive", "min_max") for part in maps])


def masks_of(seed):
    generator = torch.Generator().manual_seed(1000 + seed)
    chances = torch.linspace(0.02, 0.98, 40)[:, None, None]
    return torch.rand((40, 28, 28), generator=generator) < chances


@pytest.mark.parametrize("seed", SEEDS)
def test_otsu_threshold_is_that_of_scikit_image(seed):
    heatmaps, masks = heatmaps_of(seed), masks_of(seed)
    thresholds = otsu_threshold(heatmaps.flatten(1))
    values = otsu_iou(heatmaps, masks)
    for row in range(40):
        # In float64, as it sums: its float32 sums decide between bins that are as good as equal.
        heatmap = heatmaps[row].double().numpy()
        expected = threshold_otsu(heatmap, nbins=256)
        assert thresholds[row].item() == expected
        iou = jaccard_score(masks[row].numpy().ravel(), (heatmap > expected).ravel())
        assert values[row].item() == pytest.approx(iou, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("steps", [5, 2**16])
def test_pixel_roc_auc_is_that_of_scikit_learn(seed, steps):
    """On grey levels: many ties, or few, but none by a rounding that counts as one here only."""
    heatmaps, masks = (heatmaps_of(seed) * steps).round() / steps, masks_of(seed)
    values = pixel_roc_auc(heatmaps, masks)
    for row in range(40):
        expected = roc_auc_score(masks[row].numpy().ravel(), heatmaps[row].numpy().ravel())
        assert values[row].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_entropy_is_that_of_scipy(seed):
    heatmaps = heatmaps_of(seed).flatten(1)
    expected = scipy_entropy(heatmaps.double().numpy(), axis=1)
    np.testing.assert_allclose(entropy(heatmaps).numpy(), expected, atol=1e-5, rtol=0)
