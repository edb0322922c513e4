"""Robustness and randomisation against quantus 0.6 and captum, given equal perturbations."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import nn

from sparsight.metrics.base import MapBatch, image_generators
from sparsight.metrics.preparation import min_max
from sparsight.metrics.randomisation import (
    EfficientMprt,
    NetworkRandomiser,
    RandomLogit,
    SmoothMprt,
)
from sparsight.metrics.registry import METRICS
from sparsight.metrics.robustness import perturbed_images

quantus = pytest.importorskip("quantus")
captum_metrics = pytest.importorskip("captum.metrics")

COUNT, SIDE, CLASSES, SAMPLES = 4, 12, 4, 6
QUIET = {"disable_warnings": True, "display_progressbar": False, "return_aggregate": False}


def network_of(classes, seed=1):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Softplus(), nn.Flatten()]
    layers += [nn.Linear(3 * (SIDE - 2) ** 2, classes)]
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network():
    return network_of(CLASSES)


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(2)
    return torch.rand((COUNT, 1, SIDE, SIDE), generator=generator), torch.tensor([0, 1, 2, 3])


def gradient(model, images, targets, rows=None):
    """Gradient times input, [N, H, W]."""
    with torch.enable_grad():
        wanted = images.detach().clone().requires_grad_()
        score = model(wanted).gather(1, targets[:, None]).sum()
        (found,) = torch.autograd.grad(score, wanted)
    return (found * images).sum(dim=1).detach()


def explain_func(model, inputs, targets, **_):
    images = torch.as_tensor(np.asarray(inputs), dtype=torch.float32)
    return gradient(model, images, torch.as_tensor(targets))[:, None].numpy()


def ours(metric, network, images, targets):
    maps = gradient(network, images, targets)
    return metric.score(MapBatch(maps, images, targets, None, network, gradient))


def of_quantus(metric, network, images, targets, **more):
    """What quantus gives when all maps are its own to make."""
    return metric(
        model=network,
        x_batch=images.numpy().copy(),
        y_batch=targets.numpy().copy(),
        a_batch=None,
        explain_func=explain_func,
        channel_first=True,
        device="cpu",
        **more,
    )


@pytest.mark.parametrize(
    ("name", "class_name", "parameters", "library"),
    [
        ("max_sensitivity", "MaxSensitivity", {}, {"normalise": False}),
        ("average_sensitivity", "AvgSensitivity", {}, {"normalise": False}),
        ("local_lipschitz", "LocalLipschitzEstimate", {}, {"normalise": True}),
        (
            "local_lipschitz",
            "LocalLipschitzEstimate",
            {"scaling": "none", "noise": "normal"},
            {"normalise": False},
        ),
    ],
)
def test_robustness_is_that_of_quantus(name, class_name, parameters, library, network, batch):
    images, targets = batch
    metric = METRICS.load(name)(samples=SAMPLES, **parameters)
    expected = []
    for row in range(COUNT):  # alone, since quantus normalises by the maximum of the batch
        one = images[row : row + 1]
        copies = perturbed_images(one, SAMPLES, 0.2, metric.settings["noise"])

        def perturb(arr, indices, copies=copies, **_):
            return next(copies).flatten(1).numpy()

        given = getattr(quantus, class_name)(
            nr_samples=SAMPLES, perturb_func=perturb, abs=False, **library, **QUIET
        )
        expected += list(of_quantus(given, network, one, targets[row : row + 1]))
    found = ours(metric, network, images, targets)
    assert found.min() > 0
    assert found.numpy() == pytest.approx(np.array(expected), rel=1e-5)


def test_max_sensitivity_is_that_of_captum(network, batch):
    images, targets = batch
    copies = torch.stack(list(perturbed_images(images, SAMPLES, 0.02, "uniform")), dim=1)

    def attribute(inputs, target):
        # captum gives the images as a tuple, and the copies as they come
        if isinstance(inputs, tuple):
            return (gradient(network, inputs[0], target),)
        return gradient(network, inputs, target)

    expected = captum_metrics.sensitivity_max(
        attribute,
        images,
        perturb_func=lambda inputs: copies.flatten(0, 1),
        n_perturb_samples=SAMPLES,
        target=targets,
    )
    metric = METRICS.load("max_sensitivity")(samples=SAMPLES, radius=0.02)
    torch.testing.assert_close(ours(metric, network, images, targets), expected)


@pytest.fixture
def same_random_networks(monkeypatch):
    """quantus randomises as `NetworkRandomiser` does: all three layers, one after another."""
    from quantus.helpers.model.pytorch_model import PyTorchModel

    def stages(self, order="top_down", seed=42):
        for step, one in enumerate(NetworkRandomiser(0, True).stages(self.model, 3, order)):
            yield f"stage {step}", one

    monkeypatch.setattr(PyTorchModel, "get_random_layer_generator", stages)
    monkeypatch.setattr(PyTorchModel, "random_layer_generator_length", 3)


def test_efficient_mprt_is_that_of_quantus(network, batch, same_random_networks):
    images, targets = batch
    expected = of_quantus(quantus.EfficientMPRT(**QUIET), network, images, targets)
    found = ours(EfficientMprt(draws=1), network, images, targets)
    assert found.numpy() == pytest.approx(np.array(expected), abs=1e-5)
    assert len(set(found.tolist())) == COUNT


@pytest.mark.parametrize("order", ["bottom_up", "top_down"])
def test_smooth_mprt_is_that_of_quantus(network, batch, order, same_random_networks, monkeypatch):
    images, targets = batch
    generators = list(image_generators(images, "smooth_mprt"))
    noise = [
        torch.stack([torch.randn(images.shape[1:], generator=one) for one in generators]).numpy()
        for _ in range(SAMPLES - 1)
    ]
    turn = iter(noise * 10)
    monkeypatch.setattr(np.random, "randn", lambda *shape: next(turn))
    monkeypatch.setattr(quantus, "explain", explain_func)
    given = quantus.SmoothMPRT(nr_samples=SAMPLES, layer_order=order, **QUIET)
    expected = of_quantus(given, network, images, targets)
    assert list(expected) == ["original", "stage 0", "stage 1", "stage 2"]
    assert expected["original"] == pytest.approx([1] * COUNT)
    metric = SmoothMprt(samples=SAMPLES, order=order)
    found = ours(metric, network, images, targets)
    for step in range(3):
        assert found[:, step].numpy() == pytest.approx(
            np.array(expected[f"stage {step}"]), abs=1e-5
        )
    assert found.max() < 0.999


def test_random_logit_is_that_of_quantus_for_maps_instead_of_rows(batch):
    """Of two classes the other one is no draw; quantus hands its maps over as rows."""
    images, _ = batch
    targets = torch.tensor([0, 1, 1, 0])
    network = network_of(2)

    def similarity(first, second, batched):
        assert batched
        values = []
        for pair in zip(first, second, strict=True):
            a, b = (np.float64(one.reshape(SIDE, SIDE)) for one in pair)
            a, b = ((one - one.min()) / (one.max() - one.min()) for one in (a, b))
            values.append(structural_similarity(a, b, data_range=1))
        return values

    given = quantus.RandomLogit(similarity_func=similarity, num_classes=2, **QUIET)
    expected = of_quantus(given, network, images, targets)

    def scaled(model, some, classes, rows=None):
        return min_max(gradient(model, some, classes))

    maps = scaled(network, images, targets)
    found = RandomLogit().score(MapBatch(maps, images, targets, None, network, scaled))
    assert found.numpy() == pytest.approx(np.array(expected), abs=1e-5)
    assert found.max() < 0.9
