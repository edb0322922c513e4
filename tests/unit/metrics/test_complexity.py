"""Measures of complexity on cases worked out on paper, and their invariances."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.complexity import (
    EffectiveComplexity,
    Entropy,
    GiniSparseness,
    effective_complexity,
    entropy,
    gini,
)


def test_on_paper():
    # a = 1, 2, 3, 4; n = 4: (-3*1 - 1*2 + 1*3 + 3*4) / (4 * 10) = 10 / 40
    assert gini(torch.tensor([[4.0, 1.0, 3.0, 2.0]])).item() == pytest.approx(0.25)


def test_extremes():
    rows = torch.zeros(3, 8)
    rows[0, 5], rows[1] = 2.0, 0.3
    values = gini(rows)
    assert values[0].item() == pytest.approx(1 - 1 / 8)
    assert values[1].item() == pytest.approx(0, abs=1e-12)
    # nothing stands out where there is nothing
    assert values[2].item() == 0


def test_nan_stays_nan():
    assert gini(torch.tensor([[1.0, torch.nan]])).isnan().all()


def test_large_maps_keep_their_digits():
    """n equally spaced values have the index (n - 1) / (3 n) where they begin at 1/n."""
    count = 224 * 224
    values = torch.arange(1, count + 1, dtype=torch.float64) / count
    exact = (count - 1) / (3 * count)
    assert gini(values.float()[None]).item() == pytest.approx(exact, abs=1e-11)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-6, 1e6))
def test_invariances(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand((4, 5, 3), generator=generator)
    images, targets = maps[:, None], torch.zeros(4, dtype=torch.int64)
    values = GiniSparseness().score(MapBatch(maps, images, targets, None))
    assert values.dtype == torch.float32
    assert ((values >= 0) & (values <= 1)).all()
    order = torch.randperm(15, generator=generator)
    permuted = maps.flatten(1)[:, order].view(4, 3, 5)
    score = GiniSparseness().score
    torch.testing.assert_close(score(MapBatch(permuted, images, targets, None)), values)
    torch.testing.assert_close(score(MapBatch(maps * scale, images, targets, None)), values)
    torch.testing.assert_close(score(MapBatch(maps[1:2], images, targets, None)), values[1:2])


def test_entropy_on_paper():
    # Shares 1/2, 1/4, 1/4, 0: ln2/2 + 2 · ln4/4 = 1.5 ln 2.
    row = torch.tensor([[4.0, 2.0, 0.0, 2.0]])
    for scale in (1, 1e-37, 1e37):
        assert entropy(row * scale).item() == pytest.approx(1.5 * math.log(2), abs=1e-6)


def test_entropy_extremes():
    rows = torch.zeros(4, 8)
    rows[0, 5], rows[1] = 2.0, 0.3
    rows[3] = torch.nan
    values = entropy(rows)
    assert values[0].item() == 0
    assert values[1].item() == pytest.approx(math.log(8), abs=1e-6)
    assert values[2].item() == pytest.approx(math.log(8), abs=1e-6)
    assert values[3].isnan()


def test_effective_complexity_on_paper():
    # The maximum is 10: above 1 lie 10, 5 and 1.5, not 1 itself.
    row = torch.tensor([[10.0, 5.0, 1.5, 1.0, 0.5, 0.0]])
    assert effective_complexity(row, 0.1).item() == 3
    assert effective_complexity(row * 1e-6, 0.1).item() == 3
    assert effective_complexity(row, 0).item() == 5
    assert effective_complexity(torch.full((1, 6), 0.2), 0.1).item() == 6
    assert effective_complexity(torch.zeros(1, 6), 0.1).item() == 6
    assert effective_complexity(torch.tensor([[1.0, torch.nan]]), 0.1).isnan().all()


def test_effective_complexity_of_each_map_is_relative_to_its_own_maximum():
    maps = torch.tensor([[[1.0, 0.5]], [[1e-9, 5e-10]]])
    images, targets = maps[:, None], torch.zeros(2, dtype=torch.int64)
    score = EffectiveComplexity().score
    assert score(MapBatch(maps, images, targets, None)).tolist() == [2, 2]
    coarse = EffectiveComplexity(threshold=0.7).score
    assert coarse(MapBatch(maps, images, targets, None)).tolist() == [1, 1]


@pytest.mark.parametrize("threshold", [-0.1, 1, 1.5])
def test_effective_complexity_refuses_a_threshold_that_is_no_share(threshold):
    with pytest.raises(InputError, match="must be at least 0 and below 1"):
        EffectiveComplexity(threshold=threshold)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-6, 1e6))
def test_invariances_of_entropy(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand((4, 5, 3), generator=generator)
    images, targets, score = maps[:, None], torch.zeros(4, dtype=torch.int64), Entropy().score
    values = score(MapBatch(maps, images, targets, None))
    assert values.dtype == torch.float32
    assert ((values >= 0) & (values <= math.log(15) + 1e-6)).all()
    permuted = maps.flatten(1)[:, torch.randperm(15, generator=generator)].view(4, 3, 5)
    torch.testing.assert_close(score(MapBatch(permuted, images, targets, None)), values)
    torch.testing.assert_close(score(MapBatch(maps * scale, images, targets, None)), values)
    torch.testing.assert_close(score(MapBatch(maps[1:2], images, targets, None)), values[1:2])
