"""Faithfulness metrics against quantus 0.6 and captum, given the same perturbations.

Grey images that hold a black pixel, which is what quantus understands by its baseline "black".
"""

from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn

from sparsight.metrics import faithfulness
from sparsight.metrics.base import MapBatch
from sparsight.metrics.faithfulness import (
    FaithfulnessCorrelation,
    Infidelity,
    Irof,
    PixelFlipping,
    infidelity,
    random_subsets,
)

quantus = pytest.importorskip("quantus")
captum_metrics = pytest.importorskip("captum.metrics")

SIDE, CLASSES, COUNT = 12, 4, 5


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    layers = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(300, CLASSES)]
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch():
    """Images, targets, and maps without ties whose maximum is 1: quantus divides by it."""
    generator = torch.Generator().manual_seed(2)
    images = torch.rand((COUNT, 1, SIDE, SIDE), generator=generator)
    images[:, :, 0, 0] = 0
    maps = torch.randn((COUNT, SIDE, SIDE), generator=generator)
    maps /= maps.abs().amax(dim=(1, 2), keepdim=True)
    return images, torch.tensor([0, 1, 2, 3, 0]), maps


def theirs(class_name, batch, network, **parameters):
    """quantus, called on the whole batch."""
    images, targets, maps = (part.numpy().copy() for part in batch)
    metric = getattr(quantus, class_name)(
        disable_warnings=True, display_progressbar=False, return_aggregate=False, **parameters
    )
    found = metric(
        model=network,
        x_batch=images,
        y_batch=targets,
        a_batch=maps[:, None],
        channel_first=True,
        device="cpu",
    )
    return torch.from_numpy(np.asarray(found, dtype=np.float32))


def ours(metric, batch, network):
    images, targets, maps = batch
    return metric.score(MapBatch(maps, images, targets, None, network))


@pytest.mark.parametrize("size", [1, 12])
def test_pixel_flipping_is_that_of_quantus(size, batch, network):
    found = ours(PixelFlipping(steps=SIDE * SIDE // size, value="probability"), batch, network)
    expected = theirs("PixelFlipping", batch, network, features_in_step=size)
    # quantus leaves out the unperturbed image.
    torch.testing.assert_close(found[:, 1:], expected, atol=1e-5, rtol=1e-5)


def test_faithfulness_correlation_is_that_of_quantus_on_the_same_subsets(
    batch, network, monkeypatch
):
    subsets = list(random_subsets(batch[0], 30, 12, "faithfulness_correlation"))
    drawn = iter([row.numpy() for subset in subsets for row in subset])
    monkeypatch.setattr(np.random, "choice", lambda *_, **__: next(drawn))
    expected = theirs("FaithfulnessCorrelation", batch, network, nr_runs=12, subset_size=30)
    assert next(drawn, None) is None
    found = ours(FaithfulnessCorrelation(samples=12, subset_size=30), batch, network)
    assert found.abs().max() > 0.05
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_faithfulness_correlation_is_that_of_quantus_on_average(batch, network):
    """Other subsets: means over repetitions lie within three standard errors."""
    np.random.seed(0)
    runs = [
        theirs("FaithfulnessCorrelation", batch, network, nr_runs=30, subset_size=30)
        for _ in range(20)
    ]
    found = ours(FaithfulnessCorrelation(samples=3000, subset_size=30), batch, network)
    values = torch.stack(runs)
    # The mean of r over samples of 30 is too near 0 by (1 - r²) / 60 of itself: a hundredth.
    error = values.std(dim=0) / 20**0.5 + values.std(dim=0) * (30 / 3000) ** 0.5
    assert ((values.mean(dim=0) - found).abs() < 3 * error).all()


def blocks_of_quantus(images, side):
    """Black blocks of a grid, one more in each image than in the one before."""
    removed = images.clone()
    for top in range(0, SIDE, side):
        for left in range(0, SIDE, side):
            removed = removed.clone()
            removed[:, :, top : top + side, left : left + side] = 0
            yield removed, (images - removed).sum(dim=1)


def test_infidelity_is_that_of_quantus_on_its_blocks(batch, network, monkeypatch):
    metric = Infidelity(scaled=False)
    monkeypatch.setattr(metric, "perturbations", lambda images: blocks_of_quantus(images, 4))
    found = ours(metric, batch, network)
    expected = theirs("Infidelity", batch, network, perturb_patch_sizes=[4], n_perturb_samples=2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(
    "parameters",
    [
        {"perturbation": "squares", "largest_side": 5},
        {"perturbation": "squares", "largest_side": 5, "baseline": "mean"},
        {"perturbation": "squares", "largest_side": 5, "multiplied_by_input": True},
        {"perturbation": "noise"},
    ],
    ids=["squares", "mean", "contributions", "noise"],
)
def test_infidelity_is_that_of_captum_on_the_same_perturbations(parameters, scaled, batch, network):
    images, targets, maps = batch
    metric = Infidelity(samples=6, scaled=scaled, **parameters)
    perturbations = list(metric.perturbations(images))

    def perturb(repeated):
        # captum repeats each image for all of its perturbations.
        weights = torch.stack([weights for _, weights in perturbations], dim=1)
        perturbed = torch.stack([perturbed for perturbed, _ in perturbations], dim=1)
        assert len(repeated) == 6 * COUNT
        return weights.flatten(0, 1).unsqueeze(1), perturbed.flatten(0, 1)

    expected = captum_metrics.infidelity(
        network,
        perturb,
        images,
        maps.unsqueeze(1),
        target=targets,
        n_perturb_samples=6,
        normalize=scaled,
    )
    torch.testing.assert_close(ours(metric, batch, network), expected, atol=1e-5, rtol=1e-4)


def test_an_all_zero_map_is_to_captum_what_it_is_here():
    """No scale suits it: the mean square of what is lost."""
    lost = torch.tensor([[1.0, 3.0]])
    assert infidelity(torch.zeros(1, 2), lost, scaled=True).item() == 5

    def perturb(images):
        return torch.ones_like(images), images - torch.tensor([[1.0], [3.0]])

    found = captum_metrics.infidelity(
        lambda images: images[:, 0],
        perturb,
        torch.ones(1, 1),
        torch.zeros(1, 1),
        n_perturb_samples=2,
        normalize=True,
    )
    assert found.item() == 5


def test_irof_is_that_of_quantus_on_the_same_segments(batch, network, monkeypatch):
    # Images of different numbers of segments come alone: quantus fills their curves with zeros.
    row, column = torch.arange(SIDE)[:, None] // 4, torch.arange(SIDE) // 3
    segments = [row * 4 + column, row + 0 * column, (row // 2) * 4 + column]
    monkeypatch.setattr(faithfulness, "superpixels", lambda *_: torch.stack(segments))
    part = tuple(tensor[:3] for tensor in batch)
    found = ours(Irof(baseline="zero"), part, network)
    if not hasattr(np, "trapz"):
        monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)
    for place, labels in enumerate(segments):
        given = {"return_value": labels.numpy()}
        monkeypatch.setattr(quantus.helpers.utils, "get_superpixel_segments", Mock(**given))
        one = tuple(tensor[place : place + 1] for tensor in batch)
        expected = theirs("IROF", one, network, perturb_baseline=0.0)
        count = int(labels.max()) + 1
        first = first_ratio(one, labels, network)
        torch.testing.assert_close(
            count * found[place] + (1 + first) / 2, expected[0], atol=1e-5, rtol=1e-5
        )


def first_ratio(one, labels, network):
    """The target's probability without its first segment, relative to that of the image."""
    images, targets, maps = one
    means = [maps[0][labels == label].mean() for label in range(int(labels.max()) + 1)]
    without = images.clone()
    without[0, 0][labels == int(torch.stack(means).argmax())] = 0
    probability = network(torch.cat([without, images])).softmax(1)[:, targets[0]]
    return probability[0] / probability[1]
