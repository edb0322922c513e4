"""CRAFT as a whole: on colours, where its findings are known, and on a network that was trained."""

import math
from pathlib import Path

import pytest
import torch

from sparsight.concepts.base import Findings
from sparsight.concepts.craft import (
    Craft,
    class_purity_chance,
    crop_grid,
    cut,
    matched_concepts,
    top_crops,
)
from sparsight.concepts.registry import CONCEPTS
from sparsight.data.packed import PackedSplit
from sparsight.data.sources.shapes import Shapes
from sparsight.io.errors import InputError
from tests.unit.concepts.planted import (
    ColourNetwork,
    accuracy,
    checkpoint_of,
    pack_shapes,
    train_small,
    write_split,
)

# Crops of 4 pixels every 3, of images of 7: two rows and two columns.
COLOURS = {"patch": 4 / 7, "concepts": 2, "designs": 256, "images_of_class": 8, "top_crops": 4}
CLASSES = ("red above green", "green above blue")
EMPTY = Findings([], [])


def flag(above: int, below: int) -> torch.Tensor:
    """One colour in rows 0 to 2, another in rows 4 to 6; no crop sees both."""
    image = torch.zeros(3, 7, 7, dtype=torch.uint8)
    image[above, :3], image[below, 4:] = 255, 255
    return image


@pytest.fixture(scope="module")
def splits(tmp_path_factory) -> dict[str, Path]:
    images = torch.stack([flag(0, 1), flag(1, 2)] * 8)
    # a little of everything everywhere, differently bright: no two activations are alike
    draw = torch.Generator().manual_seed(0)
    images = (images * (0.8 + 0.1 * torch.rand((16, 3, 1, 1), generator=draw))).to(torch.uint8)
    masks = torch.zeros(16, 7, 7)
    masks[:, :3] = 1
    folder = tmp_path_factory.mktemp("colours")
    labels = [0, 1] * 8
    return {
        name: write_split(folder / f"{name}.safetensors", images, labels, CLASSES, masks)
        for name in ("train", "test")
    }


@pytest.fixture(scope="module")
def network() -> ColourNetwork:
    # the first class's logit is its red; the second's hangs on green and, three times as much, blue
    return ColourNetwork([[2.0, 0, 0], [0, 1, -3]])


@pytest.fixture(scope="module")
def found(splits, network, tmp_path_factory) -> Findings:
    return Craft(**COLOURS).find(checkpoint_of(network, splits, tmp_path_factory.mktemp("found")))


def values(findings_or_rows, measure):
    rows = getattr(findings_or_rows, "measured", findings_or_rows)
    return {(row.class_name, row.concept): row.value for row in rows if row.measure == measure}


def colours_of(found, place):
    """Which of red, green, blue each concept of a class is."""
    return found.arrays["basis"][place].argmax(dim=1).tolist()


def test_each_colour_is_a_concept(found):
    for place, expected in enumerate(({0, 1}, {1, 2})):
        assert set(colours_of(found, place)) == expected
        basis = found.arrays["basis"][place]
        torch.testing.assert_close(basis.max(dim=1).values, torch.ones(2), atol=1e-3, rtol=0)
    assert max(values(found, "reconstruction_error").values()) < 0.01


def test_concepts_are_ranked_by_what_the_logit_hangs_on(found):
    first, second = ([row for row in found.ranked if row.class_name == name] for name in CLASSES)
    assert [row.rank for row in first] == [row.rank for row in second] == [1, 2]
    for place, rows, expected in ((0, first, (0, 1)), (1, second, (2, 1))):
        colours = colours_of(found, place)
        assert tuple(colours[int(row.concept[-2:])] for row in rows) == expected
    assert first[0].weight == pytest.approx(1, abs=0.1)
    assert first[1].weight == 0
    # 3² and 1² of 10, of colours that are about equally bright
    assert second[0].weight == pytest.approx(0.9, abs=0.1)
    assert second[1].weight == pytest.approx(0.1, abs=0.05)
    # half of the crops have it, at 3 of 4 rows and about 0.85 of full brightness
    assert first[0].value == pytest.approx(0.5 * 0.75 * 0.85, abs=0.05)
    entropy = values(found, "importance_entropy")
    assert entropy[CLASSES[0], ""] == 0
    assert entropy[CLASSES[1], ""] == pytest.approx(0.469, abs=0.15)


def test_purity_is_that_of_what_lies_in_the_mask(found):
    purity = values(found, "mask_purity")
    for place, (name, inside) in enumerate(zip(CLASSES, (0, 1), strict=True)):
        for concept, colour in enumerate(colours_of(found, place)):
            value = purity[name, f"concept_{concept:02d}"]
            assert value > 0.9 if colour == inside else value == 0
    assert values(found, "mask_share")["", ""] == pytest.approx(3 / 8)
    assert purity["", ""] == pytest.approx(sum(v for k, v in purity.items() if k[0]) / 4)


def test_cosines_of_colours(found):
    assert min(values(found, "cosine_within").values()) > 0.999
    assert max(values(found, "cosine_between").values()) < 0.001
    assert values(found, "cosine_gap")["", ""] > 0.99


def test_class_purity_of_colours(splits, network, tmp_path):
    checkpoint = checkpoint_of(network, splits, tmp_path)
    method = Craft(**{**COLOURS, "pooled_concepts": 3, "top_crops": 16})
    rows = method.find(checkpoint)
    purity = values(rows, "class_purity")
    # 16 of 64 crops, half of them of either class
    chance = values(rows, "class_purity_chance")
    assert chance.keys() == purity.keys()
    assert chance["", ""] == pytest.approx(class_purity_chance([32, 32], 16))
    assert 0.5 < chance["", ""] < 0.65
    # red and blue are in one class each; green in both, of whose crops 16 are its top crops
    pooled = sorted(value for key, value in purity.items() if key[1])
    assert len(pooled) == 3
    assert pooled[0] < 0.8
    assert pooled[1:] == [1, 1]
    assert purity["", ""] == pytest.approx(sum(pooled) / 3)


def test_rows_and_arrays_are_those_promised(found):
    assert {row.measure for row in found.measured} == set(Craft.measures)
    shapes = {name: (str(part.dtype)[6:], *part.shape) for name, part in found.arrays.items()}
    assert shapes == {
        "class_labels": ("int64", 2),
        "basis": ("float32", 2, 2, 3),
        "importances": ("float32", 2, 2),
        "coefficients": ("float32", 64, 2),
        "crop_classes": ("int64", 64),
        "crop_keys": ("int64", 64),
        "sample_features": ("float32", 64, 3),
        "sample_rows": ("int64", 64),
        "top_crops": ("uint8", 2, 2, 5, 3, 4, 4),
        "picture_concepts": ("int64", 2, 2),
        "pictures": ("uint8", 2, 3, 3, 7, 7),
        "heat_maps": ("float32", 2, 2, 3, 7, 7),
    }
    # 16 images with 4 crops each, and each image whole; 4 top crops of each of 4 concepts
    assert found.passes == 16 * 4 + 16 + 16
    assert found.notes == []


def test_pictures_show_the_concepts(found):
    for place in range(2):
        colours = colours_of(found, place)
        for row, concept in enumerate(found.arrays["picture_concepts"][place].tolist()):
            brightness = found.arrays["top_crops"][place, row].float().mean(dim=(0, 2, 3))
            assert brightness.argmax() == colours[concept]
            assert brightness.sum() == brightness.max() > 100
            heat = found.arrays["heat_maps"][place, row]
            shown = found.arrays["pictures"][place, :, colours[concept]].float() / 255
            torch.testing.assert_close(heat, shown, atol=0.02, rtol=0)


def test_pictures_are_small_and_few(splits, network, tmp_path):
    checkpoint = checkpoint_of(network, splits, tmp_path)
    limits = {"picture_side": 2, "picture_classes": 1, "picture_crops": 40, "picture_images": 10}
    arrays = Craft(**COLOURS, **limits, top_concepts=1).find(checkpoint).arrays
    assert arrays["top_crops"].shape == (1, 1, 40, 3, 2, 2)
    assert arrays["pictures"].shape == (1, 10, 3, 2, 2)
    # a class has 8 images, of whose 32 crops half show the concept
    assert arrays["top_crops"].flatten(3).any(dim=3).sum() == 16
    assert arrays["pictures"].flatten(2).any(dim=2).sum() == 8
    assert arrays["heat_maps"].flatten(3).any(dim=3).sum() == 8


def test_nothing_hangs_on_the_batch_size(splits, network, found, tmp_path):
    small = Craft(**COLOURS).find(checkpoint_of(network, splits, tmp_path, batch_size=3))
    for name, part in found.arrays.items():
        torch.testing.assert_close(small.arrays[name], part, atol=1e-4, rtol=1e-4)
    again = [row.value for row in small.measured]
    assert again == pytest.approx([row.value for row in found.measured], abs=1e-4)
    assert small.passes == found.passes


def test_comparison_with_itself_and_with_permuted_channels(splits, network, found, tmp_path):
    method = Craft(**COLOURS)
    rows = method.compare(found, found)
    assert {row.measure for row in rows} == set(Craft.comparisons)
    assert values(rows, "stability")["", ""] == pytest.approx(1)
    chance = values(rows, "stability_chance")
    assert chance.keys() == values(rows, "stability").keys()
    assert abs(chance["", ""]) < 0.6
    own = values(found, "cosine_gap")
    for key, value in values(rows, "reference_cosine_gap").items():
        assert key == ("", "") or not key[1] or value == pytest.approx(own[key], abs=1e-5)
    # other channels, other concept numbers, the same concepts
    other = ColourNetwork([[0, 2.0, 0], [-3, 0, 1]])
    other.colours.weight.data = other.colours.weight.data.roll(1, 0)
    second = method.find(checkpoint_of(other, splits, tmp_path, seed=4))
    assert values(method.compare(found, second), "stability")["", ""] == pytest.approx(1, abs=0.01)
    for place in range(len(CLASSES)):
        partners, _ = matched_concepts(
            *(
                each.arrays["coefficients"][each.arrays["crop_classes"] == place]
                for each in (found, second)
            )
        )
        rolled = [(colour + 1) % 3 for colour in colours_of(found, place)]
        assert rolled == [colours_of(second, place)[partner] for partner in partners]


def test_the_reference_is_the_yardstick(splits, network, found, tmp_path):
    """A network that mixes red and green finds its own concepts; the reference sees their crops."""
    blind = ColourNetwork([[2.0, 0, 0], [0, 1, -3]])
    blind.colours.weight.data[:2] = torch.tensor([1.0, 1, 0])[None, :, None, None] / 2
    other = Craft(**COLOURS).find(checkpoint_of(blind, splits, tmp_path))
    rows = values(Craft(**COLOURS).compare(other, found), "reference_cosine_within")
    # what it takes for one concept is red and green to the reference
    assert values(other, "cosine_within")[CLASSES[0], "concept_00"] > 0.999
    assert rows[CLASSES[0], ""] < 0.9
    assert rows[CLASSES[1], ""] > 0.99


def test_comparison_of_networks_that_looked_at_other_images(found):
    apart = Findings(
        found.ranked, [], {**found.arrays, "crop_keys": found.arrays["crop_keys"] + 10**6}
    )
    rows = Craft(**COLOURS).compare(found, apart)
    assert {row.measure for row in rows} == set(Craft.comparisons)
    assert all(math.isnan(row.value) for row in rows)


def test_correct_images_only(splits, network, tmp_path):
    # this network takes every image for the second class
    second = ColourNetwork([[0.0, 0, 0], [0, 1, 1]])
    checkpoint = checkpoint_of(second, splits, tmp_path)
    chosen = Craft(**COLOURS, choose="correct").find(checkpoint)
    assert {row.class_name for row in chosen.ranked} == {CLASSES[1]}
    assert chosen.notes == [
        "CRAFT looked at fewer than 8 images of 1 of 2 classes, at 0 of one",
        "CRAFT found no images, and so no concepts, of red above green",
    ]
    assert values(chosen, "reconstruction_error").keys() == {(CLASSES[1], ""), ("", "")}
    shared = Craft(**COLOURS).find(checkpoint)
    assert {row.class_name for row in shared.ranked} == set(CLASSES)
    # no class at all: NaN, but a row of each measure
    never = ColourNetwork([[0, 0, 5.0], [9.0, 9, -9]])
    nothing = Craft(**COLOURS, choose="correct", classes=[CLASSES[0]])
    empty = nothing.find(checkpoint_of(never, splits, tmp_path))
    assert {row.measure for row in empty.measured} == set(Craft.measures)
    assert all(math.isnan(row.value) for row in empty.measured)
    rows = nothing.compare(empty, shared)
    assert {row.measure for row in rows} == set(Craft.comparisons)


def test_a_network_that_has_collapsed(splits, tmp_path):
    dead = ColourNetwork([[2.0, 0, 0], [0, 1, -3]])
    dead.colours.weight.data.zero_()
    found = Craft(**COLOURS).find(checkpoint_of(dead, splits, tmp_path))
    assert [row.weight for row in found.ranked] == [0] * 4
    assert all(math.isnan(value) for value in values(found, "reconstruction_error").values())
    assert not found.arrays["top_crops"].any()
    rows = Craft(**COLOURS).compare(found, found)
    assert values(rows, "stability")["", ""] == 0


class OneFeature(ColourNetwork):
    """Maps every image to one feature, up to rounding that differs from crop to crop."""

    def feature_maps(self, images):
        maps = torch.tensor([0.3, 0.7, 0.1])[:, None, None].expand_as(images).clone()
        bright = images.mean(dim=(1, 2, 3)) > 0.28
        maps[bright] = torch.nextafter(maps[bright], torch.ones(1))
        return maps


def test_no_crop_comes_first_where_all_have_one_feature(splits, network, found, tmp_path):
    method = Craft(**COLOURS)
    same = OneFeature([[2.0, 0, 0], [0, 1, -3]])
    collapsed = method.find(checkpoint_of(same, splits, tmp_path))
    measured = ("mask_purity", "class_purity", "class_purity_chance", "cosine_within", "cosine_gap")
    for measure in measured:
        assert all(math.isnan(value) for value in values(collapsed, measure).values()), measure
    assert values(collapsed, "reconstruction_error")["", ""] == pytest.approx(0, abs=1e-6)
    assert len(collapsed.notes) == 1
    for pair in ((collapsed, found), (found, collapsed), (collapsed, collapsed)):
        rows = method.compare(*pair)
        for measure in ("stability", "stability_chance"):
            assert set(values(rows, measure).values()) == {0.0}
    rows = method.compare(collapsed, found)
    assert all(math.isnan(value) for value in values(rows, "reference_cosine_gap").values())


def test_without_masks(network, tmp_path):
    images = torch.stack([flag(0, 1), flag(1, 2)] * 4)
    path = write_split(tmp_path / "train.safetensors", images, [0, 1] * 4, CLASSES)
    found = Craft(**COLOURS).find(checkpoint_of(network, {"train": path}, tmp_path))
    assert found.notes == ["CRAFT looked at fewer than 8 images of 2 of 2 classes, at 4 of one"]
    for measure in ("mask_purity", "mask_share"):
        assert all(math.isnan(value) for value in values(found, measure).values())
    assert found.passes == 8 * 4 + 8


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backend": "sklearn"}, "backend is .*, but must be one of craft_xai, overcomplete"),
        ({"choose": "any"}, "choose is .*, but must be one of shared, correct"),
        ({"sampler": "grid"}, "sampler is .*, but must be one of sobol, halton"),
        ({"concepts": 0}, "concepts is .*, but must be at least 1"),
        ({"patch": 0.0}, "patch is .*, but must be above 0"),
        ({"designs": 30}, "power of 2"),
        ({"patches": 1}, "unknown parameter 'patches'"),
    ],
)
def test_impossible_parameters(parameters, message):
    with pytest.raises(InputError, match=message):
        Craft(**parameters)


def test_unknown_split_and_class(splits, network, tmp_path):
    checkpoint = checkpoint_of(network, splits, tmp_path)
    with pytest.raises(InputError, match="'split' is 'validation'; the data set has train, test"):
        Craft(split="validation").find(checkpoint)
    with pytest.raises(InputError, match="'classes' names 'blue', which is no class of 'planted'"):
        Craft(classes=["blue"]).find(checkpoint)


def test_facts():
    facts = CONCEPTS.facts("craft")
    assert facts["parameters"]["images_of_class"] == 500
    named = {*facts["measures"], *facts["comparisons"]}
    assert {*facts["chance"], *facts["chance"].values()} <= named
    assert facts["parameters"]["patch"] == pytest.approx(64 / 224)
    for table in ("measures", "comparisons"):
        for direction, unit, meaning in facts[table].values():
            assert direction in ("higher", "lower", "")
            assert unit
            assert meaning


# --- on generated figures, with a network that has learnt them


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> dict[str, Path]:
    return pack_shapes(tmp_path_factory.mktemp("shapes"), train=800, test=80)


@pytest.fixture(scope="module")
def learnt(shapes, tmp_path_factory):
    network = train_small(shapes["train"])
    # of eight classes
    assert accuracy(network, shapes["test"]) > 0.4
    method = Craft(images_of_class=40, concepts=6)
    return method.find(checkpoint_of(network, shapes, tmp_path_factory.mktemp("learnt")))


def planted_shares(path: Path, keys: torch.Tensor) -> torch.Tensor:
    """How much of each crop is object, and each of the parts, float32 [n, 1 + P]."""
    grid = crop_grid(32, 32, 2 / 7)
    with PackedSplit.open(path) as split:
        ids, whole = split.image_ids(), split.rows(0, len(split)).soft_masks()
        parts = split.part_masks(torch.arange(len(split))).float() / 255
    crops = cut(torch.cat([whole[:, None], parts], dim=1), grid).mean(dim=(2, 3))
    place = {image_id: row for row, image_id in enumerate(ids.tolist())}
    rows = [place[key // grid.count] * grid.count + key % grid.count for key in keys.tolist()]
    return crops[rows]


def explained(shares: torch.Tensor, owners: torch.Tensor) -> float:
    """Share of the variance of the planted parts, each standardised, that lies between owners."""
    varying = shares[:, shares.std(dim=0) > 0]
    standard = (varying - varying.mean(dim=0)) / varying.std(dim=0)
    belongs = torch.nn.functional.one_hot(owners).float()
    means = (belongs.T @ standard) / belongs.sum(dim=0)[:, None]
    return float(means[owners].square().mean() / standard.square().mean())


def test_top_crops_of_different_concepts_show_different_parts(shapes, learnt):
    """Which concept a crop is of says more about the planted parts in it than any of 200 random
    assignments, in every class."""
    draw = torch.Generator().manual_seed(0)
    for place in range(8):
        own = learnt.arrays["crop_classes"] == place
        members = top_crops(learnt.arrays["coefficients"][own], 10)
        owners = torch.repeat_interleave(
            torch.arange(6), torch.tensor([len(rows) for rows in members])
        )
        keys = learnt.arrays["crop_keys"][own][torch.cat(members)]
        shares = planted_shares(shapes["train"], keys)
        value = explained(shares, owners)
        random = [
            explained(shares, owners[torch.randperm(len(owners), generator=draw)])
            for _ in range(200)
        ]
        assert value > max(random), Shapes.class_names()[place]
        assert value > 0.4


def test_a_concept_lies_on_the_object_and_another_beside_it(learnt):
    purity, chance = values(learnt, "mask_purity"), values(learnt, "mask_share")
    for name in Shapes.class_names():
        own = [value for key, value in purity.items() if key[0] == name and key[1]]
        assert max(own) > 2 * chance[name, ""]
        assert min(own) < chance[name, ""]


def test_concepts_of_all_classes_belong_to_few(learnt):
    # ten crops of one of eight classes at random: the most frequent has 0.3 on average
    assert values(learnt, "class_purity")["", ""] > 0.4
