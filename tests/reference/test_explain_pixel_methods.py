"""Our own pixel methods against captum's, on equal inputs and, where there are any, equal draws."""

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch
from sparsight.explain.deep_lift import DeepLift
from sparsight.explain.gradient import GradientShap, GuidedBackprop, InputXGradient, SmoothGrad
from sparsight.explain.perturbation import Occlusion
from sparsight.explain.randomness import image_generator
from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn

pytestmark = pytest.mark.filterwarnings("ignore:Setting", "ignore:Input Tensor 0")
TARGETS = torch.tensor([3, 0, 9, 7, 1])
IDS = torch.tensor([12, 7, 3, 40, 41])


@pytest.fixture
def model() -> nn.Module:
    return build_network(ThesisCnn, 10, seed=3).eval().requires_grad_(False)


@pytest.fixture
def images() -> Tensor:
    """Noise in a black frame."""
    images = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(4))
    images[:, :, :9] = 0
    images[:, :, :, 20:] = 0
    return images


def explain(explainer: Explainer, model: nn.Module, images: Tensor) -> Tensor:
    return explainer.explain(
        ImageBatch(model, images, TARGETS[: len(images)], IDS[: len(images)], "x")
    )


def close(found: Tensor, expected: Tensor) -> None:
    """Equal to captum's [N,1,28,28]."""
    assert found.abs().max() > 1e-3
    torch.testing.assert_close(found, expected.detach().float().sum(1), atol=1e-6, rtol=1e-4)


def test_input_x_gradient(model: nn.Module, images: Tensor) -> None:
    expected = captum.attr.InputXGradient(model).attribute(images.clone(), target=TARGETS)
    close(explain(InputXGradient(), model, images), expected)


def test_guided_backprop(model: nn.Module, images: Tensor) -> None:
    expected = captum.attr.GuidedBackprop(model).attribute(images.clone(), target=TARGETS)
    close(explain(GuidedBackprop(), model, images), expected)


def test_deep_lift(model: nn.Module, images: Tensor) -> None:
    # Without padding, a black image's units are equal within a window.
    expected = captum.attr.DeepLift(model).attribute(images.clone(), target=TARGETS)
    close(explain(DeepLift(), model, images), expected)


def test_deep_lift_is_complete_where_captum_is_not(images: Tensor) -> None:
    """Why it is our own: should this fail, captum's may do."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(196, 10)),
    )
    model.eval().requires_grad_(False)
    rows = torch.arange(len(images))
    gain = model(images)[rows, TARGETS] - model(torch.zeros_like(images))[rows, TARGETS]
    expected = captum.attr.DeepLift(model).attribute(images.clone(), target=TARGETS)
    assert (expected.sum(dim=(1, 2, 3)) - gain).abs().max() > 1e-3
    found = explain(DeepLift(), model, images).sum(dim=(1, 2))
    torch.testing.assert_close(found, gain, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("window", "stride", "baseline"), [(7, 7, 0.0), (5, 4, 0.3), (8, 3, 0.0), (28, 28, 1.0)]
)
def test_occlusion(
    model: nn.Module, images: Tensor, window: int, stride: int, baseline: float
) -> None:
    expected = captum.attr.Occlusion(model).attribute(
        images,
        target=TARGETS,
        sliding_window_shapes=(1, window, window),
        strides=(1, stride, stride),
        baselines=baseline,
    )
    explainer = Occlusion(window=window, stride=stride, baseline=baseline)
    close(explain(explainer, model, images), expected)


class Script:
    """Gives captum, which draws from global generators, our draws for a single image."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def normal(self, draws: Tensor) -> None:
        self._patch.setattr(torch, "normal", lambda mean, deviation: mean + deviation * draws)

    def uniform(self, draws: Tensor) -> None:
        values = draws.flatten().double().numpy()
        self._patch.setattr(np.random, "uniform", lambda low, high, count: values[:count])

    def rows(self) -> None:
        self._patch.setattr(np.random, "choice", lambda count, size: np.arange(size))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return Script(monkeypatch)


def test_smooth_grad(model: nn.Module, images: Tensor, script: Script) -> None:
    image = images[:1] * 0.5
    generator = image_generator(12, "x")
    draws = torch.stack([torch.randn((1, 28, 28), generator=generator) for _ in range(6)])
    script.normal(draws)
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(model))
    spread = float(image.max() - image.min())
    expected = tunnel.attribute(
        image.clone(), nt_samples=6, stdevs=0.2 * spread, target=TARGETS[:1], abs=False
    )
    close(explain(SmoothGrad(n_samples=6, noise=0.2), model, image), expected.abs())


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_gradient_shap(model: nn.Module, images: Tensor, script: Script, noise: float) -> None:
    image = images[:1] * 0.5
    generator = image_generator(12, "x")
    baselines, shares, normals = [], [], []
    for _ in range(6):
        baselines.append(0.3 * torch.rand((1, 28, 28), generator=generator))
        shares.append(torch.rand((1, 1, 1), generator=generator))
        if noise:
            normals.append(torch.randn((1, 28, 28), generator=generator))
    script.normal(torch.stack(normals) if noise else torch.zeros(()))
    script.uniform(torch.stack(shares))
    script.rows()
    expected = captum.attr.GradientShap(model).attribute(
        image.clone(),
        baselines=torch.stack(baselines),
        n_samples=6,
        stdevs=noise * float(image.max()),
        target=TARGETS[:1],
    )
    explainer = GradientShap(n_samples=6, baseline_maximum=0.3, noise=noise)
    close(explain(explainer, model, image), expected)
