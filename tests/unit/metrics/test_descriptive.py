"""Mean and spread of heatmaps, on paper and as the scoring prepares them."""

import pytest
import torch

from sparsight.metrics.base import MapBatch
from sparsight.metrics.complexity import HeatmapMean, HeatmapSpread, heatmap_mean, heatmap_spread
from sparsight.metrics.preparation import prepare

CLASSES = [HeatmapMean, HeatmapSpread]


def score(metric_class, raw):
    """As in a run: treated and normalised as the facts say."""
    metric = metric_class()
    maps = prepare(raw, raw.shape[1:], "none", metric.treatment, metric.normalisation)
    return metric.score(
        MapBatch(maps, raw[:, None], torch.zeros(len(raw), dtype=torch.int64), None)
    )


def test_on_paper():
    # 0 0 .5 1 has the mean .375; squared deviations 9 9 1 25 of 64ths, their mean 11/64.
    heatmap = torch.tensor([[[0.0, 0.0], [0.5, 1.0]]])
    assert heatmap_mean(heatmap).item() == pytest.approx(0.375)
    assert heatmap_spread(heatmap).item() == pytest.approx((11 / 64) ** 0.5)


def test_scale_and_negative_values_do_not_matter():
    raw = torch.tensor([[[-7.0, 0.0], [1.5, 3.0]], [[0.0, -1.0], [2e-9, 4e-9]]])
    assert score(HeatmapMean, raw).tolist() == pytest.approx([0.375, 0.375])
    assert score(HeatmapSpread, raw).tolist() == pytest.approx([(11 / 64) ** 0.5] * 2)


@pytest.mark.parametrize("metric_class", CLASSES)
def test_constant_and_nan(metric_class):
    raw = torch.full((3, 4, 4), 0.3)
    raw[1, 0, 0], raw[2] = torch.nan, -1
    values = score(metric_class, raw)
    assert values.isnan().tolist() == [False, True, False]
    assert values[0] == values[2] == 0


@pytest.mark.parametrize("seed", range(3))
def test_spread_is_the_population_standard_deviation(seed):
    maps = torch.rand((6, 28, 28), generator=torch.Generator().manual_seed(seed))
    expected = maps.double().flatten(1).std(dim=1, correction=0).float()
    torch.testing.assert_close(heatmap_spread(maps), expected, atol=1e-6, rtol=0)
    assert heatmap_spread(maps).dtype == torch.float32
