"""ROAD curves on networks whose output can be worked out, and what the curves share."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from sparsight.analysis.scores import REDUCERS
from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.faithfulness import tie_order
from sparsight.metrics.registry import METRICS
from sparsight.metrics.road import Road, RoadLerf, RoadMorf, RoadMorfPublished

COUNT, SIDE = 3, 10
TARGETS = torch.tensor([1, 1, 0])


def collapse(curve, reducer):
    """The number that tables have of a curve."""
    with duckdb.connect() as database:
        database.register("steps", pa.table({"step": range(len(curve)), "value": curve}))
        return database.execute(f"SELECT {REDUCERS[reducer]} FROM steps").fetchone()[0]


class OnePixel(nn.Module):
    """Logits (0, 8 x - 4) of one pixel x: class 1 where x > 1/2; counts passes and images."""

    def __init__(self, row=4, column=6):
        super().__init__()
        self.place, self.passes = (row, column), []

    def forward(self, images):
        self.passes.append(len(images))
        logit = 8 * images[:, 0, self.place[0], self.place[1]] - 4
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


@pytest.fixture
def images():
    """Black, but for the one pixel: white."""
    found = torch.zeros(COUNT, 1, SIDE, SIDE)
    found[:, 0, 4, 6] = 1
    return found


def maps(rank):
    """Maps whose pixel (4, 6) has `rank` higher ones; the others descend in reading order."""
    values = torch.arange(SIDE * SIDE, 0.0, -1.0)
    order = [place for place in range(SIDE * SIDE) if place != 46]
    order.insert(rank, 46)
    flat = torch.empty(SIDE * SIDE)
    flat[torch.tensor(order)] = values
    return flat.view(1, SIDE, SIDE).repeat(COUNT, 1, 1)


def white(logit=4.0):
    return 1 / (1 + np.exp(-logit))


def score(metric, attributions, images, model=None, targets=TARGETS):
    return metric.score(MapBatch(attributions, images, targets, None, model or OnePixel()))


def test_the_curve_falls_where_the_one_pixel_is_removed(images):
    # Twelve pixels come before it: 11% are not enough, 21% are; then black surroundings fill it.
    probability = RoadMorf(value="probability", noise=0.0)
    found = score(probability, maps(12), images)
    expected = [white()] * 3 + [white(-4.0)] * 8
    for row in (0, 1):
        np.testing.assert_allclose(found[row].numpy(), expected, atol=1e-3)
    # The third image's target is the other class.
    np.testing.assert_allclose(found[2].numpy(), 1 - np.array(expected), atol=1e-3)


def test_accuracy_is_one_where_the_target_is_predicted(images):
    found = score(RoadMorf(), maps(12), images)
    assert found[:2].tolist() == [[1.0] * 3 + [0.0] * 8] * 2
    assert found[2].tolist() == [0.0] * 3 + [1.0] * 8


def test_lerf_removes_the_lowest_first(images):
    # 12 come before it from above, so 87 from below: 81% are not enough, 91% are.
    found = score(RoadLerf(), maps(12), images)
    assert found[:2].tolist() == [[1.0] * 10 + [0.0]] * 2


@pytest.mark.parametrize("metric", [RoadMorf, RoadLerf])
def test_tied_pixels_go_in_the_images_own_order_from_either_end(metric, images):
    # All tied but the first pixel, which is lowest for LeRF and highest for MoRF: it goes, then the
    # others, so that (4, 6) goes after it and those that come before (4, 6) in the order.
    attributions = torch.zeros(COUNT, SIDE, SIDE)
    attributions[:, 0, 0] = 1 if metric is RoadMorf else -1
    order = [place for place in tie_order(images)[0].tolist() if place]
    before = 1 + order.index(46)
    kept = sum(count <= before for count in (0, 1, *range(11, 92, 10)))
    assert kept not in (0, 6, 11)
    found = score(metric(), attributions, images)
    assert found[0].tolist() == [1.0] * kept + [0.0] * (11 - kept)


def test_negative_attribution_is_the_least_relevant(images):
    attributions = maps(12)
    attributions[:, 4, 6] = -1000
    assert score(RoadMorf(), attributions, images)[0].tolist() == [1.0] * 11


def test_the_reduced_numbers(images):
    curve = score(RoadMorf(), maps(12), images)[0].double().numpy()
    numbers = [
        collapse(curve, metric.reducer) for metric in (RoadMorf, RoadLerf, RoadMorfPublished)
    ]
    # 1, 1, 1 and eight zeros: 1 - 3/11; their mean; and (10·1 - 2) / 11 of the ten after the first.
    np.testing.assert_allclose(numbers, [8 / 11, 3 / 11, 8 / 11])


def test_noise_is_added_to_imputed_pixels_only_and_is_the_images_own(images):
    seen = []

    class Watching(OnePixel):
        def forward(self, given):
            seen.append(given.clone())
            return super().forward(given)

    metric = RoadMorf(percentages=[20, 50], noise=0.1)
    score(metric, maps(12), images, Watching())
    whole, first, second = (step[0, 0] for step in seen)
    assert torch.equal(whole, images[0, 0])
    ranks = torch.empty(100, dtype=torch.int64)
    ranks[maps(12)[0].flatten().argsort(descending=True)] = torch.arange(100)
    removed, later = ranks.view(SIDE, SIDE) < 20, ranks.view(SIDE, SIDE) < 50
    assert torch.equal(first[~removed], images[0, 0][~removed])
    # Black around: what is left is the noise, the same in both steps.
    torch.testing.assert_close(first[removed], second[removed], atol=1e-6, rtol=0)
    assert 0.05 < first[removed].std() < 0.2
    assert second[later].unique().numel() == 50
    seen.clear()
    score(RoadLerf(percentages=[20], noise=0.1), -maps(12)[:1], images[:1], Watching(), TARGETS[:1])
    torch.testing.assert_close(seen[1][0, 0], first, atol=1e-6, rtol=0)


@pytest.mark.parametrize("metric", [RoadMorf, RoadLerf])
def test_a_map_without_order_scores_by_chance_and_one_of_nan_is_undefined(images, metric):
    attributions = maps(12)
    attributions[0] = torch.nan
    attributions[1] = 0.3
    found = score(metric(), attributions, images)
    assert found[0].isnan().all()
    assert found[2].isfinite().all()
    # Pixels go in the image's random order, from either end of the map.
    order = tie_order(images)[1]
    falling = torch.arange(len(order), 0, -1).float()
    random = torch.empty_like(falling).scatter_(0, order, falling).view(1, SIDE, SIDE)
    attributions[1] = -random if metric is RoadLerf else random
    torch.testing.assert_close(found[1], score(metric(), attributions, images)[1])


def test_no_row_depends_on_the_others():
    draw = torch.Generator().manual_seed(3)
    images = torch.rand((4, 3, 17, 12), generator=draw)
    attributions = torch.rand((4, 17, 12), generator=draw)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 17 * 12, 5)).requires_grad_(False)
    targets = torch.tensor([0, 1, 2, 3])
    metric = RoadMorf(value="probability")
    together = metric.score(MapBatch(attributions, images, targets, None, model))
    back = metric.score(
        MapBatch(attributions.flip(0), images.flip(0), targets.flip(0), None, model)
    )
    torch.testing.assert_close(back.flip(0), together, atol=1e-5, rtol=0)
    for row in range(4):
        some = slice(row, row + 1)
        alone = metric.score(MapBatch(attributions[some], images[some], targets[some], None, model))
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)


def test_shared_passes_give_the_curves_of_separate_calls(images):
    metrics = {
        "morf": RoadMorf(),
        "published": RoadMorfPublished(),
        "probability": RoadMorf(value="probability"),
        "lerf": RoadLerf(value="probability"),
        "other": RoadMorf(percentages=[50]),
    }
    model = OnePixel()
    found = Road.score_together(metrics, MapBatch(maps(12), images, TARGETS, None, model))
    assert list(found) == list(metrics)
    # One for the unperturbed batch, ten for each order, one more; never more images than the batch.
    assert model.passes == [COUNT] * (1 + 10 + 10 + 1)
    for name, metric in metrics.items():
        assert torch.equal(found[name], score(metric, maps(12), images)), name
    assert {metric.shares for metric in metrics.values()} == {"road"}


def test_an_empty_batch(images):
    found = score(RoadMorf(), maps(0)[:0], images[:0], targets=TARGETS[:0])
    assert found.shape == (0, 11)


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": "logit"},
        {"percentages": []},
        {"percentages": [0, 50]},
        {"percentages": [50, 100]},
        {"percentages": [50, 20]},
        {"percentages": ["1"]},
        {"percentages": 5},
        {"noise": -0.1},
        {"noise": float("nan")},
    ],
)
@pytest.mark.parametrize("name", ["road_morf", "road_lerf", "road_morf_published"])
def test_wrong_parameters_are_refused(name, wrong):
    (key,) = wrong
    with pytest.raises(InputError, match=f"metric {name}.*{key}"):
        METRICS.load(name)(**wrong)


def test_a_percentage_that_rounds_to_the_whole_image_is_refused(images):
    with pytest.raises(InputError, match=r"99\.9% removes all 100 pixels"):
        score(RoadMorf(percentages=[99.9]), maps(0), images)
