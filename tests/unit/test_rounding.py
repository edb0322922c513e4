"""What counts as constant: a few units in the last place, at any magnitude."""

import pytest
import torch
from torch.nn import functional

from sparsight.rounding import is_constant

ULP = torch.finfo(torch.float32).eps


@pytest.mark.parametrize("value", [1e-30, 0.079, 0.7, 1.0, 123.456, -3e7])
def test_a_few_units_in_the_last_place_are_rounding_and_many_are_not(value):
    row = torch.full((2, 5), value)
    row[0, 2] *= 1 + 4 * ULP
    row[1, 2] *= 1 + 40 * ULP
    assert row.unique().numel() == 3
    assert is_constant(row, 1).tolist() == [True, False]
    assert is_constant(row, (0, 1)).item() is False
    assert is_constant(row, 1, keepdim=True).shape == (2, 1)


def test_the_magnitude_is_that_of_the_values():
    rows = torch.tensor([[0.0, 0, 0], [0, 0, 1e-30], [-1e-30, 1e-30, 0], [5, 5, 5]])
    assert is_constant(rows, 1).tolist() == [True, False, False, True]


def test_values_that_are_not_finite_are_not_constant():
    inf, nan = torch.inf, torch.nan
    rows = torch.tensor([[nan, nan], [1, nan], [inf, inf], [1, inf], [-inf, 1]])
    assert not is_constant(rows, 1).any()


@pytest.mark.parametrize("size", [28, 64, 160, 224])
@pytest.mark.parametrize("side", [2, 7, 11, 14])
def test_enlarging_a_constant_leaves_it_constant(side, size):
    """The tolerance covers what enlargement adds to maps that others have enlarged already."""
    values = torch.rand(50, generator=torch.Generator().manual_seed(side)) + 0.01
    maps = values.view(1, 50, 1, 1).expand(1, 50, side, side)
    large = functional.interpolate(maps, size=(size, size), mode="bilinear")
    assert is_constant(large, (2, 3)).all()
