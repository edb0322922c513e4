"""Images and bytes that a study takes, worked out by hand."""

import pytest

from sparsight.io.errors import InputError
from sparsight.study.plan import (
    available_images,
    check_disk_budget,
    has_concepts,
    has_masks,
    has_parts,
    shape_of_images,
    stored_bytes,
)

PRUNERS = {
    "three": {"criterion": "magnitude", "densities": [0.9, 0.5, 0.1]},
    "shots": {"criterion": "magnitude", "densities": [0.9, 0.5, 0.1], "schedule": "one_shot"},
    "two": {"criterion": "random", "rate": 0.5, "levels": 2},
}
SMALL = {
    "datasets": ["digits", "mnist"],
    "models": ["thesis_cnn", "thesis_cnn_digits"],
    "pruners": ["three", "two"],
    "seeds": [7, 5],
    "catalogue": {"pruners": PRUNERS},
}


# float32; a map of conv2 or conv2_relu has 11 x 11 values, of pool2 5 x 5, of the image 28 x 28
CONV2, POOL2, IMAGE = 4 * 121, 4 * 25, 4 * 784


def test_stored_bytes_of_the_default(study_of):
    # 500 test images; 3 seeds x levels 0 to 5 and one retraining: four CAMs (one of them the mean
    # activation) at 11 x 11 and one at 5 x 5
    cams = 3 * 7 * (4 * CONV2 + POOL2)
    # 3 seeds x levels 0, 3, 5 and one retraining: five pixel maps
    gradients = 3 * 4 * 5 * IMAGE
    # four controls once
    expected = 500 * (cams + gradients + 4 * IMAGE)
    assert stored_bytes(study_of()) == expected


def test_retrained_networks_are_stored_whatever_the_levels(study_of):
    study = study_of(
        {"explainers": ["saliency"], "seeds": [1, 2], "families": {"gradient": {"levels": [5]}}}
    )
    # level 5 and one retraining of each network
    assert stored_bytes(study) == 2 * 2 * 500 * IMAGE


def test_stored_bytes_with_exceptions_conditions_and_two_data_sets(study_of):
    study = study_of(
        {
            **SMALL,
            "explainers": ["grad_cam_pp_pool2", "saliency", "control_edges"],
            "explaining": {"conditions": ["clean", "noisy"], "images": "all", "levels": [0, 3]},
            "families": {
                "cam": {"images": 40, "levels": "all"},
                "gradient": {"levels": [2, 3]},
            },
        }
    )
    networks, conditions = 2 * 2, 2  # of one data set: models x seeds
    # levels of a network: dense 0, three 1 2 3, two 1 2; level 2 is there twice, 3 once
    cams = 2 * networks * 6 * conditions * 40 * POOL2
    gradients = networks * (2 + 1) * conditions * (500 + 10_000) * IMAGE
    # controls belong to the data set, whatever the models, seeds and levels
    controls = conditions * (500 + 10_000) * IMAGE
    assert stored_bytes(study) == cams + gradients + controls


def test_the_test_split_of_a_source_without_a_fixed_one(study_of):
    digits = {"options": {"split": {"test": 900}}}
    study = study_of(
        {"explainers": ["control_edges"], "catalogue": {"datasets": {"digits": digits}}}
    )
    assert available_images(study, "digits") == 900
    assert available_images(study, "mnist") == 10_000
    assert stored_bytes(study) == 900 * IMAGE


def test_facts_that_the_options_decide(study_of):
    """Asked of the catalogue; nothing of it needs to run."""
    study = study_of()
    names = set(study.catalogue["datasets"])
    assert names - {name for name in names if has_masks(study, name)} == {
        "imagenette",
        "imagenette_squashed",
        "imagenette_64",
        "derm7pt",
    }
    assert {name for name in names if has_parts(study, name)} == {
        "shapes",
        "shapes_32",
        "shapes_cue",
        "shapes_stickers",
        "cub200_64",
    }
    assert {name for name in names if has_concepts(study, name)} == {
        "shapes",
        "shapes_32",
        "shapes_cue",
        "shapes_stickers",
        "imagenette_64_stickers",
        "cub200",
        "cub200_study_split",
        "cub200_64",
        "ham10000_64",
        "derm7pt",
    }
    assert available_images(study, "cub200") == 5794
    assert available_images(study, "cub200_study_split") == 1183
    assert available_images(study, "ham10000") == 2003
    assert shape_of_images(study, "cub200_64") == (3, 64, 64)
    # 2,000 and 400 copies with a sticker; 400 and a tenth of them
    assert available_images(study, "imagenette_64_stickers") == 2400
    assert available_images(study, "shapes_stickers") == 440
    assert shape_of_images(study, "imagenette_64_stickers") == (3, 64, 64)
    bare = {"source": "cub200", "options": {"masks": "none", "concepts": "none"}}
    study = study_of({"catalogue": {"datasets": {"bare": bare}}})
    assert not has_masks(study, "bare")
    assert not has_concepts(study, "bare")


def test_a_map_of_several_layers_has_image_size(study_of):
    new = {"family": "cam", "method": "grad_cam.XGradCAM", "parameters": {"layers": ["conv1"]}}
    study = study_of(
        {"explainers": ["new"], "seeds": [1], "catalogue": {"explainers": {"new": new}}}
    )
    # levels 0 to 5 and one retraining
    assert stored_bytes(study) == 7 * 500 * IMAGE


def test_disk_budget(study_of):
    # 500 images x (21 networks x (4 x 484 + 100) + 12 networks x 5 x 3136 + 4 x 3136) bytes
    check_disk_budget(study_of({"disk_budget_gb": 0.12173}))
    with pytest.raises(InputError) as caught:
        check_disk_budget(study_of({"disk_budget_gb": 0.121729}))
    text = str(caught.value)
    assert "\n" not in text
    for phrase in ("0.12 GB", "disk_budget_gb (0.121729)", "raise it", "explaining.images"):
        assert phrase in text
