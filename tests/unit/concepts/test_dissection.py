"""Dissection: overlaps counted by hand, detectors built by hand, and those that training makes."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsight.concepts.base import Findings
from sparsight.concepts.dissection import Dissection, Overlaps, TopValues, overlap_bounds
from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError
from sparsight.models.base import build_network
from tests.unit.concepts.planted import (
    ColourNetwork,
    SmallNetwork,
    accuracy,
    checkpoint_of,
    pack_shapes,
    train_small,
    write_split,
)


def values(findings_or_rows, measure):
    rows = getattr(findings_or_rows, "measured", findings_or_rows)
    return {row.concept: row.value for row in rows if row.measure == measure}


# --- thresholds and overlaps


def test_threshold_on_paper():
    # 20 values; a tenth, two, may lie above
    top = TopValues(20, 0.1)
    top.add(torch.arange(20.0).view(1, 1, 4, 5))
    assert top.thresholds().tolist() == [17]
    # less than one value may lie above: none does
    top = TopValues(20, 0.04)
    top.add(torch.arange(20.0).view(1, 1, 4, 5))
    assert top.thresholds().tolist() == [19]


@pytest.mark.parametrize("batch_size", [1, 7, 30])
@pytest.mark.parametrize("share", [0.005, 0.1, 0.99])
def test_threshold_is_the_quantile_however_it_was_gathered(batch_size, share):
    maps = torch.rand((30, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    maps[:, 1] = maps[:, 1].sub(0.97).relu()
    maps[:, 2] = 0
    top = TopValues(600, share)
    for batch in maps.split(batch_size):
        top.add(batch)
    found, flat = top.thresholds(), maps.transpose(0, 1).flatten(1)
    above = (flat > found[:, None]).sum(dim=1)
    assert above[0] == int(share * 600)
    # where most values are 0, no more than the others can lie above
    assert above[1] <= int(share * 600)
    assert (found[2], above[2]) == (0, 0)


def test_overlap_on_paper():
    maps = torch.tensor([[[[1.0, 1], [0, 0]], [[0, 0], [0, 0.5]]]])
    masks = torch.tensor([[[[1, 0], [1, 0]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]]]) > 0
    overlaps = Overlaps(torch.tensor([0.5, 0.5]), 3)
    overlaps.add(maps, masks)
    # the threshold itself is not above it
    expected = torch.tensor([[1 / 3, torch.nan, 2 / 4], [0, torch.nan, 0]])
    torch.testing.assert_close(overlaps.intersection_over_union(), expected, equal_nan=True)
    # pixels are added up over images, not ratios: (1 + 2) / (3 + 3)
    overlaps.add(maps, (torch.tensor([[[[1, 1], [1, 0]]] * 3]) > 0))
    assert overlaps.intersection_over_union()[0, 0] == pytest.approx(3 / 6)


def test_overlaps_do_not_depend_on_batches_and_chunks(monkeypatch):
    draw = torch.Generator().manual_seed(0)
    maps = torch.rand((9, 6, 4, 4), generator=draw)
    masks = torch.rand((9, 2, 10, 10), generator=draw) > 0.7
    found = []
    for batch_size, chunk in ((9, 2**24), (2, 2**24), (9, 1), (4, 1000)):
        monkeypatch.setattr("sparsight.concepts.dissection.CHUNK_VALUES", chunk)
        overlaps = Overlaps(torch.linspace(0.3, 0.8, 6), 2)
        for parts in zip(maps.split(batch_size), masks.split(batch_size), strict=True):
            overlaps.add(*parts)
        found.append(overlaps.intersection_over_union())
    assert found[0].unique().numel() == 12
    for other in found[1:]:
        assert torch.equal(found[0], other)


# --- units that say the same everywhere


def generated(draw: torch.Generator) -> torch.Tensor:
    """Activations [24, 7, 5, 5] of units that live, fire rarely, saturate, or have died."""
    eps = torch.finfo(torch.float32).eps
    live = torch.randn((24, 5, 5), generator=draw).relu()
    rare = (torch.rand((24, 5, 5), generator=draw) - 0.99).relu()
    saturated = torch.rand((24, 5, 5), generator=draw).mul(2).clamp_max(0.7)
    steps = torch.randint(0, 5, (24, 5, 5), generator=draw)
    same, negative = torch.full_like(live, 0.7), torch.full_like(live, -0.079)
    units = [
        live,
        rare,
        saturated,
        same,
        same * (1 + steps * eps),
        negative,
        torch.zeros_like(live),
    ]
    return torch.stack(units, dim=1)


@pytest.mark.parametrize("size", [13, 64])
@pytest.mark.parametrize("share", [0.005, 0.1])
@pytest.mark.parametrize("seed", range(5))
def test_no_overlap_is_above_its_bound_and_constant_units_have_none(seed, share, size):
    draw = torch.Generator().manual_seed(seed)
    maps = generated(draw)
    masks = torch.zeros((24, 3, size, size), dtype=torch.bool)
    masks[:, 0, 2:9, 2:9] = True
    masks[:, 1, 4, 4] = True
    masks[:, 2] = True
    top = TopValues(maps[:, 0].numel(), share)
    top.add(maps)
    overlaps = Overlaps(top.thresholds(), 3)
    overlaps.add(maps, masks)
    iou, shares = overlaps.intersection_over_union(), overlaps.mask_shares()
    assert not iou[2:].any()
    assert iou[0].any()
    bounds = overlap_bounds(shares, max(share, overlaps.largest_region_share()))
    assert (iou.amax(dim=0) <= bounds + 1e-7).all()


def test_a_unit_that_fires_in_few_places_reaches_as_far_as_its_enlarged_region():
    """A cell of 25 becomes more than its share of the larger image, and so does the bound."""
    maps = torch.zeros(1, 1, 5, 5)
    maps[0, 0, 2, 2] = 1
    top = TopValues(25, 0.05)
    top.add(maps)
    overlaps = Overlaps(top.thresholds(), 1)
    region = torch.nn.functional.interpolate(maps, size=(25, 25), mode="bilinear") > 0
    overlaps.add(maps, region)
    assert overlaps.largest_region_share() == int(region.sum()) / 25**2 > 0.1
    assert overlaps.intersection_over_union().item() == 1
    assert overlap_bounds(overlaps.mask_shares(), 0.05).item() < 1
    assert overlap_bounds(overlaps.mask_shares(), overlaps.largest_region_share()).item() == 1


def test_a_network_that_says_the_same_of_all_images_has_no_detectors(splits, tmp_path):
    network = ColourNetwork([[1.0, 1, 1]])
    network.colours = torch.nn.Conv2d(3, 3, 1).requires_grad_(False)
    network.colours.weight.data.zero_()
    network.colours.bias.data.copy_(torch.tensor([0.7, 0.079, 1 / 3]))
    found = Dissection().find(checkpoint_of(network, splits, tmp_path, images=10))
    assert values(found, "detectors") == {"": 0, "object": 0, "corner": 0}
    assert values(found, "best_iou") == {"": 0, "object": 0, "corner": 0}
    assert values(found, "dead_units")[""] == 0


# --- detectors built by hand


@pytest.fixture(scope="module")
def splits(tmp_path_factory) -> dict[str, Path]:
    """A red half above, of which the mask holds three of four rows; blue in one pixel of 64."""
    images = torch.zeros(10, 3, 8, 8, dtype=torch.uint8)
    images[:, 0, :4] = 200
    images[:, 2, 7, 7] = 100
    masks = torch.zeros(10, 8, 8)
    masks[:, :3] = 1
    corner, absent = torch.zeros(10, 8, 8), torch.zeros(10, 8, 8)
    corner[:, 6:, 6:] = 1
    path = tmp_path_factory.mktemp("dissection") / "test.safetensors"
    parts = {"corner": corner, "absent": absent}
    return {"test": write_split(path, images, [0] * 10, ["a"], masks, parts)}


@pytest.fixture(scope="module")
def network() -> ColourNetwork:
    return ColourNetwork([[1.0, 1, 1]])


@pytest.fixture(scope="module")
def found(splits, network, tmp_path_factory) -> Findings:
    checkpoint = checkpoint_of(network, splits, tmp_path_factory.mktemp("found"), images=10)
    return Dissection(quantile=0.5).find(checkpoint)


def test_colour_detectors_have_the_overlap_that_can_be_counted(found):
    # red: half of all values are above 0: 24 of 32 pixels; blue: one pixel of four; green is dead
    rows = [(row.class_name, row.concept, row.rank, row.value) for row in found.ranked]
    assert rows == [("", "object", 1, 1), ("", "corner", 2, 1)]
    assert [row.weight for row in found.ranked] == pytest.approx([24 / 32, 1 / 4])
    expected = torch.tensor([[24 / 32, 0], [0, 0], [0, 1 / 4]])
    torch.testing.assert_close(found.arrays["iou"], expected)
    assert found.arrays["detects"].tolist() == [0, -1, 1]
    assert found.arrays["thresholds"].tolist() == [0, 0, 0]
    assert values(found, "detectors") == {"": 2, "object": 1, "corner": 1}
    assert values(found, "detector_share")[""] == pytest.approx(2 / 3)
    assert values(found, "detected_concepts") == {"": 2}
    assert values(found, "dead_units") == {"": 1}
    assert values(found, "best_iou") == pytest.approx({"": 0.5, "object": 0.75, "corner": 0.25})
    assert {row.measure for row in found.measured} == set(Dissection.measures)
    bounds = values(found, "iou_bound")
    assert all(value <= bounds[name] for name, value in values(found, "best_iou").items())
    assert found.passes == 20


def test_the_quantile_makes_regions_smaller(splits, tmp_path):
    # brighter from left to right: above the threshold at 2/8 are the two brightest columns
    images = (torch.arange(8) * 30).to(torch.uint8).expand(10, 3, 8, 8).contiguous()
    masks = torch.zeros(10, 8, 8)
    masks[:, :, 5:] = 1
    path = write_split(tmp_path / "test.safetensors", images, [0] * 10, ["a"], masks)
    checkpoint = checkpoint_of(ColourNetwork([[1.0, 1, 1]]), {"test": path}, tmp_path, images=10)
    for quantile, columns in ((0.25, 2), (0.375, 3), (0.5, 4)):
        iou = Dissection(quantile=quantile).find(checkpoint).arrays["iou"]
        expected = min(columns, 3) / max(columns, 3)
        torch.testing.assert_close(iou, torch.full((3, 1), expected))


def test_a_detector_needs_the_least_overlap(splits, network, tmp_path):
    checkpoint = checkpoint_of(network, splits, tmp_path, images=10)
    for least, expected in ((0.2, 2), (0.3, 1), (0.8, 0)):
        measured = Dissection(quantile=0.5, minimum_iou=least).find(checkpoint).measured
        assert values(measured, "detectors")[""] == expected


def test_what_no_region_of_that_size_can_reach(splits, network, tmp_path):
    # the object covers 24 of 64 places, the corner 4
    checkpoint = checkpoint_of(network, splits, tmp_path, images=10)
    found = Dissection(quantile=1 / 32, minimum_iou=0.1).find(checkpoint)
    bounds = values(found, "iou_bound")
    assert bounds == pytest.approx({"object": 2 / 24, "corner": 2 / 4, "": (1 / 12 + 1 / 2) / 2})
    (note,) = found.notes
    assert note.endswith("by 0.1 with object (0.0833); their size is too different")
    found = Dissection(quantile=0.25, minimum_iou=0.1).find(checkpoint)
    assert values(found, "iou_bound")["object"] == pytest.approx(16 / 24)
    # a region may also be smaller, and cover the corner
    assert values(found, "iou_bound")["corner"] == 1
    assert not found.notes


def test_only_the_images_of_the_subset_are_looked_at(splits, network, found, tmp_path):
    few = Dissection(quantile=0.5).find(checkpoint_of(network, splits, tmp_path, images=3))
    assert few.passes == 6
    for batch_size in (1, 4):
        checkpoint = checkpoint_of(
            network, splits, tmp_path, batch_size=batch_size, images=10_000, seed=batch_size
        )
        assert torch.equal(
            Dissection(quantile=0.5).find(checkpoint).arrays["iou"], found.arrays["iou"]
        )


def test_another_layer(splits, network, tmp_path):
    negative = ColourNetwork([[1.0, 1, 1]])
    negative.colours.weight.data *= -1
    checkpoint = checkpoint_of(negative, splits, tmp_path, images=10)
    found = Dissection(quantile=0.5).find(checkpoint)
    assert values(found, "dead_units")[""] == 3
    assert values(found, "detectors") == {"": 0, "object": 0, "corner": 0}
    before = Dissection(layer="colours", quantile=0.5).find(checkpoint)
    # before the ReLU the highest half of minus red is where nothing is: below
    assert before.arrays["thresholds"].tolist() != [0, 0, 0]
    with pytest.raises(InputError, match="no layer 'conv9'"):
        Dissection(layer="conv9").find(checkpoint)


def test_comparison(found):
    method = Dissection()
    rows = method.compare(found, found)
    assert {row.measure for row in rows} == set(Dissection.comparisons)
    assert [row.value for row in rows] == [1, 1]
    # the same concepts in other units
    swapped = {**found.arrays, "detects": found.arrays["detects"].flip(0)}
    rows = method.compare(Findings(found.ranked, [], swapped), found)
    assert {row.measure: row.value for row in rows} == {"kept_detectors": 0, "shared_concepts": 1}
    # one of two is lost
    fewer = {**found.arrays, "detects": torch.tensor([0, -1, -1])}
    rows = method.compare(Findings(found.ranked, [], fewer), found)
    assert [row.value for row in rows] == [0.5, 0.5]
    none = Findings(found.ranked, [], {**found.arrays, "detects": torch.tensor([-1, -1, -1])})
    assert all(math.isnan(row.value) for row in method.compare(none, none))
    # units of a layer that has lost some are others
    slim = {**found.arrays, "detects": found.arrays["detects"][:2]}
    kept, _ = method.compare(Findings(found.ranked, [], slim), found)
    assert math.isnan(kept.value)
    # the order of the concepts may differ between networks
    turned = Findings(
        [*found.ranked[::-1]], [], {**found.arrays, "detects": found.arrays["detects"]}
    )
    assert [row.value for row in method.compare(turned, found)] == [1, 1]


def test_without_masks(network, tmp_path):
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    path = write_split(tmp_path / "test.safetensors", images, [0] * 4, ["a"])
    checkpoint = checkpoint_of(network, {"test": path}, tmp_path)
    with pytest.raises(InputError, match="has no masks"):
        Dissection().find(checkpoint)


@pytest.mark.parametrize("key", ["quantile", "minimum_iou"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_impossible_parameters(key, value):
    with pytest.raises(InputError, match=f"{key} is .*, but must be above 0 and below 1"):
        Dissection(**{key: value})


# --- on generated figures


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> dict[str, Path]:
    return pack_shapes(tmp_path_factory.mktemp("shapes"), train=800, test=160)


def test_a_unit_built_for_the_planted_cue_detects_it(tmp_path):
    """Magenta less green: the cue's colour. All overlaps are those that numpy counts."""
    cue = {"class": 0, "share": 1.0, "place": "varied", "test": "all"}
    splits = pack_shapes(tmp_path, train=8, test=40, cue=cue)
    network = ColourNetwork([[1.0, 1, 1]])
    rows = [[0.5, -1, 0.5], [-0.5, 1, -0.5], [0.2, 0.2, 0.2]]
    network.colours.weight.data = torch.tensor(rows)[:, :, None, None]
    with PackedSplit.open(splits["test"]) as split:
        maps = network.feature_maps(split.rows(0, 40).images("clean")).numpy()
        parts = split.part_masks(torch.arange(40)).numpy() >= 128
        masks = np.concatenate([parts, split.rows(0, 40).binary_masks().numpy()[:, None]], axis=1)
        names = [*split.part_names, "object"]
    share = float(masks[:, names.index("cue")].mean())
    checkpoint = checkpoint_of(network, {"test": splits["test"]}, tmp_path, 0, 40, 40)
    found = Dissection(quantile=share).find(checkpoint)
    order = [row.concept for row in found.ranked]
    assert set(order) == set(names)
    assert order[found.arrays["detects"][0]] == "cue"
    for unit in range(3):
        activations = maps[:, unit]
        threshold = np.sort(activations, axis=None)[-int(share * activations.size) - 1]
        # by more than rounding, as of a value that enlargement has raised
        region = activations > threshold + np.float32(1e-6) * abs(threshold)
        for place, name in enumerate(order):
            mask = masks[:, names.index(name)]
            expected = (region & mask).sum() / (region | mask).sum()
            assert found.arrays["iou"][unit, place] == pytest.approx(expected, abs=1e-6)
    assert found.ranked[0].concept == "cue"
    assert found.ranked[0].weight > 0.5


def test_training_makes_detectors(shapes, tmp_path):
    """More units follow the planted parts after training than with random weights."""
    random = build_network(SmallNetwork, 8, 0).eval().requires_grad_(False)
    learnt = train_small(shapes["train"])
    assert accuracy(learnt, shapes["test"]) > 0.4
    method, found = Dissection(quantile=0.1), {}
    for name, network in (("random", random), ("learnt", learnt)):
        checkpoint = checkpoint_of(network, {"test": shapes["test"]}, tmp_path, images=160)
        found[name] = method.find(checkpoint)
    best = {name: values(part, "best_iou")["object"] for name, part in found.items()}
    for part in found.values():
        bounds = values(part, "iou_bound")
        assert all(value <= bounds[name] for name, value in values(part, "best_iou").items())
    assert best["learnt"] > best["random"]
    assert best["learnt"] > 0.25
    assert values(found["learnt"], "detected_concepts")[""] >= 2
