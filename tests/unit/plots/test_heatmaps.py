"""What the sheet of heatmaps draws."""

import json

import numpy as np
import pytest
import torch

from sparsight.io.arrays import write_arrays
from sparsight.io.errors import InputError
from sparsight.plots.heatmaps import (
    draw_heatmaps,
    draw_map,
    sheet_figure,
)
from sparsight.plots.sheets import load_sheet
from sparsight.plots.style import new_figure

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


def test_sheet_draws_each_map_once_with_its_level_and_verdict(study):
    figure = sheet_figure(load_sheet(*study, SETTINGS))
    pictures = [axes for axes in figure.axes if axes.images]
    # Per image: itself, 2 explainers x 3 levels, 2 controls; and two keys of colours.
    assert len(pictures) == 3 * (1 + 6 + 2) + 2
    titles = [axes.get_title() for axes in figure.axes if "level" in axes.get_title()]
    assert len(titles) == 9
    assert titles[0] == "level 0\n100% left\nc ✓"
    assert titles[3:6] == ["level 0\n100% left\nb ✓", "level 1\n50% left\na ✗",
                           "level 2\n25% left\na ✗"]  # fmt: skip
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("cam") == 3
    assert texts.count("controls\n(same at every level)") == 3


def test_a_choice_of_explainers_and_their_order(study):
    chosen = {**SETTINGS, "explainers": ["gradient", "control_edges"]}
    sheet = load_sheet(*study, chosen)
    assert [list(c.maps) for c in sheet.checkpoints] == [["gradient"]] * 3
    assert list(sheet.controls) == ["control_edges"]


def test_an_unexplained_level_says_so(study):
    packed, evaluations, explanations, controls = study
    figure = sheet_figure(load_sheet(packed, evaluations, explanations[1:], controls, SETTINGS))
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("not\nexplained") == 3 * 2


def limits(values, signed):
    axes = new_figure(1, 1).subplots()
    draw_map(axes, np.asarray(values, dtype=np.float32), signed)
    words = [text.get_text() for text in axes.texts]
    return (axes.images[0].get_clim() if axes.images else None), words


def test_maps_are_scaled_by_themselves():
    assert limits([[1.0, 2.0], [3.0, 5.0]], signed=False) == ((1.0, 5.0), [])
    # Zero stays in the middle, whichever side reaches further.
    assert limits([[-1.0, 0.0], [0.5, 4.0]], signed=True) == ((-4.0, 4.0), [])
    assert limits([[-4.0, 0.0], [0.5, 1.0]], signed=True) == ((-4.0, 4.0), [])


@pytest.mark.parametrize("signed", [False, True])
def test_maps_without_contrast_or_with_nan_say_so(signed):
    assert limits(np.zeros((2, 2)), signed)[1] == ["constant"]
    assert limits(np.full((2, 2), 0.3), signed)[1] == ["constant"]
    assert limits([[np.nan, 1.0], [0.0, 2.0]], signed) == (None, ["undefined"])


def test_files_are_deterministic(study, tmp_path, check_file):
    for name in ("one", "two"):
        outputs = [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"]
        draw_heatmaps(*study, outputs, {**SETTINGS, "images": 1})
    for suffix in ("svg", "png"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        check_file(first)
        assert first.read_bytes() == second.read_bytes()


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
