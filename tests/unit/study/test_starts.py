"""How a model may start, and which settings say so."""

import pytest

from sparsight.study.settings import RuleSettings

RECIPE = {
    "epochs": 2,
    "batch_size": 16,
    "optimiser": {"name": "sgd", "learning_rate": 0.01},
}


def overlay(architecture="resnet18", **entry):
    """A study of one model on generated shapes of 64 pixels."""
    return {
        "datasets": ["shapes"],
        "models": ["new"],
        "explainers": ["saliency"],
        "catalogue": {
            "models": {"new": {"architecture": architecture, "retraining": RECIPE, **entry}}
        },
        "families": {"gradient": {"levels": "all"}},
        "explaining": {"images": 20},
    }


ELSEWHERE = {"pretraining_dataset": "imagenette_64", "pretraining": RECIPE}
WRONG = {
    "word": ({"initial_weights": "imagenette"}, ["initial_weights", "did you mean 'imagenet'"]),
    "no weights": (
        {"architecture": "thesis_cnn", "initial_weights": "imagenet"},
        ["images of (1, 28, 28)"],
    ),
    "options": (
        {"initial_weights": "imagenet", "options": {"width": 32}},
        ["ImageNet weights are for the option width of 64, not 32"],
    ),
    "recipe lacks": ({"pretraining_dataset": "imagenette_64"}, ["both", "pretraining"]),
    "data set lacks": ({"pretraining": RECIPE}, ["both", "pretraining_dataset"]),
    "unknown": (
        {**ELSEWHERE, "pretraining_dataset": "imagenette_6"},
        ["pretraining_dataset", "'imagenette_64'"],
    ),
    "own": ({**ELSEWHERE, "pretraining_dataset": "shapes"}, ["own shapes", "as training"]),
    "size": (
        {**ELSEWHERE, "pretraining_dataset": "imagenette"},
        ["imagenette has images of (3, 224, 224)", "shapes has (3, 64, 64)"],
    ),
    "selection": (
        {**ELSEWHERE, "pretraining": {**RECIPE, "select": "best_validation"}},
        ["pretraining.select", "imagenette_64", "'validation'"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_start_that_cannot_be_made_is_refused(problems_of, case):
    entry, parts = WRONG[case]
    (found,) = problems_of(overlay(**entry))
    assert all(part in found for part in parts), found


def test_no_weights_of_an_architecture(problems_of):
    given = {
        **overlay(architecture="thesis_cnn", initial_weights="imagenet"),
        "datasets": ["digits"],
    }
    (found,) = problems_of(given)
    assert "there are no ImageNet weights of thesis_cnn" in found


def test_starts_that_can_be_made(problems_of, study_of):
    for entry in (
        {"initial_weights": "imagenet"},
        {"initial_weights": "weights/some.pth", **ELSEWHERE},
        ELSEWHERE,
    ):
        assert problems_of(overlay(**entry)) == []
    study = study_of(overlay(**ELSEWHERE))
    assert study.prepared_datasets() == ["shapes", "imagenette_64"]
    assert study.pretraining_dataset("new") == "imagenette_64"
    assert study.imagenet_weights("new") == ""
    assert study_of(overlay()).prepared_datasets() == ["shapes"]
    found = study_of(overlay(architecture="resnet50", initial_weights="imagenet"))
    assert found.imagenet_weights("new") == "resnet50-0676ba61.pth"


def test_settings_say_only_what_is_used(study_of):
    plain = RuleSettings(study_of(overlay())).start("shapes", "new")
    assert set(plain) == {
        "study",
        "architecture",
        "options",
        "noise_maximum",
        "threads",
        "training",
    }
    found = RuleSettings(study_of(overlay(initial_weights="imagenet", **ELSEWHERE)))
    start = found.start("shapes", "new")
    assert start["initial_weights"] == "imagenet"
    assert start["pretraining"]["dataset"] == "imagenette_64"
    assert start["pretraining"]["noise_maximum"] == 0
    assert start["pretraining"]["recipe"]["epochs"] == 2
    # no later job trains anew because of how the start is described
    assert found.dense("shapes", "new") == RuleSettings(study_of(overlay())).dense("shapes", "new")
    assert found.weights() == {"data_folder": "data"}
