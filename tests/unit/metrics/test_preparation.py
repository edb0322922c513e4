"""From raw maps to what a metric scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsight.io.errors import InputError
from sparsight.metrics.preparation import min_max, normalise, prepare, treat


def test_treatments():
    maps = torch.tensor([[[-2.0, 1.0]]])
    assert treat(maps, "signed").tolist() == [[[-2, 1]]]
    assert treat(maps, "absolute").tolist() == [[[2, 1]]]
    assert treat(maps, "positive").tolist() == [[[0, 1]]]
    with pytest.raises(InputError, match="'square' is unknown"):
        treat(maps, "square")


def test_min_max_is_per_image():
    maps = torch.tensor([[[1.0, 3.0], [2.0, 5.0]], [[0.0, 10.0], [5.0, 0.0]]])
    expected = [[[0, 0.5], [0.25, 1]], [[0, 1], [0.5, 0]]]
    assert min_max(maps).tolist() == expected
    assert normalise(maps, "min_max").tolist() == expected
    assert normalise(maps, "none") is maps
    with pytest.raises(InputError, match="'rank' is unknown"):
        normalise(maps, "rank")


def test_min_max_of_constant_nan_and_tiny_maps():
    maps = torch.stack(
        [torch.full((2, 2), 0.7), torch.full((2, 2), torch.nan), torch.eye(2) * 1e-12]
    )
    found = min_max(maps)
    assert found[0].tolist() == [[0, 0], [0, 0]]
    assert found[1].isnan().all()
    assert found[2].tolist() == [[1, 0], [0, 1]]


def test_map_of_image_size_is_not_resized():
    maps = torch.rand(2, 4, 4)
    assert torch.equal(prepare(maps, (4, 4), "none", "signed", "none"), maps)
    with pytest.raises(InputError, match="not to be interpolated"):
        prepare(maps, (8, 8), "none", "signed", "none")


def test_treatment_comes_before_interpolation():
    maps = torch.tensor([[[-1.0, 1.0]]])
    between = prepare(maps, (1, 4), "bilinear", "absolute", "none")
    assert between.tolist() == [[[1, 1, 1, 1]]]


def test_constant_layer_map_stays_constant():
    for value in (0.1, 0.3, 0.7, 1 / 3, 123.456):
        maps = torch.full((1, 5, 5), value)
        raw = prepare(maps, (28, 28), "bilinear", "signed", "none")
        assert raw.unique().tolist() == [maps[0, 0, 0]]
        assert not prepare(maps, (28, 28), "bilinear", "signed", "min_max").any()


def test_a_value_that_is_not_finite_makes_its_map_nan():
    maps = torch.rand(3, 2, 2)
    maps[0, 0, 0], maps[1, 1, 1] = torch.inf, torch.nan
    for normalisation in ("none", "min_max"):
        found = prepare(maps, (4, 4), "bilinear", "positive", normalisation)
        assert found.isnan().flatten(1).all(dim=1).tolist() == [True, True, False]
        assert found[2].isfinite().all()


def test_small_relief_on_a_high_plateau_keeps_its_digits():
    """Min-max before the interpolation, against all in float64 on the same map."""
    maps = 1000 + torch.rand((1, 5, 5), generator=torch.Generator().manual_seed(0)) / 100
    exact = nn.functional.interpolate(maps[None].double(), size=(28, 28), mode="bilinear")[0]
    found = prepare(maps, (28, 28), "bilinear", "signed", "min_max")
    torch.testing.assert_close(found.double(), min_max(exact), atol=1e-6, rtol=0)


def test_shape_is_checked():
    with pytest.raises(InputError, match=r"\[N, h, w\]"):
        prepare(torch.rand(2, 1, 4, 4), (4, 4), "none", "signed", "none")


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(2, 9),
    treatment=st.sampled_from(["signed", "absolute", "positive"]),
    scale=st.floats(1e-3, 1e3),
)
def test_min_max_maps_fill_the_range_at_any_scale(seed, height, treatment, scale):
    maps = torch.randn((3, height, 5), generator=torch.Generator().manual_seed(seed))
    maps[:, 0, 0] = 2
    found = prepare(maps, (12, 10), "bilinear", treatment, "min_max")
    assert found.amin(dim=(1, 2)).tolist() == [0] * 3
    assert found.amax(dim=(1, 2)).tolist() == [1] * 3
    scaled = prepare(maps * scale, (12, 10), "bilinear", treatment, "min_max")
    torch.testing.assert_close(scaled, found, atol=1e-5, rtol=0)
    alone = prepare(maps[1:2], (12, 10), "bilinear", treatment, "min_max")
    torch.testing.assert_close(alone, found[1:2], atol=1e-6, rtol=0)
