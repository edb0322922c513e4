"""Relevance accuracies on cases worked out on paper, and their invariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.localisation import (
    area_matched_iou,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from sparsight.metrics.registry import METRICS

BOTH = [relevance_mass_accuracy, relevance_rank_accuracy]
MAP = torch.tensor([[[9.0, 8.0, 1.0], [7.0, 2.0, 3.0], [0.0, 4.0, 6.0]]])
TOP_ROW = torch.tensor([[[1, 1, 1], [0, 0, 0], [0, 0, 0]]]) > 0


def test_on_paper():
    # Inside 9 + 8 + 1 of 40; of the three highest (9, 8, 7) two are inside.
    assert relevance_mass_accuracy(MAP, TOP_ROW).item() == pytest.approx(18 / 40)
    assert relevance_rank_accuracy(MAP, TOP_ROW).item() == pytest.approx(2 / 3)


def test_tied_pixels_share_the_last_places():
    # Area 2: 9 is in; one place for three tied pixels, one of them inside the mask: (1 + 1/3) / 2.
    heatmap = torch.tensor([[[9.0, 5.0], [5.0, 5.0]]])
    rounded = heatmap + torch.tensor([[[0.0, 0.0], [1e-6, -1e-6]]])
    mask = torch.tensor([[[True, True], [False, False]]])
    for values in (heatmap, rounded):
        assert relevance_rank_accuracy(values, mask).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_an_empty_or_constant_map_scores_the_share_of_the_mask(metric, value):
    assert metric(torch.full((1, 3, 3), value), TOP_ROW).item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", BOTH)
def test_extremes(metric):
    assert metric(TOP_ROW.float(), TOP_ROW).item() == 1
    below = torch.tensor([[[0.0, 0, 0], [1, 2, 3], [0, 0, 0]]])
    assert metric(below, TOP_ROW).item() == 0


@pytest.mark.parametrize("metric", BOTH)
def test_undefined(metric):
    maps, masks = torch.rand(4, 3, 3), torch.ones(4, 3, 3, dtype=torch.bool)
    maps[0], maps[1, 0, 0], maps[2] = torch.nan, torch.nan, 0
    masks[3] = False
    assert metric(maps, masks).isnan().tolist() == [True, True, False, True]


def test_mass_of_very_small_and_large_relevances():
    for scale in (1e-37, 1e37):
        assert relevance_mass_accuracy(MAP * scale, TOP_ROW).item() == pytest.approx(18 / 40)


@pytest.mark.parametrize("metric", BOTH)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
def test_invariances(metric, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(1, 6, (5, 4, 6), generator=generator) / 5
    masks = torch.rand((5, 4, 6), generator=generator) > 0.6
    masks[:, 0, 0] = True
    values = metric(maps, masks)
    assert values.dtype == torch.float32
    assert ((values >= 0) & (values <= 1)).all()
    order = torch.randperm(24, generator=generator)
    permuted = (part.flatten(1)[:, order].view(5, 6, 4) for part in (maps, masks))
    torch.testing.assert_close(metric(*permuted), values, atol=1e-6, rtol=0)
    torch.testing.assert_close(metric(maps * scale, masks), values, atol=1e-6, rtol=0)
    alone = torch.cat([metric(maps[[row]], masks[[row]]) for row in range(5)])
    torch.testing.assert_close(alone, values, atol=1e-6, rtol=0)
    if metric is relevance_rank_accuracy:
        iou = area_matched_iou(maps, masks)
        torch.testing.assert_close(2 * iou / (1 + iou), values, atol=1e-6, rtol=0)


@pytest.mark.parametrize("function", BOTH)
def test_classes(function):
    metric = METRICS.load(function.__name__)()
    images, targets = torch.zeros(1, 1, 3, 3), torch.zeros(1, dtype=torch.int64)
    assert torch.equal(
        metric.score(MapBatch(MAP, images, targets, TOP_ROW)), function(MAP, TOP_ROW)
    )
    with pytest.raises(InputError, match="needs masks"):
        metric.score(MapBatch(MAP, images, targets, None))


def test_background_share_is_what_lies_outside():
    # 7 + 2 + 3 + 0 + 4 + 6 of 40.
    metric = METRICS.load("background_share")()
    images, targets = torch.zeros(1, 1, 3, 3), torch.zeros(1, dtype=torch.int64)
    assert metric.score(MapBatch(MAP, images, targets, TOP_ROW)).item() == pytest.approx(22 / 40)
    for value in (0.0, 0.7):
        flat = torch.full((1, 3, 3), value)
        found = metric.score(MapBatch(flat, images, targets, TOP_ROW)).item()
        assert found == pytest.approx(2 / 3)
    assert metric.score(MapBatch(TOP_ROW.float(), images, targets, TOP_ROW)).item() == 0
    undefined = torch.full((1, 3, 3), torch.nan)
    assert metric.score(MapBatch(undefined, images, targets, TOP_ROW)).isnan().all()
    assert metric.score(MapBatch(MAP, images, targets, ~TOP_ROW & TOP_ROW)).isnan().all()
    with pytest.raises(InputError, match="needs masks"):
        metric.score(MapBatch(MAP, images, targets, None))
