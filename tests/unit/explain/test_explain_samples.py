"""Input times gradient, SmoothGrad and GradientSHAP on networks that can be written down."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.gradient import GradientShap, InputXGradient, Saliency, SmoothGrad
from sparsight.explain.randomness import image_generator

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


@pytest.fixture
def step() -> nn.Module:
    """relu(first pixel - 0.5) of images of two pixels."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 1), nn.ReLU())
    model[1].weight.data.copy_(torch.tensor([[1.0, 0.0]]))
    model[1].bias.data.fill_(-0.5)
    return model.eval().requires_grad_(False)


def class_weights(linear: nn.Module, targets: Tensor) -> Tensor:
    return linear.get_parameter("1.weight")[targets].view(-1, 3, 4, 5)


def test_input_x_gradient_of_a_linear_network(linear: nn.Module, colour: Batch) -> None:
    found = InputXGradient().explain(ImageBatch(linear, *colour, "i"))
    torch.testing.assert_close(found, (class_weights(linear, colour[1]) * colour[0]).sum(1))
    assert (found < 0).any()


def test_smooth_grad_of_a_linear_network_is_its_saliency(linear: nn.Module, colour: Batch) -> None:
    found = SmoothGrad(n_samples=4, noise=0.5).explain(ImageBatch(linear, *colour, "s"))
    torch.testing.assert_close(found, Saliency().explain(ImageBatch(linear, *colour, "s")))


def test_smooth_grad_without_noise_is_saliency(network: nn.Module, batch: Batch) -> None:
    found = SmoothGrad(n_samples=2, noise=0).explain(ImageBatch(network, *batch, "s"))
    torch.testing.assert_close(found, Saliency().explain(ImageBatch(network, *batch, "s")))


def test_smooth_grad_noise_is_a_share_of_the_images_range(step: nn.Module) -> None:
    # The step is passed when 0.25 + 0.5 * (0.75 - 0.25) * z > 0.5, that is z > 1: 15.87%.
    # With the noise itself as deviation it would be z > 0.5: 30.9%.
    images = torch.tensor([0.25, 0.75]).view(1, 1, 1, 2)
    found = SmoothGrad(n_samples=2000, noise=0.5).explain(
        ImageBatch(step, images, torch.tensor([0]), torch.tensor([3]), "s")
    )
    assert found[0, 0, 0].item() == pytest.approx(0.1587, abs=0.03)
    generator = image_generator(3, "s")
    draws = torch.stack([torch.randn((1, 1, 2), generator=generator) for _ in range(2000)])
    passed = (draws[:, 0, 0, 0] > 1).float().mean().item()
    assert found[0, 0, 0].item() == pytest.approx(passed, abs=1e-3)
    assert found[0, 0, 1].item() == 0


def test_smooth_grad_takes_the_absolute_value_of_the_mean() -> None:
    # |x| = relu(x) + relu(-x) has the gradient -1 or 1; at 0 with symmetric noise the mean is
    # near 0, whereas the mean of absolute values is 1.
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    model[1].weight.data.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    model[1].bias.data.zero_()
    model[3].weight.data.fill_(1)
    images = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    found = SmoothGrad(n_samples=1000).explain(
        ImageBatch(model.requires_grad_(False), images, torch.tensor([0]), torch.tensor([3]), "s")
    )
    assert found[0, 0, 0].item() < 0.15


def test_gradient_shap_of_a_linear_network_is_weight_times_difference(
    linear: nn.Module, colour: Batch
) -> None:
    images, targets, ids = colour
    found = GradientShap(n_samples=3, baseline_maximum=0.5).explain(
        ImageBatch(linear, *colour, "g")
    )
    baselines = []
    for image_id in ids.tolist():
        generator = image_generator(image_id, "g")
        drawn = []
        for _ in range(3):
            drawn.append(0.5 * torch.rand((3, 4, 5), generator=generator))
            torch.rand((1, 1, 1), generator=generator)
        baselines.append(torch.stack(drawn).mean(0))
    expected = (class_weights(linear, targets) * (images - torch.stack(baselines))).sum(1)
    torch.testing.assert_close(found, expected)


def test_gradient_shap_from_black_integrates_the_step(step: nn.Module) -> None:
    # The gradient is 1 on the half of the way from 0 to 1 that lies above 0.5.
    images = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    found = GradientShap(n_samples=2000, baseline_maximum=0).explain(
        ImageBatch(step, images, torch.tensor([0]), torch.tensor([3]), "g")
    )
    assert found[0, 0, 0].item() == pytest.approx(0.5, abs=0.05)
    assert found[0, 0, 1].item() == 0


def test_gradient_shap_is_complete_in_expectation(network: nn.Module, batch: Batch) -> None:
    images, targets, _ = batch
    found = GradientShap(n_samples=400).explain(ImageBatch(network, *batch, "g"))
    generator = torch.Generator().manual_seed(0)
    noise = 0.2 * torch.rand(500, 1, 28, 28, generator=generator)
    rows = torch.arange(len(images))
    gain = network(images)[rows, targets] - network(noise).mean(0)[targets]
    found = found.sum(dim=(1, 2))
    torch.testing.assert_close(found, gain, atol=0.1 * float(gain.abs().max()), rtol=0)


def test_gradient_shap_noise_lies_on_the_image(step: nn.Module) -> None:
    # At the end of the way x may be noisy: without noise, 0.25 never passes the step at 0.5.
    images = torch.tensor([0.25, 1.0]).view(1, 1, 1, 2)
    given = (step, images, torch.tensor([0]), torch.tensor([3]), "g")
    assert (
        GradientShap(n_samples=50, baseline_maximum=0).explain(ImageBatch(*given))[0, 0, 0].item()
        == 0
    )
    assert (
        GradientShap(n_samples=50, baseline_maximum=0, noise=1).explain(ImageBatch(*given))[0, 0, 0]
        > 0
    )
