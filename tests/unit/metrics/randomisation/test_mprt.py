"""Model parameter randomisation: values worked out on paper, controls, what is undefined."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch, image_generators
from sparsight.metrics.randomisation import (
    EfficientMprt,
    SmoothMprt,
    drawn_weights,
    histogram_entropy,
)
from sparsight.metrics.registry import METRICS

NAMES = ("efficient_mprt", "smooth_mprt")


def small(name, **parameters):
    if name == "smooth_mprt":
        parameters = {"samples": 2, "layers": 3, **parameters}
    return METRICS.load(name)(**parameters)


def scores(metric, network, images, targets, explain):
    maps = explain(network, images, targets)
    return metric.score(MapBatch(maps, images, targets, None, network, explain))


def test_entropy_on_paper():
    maps = torch.tensor([[[0.0, 1, 2, 3]], [[0, 0, 3, 3]], [[0, 0, 0, 3]], [[5, 5, 5, 5]]])
    found = histogram_entropy(maps, 4)
    three = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found[:3].tolist() == pytest.approx([math.log(4), math.log(2), three])
    assert found[3].isnan()
    # 0 and 1 share a bin of [0, 1.5), 2 and 3 that of [1.5, 3], which holds its upper end
    assert histogram_entropy(maps, 2)[0].item() == pytest.approx(math.log(2))
    assert histogram_entropy(torch.tensor([[[1.0, torch.nan, 2]]]), 4).isnan().all()


def test_entropy_is_that_of_numpys_histogram_whatever_the_scale():
    maps = torch.randn((6, 9, 9), generator=torch.Generator().manual_seed(1))
    maps *= 10.0 ** torch.linspace(-30, 30, 6)[:, None, None]
    expected = [stats.entropy(np.histogram(m.double().numpy(), bins=100)[0]) for m in maps]
    assert histogram_entropy(maps, 100).tolist() == pytest.approx(expected)


def test_rise_of_complexity_on_paper(network, batch):
    """From two equal heights (ln 2) to four (2 ln 2): a rise of 1; back again: -1/2."""
    images, targets = batch[0][:2], batch[1][:2]
    two = torch.tensor([0.0, 0, 3, 3]).repeat(4).view(1, 4, 4)
    four = torch.tensor([0.0, 1, 2, 3]).repeat(4).view(1, 4, 4)

    def explain(model, some, classes, rows=None):
        return torch.cat([two, four] if model is network else [four, two])

    found = scores(EfficientMprt(), network, images, targets, explain)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([1, -0.5])


def test_efficient_mprt_is_the_mean_over_the_draws_that_explain_something(network, batch):
    """From ln 2: to 2 ln 2, to 0.5623 (three of four alike) and to an empty map, by the draw."""
    images, targets = batch[0][:3], batch[1][:3]
    two, four, skew = (
        torch.tensor(row).repeat(4).view(4, 4)
        for row in ([0.0, 0, 3, 3], [0.0, 1, 2, 3], [0.0, 0, 0, 3])
    )
    empty = torch.zeros(4, 4)
    seen = []
    by_draw = [[four, four, empty], [skew, empty, empty], [two, empty, empty]]

    def explain(model, some, classes, rows=None):
        if model is network:
            return torch.stack([two] * 3)
        seen.append(model[0].weight.clone())
        return torch.stack(by_draw[len(seen) - 1])

    found = scores(EfficientMprt(draws=3), network, images, targets, explain)
    three = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    expected = [(2 + three + 1) / 3 - 1, 1, math.nan]
    assert found.tolist() == pytest.approx(expected, nan_ok=True)
    # Copies of their own, of which the second is the first of the next seed.
    assert not torch.equal(seen[0], seen[1])
    by_draw[0] = [two] * 3
    second = seen[1]
    seen.clear()
    scores(EfficientMprt(draws=1, seed=1), network, images, targets, explain)
    assert len(seen) == 1
    assert torch.equal(seen[0], second)


@pytest.mark.parametrize("control", ["edges", "input", "random", "centre"])
def test_what_does_not_look_at_the_network_does_not_change(control, network, batch, explaining):
    images, targets = batch
    explain = explaining(control, range(5))
    assert scores(EfficientMprt(), network, images, targets, explain).tolist() == [0] * 5
    found = scores(SmoothMprt(samples=3), network, images, targets, explain)
    assert found.shape == (5, 5)
    assert found.flatten().tolist() == pytest.approx([1] * 25)


def gradient(model, images, targets, rows=None):
    """Gradient of the target's logit, of the first channel."""
    with torch.enable_grad():
        wanted = images.clone().requires_grad_()
        score = model(wanted).gather(1, targets[:, None]).sum()
        (found,) = torch.autograd.grad(score, wanted)
    return found[:, 0]


@pytest.mark.parametrize("order", ["bottom_up", "top_down"])
@pytest.mark.parametrize("absolute", [True, False])
def test_gradient_of_a_linear_network_by_hand(order, absolute):
    """Logits V(Ux): the gradient of class t is row t of VU, whatever the image and its noise."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Linear(6, 3)).eval()
    images, targets = torch.rand(3, 1, 4, 4), torch.tensor([2, 0, 1])
    lower, upper = network[1].weight.detach(), network[2].weight.detach()
    new_lower = drawn_weights(network[1], "1", 7)["weight"]
    new_upper = drawn_weights(network[2], "2", 7)["weight"]
    first = upper @ new_lower if order == "bottom_up" else new_upper @ lower
    metric = SmoothMprt(samples=3, order=order, absolute=absolute, seed=7)
    found = scores(metric, network, images, targets, gradient)
    assert found.shape == (3, 2)
    for step, product in enumerate((first, new_upper @ new_lower)):
        for row, target in enumerate(targets.tolist()):
            pair = [(upper @ lower)[target].double(), product[target].double()]
            pair = [values.abs() if absolute else values for values in pair]
            expected = stats.spearmanr(*(values.numpy() for values in pair))[0]
            assert found[row, step].item() == pytest.approx(expected, abs=1e-5)


def test_maps_are_means_over_noisy_copies(network, batch):
    """An explainer that squares the image: its mean over the copies, by hand."""
    images, targets = batch
    seen = []

    def explain(model, some, classes, rows=None):
        seen.append(some)
        return some[:, 0].square() if model is network else some[:, 0]

    metric = SmoothMprt(samples=4, noise=0.5, layers=1)
    found = metric.score(MapBatch(images[:, 0], images, targets, None, network, explain))
    spread = images.amax((1, 2, 3)) - images.amin((1, 2, 3))
    copies = [[image] for image in images]
    for row, generator in enumerate(image_generators(images, "smooth_mprt")):
        for _ in range(3):
            noise = torch.randn(images.shape[1:], generator=generator)
            copies[row].append(images[row] + 0.5 * spread[row] * noise)
    for row, some in enumerate(copies):
        channels = torch.stack(some)[:, 0].double()
        pair = channels.square().mean(dim=0), channels.mean(dim=0).abs()
        expected = stats.spearmanr(*(values.flatten().numpy() for values in pair))[0]
        assert found[row, 0].item() == pytest.approx(expected, abs=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(seen[:4], seen[4:], strict=True))
    assert [len(some) for some in seen] == [5] * 8


def test_one_sample_is_the_image_itself(network, batch):
    images, targets = batch
    found = scores(SmoothMprt(samples=1, layers=1), network, images, targets, gradient)
    assert (found[:, 0] < 1).all()
    louder = SmoothMprt(samples=1, layers=1, noise=9.0)
    assert torch.equal(found, scores(louder, network, images, targets, gradient))


@pytest.mark.parametrize("name", NAMES)
def test_no_row_depends_on_the_batch(name, network, batch, explaining):
    images, targets = batch
    metric = small(name)

    def part(rows):
        explain = explaining("input_x_gradient", rows)
        return scores(metric, network, images[rows], targets[rows], explain)

    whole = part([0, 1, 2, 3, 4])
    assert len({tuple(row) for row in whole.reshape(5, -1).tolist()}) == 5
    torch.testing.assert_close(torch.cat([part([3, 0]), part([4])]), whole[[3, 0, 4]])
    # another job
    again = scores(small(name), network, images, targets, explaining("input_x_gradient", range(5)))
    torch.testing.assert_close(again, whole)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_stays_bit_for_bit_also_after_an_error(name, network, batch):
    images, targets = batch
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    broken = []

    def explain(model, some, classes, rows=None):
        if broken and model is not network:
            raise RuntimeError("no more")
        return gradient(model, some, classes)

    metric = small(name)
    expected = scores(metric, network, images, targets, explain)
    broken.append(True)
    with pytest.raises(RuntimeError, match="no more"):
        scores(metric, network, images, targets, explain)
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    # what was left half done does no harm
    broken.clear()
    torch.testing.assert_close(scores(metric, network, images, targets, explain), expected)


def test_undefined_values_are_nan(network, batch):
    images, targets = batch

    def explain(model, some, classes, rows=None):
        maps = some[:, 0].clone()
        if model is network:
            maps[0] = 0.3
        else:
            maps[1] = 0
            maps[2, 0, 0] = torch.nan
        return maps

    undefined = [True, True, True, False, False]
    assert scores(EfficientMprt(), network, images, targets, explain).isnan().tolist() == undefined
    found = scores(SmoothMprt(samples=1, layers=2), network, images, targets, explain)
    assert found.isnan().tolist() == [[row, row] for row in undefined]


def test_a_network_pruned_to_nothing_explains_nothing(network, batch):
    images, targets = batch
    network[8].weight.zero_()
    metric = SmoothMprt(samples=1, layers=1)
    assert scores(metric, network, images, targets, gradient).isnan().all()


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("efficient_mprt", {"bins": 1}, "bins is 1, but must be at least 2"),
        ("efficient_mprt", {"draws": 0}, "draws is 0, but must be at least 1"),
        ("smooth_mprt", {"samples": 0}, "samples is 0, but must be at least 1"),
        ("smooth_mprt", {"layers": 0}, "layers is 0, but must be at least 1"),
        ("smooth_mprt", {"noise": -0.1}, "noise is -0.1, but must be at least 0"),
        ("smooth_mprt", {"order": "both"}, "order is 'both', but must be one of bottom_up, top_"),
    ],
)
def test_parameters_that_cannot_be_used(name, parameters, message):
    with pytest.raises(InputError, match=f"metric {name}.{message}"):
        METRICS.load(name)(**parameters)


@pytest.mark.parametrize("name", NAMES)
def test_an_explainer_is_needed(name, network, batch):
    images, targets = batch
    with pytest.raises(InputError, match="needs an explainer"):
        METRICS.load(name)().score(MapBatch(images[:, 0], images, targets, None, network, None))
