"""Images of data sets without noise are clean, whatever the study asks for."""

from sparsight.study.costs.work import StudyWork
from sparsight.study.settings import FigureSettings, RuleSettings, TableSettings

CLAIM = {
    "name": "survives",
    "claim": "Accuracy survives.",
    "test": "no_loss",
    "of": "accuracy",
    "density": 0.1,
    "smallest": 0.05,
    "because": "Two trainings differ by as much.",
    "pruner": "magnitude",
}


def overlay(conditions=("noisy",), **claim):
    claims = [{**CLAIM, "dataset": "digits", "model": "thesis_cnn_digits"}]
    claims.append({**CLAIM, "name": "too", "dataset": "shapes", "model": "resnet18_shapes"} | claim)
    return {
        "datasets": ["digits", "shapes"],
        "models": ["thesis_cnn_digits", "resnet18_shapes"],
        "networks": [
            {"dataset": "digits", "model": "thesis_cnn_digits"},
            {"dataset": "shapes", "model": "resnet18_shapes"},
        ],
        "explainers": ["saliency", "control_edges"],
        "metrics": ["gini_sparseness"],
        "explaining": {"images": 20, "conditions": list(conditions)},
        "claims": claims,
    }


def test_only_what_has_noise_is_noisy(study_of):
    study = study_of(overlay())
    rules, figures = RuleSettings(study), FigureSettings(study)
    for dataset, model, right in (
        ("digits", "thesis_cnn_digits", "noisy"),
        ("shapes", "resnet18_shapes", "clean"),
    ):
        assert rules.explain("gradient", dataset, model)["conditions"] == [right]
        assert rules.explain("controls", dataset)["conditions"] == [right]
        assert rules.score("gradient", dataset, model)["conditions"] == [right]
        assert figures.sheet(dataset, model)["condition"] == right
    conditions = {c["dataset"]: c["condition"] for c in TableSettings(study).claims()["claims"]}
    assert conditions == {"digits": "noisy", "shapes": "clean"}
    assert "shapes" in study.conditions_sentence()
    assert "digits" not in study.conditions_sentence()


def test_nothing_is_done_twice(study_of):
    both = study_of(overlay(("clean", "noisy")))
    assert both.conditions("digits") == ["clean", "noisy"]
    assert both.conditions("shapes") == ["clean"]
    wild = {"dataset": "shapes", "model": "resnet18_shapes", "family": "gradient"}
    once, twice = map(StudyWork, (study_of(overlay()), both))
    assert twice.explain(wild) == once.explain(wild)


def test_a_study_of_clean_images_needs_no_word(study_of):
    study = study_of({**overlay(("clean",)), "claims": []})
    assert study.conditions_sentence() == ""


def test_a_claim_about_noise_that_is_not_there_is_refused(problems_of):
    (found,) = problems_of(overlay(condition="noisy"))
    assert "claims[1].condition" in found
