"""Localisation metrics on cases worked out on paper, and their invariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.localisation import (
    AreaMatchedIou,
    PointingGame,
    SoftIou,
    area_matched_iou,
    pointing_game,
    soft_iou,
)

METRICS = [soft_iou, area_matched_iou, pointing_game]


def batch_of(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def masks_of(*rows):
    return torch.tensor(rows) > 0


def test_soft_iou_on_paper():
    heatmap = batch_of([[1.0, 0.5], [0.0, 0.25]])
    mask = batch_of([[0.5, 0.5], [0.5, 0.0]])
    # min: .5 + .5 + 0 + 0 = 1;  max: 1 + .5 + .5 + .25 = 2.25
    assert soft_iou(heatmap, mask).item() == pytest.approx(1 / 2.25)


def test_soft_iou_extremes():
    mask = batch_of([[1.0, 0.5], [0.0, 0.25]])
    assert soft_iou(mask, mask).item() == 1
    assert soft_iou(1 - mask.ceil(), mask).item() == 0
    assert soft_iou(torch.zeros_like(mask), mask).item() == 0


def test_area_matched_iou_on_paper():
    # Three highest: 9, 8, 7; the mask holds 9, 8 and 1. Intersection 2, union 4.
    heatmap = batch_of([[9.0, 8.0, 1.0], [7.0, 2.0, 3.0], [0.0, 4.0, 5.0]])
    mask = masks_of([[1, 1, 1], [0, 0, 0], [0, 0, 0]])
    assert area_matched_iou(heatmap, mask).item() == pytest.approx(2 / 4)


def test_area_matched_iou_shares_the_last_places_among_tied_pixels():
    # Area 2: 9 is in; one place is left for three tied pixels, of which one is inside the mask.
    # Intersection 1 + 1/3, union 4 - 4/3.
    heatmap = batch_of([[9.0, 5.0], [5.0, 5.0]])
    mask = masks_of([[1, 1], [0, 0]])
    assert area_matched_iou(heatmap, mask).item() == pytest.approx((4 / 3) / (4 - 4 / 3))


@pytest.mark.parametrize("area", [1, 3, 9])
def test_area_matched_iou_of_a_constant_map_is_chance(area):
    mask = torch.zeros(9, dtype=torch.bool)
    mask[:area] = True
    value = area_matched_iou(torch.full((1, 3, 3), 0.7), mask.view(1, 3, 3)).item()
    assert value == pytest.approx((area / 9) / (2 - area / 9))


def test_area_matched_iou_ignores_rounding_in_a_plateau():
    exact = batch_of([[1.0, 0.6, 0.6], [0.6, 0.6, 0.0], [0.0, 0.0, 0.0]])
    rounded = exact + batch_of([[0.0, 1e-7, 0.0], [-1e-7, 0.0, 0.0], [0.0, 0.0, 0.0]])
    mask = masks_of([[1, 1, 0], [0, 0, 0], [0, 0, 0]])
    # 1 is in; one place for four tied pixels, one of them inside: intersection 5/4.
    assert area_matched_iou(rounded, mask).item() == pytest.approx((5 / 4) / (4 - 5 / 4))
    assert area_matched_iou(exact, mask).item() == pytest.approx((5 / 4) / (4 - 5 / 4))


def test_pointing_game_on_paper():
    heatmap = batch_of([[0.0, 1.0], [3.0, 2.0]], [[0.0, 1.0], [3.0, 2.0]])
    masks = masks_of([[0, 0], [1, 0]], [[1, 1], [0, 1]])
    assert pointing_game(heatmap, masks).tolist() == [1, 0]


def test_pointing_game_gives_tied_maxima_their_share():
    heatmap = batch_of([[3.0, 3.0], [3.0, 0.0]])
    assert pointing_game(heatmap, masks_of([[1, 0], [0, 1]])).item() == pytest.approx(1 / 3)
    rounded = heatmap - batch_of([[2e-7, 0.0], [0.0, 0.0]])
    assert pointing_game(rounded, masks_of([[1, 0], [0, 1]])).item() == pytest.approx(1 / 3)
    constant = torch.full((1, 2, 2), -0.3)
    assert pointing_game(constant, masks_of([[1, 0], [0, 0]])).item() == pytest.approx(1 / 4)


@pytest.mark.parametrize("metric", METRICS)
def test_empty_mask_and_nan_are_undefined(metric):
    heatmaps = torch.rand(4, 4, 4)
    heatmaps[1], heatmaps[2, 1, 1] = torch.nan, torch.nan
    masks = torch.ones(4, 4, 4, dtype=torch.bool)
    masks[2, 0] = False
    masks[0] = False
    values = metric(heatmaps, masks.float() if metric is soft_iou else masks)
    assert values.isnan().tolist() == [True, True, True, False]


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), levels=st.integers(1, 6))
def test_invariances(metric, seed, scale, levels):
    """In [0, 1], whatever the order of pixels, the rest of the batch, and the scale."""
    generator = torch.Generator().manual_seed(seed)
    heatmaps = torch.randint(0, levels + 1, (5, 4, 6), generator=generator) / levels
    masks = torch.rand((5, 4, 6), generator=generator) > 0.6
    masks[:, 0, 0] = True
    masks = masks.float() * 0.8 if metric is soft_iou else masks
    values = metric(heatmaps, masks)
    assert ((values >= 0) & (values <= 1)).all()

    order = torch.randperm(24, generator=generator)
    permuted = metric(
        heatmaps.flatten(1)[:, order].view(5, 6, 4), masks.flatten(1)[:, order].view(5, 6, 4)
    )
    torch.testing.assert_close(permuted, values, atol=1e-6, rtol=0)
    alone = torch.cat([metric(heatmaps[[row]], masks[[row]]) for row in range(5)])
    torch.testing.assert_close(alone, values, atol=1e-6, rtol=0)
    if metric is not soft_iou:
        torch.testing.assert_close(metric(heatmaps * scale, masks), values, atol=1e-6, rtol=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_area_matched_iou_is_the_fractional_set_under_equation_2_8(seed):
    """Each pixel's membership, built pixel by pixel, put into soft IoU."""
    generator = torch.Generator().manual_seed(seed)
    heatmap = torch.randint(0, 4, (1, 3, 4), generator=generator).float()
    mask = torch.rand((1, 3, 4), generator=generator) > 0.5
    mask[0, 1, 1] = True
    values, places = heatmap.flatten().tolist(), int(mask.sum())
    members = []
    for value in values:
        higher = sum(other > value for other in values)
        equal = values.count(value)
        members.append(min(max((places - higher) / equal, 0), 1))
    expected = soft_iou(torch.tensor(members).view(1, 3, 4), mask.float())
    torch.testing.assert_close(area_matched_iou(heatmap, mask), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("metric_class", [SoftIou, AreaMatchedIou, PointingGame])
def test_classes_need_masks(metric_class):
    images = torch.rand(2, 1, 3, 3)
    with pytest.raises(InputError, match="needs masks"):
        metric_class().score(MapBatch(images[:, 0], images, torch.zeros(2), None))


def test_classes_score_like_their_functions():
    images, maps = torch.rand(2, 1, 3, 3), torch.rand(2, 3, 3)
    targets, masks = torch.zeros(2, dtype=torch.int64), torch.rand(2, 3, 3)
    soft = SoftIou().score(MapBatch(maps, images, targets, masks))
    assert torch.equal(soft, soft_iou(maps, masks))
    binary = masks > 0.5
    assert torch.equal(
        PointingGame().score(MapBatch(maps, images, targets, binary)), pointing_game(maps, binary)
    )
    area = AreaMatchedIou().score(MapBatch(maps, images, targets, binary))
    assert torch.equal(area, area_matched_iou(maps, binary))
    assert {soft.dtype, area.dtype} == {torch.float32}
