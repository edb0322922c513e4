"""What all solvers have in common: exact counts, unchanged layers, errors in one sentence."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.spade.registry import SOLVERS

NAMES = SOLVERS.names()
Problem = Callable[..., tuple[Tensor, Tensor]]
per_solver = pytest.mark.parametrize("name", NAMES)
informed = pytest.mark.parametrize("name", ["obs_exact", "obs_fast"])


def reconstruction_error(weights: Tensor, pruned: Tensor, hessians: Tensor) -> Tensor:
    """½ tr(Δ H Δᵀ) with Δ = pruned - weights, float64 [B]; the objective of arXiv 2310.04519."""
    difference = pruned.double() - weights.double()
    return (difference @ hessians.double() * difference).sum(dim=(1, 2)) / 2


def solve(
    name: str, weights: Tensor, hessians: Tensor | None, counts: Any, block: int = 4, **given: Any
) -> Tensor:
    """One call, with generators by position."""
    generators = [torch.Generator().manual_seed(index) for index in range(len(weights))]
    solver = SOLVERS.load(name)(**given)
    found: Tensor = solver.solve(weights, hessians, torch.as_tensor(counts), block, generators)
    return found


def zeros(weights: Tensor) -> list[int]:
    """Zeros of each image."""
    return (weights == 0).sum(dim=(1, 2)).tolist()


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Equal to the sign of zero."""
    return torch.equal(first.view(torch.int32), second.view(torch.int32))


@settings(deadline=None, max_examples=60)
@given(
    data=st.data(),
    name=st.sampled_from(NAMES),
    images=st.integers(1, 3),
    rows=st.integers(1, 4),
    columns=st.integers(1, 9),
    block=st.integers(1, 10),
    seed=st.integers(0, 1000),
)
def test_exactly_as_many_are_zero_as_asked(
    data: st.DataObject, problem: Problem, name: str, images: int, rows: int, columns: int,
    block: int, seed: int,
) -> None:  # fmt: skip
    weights, hessians = problem(images, rows, columns, seed, data.draw(st.integers(1, 20)))
    draw = torch.Generator().manual_seed(seed)
    if data.draw(st.booleans(), label="integers, so that ties and equal columns are many"):
        weights = weights.round()
    if data.draw(st.booleans(), label="zeros"):
        weights = weights * (torch.rand(weights.shape, generator=draw) < 0.7)
    if data.draw(st.booleans(), label="columns without signal"):
        signal = torch.rand((images, columns), generator=draw) < 0.5
        hessians = hessians * signal[:, :, None] * signal[:, None, :]
    if data.draw(st.booleans(), label="equal columns"):
        copied = torch.randint(columns, (columns,), generator=draw)
        hessians = hessians[:, copied][:, :, copied]
    if data.draw(st.booleans(), label="float32"):
        hessians = hessians.float()
    counts = data.draw(
        st.lists(st.integers(0, rows * columns), min_size=images, max_size=images), label="counts"
    )
    found = solve(name, weights, hessians, counts, block)
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())
    # a zero does not come back, so there may be more
    assert zeros(found) == [max(pair) for pair in zip(counts, zeros(weights), strict=True)]
    assert bool((found[weights == 0] == 0).all())
    for before, after, count in zip(weights, found, counts, strict=True):
        if count <= int((before == 0).sum()):
            assert same_bits(before, after)


@per_solver
@pytest.mark.parametrize("hessian_zero", [False, True])
def test_count_of_zero_changes_no_bit(name: str, problem: Problem, hessian_zero: bool) -> None:
    weights, hessians = problem(2, 3, 6)
    weights[0, 0, 0], weights[0, 0, 1], weights[1, 2, 5] = -0.0, 0.0, 1e-45
    if hessian_zero:
        hessians.zero_()
    found = solve(name, weights, hessians, [0, 0])
    assert same_bits(found, weights)
    assert found.data_ptr() != weights.data_ptr()
    # also beside an image that loses something
    assert same_bits(solve(name, weights, hessians, [0, 9])[0], weights[0])


@per_solver
def test_all_weights_may_fall(name: str, problem: Problem) -> None:
    weights, hessians = problem(2, 3, 6)
    assert zeros(solve(name, weights, hessians, [18, 5])) == [18, 5]


@per_solver
def test_expanded_weights_are_read_only(name: str, problem: Problem) -> None:
    weights, hessians = problem(3, 4, 6)
    view = weights[:1].expand(3, -1, -1)
    before, before_hessians = view.clone(), hessians.clone()
    found = solve(name, view, hessians, [10, 10, 3])
    assert torch.equal(view, before)
    assert torch.equal(hessians, before_hessians)
    assert zeros(found) == [10, 10, 3]
    # memory of its own for each image
    found[0] = 7
    assert zeros(found) == [0, 10, 3]


@per_solver
def test_images_do_not_know_of_each_other(name: str, problem: Problem) -> None:
    weights, hessians = problem(4, 5, 12)
    weights[2][weights[2].abs() < 0.4] = 0
    hessians[3, 2], hessians[3, :, 2] = 0, 0
    counts = torch.tensor([30, 0, 44, 51])
    together = solve(name, weights, hessians, counts)
    generators = [torch.Generator().manual_seed(index) for index in range(4)]
    solver = SOLVERS.load(name)()
    for index in range(4):
        one = slice(index, index + 1)
        alone = solver.solve(weights[one], hessians[one], counts[one], 4, generators[one])
        torch.testing.assert_close(alone, together[one], atol=1e-6, rtol=1e-5)
        assert torch.equal(alone == 0, together[one] == 0)


def test_errors_are_ordered(problem: Problem) -> None:
    """Exact is below fast is below the controls, on average by far, and nearly always."""
    errors = {name: [] for name in NAMES}
    for seed in range(60):
        weights, hessians = problem(1, 6, 18, seed)
        for name in NAMES:
            pruned = solve(name, weights, hessians, [54 + seed % 40], 6)
            errors[name].append(reconstruction_error(weights, pruned, hessians).item())
    found = {name: torch.tensor(values) for name, values in errors.items()}
    for better, worse, margin in (
        ("obs_exact", "obs_fast", 0.8),
        ("obs_fast", "magnitude", 0.8),
        ("magnitude", "random", 0.5),
    ):
        assert found[better].mean() < margin * found[worse].mean()
        assert (found[better] <= found[worse]).double().mean() >= 0.9


@informed
def test_weights_without_signal_fall_first_and_others_stay(name: str, problem: Problem) -> None:
    weights, hessians = problem(1, 3, 8)
    weights[0, :, 5] = 100.0
    hessians[0, 5], hessians[0, :, 5] = 0, 0
    some = solve(name, weights, hessians, [2])
    assert zeros(some[:, :, 5:6]) == [2]
    assert same_bits(some[0, :2, 5], torch.zeros(2))
    changed = some != weights
    changed[0, :2, 5] = False
    assert not changed.any()
    more = solve(name, weights, hessians, [3 + 6])
    assert zeros(more[:, :, 5:6]) == [3]
    # they take no part: the others fall as they would without them
    rest = [column for column in range(8) if column != 5]
    block = 8
    alone = solve(name, weights[:, :, rest], hessians[:, rest][:, :, rest], [6], block)
    torch.testing.assert_close(
        solve(name, weights, hessians, [9], block)[:, :, rest], alone, atol=1e-6, rtol=1e-5
    )


@informed
def test_existing_zeros_count_and_do_not_come_back(name: str, problem: Problem) -> None:
    weights, hessians = problem(1, 4, 8)
    weights[0, :2] *= torch.arange(8) % 2
    assert zeros(weights) == [8]
    fewer = solve(name, weights, hessians, [5])
    assert same_bits(fewer, weights)
    more = solve(name, weights, hessians, [11])
    assert zeros(more) == [11]
    assert bool((more[weights == 0] == 0).all())


@informed
def test_float32_hessians_give_what_float64_ones_give(name: str, problem: Problem) -> None:
    weights, hessians = problem(2, 6, 18)
    counts = [60, 80]
    double = solve(name, weights, hessians, counts)
    single = solve(name, weights, hessians.float(), counts)
    assert torch.equal(double == 0, single == 0)
    torch.testing.assert_close(single, double, atol=1e-4, rtol=1e-4)


@informed
def test_singular_hessians_are_solved_with_damping_and_refused_without(
    name: str, problem: Problem
) -> None:
    # fewer inputs than columns
    weights, hessians = problem(20, 4, 16, inputs=8)
    counts = [30 + index for index in range(20)]
    found = solve(name, weights, hessians, counts)
    control = solve("magnitude", weights, hessians, counts)
    assert zeros(found) == counts
    error = reconstruction_error(weights, found, hessians).mean()
    assert error < 0.7 * reconstruction_error(weights, control, hessians).mean()
    indefinite = hessians - 1e-3 * torch.eye(16)
    with pytest.raises(
        InputError, match=r"^solver \w+: 20 of 20 Hessians are not positive definite"
    ):
        solve(name, weights, indefinite, counts, damping=0.0)
    # nobody needs them where nothing falls
    assert torch.equal(solve(name, weights, indefinite, [0] * 20, damping=0.0), weights)


@informed
def test_ill_conditioned_hessians_stay_finite(name: str) -> None:
    # two columns that differ by one part in 10^9, and scales from 1 to 10^-10
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn((1, 12, 60), generator=draw, dtype=torch.float64)
    inputs *= torch.logspace(0, -5, 12, dtype=torch.float64)[:, None]
    inputs[:, 1] = inputs[:, 0] * (1 + 1e-9)
    weights = torch.randn((1, 4, 12), generator=draw)
    hessians = 2 / 60 * inputs @ inputs.mT
    for damping in (0.01, 1e-6, 1e-12):
        found = solve(name, weights, hessians, [30], damping=damping)
        assert zeros(found) == [30]
        assert bool(torch.isfinite(found).all())
        error = reconstruction_error(weights, found, hessians)
        control = solve("magnitude", weights, hessians, [30])
        assert error < reconstruction_error(weights, control, hessians)


@per_solver
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weights": torch.zeros(2, 6)},
            r"weights are torch.float32 \(2, 6\), but must be float32",
        ),
        ({"weights": torch.zeros(2, 3, 6, dtype=torch.float64)}, "weights are torch.float64"),
        ({"weights": torch.full((2, 3, 6), torch.nan)}, "weights hold NaN"),
        ({"counts": torch.tensor([1])}, r"counts are torch.int64 \(1,\)"),
        ({"counts": torch.tensor([1.0, 2.0])}, r"counts are torch.float32 \(2,\)"),
        ({"counts": torch.tensor([1, 19])}, "from 1 to 19, but the layer has 18 weights to lose"),
        ({"counts": torch.tensor([-1, 9])}, "counts go from -1 to 9"),
        ({"block": 0}, "a block has 0 columns"),
    ],
)
def test_what_does_not_fit_is_refused(
    name: str, problem: Problem, change: dict[str, Any], message: str
) -> None:
    weights, hessians = problem(2, 3, 6)
    request = {"weights": weights, "hessians": hessians, "counts": [4, 4], "block": 3, **change}
    with pytest.raises(InputError, match=rf"^solver {name}: .*{message}"):
        solve(name, **request)


@informed
@pytest.mark.parametrize(
    ("hessians", "message"),
    [
        (None, "needs the Hessians"),
        (torch.ones(2, 5, 5), r"Hessians are torch.float32 \(2, 5, 5\).*\(2, 6, 6\)"),
        (torch.ones(2, 6, 6, dtype=torch.float16), "Hessians are torch.float16"),
        (torch.full((2, 6, 6), torch.inf), "Hessians hold NaN or infinity"),
    ],
)
def test_hessians_that_do_not_fit_are_refused(
    name: str, hessians: Tensor | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        solve(name, torch.ones(2, 3, 6), hessians, [4, 4])


@informed
def test_negative_damping_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"solver {name}: damping is -0.1"):
        SOLVERS.load(name)(damping=-0.1)
    with pytest.raises(InputError, match=f"solver {name} names the unknown parameter 'dampings'"):
        SOLVERS.load(name)(dampings=0.1)
