"""The elastic-net softmax layer: conditions of its optimum."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sparsight.concepts.pcbm import ElasticNet, Pcbm, fit_softmax
from sparsight.io.errors import InputError


def problem(count: int = 300, width: int = 6, classes: int = 4) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, width, generator=draw)
    truth = torch.randn(classes, width, generator=draw)
    logits = inputs @ truth.T + torch.randn(count, classes, generator=draw)
    return inputs, logits.argmax(dim=1)


@pytest.mark.parametrize(
    ("strength", "l1_ratio"), [(0.02, 0.99), (1e-3, 0.5), (1e-5, 0.99), (0.01, 0.0), (0.01, 1.0)]
)
def test_the_solution_fulfils_the_conditions_of_an_optimum(
    strength: float, l1_ratio: float
) -> None:
    inputs, labels = problem()
    layer = fit_softmax(inputs, labels, 4, ElasticNet(strength, l1_ratio, 2000))
    assert layer.converged
    weights = layer.weights.clone().requires_grad_()
    biases = layer.biases.clone().requires_grad_()
    loss = functional.cross_entropy(inputs.double() @ weights.T + biases, labels)
    slope, free = torch.autograd.grad(loss, (weights, biases))
    slope = slope + strength * (1 - l1_ratio) * layer.weights
    lasso, tolerance = strength * l1_ratio, 0.01 * strength
    assert free.abs().max() < tolerance
    zero = layer.weights == 0
    assert (slope[zero].abs() <= lasso + tolerance).all()
    expected = -lasso * layer.weights[~zero].sign()
    assert torch.allclose(slope[~zero], expected, rtol=0, atol=tolerance)
    if (strength, l1_ratio) == (0.02, 0.99):
        assert 0 < zero.sum() < zero.numel()


def test_a_strong_penalty_leaves_the_shares_of_the_classes() -> None:
    inputs, labels = problem()
    layer = fit_softmax(inputs, labels, 4, ElasticNet(10.0, 0.99, 500))
    assert (layer.weights == 0).all()
    shares = torch.bincount(labels).double() / len(labels)
    assert torch.allclose(layer(inputs).softmax(dim=1)[0], shares, atol=1e-4)


def test_offsets_are_added_and_stay_as_they_are() -> None:
    inputs, labels = problem()
    penalty = ElasticNet(0.01, 0.0, 1000)
    plain = fit_softmax(inputs, labels, 4, penalty)
    # an offset that is the same for all classes changes nothing
    shifted = fit_softmax(inputs, labels, 4, penalty, torch.full((300, 4), 3.0))
    assert torch.allclose(plain.weights, shifted.weights, atol=1e-3)
    # one that knows the answer leaves nothing to learn
    known = 30.0 * functional.one_hot(labels, 4)
    assert fit_softmax(inputs, labels, 4, penalty, known).weights.abs().max() < 1e-6


def test_equal_inputs_give_equal_weights_and_two_steps_do_not_converge() -> None:
    inputs, labels = problem()
    penalty = ElasticNet(1e-4, 0.99, 2000)
    first, second = (fit_softmax(inputs, labels, 4, penalty) for _ in range(2))
    assert torch.equal(first.weights, second.weights)
    assert not fit_softmax(inputs, labels, 4, ElasticNet(1e-4, 0.99, 2)).converged


def test_the_usual_iterations_suffice_for_concepts_that_follow_few_features() -> None:
    """As for CUB-200 at study size: ten classes, 25 concepts of which few differ much."""
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(300, 25, generator=draw) * 0.75 ** torch.arange(25)
    inputs = hidden @ torch.linalg.qr(torch.randn(25, 25, generator=draw))[0]
    inputs = (inputs - inputs.mean(dim=0)) / inputs.std(dim=0)
    logits = 2 * hidden @ torch.randn(25, 10, generator=draw)
    labels = (logits + torch.randn(300, 10, generator=draw)).argmax(dim=1)
    defaults = Pcbm.parameters
    penalty = ElasticNet(defaults["strength"], defaults["l1_ratio"], defaults["iterations"])
    assert fit_softmax(inputs, labels, 10, penalty).converged
    assert not fit_softmax(inputs, labels, 10, replace(penalty, iterations=2000)).converged


@pytest.mark.parametrize("wrong", [(-1.0, 0.5, 10), (1.0, 1.5, 10), (1.0, 0.5, 0)])
def test_penalties_that_make_no_sense_are_refused(wrong: tuple[float, float, int]) -> None:
    with pytest.raises(InputError, match="elastic net needs"):
        ElasticNet(*wrong)


def test_two_classes() -> None:
    inputs, labels = problem(classes=2)
    layer = fit_softmax(inputs, labels, 2, ElasticNet(1e-3, 0.5, 1000))
    assert ((layer(inputs).argmax(dim=1) == labels).double().mean()) > 0.78
    # the two rows share the work
    assert torch.allclose(layer.weights[0], -layer.weights[1], atol=1e-2)
    assert math.isfinite(layer.biases.sum().item())
