"""The fast solver beside SparseGPT's loop, written down literally, and beside formulae."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sparsight.spade import solvers
from sparsight.spade.solvers import ObsFast, inverse_of_lower

Problem = Callable[..., tuple[Tensor, Tensor]]


def sparse_gpt(weights: Tensor, hessian: Tensor, fallen_per_block: int, block: int) -> Tensor:
    """Algorithm 1 of arXiv 2301.00774 for one matrix, column by column, with exact numbers."""
    w = weights.double().clone()
    columns = w.shape[1]
    h = hessian + 0.01 * hessian.diagonal().mean() * torch.eye(columns, dtype=torch.float64)
    u = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    mask = torch.zeros_like(w, dtype=torch.bool)
    for i in range(columns):
        if i % block == 0:
            scores = w[:, i : i + block] ** 2 / u.diagonal()[i : i + block] ** 2
            chosen = torch.zeros(scores.numel(), dtype=torch.bool)
            chosen[scores.flatten().argsort()[:fallen_per_block]] = True
            mask[:, i : i + block] = chosen.reshape(scores.shape)
        for row in range(len(w)):
            if mask[row, i]:
                error = w[row, i] / u[i, i]
                for k in range(i, columns):
                    w[row, k] -= error * u[i, k]
                w[row, i] = 0
    return w


@pytest.mark.parametrize(
    ("rows", "columns", "block", "lazy"),
    [
        (4, 18, 3, 6),
        (4, 18, 3, 128),
        (4, 18, 3, 1),
        (8, 12, 1, 4),
        (8, 12, 1, 5),
        (4, 18, 9, 4),
        (2, 16, 16, 4),
    ],
)
def test_equals_the_literal_loop(
    problem: Problem,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    columns: int,
    block: int,
    lazy: int,
) -> None:
    monkeypatch.setattr(solvers, "LAZY_COLUMNS", lazy)
    weights, hessians = problem(3, rows, columns)
    per_block = rows * block * 3 // 4
    counts = torch.full((3,), per_block * columns // block)
    found = ObsFast().solve(weights, hessians, counts, block, None)
    for index in range(3):
        expected = sparse_gpt(weights[index], hessians[index], per_block, block)
        assert torch.equal(found[index] == 0, expected == 0)
        torch.testing.assert_close(found[index].double(), expected, atol=1e-6, rtol=1e-5)


def test_one_weight_passes_its_error_on_by_the_closed_form(problem: Problem) -> None:
    weights, hessians = problem(1, 1, 7)
    weights[0, 0, 0] = 0.01
    h = hessians[0] + 0.01 * hessians[0].diagonal().mean() * torch.eye(7, dtype=torch.float64)
    inverse = torch.linalg.inv(h)
    row = weights[0, 0].double()
    expected = row - row[0] / inverse[0, 0] * inverse[0]
    found = ObsFast().solve(weights, hessians, torch.tensor([1]), 7, None)[0, 0]
    assert found[0] == 0
    torch.testing.assert_close(found[1:].double(), expected[1:], atol=1e-7, rtol=1e-6)
    # which is far from no update at all
    assert (found[1:] - weights[0, 0, 1:]).abs().max() > 1e-3
    # and the least that the others can do: the gradient for the kept weights is zero
    gradient = h @ (found.double() - row)
    assert gradient[1:].abs().max() < 1e-3 * gradient[0].abs()


def test_columns_to_the_left_stay(problem: Problem) -> None:
    weights, hessians = problem(1, 2, 6)
    weights[0, :, 4] = 1e-3
    found = ObsFast().solve(weights, hessians, torch.tensor([2]), 6, None)
    assert (found == 0).nonzero()[:, 2].tolist() == [4, 4]
    assert torch.equal(found[:, :, :4], weights[:, :, :4])
    assert bool((found[:, :, 5] != weights[:, :, 5]).all())


def test_without_correlation_the_score_is_that_of_the_diagonal() -> None:
    # w² H_jj: 4·1, 1·9, 9·0.25; with magnitudes alone, the second would fall
    weights = torch.tensor([[[2.0, 1.0, 3.0]]])
    hessians = torch.diag(torch.tensor([1.0, 9.0, 0.25], dtype=torch.float64))[None]
    found = ObsFast(damping=0.0).solve(weights, hessians, torch.tensor([1]), 3, None)
    assert found.tolist() == [[[2.0, 1.0, 0.0]]]
    # a damping of 1 adds the mean of 3.417: 17.7, 12.4, 33
    found = ObsFast(damping=1.0).solve(weights, hessians, torch.tensor([1]), 3, None)
    assert found.tolist() == [[[2.0, 0.0, 3.0]]]


def test_the_mean_of_the_damping_is_over_columns_with_signal() -> None:
    # 1.4²·(1 + d) < 1·(9 + d) as long as d < 7.33; the mean is (1 + 9)/2 = 5, so d is 7 and 7.5
    weights = torch.tensor([[[1.4, 1.0, 1.0, 1.0]]])
    diagonal = torch.tensor([1.0, 9.0, 0.0, 0.0], dtype=torch.float64)
    for damping, falls in ((1.4, 0), (1.5, 1)):
        found = ObsFast(damping=damping).solve(
            weights, torch.diag(diagonal)[None], torch.tensor([3]), 4, None
        )
        assert found[0, 0, [2, 3, falls]].tolist() == [0, 0, 0]


def test_single_precision_finds_nearly_the_same(problem: Problem) -> None:
    weights, hessians = problem(2, 16, 36)
    counts = torch.tensor([300, 400])
    double = ObsFast().solve(weights, hessians, counts, 9, None)
    single = ObsFast(double=False).solve(weights, hessians, counts, 9, None)
    same = (single == 0) == (double == 0)
    assert same.double().mean() > 0.98
    assert (single == 0).sum(dim=(1, 2)).tolist() == [300, 400]
    assert not torch.equal(single, double)


@pytest.mark.parametrize(("size", "direct"), [(1, 4), (4, 4), (5, 4), (23, 4), (16, 2)])
def test_inverse_of_lower(problem: Problem, size: int, direct: int) -> None:
    lower = torch.linalg.cholesky(problem(2, 1, size)[1])
    found = inverse_of_lower(lower, direct)
    torch.testing.assert_close(found @ lower, torch.eye(size).double().expand(2, -1, -1))
    assert bool((found.triu(1) == 0).all())
