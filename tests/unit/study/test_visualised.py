"""Feature visualisation in a configuration: which classes, what is wrong, what a job needs."""

import pytest

from sparsight.study.settings import SampleSettings

STUDY = {
    "datasets": ["shapes_stickers"],
    "models": ["resnet18_shapes"],
    "pruners": ["magnitude"],
    "explainers": ["saliency"],
    "metrics": ["pixel_roc_auc"],
    "families": {"gradient": {"levels": "all"}},
    "agreement": [],
}


def chosen(datasets=("shapes_stickers",), **keys):
    return {**STUDY, "datasets": list(datasets), "sample_pruning": {"visualised": keys}}


def test_nothing_is_visualised_by_default(study_of):
    samples = SampleSettings(study_of(STUDY))
    assert samples.visualised_networks() == []
    assert samples.visualisation_pruner() == ""
    assert samples.searching_pruners() == []
    assert not samples.draws_toy()


@pytest.mark.parametrize(
    ("classes", "stickers"),
    [
        ("all", ["smiley", "heart", "star", "fish"]),
        (2, ["smiley", "heart"]),
        (9, ["smiley", "heart", "star", "fish"]),
        ([4, 0], ["smiley", "star"]),
    ],
)
def test_classes_are_chosen_by_number_or_count(study_of, classes, stickers):
    samples = SampleSettings(study_of(chosen(classes=classes)))
    assert samples.visualise("shapes_stickers")["stickers"] == stickers
    assert [network.dataset for network in samples.visualised_networks()] == ["shapes_stickers"]


def test_what_a_job_needs(study_of):
    samples = SampleSettings(study_of(chosen(classes=1, steps=9, sample_pruner="spade_magnitude")))
    settings = samples.visualise("shapes_stickers")
    assert settings["visualised"] == {"method": "fourier", "steps": 9, "crops": 6, "seed": 0}
    assert settings["sample_pruner"]["solver"] == "magnitude"
    # a search fills a file that the job reads
    assert settings["sample_pruner"]["sparsities"] == {}
    assert samples.searching_pruners() == ["spade_fast"]


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        (chosen(["shapes"], classes="all"), "no data set of the study has a trojan"),
        (chosen(classes=[1]), "names 1, for which no sticker stands"),
        (chosen(classes=1, sample_pruner="spade_fats"), "spade_fats"),
        (chosen(classes=0), "sample_pruning.visualised.classes"),
        (chosen(classes=1, steps=0), "steps"),
        (chosen(classes=1, method="deep"), "method"),
    ],
)
def test_what_cannot_be_is_one_sentence(problems_of, overlay, said):
    (problem,) = problems_of(overlay)
    assert said in problem
    assert problem.endswith(".")
