"""The exact solver beside all masks, and beside solving anew after every removal."""

from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.spade import solvers
from sparsight.spade.solvers import ObsExact, rows_give

Problem = Callable[..., tuple[Tensor, Tensor]]
UNDAMPED = 0.0


def solve(weights: Tensor, hessians: Tensor, count: int, **parameters: float) -> Tensor:
    counts = torch.full((len(weights),), count)
    settings = {"damping": UNDAMPED, **parameters}
    return ObsExact(**settings).solve(weights, hessians, counts, 1, None)


def best(row: Tensor, hessian: Tensor, fallen: list[int]) -> tuple[Tensor, float]:
    """Least squares given which weights of one row fall: weights float64 [K] and the error."""
    kept = [column for column in range(len(row)) if column not in fallen]
    found = torch.zeros_like(row)
    if kept:
        target = hessian[kept] @ row
        found[kept] = torch.linalg.solve(hessian[kept][:, kept], target)
    difference = found - row
    return found, float(difference @ hessian @ difference) / 2


def greedy(row: Tensor, hessian: Tensor, number: int) -> tuple[list[int], list[float]]:
    """Which weights fall, and the errors, when least squares are solved anew for every candidate.

    The loss that a removal adds depends on the weights as they are adapted by then, so the least
    error among all candidates is the least added loss.
    """
    fallen: list[int] = []
    errors = []
    for _ in range(number):
        candidates = [column for column in range(len(row)) if column not in fallen]
        losses = [best(row, hessian, [*fallen, column])[1] for column in candidates]
        fallen.append(candidates[losses.index(min(losses))])
        errors.append(min(losses))
    return fallen, errors


def test_one_removal_is_the_best_of_all(problem: Problem) -> None:
    weights, hessians = problem(30, 1, 6)
    found = solve(weights, hessians, 1)
    for row, hessian, pruned in zip(weights[:, 0].double(), hessians, found[:, 0], strict=True):
        results = [best(row, hessian, [column]) for column in range(6)]
        expected = min(results, key=lambda result: result[1])[0]
        torch.testing.assert_close(pruned.double(), expected, atol=1e-5, rtol=1e-4)


def test_several_removals_are_near_the_best_of_all_masks(problem: Problem) -> None:
    weights, hessians = problem(20, 1, 7)
    found = solve(weights, hessians, 4)
    ratios = []
    for row, hessian, pruned in zip(weights[:, 0].double(), hessians, found[:, 0], strict=True):
        least = min(best(row, hessian, list(mask))[1] for mask in combinations(range(7), 4))
        difference = pruned.double() - row
        ratios.append(float(difference @ hessian @ difference) / 2 / least)
    assert min(ratios) > 1 - 1e-4
    # greedy finds the best mask of most rows
    assert sum(ratio < 1 + 1e-4 for ratio in ratios) >= 12


@pytest.mark.parametrize("compaction", [1 / 8, 1 / 2, 0.01, 1.0])
@pytest.mark.parametrize("count", [2, 5, 8, 9])
def test_equals_solving_anew_after_every_removal(
    problem: Problem, monkeypatch: pytest.MonkeyPatch, count: int, compaction: float
) -> None:
    monkeypatch.setattr(solvers, "COMPACTION", compaction)
    weights, hessians = problem(8, 1, 9)
    found = solve(weights, hessians, count)
    for row, hessian, pruned in zip(weights[:, 0].double(), hessians, found[:, 0], strict=True):
        fallen, _ = greedy(row, hessian, count)
        assert (pruned == 0).nonzero().squeeze(1).tolist() == sorted(fallen)
        expected, _ = best(row, hessian, fallen)
        torch.testing.assert_close(pruned.double(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows_at_a_time", [1, 3, 32])
@pytest.mark.parametrize("sparse", [False, True])
def test_rows_compete_as_in_the_naive_algorithm(
    problem: Problem, rows_at_a_time: int, sparse: bool
) -> None:
    weights, hessians = problem(3, 4, 7)
    if sparse:
        weights[0, 1, :3], weights[2, 0], weights[2, 1, 6] = 0, 0, 0
    hessians[1, 2], hessians[1, :, 2] = 0, 0
    count = 17
    found = solve(weights, hessians, count, rows=rows_at_a_time)
    for image, (dense, hessian) in enumerate(zip(weights.double(), hessians, strict=True)):
        hessian[2, 2] += hessian[2, 2] == 0
        fallen = [(row == 0).nonzero().squeeze(1).tolist() for row in dense]
        if image == 1:
            fallen = [[2] for _ in dense]
        while sum(map(len, fallen)) < count:
            options = []
            for number, row in enumerate(dense):
                now = best(row, hessian, fallen[number])[1]
                for column in set(range(7)) - set(fallen[number]):
                    added = best(row, hessian, [*fallen[number], column])[1] - now
                    options.append((added, number, column))
            _, number, column = min(options)
            fallen[number].append(column)
        for row, gone, pruned in zip(dense, fallen, found[image], strict=True):
            assert (pruned == 0).nonzero().squeeze(1).tolist() == sorted(gone)
            expected, _ = best(row, hessian, gone)
            torch.testing.assert_close(pruned.double(), expected, atol=1e-5, rtol=1e-4)


def test_places_and_losses_are_those_of_the_naive_algorithm(problem: Problem) -> None:
    weights, hessians = problem(2, 2, 6)
    flat, image_of = weights.double().flatten(0, 1), torch.tensor([0, 0, 1, 1])
    contested = torch.ones_like(flat, dtype=torch.bool)
    contested[1, :2], flat[1, :2] = False, 0
    places, losses = solvers.removals(
        flat, hessians, torch.linalg.inv(hessians), image_of, contested, 6
    )
    for row in range(4):
        start = [] if row != 1 else [0, 1]
        fallen, errors = greedy(flat[row], hessians[image_of[row]], 6)
        # zeros are the first that fall, at no loss
        fallen = fallen[len(start) :]
        expected = torch.tensor(errors[len(start) :], dtype=torch.float64)
        added = expected.diff(prepend=torch.zeros(1, dtype=torch.float64))
        torch.testing.assert_close(losses[row, : len(added)], added, atol=1e-9, rtol=1e-7)
        assert bool(losses[row, len(added) :].isinf().all())
        assert [int(places[row, column]) for column in fallen] == list(range(len(fallen)))
        assert all(places[row, column] == 6 for column in start)


def test_rows_give_as_the_row_with_the_least_next_loss() -> None:
    inf = float("inf")
    # 1 is followed by 0.5 in its row: both go before 2. The last row has nothing.
    losses = torch.tensor([[[2.0, 3.0, inf], [1.0, 0.5, 9.0], [2.5, 2.0, 2.2], [inf, inf, inf]]])
    expected = [
        [0, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 2, 0, 0],
        [1, 2, 0, 0],
        [1, 2, 1, 0],
        [1, 2, 2, 0],
        [1, 2, 3, 0],
        [2, 2, 3, 0],
        [2, 3, 3, 0],
    ]
    found = [rows_give(losses, torch.tensor([count]))[0].tolist() for count in range(9)]
    assert found == expected


def test_damping_is_a_share_of_the_mean_diagonal(problem: Problem) -> None:
    weights, hessians = problem(4, 3, 6)
    means = hessians.diagonal(dim1=1, dim2=2).mean(dim=1)
    added = 0.3 * means[:, None, None] * torch.eye(6, dtype=torch.float64)
    by_hand = solve(weights, hessians + added, 10)
    torch.testing.assert_close(solve(weights, hessians, 10, damping=0.3), by_hand)
    assert not torch.equal(solve(weights, hessians, 10), by_hand)


def test_rows_that_lose_nothing_keep_every_bit(problem: Problem) -> None:
    weights, hessians = problem(1, 3, 6)
    weights[0, 1] *= 1e-3
    found = solve(weights, hessians, 4)
    assert (found == 0).sum(dim=2).tolist() == [[0, 4, 0]]
    assert torch.equal(found[0, [0, 2]], weights[0, [0, 2]])


def test_layers_with_too_many_columns_are_refused_with_a_remedy(problem: Problem) -> None:
    weights = torch.zeros(1, 1, 577)
    with pytest.raises(
        InputError, match=r"577 columns, more than the limit of 576; take obs_fast, .*or raise"
    ):
        solve(weights, torch.eye(577)[None], 577)
    weights, hessians = problem(1, 2, 6)
    with pytest.raises(InputError, match="6 columns, more than the limit of 5"):
        solve(weights, hessians, 3, largest_columns=5)
    for limit in (6, 0):
        assert int((solve(weights, hessians, 3, largest_columns=limit) == 0).sum()) == 3


def test_no_row_at_a_time_is_refused() -> None:
    with pytest.raises(InputError, match="rows is 0, but must be at least 1"):
        ObsExact(rows=0)
