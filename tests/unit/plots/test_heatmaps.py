"""What the sheet of heatmaps draws."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sparsight.io.arrays import write_arrays
from sparsight.io.errors import InputError
from sparsight.plots.heatmaps import (
    draw_heatmaps,
    draw_map,
    load_sheet,
    sheet_pages,
)
from sparsight.plots.style import Page

COUNT = 12
SETTINGS = {"condition": "noisy", "images": 3}
LABELS = torch.tensor([0, 0, 1, 1, 2, 2] * 2)
# The subset's order: images 5, 4, 3, ... of labels 2, 2, 1, 1, 0, 0.
RANK = torch.tensor([5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 10, 11])


def facts(**signed):
    return json.dumps({name: {"signed": value} for name, value in signed.items()})


@pytest.fixture
def study(tmp_path):
    """Packed images of id 100 + i, three levels, and maps whose every value is the image id."""
    images = torch.zeros(COUNT, 1, 6, 6, dtype=torch.uint8)
    images[:, :, 2:4, 2:4] = 200
    packed = tmp_path / "test.safetensors"
    write_arrays(
        packed,
        {
            "images": images,
            "labels": LABELS,
            "noise": torch.full_like(images, 50),
            "image_ids": torch.arange(100, 100 + COUNT),
            "evaluation_rank": RANK,
        },
        {"dataset": "digits", "split": "test", "classes": json.dumps(["a", "b", "c"]),
         "has_masks": "false", "data_hash": "0"},
    )  # fmt: skip
    # Explained in another order than they are packed, and not all of them.
    rows = torch.tensor([7, 6, 5, 4, 3, 2, 1, 0])
    ids = 100 + rows
    evaluations, explanations = [], []
    for level in (0, 1, 2):
        pruner = "magnitude" if level else "dense"
        folder = tmp_path / f"seed3/{pruner}/level{level:02d}"
        (folder / "explanations").mkdir(parents=True)
        evaluation = {"dataset": "digits", "model": "cnn", "seed": 3, "pruner": pruner,
                      "level": level, "density": {"prunable": 0.5**level}}  # fmt: skip
        evaluations.append(folder / "evaluation.json")
        evaluations[-1].write_text(json.dumps(evaluation))
        maps = ids.float()[:, None, None] + torch.arange(16.0).reshape(1, 4, 4) + 1000 * level
        # Every network gets image 5 right and, from level 1 on, takes all others for class 0.
        predicted = LABELS[rows] if level == 0 else torch.where(rows == 5, LABELS[rows], 0)
        explanations.append(folder / "explanations" / "cam.safetensors")
        write_arrays(
            explanations[-1],
            {"cam/noisy": maps, "gradient/noisy": maps - 1100, "image_ids": ids,
             "predictions/noisy": predicted, "targets/noisy": LABELS[rows]},
            {"explainers": facts(cam=False, gradient=True)},
        )  # fmt: skip
    controls = tmp_path / "controls.safetensors"
    write_arrays(
        controls,
        {"control_edges/noisy": torch.rand(8, 6, 6), "control_centre/noisy": torch.rand(8, 6, 6),
         "image_ids": ids},
        {"explainers": facts(control_edges=False, control_centre=False)},
    )  # fmt: skip
    return packed, evaluations[::-1], explanations, [controls]


def test_images_are_the_first_of_the_subset_from_different_classes(study):
    sheet = load_sheet(*study, SETTINGS)
    assert sheet.image_ids.tolist() == [105, 103, 101]
    assert sheet.labels.tolist() == [2, 1, 0]
    # Zero pixels take the stored noise.
    assert sheet.images[0, 0, 0, 0] == pytest.approx(50 / 255)
    assert sheet.images[0, 0, 2, 2] == pytest.approx(200 / 255)


def test_classes_repeat_only_after_all_had_their_turn(study):
    sheet = load_sheet(*study, {**SETTINGS, "images": 5})
    assert sheet.labels.tolist() == [2, 1, 0, 2, 1]
    assert sheet.image_ids.tolist() == [105, 103, 101, 104, 102]


def test_rows_are_found_by_image_id_and_columns_are_levels(study):
    sheet = load_sheet(*study, SETTINGS)
    assert [(c.level, c.density) for c in sheet.checkpoints] == [(0, 1.0), (1, 0.5), (2, 0.25)]
    for checkpoint in sheet.checkpoints:
        corner = checkpoint.maps["cam"][:, 0, 0] - 1000 * checkpoint.level
        assert corner.tolist() == [105, 103, 101]
    assert sheet.checkpoints[1].predicted.tolist() == [2, 0, 0]
    assert sheet.signed == {"gradient"}
    assert "seed 3" in sheet.title
    assert "magnitude" in sheet.title


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_sheet_draws_each_map_once_with_its_level_and_verdict(study):
    (figure,) = sheet_pages(load_sheet(*study, SETTINGS))
    (axes,) = figure.axes
    # Per image: itself, 2 explainers x 3 levels, 2 controls; and two keys of colours.
    assert len(axes.images) == 3 * (1 + 6 + 2) + 2
    found = words(figure)
    assert [text for text in found if text[-1] in "✓✗"] == [
        *("c ✓", "c ✓", "c ✓"), *("b ✓", "a ✗", "a ✗"), *("a ✓", "a ✓", "a ✓"),
    ]  # fmt: skip
    assert found.count("50%") == 3
    # Names stand once, left of the images that share them.
    for name in ("gradient", "pruning level", "controls: the same at every level"):
        assert found.count(name) == 1
    assert found.count("edges") == 3


def test_maps_stand_under_their_level_and_beside_their_explainer(study):
    sheet = load_sheet(*study, SETTINGS)
    axes = sheet_pages(sheet)[0].axes[0]
    at = {text.get_text(): text.get_position() for text in axes.texts}
    for image in axes.images:
        if np.array_equal(image.get_array(), sheet.checkpoints[2].maps["cam"][0]):
            left, right, bottom, top = image.get_extent()
            assert top < at["cam"][1] < bottom
            levels = [text for text in axes.texts if text.get_text() == "2"]
            assert left < levels[0].get_position()[0] < right
            break
    else:
        raise AssertionError("the map is not on the sheet")


def test_nothing_on_the_sheet_overlaps(study, overlaps):
    (figure,) = sheet_pages(load_sheet(*study, {**SETTINGS, "images": 6}))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert not overlaps(axes.texts)
    boxes = sorted(image.get_extent() for image in axes.images)
    for i, (left, right, bottom, top) in enumerate(boxes):
        for other in boxes[:i]:
            apart = (left >= other[1] - 1e-6 or right <= other[0] + 1e-6
                     or top >= other[2] - 1e-6 or bottom <= other[3] + 1e-6)  # fmt: skip
            assert apart
    width, height = figure.get_size_inches()
    assert all(box[0] >= 0 and box[1] <= width for box in boxes)
    assert all(box[3] >= 0 and box[2] <= height for box in boxes)


def test_one_level_leaves_room_for_images_and_their_labels(study, overlaps):
    packed, evaluations, explanations, controls = study
    sheet = load_sheet(packed, evaluations[-1:], explanations[:1], controls, SETTINGS)
    names = ["English springer", "cassette player", "garbage truck"]
    (figure,) = sheet_pages(replace(sheet, classes=names, image_ids=sheet.image_ids + 10**12))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert not overlaps(axes.texts)
    pictures = [image.get_window_extent() for image in axes.images]
    assert not any(p.overlaps(other) for i, p in enumerate(pictures) for other in pictures[:i])
    texts = [text for text in axes.texts if text.get_text()]
    covered = [t.get_text() for t in texts for p in pictures if p.overlaps(t.get_window_extent())]
    assert covered == []


@pytest.mark.parametrize(
    "names",
    [
        ["green striped cross", "blue spotted triangle", "red striped square"],
        ["English springer", "cassette player", "parachute"],
        ["truck", "gas", "church"],
        ["Black footed Albatross", "Red winged Blackbird", "Groove billed Ani"],
    ],
)
def test_long_names_of_classes_do_not_overlap(study, overlaps, names):
    sheet = load_sheet(*study, {**SETTINGS, "images": 3})
    (figure,) = sheet_pages(replace(sheet, classes=names))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert not overlaps(axes.texts)
    said = " ".join(text.get_text().replace("\n", " ") for text in axes.texts)
    assert all(f"class {name}" in said for name in names)
    # all upright, or none
    verdicts = [text for text in axes.texts if text.get_text().endswith(("✓", "✗"))]
    assert len({text.get_rotation() for text in verdicts}) == 1
    # lines break between words
    words = {word for name in names for word in name.split()} | {"✓", "✗"}
    assert all(set(text.get_text().split()) <= words for text in verdicts)


def test_many_images_go_on_in_a_second_band(study):
    sheet = load_sheet(*study, {**SETTINGS, "images": 8})
    bands = [words(page).count("gradient") for page in sheet_pages(sheet)]
    assert sum(bands) == 3


def add_family(study, level=1, images=4):
    """Another family: at one level only, on fewer images, of another class."""
    packed, evaluations, explanations, controls = study
    path = explanations[level].parent / "pixels.safetensors"
    ids = 100 + torch.tensor([5, 4, 3, 2, 1, 0])[:images]
    write_arrays(
        path,
        {"saliency/noisy": torch.rand(images, 6, 6), "image_ids": ids,
         "predictions/noisy": torch.zeros(images, dtype=torch.int64),
         "targets/noisy": torch.zeros(images, dtype=torch.int64)},
        {"explainers": facts(saliency=False), "target": "dense_predicted"},
    )  # fmt: skip
    return packed, evaluations, [*explanations, path], controls


def test_families_may_differ_in_images_levels_and_targets(study):
    sheet = load_sheet(*add_family(study), SETTINGS)
    # Only images that every family explained: 105, 104, 103, 102.
    assert sheet.image_ids.tolist() == [105, 103, 104]
    assert sheet.families == {"cam": ["cam", "gradient"], "pixels": ["saliency"]}
    found = words(sheet_pages(sheet)[0])
    assert found.count("–") == 3 * 2
    assert "pixels: explains the class that the dense network predicts" in found


def test_a_choice_of_explainers_and_their_order(study):
    chosen = {**SETTINGS, "explainers": ["gradient", "control_edges"]}
    sheet = load_sheet(*study, chosen)
    assert [list(c.maps) for c in sheet.checkpoints] == [["gradient"]] * 3
    assert sheet.families == {"cam": ["gradient"]}
    assert list(sheet.controls) == ["control_edges"]


def test_an_unexplained_level_says_so(study):
    packed, evaluations, explanations, controls = study
    (figure,) = sheet_pages(load_sheet(packed, evaluations, explanations[1:], controls, SETTINGS))
    assert words(figure).count("–") == 3 * 2


def limits(values, signed):
    page = Page(1.0)
    draw_map(page, np.asarray(values, dtype=np.float32), signed, (0.0, 0.0, 1.0))
    axes = page.axes
    said = [text.get_text() for text in axes.texts]
    return (axes.images[0].get_clim() if axes.images else None), said


def test_maps_are_scaled_by_themselves():
    assert limits([[1.0, 2.0], [3.0, 5.0]], signed=False) == ((1.0, 5.0), [])
    # Zero stays in the middle, whichever side reaches further.
    assert limits([[-1.0, 0.0], [0.5, 4.0]], signed=True) == ((-4.0, 4.0), [])
    assert limits([[-4.0, 0.0], [0.5, 1.0]], signed=True) == ((-4.0, 4.0), [])


def test_what_is_clearly_negative_is_hatched():
    for values, hatched in (([[-1.0, 0.0], [0.5, 4.0]], True), ([[-0.1, 0.0], [0.5, 4.0]], False)):
        page = Page(1.0)
        draw_map(page, np.asarray(values, dtype=np.float32), True, (0.0, 0.0, 1.0))
        assert bool(page.axes.collections) == hatched


@pytest.mark.parametrize("signed", [False, True])
def test_maps_without_contrast_or_with_nan_say_so(signed):
    assert limits(np.zeros((2, 2)), signed)[1] == ["flat"]
    assert limits(np.full((2, 2), 0.3), signed)[1] == ["flat"]
    assert limits([[np.nan, 1.0], [0.0, 2.0]], signed) == (None, ["NaN"])


def test_files_are_deterministic(study, check_draw):
    check_draw(lambda outputs: draw_heatmaps(*study, outputs, {**SETTINGS, "images": 1}))


def test_refusals(study):
    packed, evaluations, explanations, controls = study
    with pytest.raises(InputError, match=r"no evaluation\.json among the given"):
        load_sheet(packed, evaluations[:2], explanations, controls, SETTINGS)
    with pytest.raises(InputError, match=r"share 8 images .* fewer than the 9"):
        load_sheet(*study, {**SETTINGS, "images": 9})
    with pytest.raises(InputError, match="no explanations of clean images"):
        load_sheet(*study, {**SETTINGS, "condition": "clean"})
    evaluations[0].write_text("{}")
    with pytest.raises(InputError, match="not a complete evaluation"):
        load_sheet(*study, SETTINGS)
