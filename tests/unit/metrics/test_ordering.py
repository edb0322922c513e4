"""Sorting and counting."""

import torch

from sparsight.metrics.base import ascending, zeros_and_ones


def test_rows_are_sorted_each_for_itself_with_nan_last():
    values = torch.tensor([[3.0, torch.nan, -1.0], [0.0, 2.0, 1.0]])
    found = ascending(values)
    assert found[0, :2].tolist() == [-1, 3]
    assert found[0, 2].isnan()
    assert found[1].tolist() == [0, 1, 2]
    assert values[0, 0] == 3  # the given values stay as they were
    assert ascending(torch.tensor([[5, -7, 2]], dtype=torch.int32)).tolist() == [[-7, 2, 5]]


def test_flags_become_numbers_also_in_views():
    flags = torch.tensor([[True, False, True], [False, False, True]])
    assert torch.equal(zeros_and_ones(flags), flags.float())
    assert torch.equal(zeros_and_ones(flags.T), flags.T.float())
