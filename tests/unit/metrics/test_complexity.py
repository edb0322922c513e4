"""Gini sparseness on cases worked out on paper, and its invariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.metrics.complexity import GiniSparseness, gini


def test_on_paper():
    # a = 1, 2, 3, 4; n = 4: (-3*1 - 1*2 + 1*3 + 3*4) / (4 * 10) = 10 / 40
    assert gini(torch.tensor([[4.0, 1.0, 3.0, 2.0]])).item() == pytest.approx(0.25)


def test_extremes():
    rows = torch.zeros(3, 8)
    rows[0, 5], rows[1] = 2.0, 0.3
    values = gini(rows)
    assert values[0].item() == pytest.approx(1 - 1 / 8)
    assert values[1].item() == pytest.approx(0, abs=1e-12)
    assert values[2].isnan()


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
    values = GiniSparseness().score(maps, images, targets, None)
    assert values.dtype == torch.float32
    assert ((values >= 0) & (values <= 1)).all()
    order = torch.randperm(15, generator=generator)
    permuted = maps.flatten(1)[:, order].view(4, 3, 5)
    score = GiniSparseness().score
    torch.testing.assert_close(score(permuted, images, targets, None), values)
    torch.testing.assert_close(score(maps * scale, images, targets, None), values)
    torch.testing.assert_close(score(maps[1:2], images, targets, None), values[1:2])
