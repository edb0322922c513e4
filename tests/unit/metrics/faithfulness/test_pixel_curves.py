"""Insertion, deletion and pixel flipping, by hand, and together as apart."""

import math

import duckdb
import pyarrow as pa
import pytest
import torch

from sparsight.analysis.scores import REDUCERS
from sparsight.metrics.base import MapBatch
from sparsight.metrics.faithfulness import Deletion, Insertion, PixelFlipping, stand_ins


def collapse(curve, reducer):
    """The number that tables have of a curve."""
    with duckdb.connect() as database:
        database.register("steps", pa.table({"step": range(len(curve)), "value": curve}))
        return database.execute(f"SELECT {REDUCERS[reducer]} FROM steps").fetchone()[0]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


@pytest.fixture
def by_hand(linear):
    """One image of 2x2 and two classes: logits (x₁ + 2x₂ + 3x₃ + 4x₄, 0), all pixels 1."""
    weights = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    network = linear(weights)
    images, targets = torch.ones(1, 1, 2, 2), torch.tensor([0])
    # The order of the map is x₂, x₄, x₁, x₃.
    maps = torch.tensor([[[-1.0, 7.0], [-2.0, 0.5]]])
    return network, images, targets, maps


def test_deletion_by_hand(by_hand):
    network, images, targets, maps = by_hand
    curve = Deletion(steps=4).score(MapBatch(maps, images, targets, None, network))
    expected = [sigmoid(value) for value in (10, 8, 4, 3, 0)]
    torch.testing.assert_close(curve, torch.tensor([expected]))


def test_insertion_by_hand(by_hand):
    network, images, targets, maps = by_hand
    curve = Insertion(steps=4, baseline="zero").score(
        MapBatch(maps, images, targets, None, network)
    )
    expected = [sigmoid(value) for value in (0, 2, 6, 7, 10)]
    torch.testing.assert_close(curve, torch.tensor([expected]))


def test_pixel_flipping_by_hand(by_hand):
    network, images, targets, maps = by_hand
    curve = PixelFlipping(steps=4).score(MapBatch(maps, images, targets, None, network))
    assert curve.tolist() == [[10, 8, 4, 3, 0]]
    # Inverted: 0.75 becomes 0.25, a loss of half the weight.
    inverted = PixelFlipping(steps=2, baseline="inverted")
    curve = inverted.score(MapBatch(maps, 0.75 * images, targets, None, network))
    torch.testing.assert_close(curve, torch.tensor([[7.5, 4.5, 2.5]]))


@pytest.mark.parametrize("value", ["logit", "probability"])
def test_a_constant_added_to_all_logits_changes_no_reduced_number_of_flipping(value, by_hand):
    network, images, targets, maps = by_hand
    metric = PixelFlipping(steps=4, value=value)
    numbers = []
    for network.offsets in (0.0, 3.0, -50.0):
        curve = metric.score(MapBatch(maps, images, targets, None, network))[0].double().numpy()
        numbers.append(collapse(curve, metric.reducer))
    assert numbers == pytest.approx([numbers[0]] * 3, abs=1e-6)
    assert metric.direction == "higher"
    if value == "logit":
        # the mean of 10, 8, 4, 3 and 0 is 5
        assert numbers[0] == pytest.approx(5)


@pytest.mark.parametrize(("sign", "expected"), [(1, 6), (-1, 4)])
def test_the_sooner_flipping_loses_the_higher_its_number(sign, expected, by_hand):
    network, images, targets, _ = by_hand
    maps = sign * network.weights[0]
    curve = (
        PixelFlipping(steps=4)
        .score(MapBatch(maps, images, targets, None, network))[0]
        .double()
        .numpy()
    )
    # 10, 6, 3, 1, 0 or 10, 9, 7, 4, 0
    found = collapse(curve, PixelFlipping.reducer)
    assert found == pytest.approx(expected)


def test_steps_that_do_not_divide_the_pixels(by_hand):
    """Of four pixels, round(4/3) = 1 and round(8/3) = 3."""
    network, images, targets, maps = by_hand
    curve = PixelFlipping(steps=3).score(MapBatch(maps, images, targets, None, network))
    assert curve.tolist() == [[10, 8, 3, 0]]


def test_mean_colour_is_the_images_own(linear):
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = stand_ins(images, "mean")
    assert found.shape == images.shape
    torch.testing.assert_close(found[1, 2, 3, 3], images[1, 2].mean())


def test_blur_keeps_a_constant_image_and_averages_others():
    flat = torch.full((2, 3, 6, 20), 0.4)
    torch.testing.assert_close(stand_ins(flat, "blur"), flat)
    dot = torch.zeros(1, 2, 25, 25)
    dot[0, 1, 12, 12] = 1
    found = stand_ins(dot, "blur")
    assert not found[0, 0].any()
    assert found[0, 1].sum().item() == pytest.approx(1, abs=1e-5)
    assert (found[0, 1] > 0).sum() == 121
    # Neighbouring weights of a Gaussian of standard deviation 5.
    ratio = (found[0, 1, 12, 15] / found[0, 1, 12, 12]).item()
    assert ratio == pytest.approx(math.exp(-9 / 50), abs=1e-5)


def group():
    return {
        "shown": Insertion(steps=5),
        "shown_on_black": Insertion(steps=5, baseline="zero", value="logit"),
        "hidden": Deletion(steps=5),
        "flipped": PixelFlipping(steps=5),
        "inverted": PixelFlipping(steps=5, baseline="inverted"),
        "finer": Deletion(steps=9, baseline="mean"),
    }


def test_together_as_apart(batch, network):
    images, targets, maps = batch
    together = Deletion.score_together(group(), MapBatch(maps, images, targets, None, network))
    assert list(together) == list(group())
    for name, metric in group().items():
        alone = metric.score(MapBatch(maps, images, targets, None, network))
        assert torch.equal(together[name], alone), name


def test_passes_are_shared(batch, network):
    images, targets, maps = batch
    sizes = []
    network.register_forward_hook(lambda module, inputs, out: sizes.append(len(out)))
    Deletion.score_together(group(), MapBatch(maps, images, targets, None, network))
    # Inner steps 4 + 4 + 4 (hidden and flipped) + 4 + 8; the image, and blanks of four kinds.
    assert sizes == [6] * (24 + 5)


def test_curve_begins_and_ends_with_whole_and_blank_image(batch, network):
    images, targets, maps = batch
    shown = Insertion(steps=3).score(MapBatch(maps, images, targets, None, network))
    whole = network(images).softmax(1).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(shown[:, -1], whole)
    blurred = network(stand_ins(images, "blur")).softmax(1).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(shown[:, 0], blurred)


def test_the_best_order_of_a_linear_network(linear):
    """For w·x, no order deletes faster than that by w·x, and none slower than its reverse."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn((1, 1, 6, 6), generator=generator)
    images = torch.rand((4, 1, 6, 6), generator=generator)
    network, targets = linear(weights), torch.zeros(4, dtype=torch.int64)
    exact = (weights * images)[:, 0]

    def mean(maps):
        return PixelFlipping(steps=36).score(MapBatch(maps, images, targets, None, network)).mean(1)

    for _ in range(5):
        other = mean(torch.randn((4, 6, 6), generator=generator))
        assert (mean(exact) < other).all()
        assert (other < mean(-exact)).all()
