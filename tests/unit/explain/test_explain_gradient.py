"""Gradients on networks whose gradient can be written down."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.gradient import IntegratedGradients, Saliency
from sparsight.io.errors import InputError

Batch = tuple[Tensor, Tensor, Tensor]


@pytest.fixture
def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 6)).eval().requires_grad_(False)


@pytest.fixture
def colour() -> Batch:
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(3, 3, 4, 5, generator=generator)
    return images, torch.tensor([5, 0, 2]), torch.tensor([7, 8, 9])


def class_weights(linear: nn.Module, targets: Tensor) -> Tensor:
    return linear.get_parameter("1.weight")[targets].view(-1, 3, 4, 5)


def test_saliency_of_a_linear_network_is_its_absolute_weight(
    linear: nn.Module, colour: Batch
) -> None:
    weights = class_weights(linear, colour[1]).abs()
    explain = {
        how: Saliency(reduction=how).explain(ImageBatch(linear, *colour, "s"))
        for how in ("max", "sum")
    }
    torch.testing.assert_close(explain["max"], weights.amax(1))
    torch.testing.assert_close(explain["sum"], weights.sum(1))
    torch.testing.assert_close(Saliency().explain(ImageBatch(linear, *colour, "s")), explain["max"])


def test_integrated_gradients_of_a_linear_network_are_weight_times_input(
    linear: nn.Module, colour: Batch
) -> None:
    found = IntegratedGradients(n_steps=3).explain(ImageBatch(linear, *colour, "i"))
    torch.testing.assert_close(found, (class_weights(linear, colour[1]) * colour[0]).sum(1))
    assert (found < 0).any()


def test_integrated_gradients_are_complete(network: nn.Module, batch: Batch) -> None:
    images, targets, _ = batch
    found = (
        IntegratedGradients(n_steps=200).explain(ImageBatch(network, *batch, "i")).sum(dim=(1, 2))
    )
    rows = torch.arange(len(images))
    gain = network(images)[rows, targets] - network(torch.zeros_like(images))[rows, targets]
    # The network is piecewise linear: the quadrature misses only the kinks between its points.
    torch.testing.assert_close(found, gain, atol=0.02 * float(gain.abs().max()), rtol=0)


@pytest.mark.parametrize("explainer", [Saliency(), IntegratedGradients(n_steps=7)])
def test_batch_size_does_not_matter(
    network: nn.Module, batch: Batch, explainer: Saliency | IntegratedGradients
) -> None:
    images, targets, ids = batch
    whole = explainer.explain(ImageBatch(network, *batch, "x"))
    parts = [
        explainer.explain(ImageBatch(network, images[rows], targets[rows], ids[rows], "x"))
        for rows in (slice(0, 1), slice(1, 5), slice(5, 7))
    ]
    torch.testing.assert_close(whole, torch.cat(parts), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("explainer", [Saliency(), IntegratedGradients(n_steps=2)])
def test_results_and_inputs_carry_no_graph(
    network: nn.Module, batch: Batch, explainer: Saliency | IntegratedGradients
) -> None:
    found = explainer.explain(ImageBatch(network, *batch, "x"))
    assert found.shape == (7, 28, 28)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert not batch[0].requires_grad
    assert batch[0].grad is None


def test_facts_follow_the_parameters() -> None:
    assert IntegratedGradients().facts()["cost"] == 150 == IntegratedGradients.cost
    assert IntegratedGradients(n_steps=10).facts()["cost"] == 30
    assert Saliency(reduction="mean").facts()["reduction"] == "mean"


def test_unusable_parameters() -> None:
    with pytest.raises(InputError, match="reduction is 'median', but must be one of"):
        Saliency(reduction="median")
    with pytest.raises(InputError, match="n_steps is 0"):
        IntegratedGradients(n_steps=0)
