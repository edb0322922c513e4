"""Pruners whose rounds learn from the dense network, in configurations and in jobs."""

import pytest

from sparsight.study.costs.work import StudyWork
from sparsight.study.settings import RuleSettings

TAUGHT = {"criterion": "magnitude", "rate": 0.5, "levels": 2, "teacher": "dense"}
RECIPE = {"epochs": 2, "batch_size": 16, "optimiser": {"name": "sgd", "learning_rate": 0.01}}


def overlay(model=None, **pruner):
    """A study of one pruner on digits."""
    entry = {**TAUGHT, **pruner}
    own = {"architecture": "thesis_cnn", "training": RECIPE, "retraining": RECIPE, **(model or {})}
    return {
        "datasets": ["digits"],
        "models": ["new_model"],
        "pruners": ["new"],
        "explainers": ["saliency"],
        "catalogue": {
            "pruners": {"new": {k: v for k, v in entry.items() if v is not None}},
            "models": {"new_model": own},
        },
    }


WRONG = {
    "an unknown teacher": (overlay(teacher="denser"), ["catalogue.pruners.new.teacher"]),
    "no teacher": (
        overlay(teacher=None, distillation={"logits": 1}),
        ["catalogue.pruners.new", "teacher"],
    ),
    "above 1": (overlay(distillation={"logits": 1.5}), ["new.distillation.logits"]),
    "no temperature": (overlay(distillation={"temperature": 0}), ["new.distillation.temperature"]),
    "a negative weight": (overlay(distillation={"attention": -1}), ["new.distillation.attention"]),
    "nothing is taught": (
        overlay(distillation={"logits": 0}),
        ["new.distillation", "logits", "attention"],
    ),
    "an unknown key": (overlay(distillation={"logit": 1}), ["new.distillation", "logit"]),
    "the pruner does not retrain": (
        overlay(retraining={"epochs": 0}, rewind="none"),
        ["catalogue.pruners.new.teacher", "retraining"],
    ),
    "the model does not retrain": (
        overlay({"retraining": {"epochs": 0}}),
        ["catalogue.pruners.new.teacher", "new_model"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_refused(problems_of, case):
    config, parts = WRONG[case]
    found = problems_of(config)
    assert len(found) == 1, found
    assert all(part in found[0] for part in parts), found


@pytest.mark.parametrize(
    "pruner", [{}, {"distillation": {"attention": 1}}, {"rate": 0, "levels": 1}, {"rewind": "none"}]
)
def test_what_can_be_meant_is_planned(problems_of, pruner):
    assert problems_of(overlay(**pruner)) == []


def test_jobs_know_it_only_where_it_is_used(study_of):
    def level(**pruner):
        return RuleSettings(study_of(overlay(**pruner))).level("digits", "new_model", "new", 1)

    taught, alone = level(), level(teacher=None)
    defaults = {"logits": 0.5, "temperature": 4, "attention": 0}
    assert taught == {**alone, "distillation": defaults}
    assert level(distillation={"attention": 2})["distillation"] == {**defaults, "attention": 2}


def test_its_forward_passes_are_counted(study_of):
    """A training pass counts as three forward passes; the teacher's is one more."""

    def operations(**pruner):
        wildcards = {"dataset": "digits", "model": "new_model", "pruner": "new", "level": "01"}
        job = StudyWork(study_of(overlay(**pruner))).job("prune_level", wildcards)
        return job.work["operations"]

    passes = RECIPE["epochs"] * 1297
    assert operations() - operations(teacher=None) == pytest.approx(passes * 61_184 / 1e12)
