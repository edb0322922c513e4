"""What all faithfulness metrics promise: rows on their own, bounded passes, NaN for nothing."""

import pytest
import torch

from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.faithfulness import tie_order
from sparsight.metrics.registry import METRICS

# Names, with parameters that suit images of 12x12 and take milliseconds.
SMALL = {
    "insertion": {"steps": 6},
    "deletion": {"steps": 6},
    "pixel_flipping": {"steps": 6},
    "faithfulness_correlation": {"samples": 8, "subset_size": 30},
    "infidelity": {"samples": 8, "largest_side": 5},
    "sufficiency": {"samples": 8, "share": 0.3},
    "irof": {"segments": 9},
}
# Metrics that look at the order of the pixels alone, not at the values of the map.
ORDINAL = ["insertion", "deletion", "pixel_flipping", "sufficiency"]
every = pytest.mark.parametrize("name", sorted(SMALL))


def score(name, images, targets, maps, network, **parameters):
    metric = METRICS.load(name)(**{**SMALL[name], **parameters})
    return metric.score(MapBatch(maps, images, targets, None, network))


@every
def test_no_row_depends_on_the_others(name, batch, network):
    whole = score(name, *batch, network)
    assert whole.dtype == torch.float32
    assert whole.isfinite().all()
    assert len(whole.unique(dim=0)) > 1
    for rows in ([3], [5, 1, 2]):
        part = score(name, *(tensor[rows] for tensor in batch), network)
        torch.testing.assert_close(part, whole[rows], atol=1e-5, rtol=1e-4)


@every
def test_a_second_call_gives_the_same_and_leaves_generators_alone(name, batch, network):
    before = torch.get_rng_state()
    first = score(name, *batch, network)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(score(name, *batch, network), first)


@every
def test_a_pass_holds_no_more_images_than_the_batch(name, batch, network):
    sizes = []
    handle = network.register_forward_hook(lambda module, inputs, out: sizes.append(len(out)))
    score(name, *batch, network)
    handle.remove()
    assert max(sizes) == len(batch[0])


@every
def test_inputs_are_left_as_they_were(name, batch, network):
    before = [tensor.clone() for tensor in batch]
    score(name, *batch, network)
    assert all(torch.equal(one, other) for one, other in zip(batch, before, strict=True))


@every
def test_a_map_of_nan_is_undefined_and_alone_in_that(name, batch, network):
    images, targets, maps = batch
    broken = maps.clone()
    broken[2] = torch.nan
    found, expected = (score(name, images, targets, m, network) for m in (broken, maps))
    assert found[2].isnan().all()
    rest = [0, 1, 3, 4, 5]
    torch.testing.assert_close(found[rest], expected[rest])


@every
def test_an_empty_or_constant_map_is_scored_and_alone_in_that(name, batch, network):
    images, targets, maps = batch
    flat = maps.clone()
    flat[1], flat[4] = 0.0, 0.3
    found, expected = (score(name, images, targets, m, network) for m in (flat, maps))
    assert found.isfinite().all()
    rest = [0, 2, 3, 5]
    torch.testing.assert_close(found[rest], expected[rest])


@pytest.mark.parametrize("name", ORDINAL)
@pytest.mark.parametrize("value", [0.0, 0.3, -2.0])
def test_a_constant_map_scores_as_a_map_of_the_random_order_does(name, value, batch, network):
    images, targets, maps = batch
    order = tie_order(images)
    falling = torch.arange(order.shape[1], 0, -1).expand_as(order).float()
    random = torch.empty_like(falling).scatter_(1, order, falling).view_as(maps)
    found = score(name, images, targets, torch.full_like(maps, value), network)
    torch.testing.assert_close(found, score(name, images, targets, random, network))


@pytest.mark.parametrize("value", [0.3, -2.0])
def test_a_constant_map_scores_as_an_empty_one(value, batch, network):
    images, targets, maps = batch
    constant, empty = (torch.full_like(maps, each) for each in (value, 0.0))
    assert (score("faithfulness_correlation", images, targets, constant, network) == 0).all()
    assert torch.equal(
        score("irof", images, targets, constant, network),
        score("irof", images, targets, empty, network),
    )


@pytest.mark.parametrize("name", ORDINAL)
def test_only_the_order_of_the_pixels_counts(name, batch, network):
    images, targets, maps = batch
    found = score(name, images, targets, maps.exp(), network)
    assert torch.equal(found, score(name, images, targets, maps, network))


@pytest.mark.parametrize("name", sorted(set(SMALL) - set(ORDINAL)))
def test_the_scale_of_a_map_does_not_count(name, batch, network):
    images, targets, maps = batch
    found = score(name, images, targets, 40 * maps, network)
    torch.testing.assert_close(found, score(name, images, targets, maps, network))


@pytest.mark.parametrize("name", ORDINAL)
def test_equal_pixels_go_in_the_images_own_order(name, batch, network):
    images, targets, _ = batch
    levels = torch.arange(144).view(12, 12).div(36, rounding_mode="floor").expand(6, 12, 12)
    order = tie_order(images)
    places = torch.empty_like(order).scatter_(1, order, torch.arange(144).expand(6, 144))
    untied = levels - places.view(6, 12, 12) / 1000
    found = score(name, images, targets, levels.float(), network)
    assert torch.equal(found, score(name, images, targets, untied, network))
    in_reading_order = levels - torch.arange(144).view(12, 12) / 1000
    assert not torch.equal(found, score(name, images, targets, in_reading_order, network))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("insertion", {"baseline": "grey"}, "baseline is 'grey', but must be one of zero, mean"),
        ("deletion", {"value": "loss"}, "value is 'loss'"),
        ("pixel_flipping", {"steps": 0}, "steps is 0, but must be at least 1"),
        ("faithfulness_correlation", {"samples": 0}, "samples is 0"),
        ("faithfulness_correlation", {"baseline": "grey"}, "baseline is 'grey'"),
        ("infidelity", {"perturbation": "holes"}, "must be one of squares, every_square, noise"),
        ("infidelity", {"noise": 0.0}, "noise is 0.0, but must be above 0"),
        ("infidelity", {"perturbation": "noise", "multiplied_by_input": True}, "must be squares"),
        ("sufficiency", {"share": 1.0}, "share is 1.0, but must be above 0 and below 1"),
        ("sufficiency", {"surroundings": "black"}, "must be one of shuffled, uniform"),
        ("irof", {"segments": 0}, "segments is 0"),
        ("irof", {"floor": 0.0}, "floor is 0.0, but must be above 0 and below 1"),
    ],
)
def test_wrong_parameters_are_refused(name, parameters, message):
    with pytest.raises(InputError, match=f"^metric {name}.*{message}"):
        METRICS.load(name)(**parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("deletion", {"steps": 145}),
        ("faithfulness_correlation", {"subset_size": 144}),
        ("infidelity", {"largest_side": 13}),
    ],
)
def test_parameters_too_large_for_the_images_are_refused(name, parameters, batch, network):
    with pytest.raises(InputError, match=f"^metric {name}: .* 12x12 pixels"):
        score(name, *batch, network, **parameters)
