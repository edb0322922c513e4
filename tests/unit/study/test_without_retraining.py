"""Configurations that prune without retraining, and those in which that cannot be meant."""

import pytest

from sparsight.study.settings import RuleSettings

NONE = {"epochs": 0}
AGAIN = {"images": 100}
POST = {"criterion": "magnitude", "densities": [0.5, 0.1], "rewind": "none", "retraining": NONE}
RECIPE = {"batch_size": 16, "optimiser": {"name": "sgd", "learning_rate": 0.01}}


def overlay(model=None, **pruner):
    """A study of one pruner, and of a narrow ResNet on generated shapes."""
    entry = {**POST, **pruner}
    own = {"architecture": "resnet18", "options": {"width": 8}, "training": {"epochs": 1, **RECIPE}}
    own |= {"retraining": {"epochs": 3, **RECIPE}, **(model or {})}
    return {
        "datasets": ["shapes"],
        "models": ["new_model"],
        "pruners": ["new"],
        "explainers": ["saliency"],
        "families": {"gradient": {"levels": "all"}},
        "explaining": {"images": 20, "conditions": ["clean"]},
        "catalogue": {
            "pruners": {"new": {k: v for k, v in entry.items() if v is not None}},
            "models": {"new_model": own},
        },
    }


def of_rate(rate, **changes):
    return overlay(densities=None, rate=rate, levels=1, **changes)


SOUND = {
    "no other key": overlay(),
    "iterative": of_rate(0.2),
    "one shot": overlay(schedule="one_shot"),
    "new statistics": overlay(recalibrate_batch_norm=AGAIN),
    "new statistics alone": of_rate(0, recalibrate_batch_norm=AGAIN),
    "new statistics after retraining": overlay(retraining=None, recalibrate_batch_norm=AGAIN),
    "the dense network is its start": overlay(
        {"retraining": NONE}, retraining=None, rewind="pretrained"
    ),
    "a trained network of a file": overlay(
        {"retraining": NONE, "training": None, "initial_weights": "a/file.pth"}
    ),
}
WRONG = {
    "rewound to random": (overlay(rewind="init"), ["catalogue.pruners.new", "rewind"]),
    "rewound to the start": (overlay(rewind="pretrained"), ["catalogue.pruners.new", "rewind"]),
    "a copy of dense": (of_rate(0), ["catalogue.pruners.new", "rate"]),
    "a mistake of training": (
        overlay(published_bugs=["stale_schedule"]),
        ["catalogue.pruners.new", "stale_schedule"],
    ),
    "no normalisation": (
        {
            **overlay(recalibrate_batch_norm=AGAIN),
            "datasets": ["digits"],
            "models": ["thesis_cnn_digits"],
        },
        ["catalogue.pruners.new.recalibrate_batch_norm", "thesis_cnn"],
    ),
    "unknown key": (
        overlay(recalibrate_batch_norm={"image": 100}),
        ["recalibrate_batch_norm", "image"],
    ),
    "nothing learns": (
        overlay({"retraining": NONE, "training": None}),
        ["catalogue.models.new_model.retraining"],
    ),
    "only the body has learnt": (
        overlay(
            {"retraining": NONE, "training": None, "options": {}, "initial_weights": "imagenet"}
        ),
        ["catalogue.models.new_model.retraining"],
    ),
    "training of no epochs": (
        overlay({"training": NONE}),
        ["catalogue.models.new_model.training"],
    ),
    "epochs need an optimiser": (
        overlay(retraining={"epochs": 1}),
        ["catalogue.pruners.new.retraining", "optimiser"],
    ),
}


@pytest.mark.parametrize("case", SOUND)
def test_what_can_be_meant_is_planned(problems_of, case):
    assert problems_of(SOUND[case]) == []


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_refused(problems_of, case):
    config, parts = WRONG[case]
    found = problems_of(config)
    assert any(all(part in problem for part in parts) for problem in found), found


def test_jobs_know_it_only_where_it_is_used(study_of):
    without = RuleSettings(study_of(overlay())).level("shapes", "new_model", "new", 1)
    assert "recalibrate_batch_norm" not in without
    assert without["retraining"]["epochs"] == 0
    study = study_of(overlay(recalibrate_batch_norm=AGAIN))
    found = RuleSettings(study).level("shapes", "new_model", "new", 1)
    assert found["recalibrate_batch_norm"] == {"images": 100, "batch_size": 128}
