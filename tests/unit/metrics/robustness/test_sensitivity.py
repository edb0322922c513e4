"""Robustness: values worked out on paper, shared explanations, what is undefined."""

import numpy as np
import pytest
import torch

from sparsight.explain.controls import InputImage
from sparsight.io.errors import InputError
from sparsight.metrics import robustness
from sparsight.metrics.base import BatchExplainer, MapBatch
from sparsight.metrics.preparation import prepare
from sparsight.metrics.registry import METRICS
from sparsight.metrics.robustness import (
    AverageSensitivity,
    LocalLipschitz,
    MaxSensitivity,
    perturbed_images,
    relative_change,
)

NAMES = ("max_sensitivity", "average_sensitivity", "local_lipschitz")
NETWORK = torch.nn.Identity()


def images_of(count, channels=1, side=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, channels, side, side), generator=generator)


def first_channel(factor):
    """An explainer that gives `factor` times the image's first channel."""
    return lambda model, images, targets, rows=None: factor * images[:, 0]


def score(metric, images, explain, maps=None):
    targets = torch.zeros(len(images), dtype=torch.int64)
    maps = explain(NETWORK, images, targets) if maps is None else maps
    return metric.score(MapBatch(maps, images, targets, None, NETWORK, explain))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_an_explainer_that_ignores_its_image_does_not_change(name, noise):
    fixed = images_of(4, seed=9)[:, 0]
    metric = METRICS.load(name)(samples=5, noise=noise)
    values = score(metric, images_of(4), lambda *_: fixed)
    assert values.dtype == torch.float32
    assert values.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_a_linear_explainer_has_its_factor_as_lipschitz_constant(noise):
    metric = LocalLipschitz(samples=4, noise=noise, radius=0.3, scaling="none")
    values = score(metric, images_of(5), first_channel(-3.0))
    assert values.tolist() == pytest.approx([3] * 5, rel=1e-5)


def test_lipschitz_goes_by_all_channels_of_the_image(monkeypatch):
    """Each channel moves by 1 in one pixel and the map, their sum, by 3: 3 / sqrt(3)."""
    monkeypatch.setattr(robustness, "perturbed_images", moved((0, 0, 1.0)))
    values = score(
        LocalLipschitz(samples=1, scaling="none"),
        images_of(2, channels=3),
        lambda model, images, targets, rows=None: images.sum(dim=1),
    )
    assert values.tolist() == pytest.approx([3**0.5] * 2, rel=1e-5)


def moved(*steps):
    """In place of `perturbed_images`: each step moves one pixel (row, column) by a distance."""

    def perturbed(images, samples, radius, noise):
        assert samples == len(steps)
        for row, column, distance in steps:
            copies = images.clone()
            copies[:, :, row, column] += distance
            yield copies

    return perturbed


def test_values_on_paper(monkeypatch):
    """The map is the image, of norm 5; a pixel moves by 2, then by 1."""
    monkeypatch.setattr(robustness, "perturbed_images", moved((0, 0, 2.0), (1, 1, 1.0)))
    image = torch.zeros(1, 1, 2, 2)
    image[0, 0, 0] = torch.tensor([3.0, 4.0])
    explain = first_channel(1.0)
    assert score(MaxSensitivity(samples=2), image, explain).item() == pytest.approx(2 / 5)
    assert score(AverageSensitivity(samples=2), image, explain).item() == pytest.approx(1.5 / 5)
    # By their maxima the maps are (3/4, 1, 0, 0), then (1, 4/5, 0, 0): a distance of sqrt(41)/20
    # for 2; and (3/4, 1, 0, 1/4): 1/4 for 1. The second is greater.
    found = score(LocalLipschitz(samples=2), image, explain).item()
    assert found == pytest.approx(1 / 4)
    assert 41**0.5 / 20 / 2 < 1 / 4


def test_scale_of_the_attributions_does_not_matter():
    images = images_of(3)
    for metric in (MaxSensitivity(samples=3), AverageSensitivity(samples=3), LocalLipschitz()):
        small, large = (score(metric, images, first_channel(f)) for f in (1e-25, 1e6))
        assert (small > 0).all()
        torch.testing.assert_close(small, large, rtol=1e-4, atol=0)


def test_noise_has_the_size_asked_for_and_is_not_cut():
    images = torch.zeros(2, 3, 40, 40)
    images[1] = 1
    for noise, deviation in (("uniform", 0.2 / 3**0.5), ("normal", 0.2)):
        draws = torch.stack(list(perturbed_images(images, 4, 0.2, noise))) - images
        assert draws.shape == (4, 2, 3, 40, 40)
        assert draws.std().item() == pytest.approx(deviation, rel=0.03)
        assert abs(draws.mean().item()) < 0.005
        # no two draws, images or channels alike
        flat = draws.reshape(4 * 2 * 3, -1)
        correlations = np.corrcoef(flat.numpy())
        assert abs(correlations - np.eye(24)).max() < 0.15
        if noise == "uniform":
            assert draws.abs().max() <= 0.2 + 1e-6
        assert (draws[:, 0] < 0).any()
        assert (draws[:, 1] > 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_no_row_depends_on_the_batch(name):
    images = images_of(5)
    metric = METRICS.load(name)(samples=3)

    def explain(model, some, targets, rows=None):
        return (some[:, 0] + targets[:, None, None]).square()

    def scores(rows):
        targets = torch.arange(5)[rows]
        maps = explain(NETWORK, images[rows], targets)
        return metric.score(MapBatch(maps, images[rows], targets, None, NETWORK, explain))

    whole = scores(torch.arange(5))
    assert len(set(whole.tolist())) == 5
    apart = torch.cat([scores(torch.tensor([3, 1])), scores(torch.tensor([4]))])
    torch.testing.assert_close(apart, whole[[3, 1, 4]])


def test_all_three_share_the_explanations():
    images, calls = images_of(3), []

    def explain(model, some, targets, rows=None):
        calls.append(len(some))
        return some[:, 0].square()

    maps, targets = images[:, 0].square(), torch.zeros(3, dtype=torch.int64)
    given = (maps, images, targets, None, NETWORK, explain)
    metrics = {f"my_{name}": METRICS.load(name)(samples=4) for name in NAMES}
    metrics["wide"] = MaxSensitivity(samples=4, radius=0.4)
    metrics["normal"] = MaxSensitivity(samples=4, noise="normal")
    assert len({metric.shares for metric in metrics.values()} - {""}) == 1
    together = MaxSensitivity.score_together(metrics, MapBatch(*given))
    assert list(together) == list(metrics)
    assert calls == [3] * 4 * 3
    for name, metric in metrics.items():
        torch.testing.assert_close(together[name], metric.score(MapBatch(*given)), rtol=0, atol=0)
    assert len({value.sum().item() for value in together.values()}) == 5


@pytest.mark.parametrize("name", NAMES)
def test_undefined_values_are_nan(name):
    images = images_of(4)
    maps = images[:, 0].clone()
    maps[0] = 0
    maps[1] = torch.nan

    def explain(model, some, targets, rows=None):
        found = some[:, 0].clone()
        found[2, 0, 0] = torch.nan
        return found

    values = score(METRICS.load(name)(samples=3), images, explain, maps)
    assert values.isnan().tolist() == [True, True, True, False]


@pytest.mark.parametrize("name", NAMES)
def test_one_copy_without_a_map_is_enough_to_know_nothing(name):
    calls = []

    def explain(model, some, targets, rows=None):
        calls.append(None)
        return some[:, 0] * (torch.nan if len(calls) == 2 else 1)

    images = images_of(2)
    assert score(METRICS.load(name)(samples=3), images, explain, images[:, 0]).isnan().all()
    assert len(calls) == 3


def test_a_map_that_vanishes_has_changed_by_itself():
    maps = images_of(3)[:, 0]
    assert relative_change(maps, torch.zeros_like(maps)).tolist() == [1, 1, 1]
    values = score(LocalLipschitz(samples=2), images_of(3), lambda *_: torch.zeros(3, 6, 6), maps)
    assert (values > 0).all()


def test_with_a_real_explainer_at_most_a_batch_at_a_time():
    images, sizes = images_of(3, channels=3), []

    class Counted(InputImage):
        def explain(self, batch):
            sizes.append(len(batch))
            return super().explain(batch)

    def treated(raw):
        return prepare(raw, (6, 6), "none", "signed", "none")

    explain = BatchExplainer(Counted(), torch.tensor([5, 6, 7]), "input", treated)
    values = score(MaxSensitivity(samples=6), images, explain)
    assert sizes == [3] * 7
    assert ((values > 0) & (values < 1)).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"samples": 0}, "samples is 0, but must be at least 1"),
        ({"radius": 0.0}, "radius is 0.0, but must be above 0"),
        ({"noise": "gaussian"}, "noise is 'gaussian', but must be one of uniform, normal"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_parameters_that_cannot_be_used(name, parameters, message):
    with pytest.raises(InputError, match=f"metric {name}.{message}"):
        METRICS.load(name)(**parameters)


def test_what_else_cannot_be_used():
    with pytest.raises(InputError, match="scaling is 'range', but must be one of maximum, none"):
        LocalLipschitz(scaling="range")
    images = images_of(1)
    with pytest.raises(InputError, match="needs an explainer"):
        MaxSensitivity().score(MapBatch(images[:, 0], images, torch.zeros(1), None, NETWORK, None))
