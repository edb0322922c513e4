"""Fits of heatmap to mask on cases worked out on paper, and their invariances."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.localisation import (
    AffineIou,
    OtsuIou,
    affine_iou,
    otsu_iou,
    otsu_threshold,
    soft_iou,
)
from sparsight.metrics.preparation import min_max

FITS = [otsu_iou, affine_iou]


def maps_of(*rows):
    return torch.tensor([rows], dtype=torch.float32)


def test_otsu_threshold_on_paper():
    # Four dark and two light pixels. From bin 25 (0.098) to bin 229 the criterion is the same; the
    # first counts, and its centre is 25.5/256.
    row = torch.tensor([[0.0, 0.0, 0.0, 0.098, 0.9, 1.0]])
    assert otsu_threshold(row).item() == 25.5 / 256
    # Of 0, 0.5, 1 either half may hold the middle: 1·2·(0 - .75)² = 2·1·(.25 - 1)²; the first.
    assert otsu_threshold(torch.tensor([[0.0, 0.5, 1.0]])).item() == 0.5 / 256


def test_otsu_iou_on_paper():
    # Above the threshold: 0.9 and 1.0, of which one lies in a mask of three. 1 / (2 + 3 - 1).
    heatmap = maps_of([0.0, 0.0, 0.098], [0.0, 0.9, 1.0])
    mask = maps_of([1, 1, 0], [0, 0, 1]) > 0
    assert otsu_iou(heatmap, mask).item() == pytest.approx(1 / 4)
    assert otsu_iou(mask.float(), mask).item() == 1
    assert otsu_iou(1 - mask.float(), mask).item() == 0


def test_affine_iou_on_paper():
    # Means .5 and .25; Σ(A - .5)(B - .25) = .125 + 0 + 0 + .125, Σ(A - .5)² = 1: a = .25, b = .125.
    # Fitted .125 .125 .375 .375; minima 0 .125 .25 .375, maxima .125 .25 .375 .5.
    heatmap, mask = maps_of([0, 0], [1, 1]), maps_of([0, 0.25], [0.25, 0.5])
    assert affine_iou(heatmap, mask).item() == pytest.approx(0.75 / 1.25)
    assert affine_iou(maps_of([0, 0], [1, 1]), maps_of([0, 0], [0.5, 0.5])).item() == 1


def test_affine_fit_is_clipped():
    # a = 1 and b = 1/6: fitted 1/6, 2/3 and 7/6, which becomes 1. Minima 0 2/3 1, maxima 1/6 1 1.
    heatmap, mask = maps_of([0, 0.5, 1]), maps_of([0, 1, 1])
    assert affine_iou(heatmap, mask).item() == pytest.approx((5 / 3) / (13 / 6))


def test_constant_and_opposed_heatmaps_are_fitted_by_the_mean():
    mask = maps_of([0, 0.25], [0.25, 0.5])
    # All pixels .25: minima 0 .25 .25 .25, maxima .25 .25 .25 .5.
    expected = pytest.approx(0.75 / 1.25)
    for heatmap in (torch.zeros_like(mask), torch.full_like(mask, 0.1), min_max(-mask)):
        assert affine_iou(heatmap, mask).item() == expected
    assert affine_iou(min_max(mask), mask).item() == pytest.approx(1)


def test_otsu_of_a_heatmap_of_zeros_scores_nothing():
    mask = torch.ones(1, 2, 2, dtype=torch.bool)
    assert otsu_iou(torch.zeros(1, 2, 2), mask).item() == 0
    assert otsu_threshold(torch.zeros(1, 4)).item() == 0


@pytest.mark.parametrize("metric", FITS)
def test_empty_mask_and_nan_are_undefined(metric):
    heatmaps = min_max(torch.rand(4, 4, 4))
    heatmaps[1], heatmaps[2, 1, 1] = torch.nan, torch.nan
    masks = torch.ones(4, 4, 4, dtype=torch.bool)
    masks[2, 0], masks[0] = False, False
    values = metric(heatmaps, masks.float() if metric is affine_iou else masks)
    assert values.isnan().tolist() == [True, True, True, False]


@pytest.mark.parametrize("metric", FITS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.integers(1, 6))
def test_invariances(metric, seed, levels):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(0, levels + 1, (5, 4, 6), generator=generator).float()
    heatmaps = min_max(maps)
    masks = torch.rand((5, 4, 6), generator=generator) > 0.6
    masks[:, 0, 0] = True
    masks = masks * 0.8 if metric is affine_iou else masks
    values = metric(heatmaps, masks)
    assert values.dtype == torch.float32
    assert ((values >= 0) & (values <= 1)).all()
    order = torch.randperm(24, generator=generator)
    permuted = (part.flatten(1)[:, order].view(5, 6, 4) for part in (heatmaps, masks))
    torch.testing.assert_close(metric(*permuted), values, atol=1e-6, rtol=0)
    alone = torch.cat([metric(heatmaps[[row]], masks[[row]]) for row in range(5)])
    torch.testing.assert_close(alone, values, atol=1e-6, rtol=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.05, 1), offset=st.floats(0, 1))
def test_mean_and_spread_of_the_heatmap_do_not_matter_to_the_affine_fit(seed, scale, offset):
    generator = torch.Generator().manual_seed(seed)
    heatmaps, masks = torch.rand((2, 5, 4, 6), generator=generator)
    scaled = heatmaps * scale + offset
    torch.testing.assert_close(
        affine_iou(scaled, masks), affine_iou(heatmaps, masks), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("seed", range(5))
def test_affine_fit_is_numpys_least_squares(seed):
    generator = torch.Generator().manual_seed(seed)
    heatmaps = torch.rand((20, 9, 7), generator=generator)
    masks = (heatmaps + torch.rand((20, 9, 7), generator=generator) - 0.7).clamp(0, 1)
    found = affine_iou(heatmaps, masks)
    for row in range(20):
        a, b = (part[row].double().numpy().ravel() for part in (heatmaps, masks))
        slope, offset = np.polyfit(a, b, 1)
        assert slope > 0
        fitted = torch.from_numpy(np.clip(slope * a + offset, 0, 1))[None]
        expected = soft_iou(fitted, torch.from_numpy(b)[None])
        assert found[row].item() == pytest.approx(expected.item(), abs=1e-5)


def test_classes():
    maps = min_max(torch.rand(3, 4, 4))
    images, targets = maps[:, None], torch.zeros(3, dtype=torch.int64)
    soft = torch.rand(3, 4, 4)
    for metric, function, masks in (
        (OtsuIou(), otsu_iou, soft > 0.5),
        (AffineIou(), affine_iou, soft),
    ):
        assert torch.equal(
            metric.score(MapBatch(maps, images, targets, masks)), function(maps, masks)
        )
        with pytest.raises(InputError, match="needs masks"):
            metric.score(MapBatch(maps, images, targets, None))
