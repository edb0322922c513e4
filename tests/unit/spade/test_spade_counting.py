"""How many weights fall, where, and how blocks share them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.spade.solvers import block_shares, lowest, without_loss, zero_exactly


def test_lowest_takes_ties_in_order_and_each_image_its_own_number() -> None:
    scores = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[3.0, 1.0], [2.0, 0.0]]])
    found = lowest(scores, torch.tensor([2, 3]))
    assert found.tolist() == [[[False, True], [True, False]], [[False, True], [True, True]]]


def test_zeros_fall_first_then_columns_without_signal_then_others() -> None:
    weights = torch.tensor([[[1.0, 2.0, 0.0], [3.0, 4.0, 5.0]]])
    signal = torch.tensor([[True, False, True]])
    fallen = {
        count: without_loss(weights, signal, torch.tensor([count])) for count in (0, 1, 2, 3, 4, 6)
    }
    zero = [[False, False, True], [False, False, False]]
    first = [[False, True, True], [False, False, False]]
    both = [[False, True, True], [False, True, False]]
    # the zero falls even where nothing is asked
    expected = {0: zero, 1: zero, 2: first, 3: both, 4: both, 6: both}
    assert {count: one.free[0].tolist() for count, one in fallen.items()} == expected
    remaining = {count: one.remaining.item() for count, one in fallen.items()}
    assert remaining == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 6: 3}
    assert fallen[0].contested[0].tolist() == [[True, False, False], [True, False, True]]


@pytest.mark.parametrize(
    ("remaining", "block", "expected"),
    [
        (6, 2, [2, 2, 2]),
        # 5/3, 10/3 and 5 to the nearest: 2, 3, 5
        (5, 2, [2, 1, 2]),
        (1, 2, [0, 1, 0]),
        (12, 2, [4, 4, 4]),
        (0, 2, [0, 0, 0]),
        # the last block has two columns
        (6, 4, [4, 2]),
        (7, 100, [7]),
    ],
)
def test_shares_on_paper(remaining: int, block: int, expected: list[int]) -> None:
    contested = torch.ones((1, 2, 6), dtype=torch.bool)
    found = block_shares(contested, torch.tensor([remaining]), block)
    assert found.tolist() == [expected]


@settings(deadline=None, max_examples=80)
@given(data=st.data(), rows=st.integers(1, 5), columns=st.integers(1, 20), seed=st.integers(0, 99))
def test_shares_are_exact_and_no_block_loses_more_than_it_has(
    data: st.DataObject, rows: int, columns: int, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    contested = torch.rand((1, rows, columns), generator=draw) < 0.6
    remaining = data.draw(st.integers(0, int(contested.sum())))
    block = data.draw(st.integers(1, columns + 2))
    shares = block_shares(contested, torch.tensor([remaining]), block)[0].tolist()
    has = [int(part.sum()) for part in contested.split(block, dim=2)]
    assert sum(shares) == remaining
    assert all(0 <= share <= most for share, most in zip(shares, has, strict=True))
    even = [most * remaining / max(sum(has), 1) for most in has]
    assert all(abs(share - fair) <= 1 for share, fair in zip(shares, even, strict=True))


def test_kept_weights_are_never_zero() -> None:
    values = torch.tensor([1.0, 0.0, 1e-60, 2.0], dtype=torch.float64)
    found = zero_exactly(values, torch.tensor([False, False, False, True]))
    assert (found != 0).tolist() == [True, True, True, False]
    assert found.dtype == torch.float32
    assert found.abs().max() == 1
    assert found[1:].abs().max() < 1e-37
