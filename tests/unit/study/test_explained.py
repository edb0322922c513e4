"""Explainers of the catalogue that state images, levels and target themselves."""

import pytest

from sparsight.study.plan import DENSE
from sparsight.study.settings import RuleSettings

OWN = {"images": 30, "levels": [0, 2], "target": "predicted"}
METHOD = {"method": "saliency", "parameters": {}}


def overlay(entry=(), **more):
    new = {**METHOD, "family": "new", **dict(entry)}
    return {
        "explainers": ["input_x_gradient", "new"],
        "families": {"new": {"images": 50, "batch_size": 9}},
        "catalogue": {"explainers": {"new": new}},
        **more,
    }


def test_an_explainer_wins_over_its_family_and_leaves_its_file_as_it_was(study_of):
    plain, study = study_of(overlay()), study_of(overlay(OWN))
    place = ("new", "digits", "thesis_cnn_digits")
    before, found = (RuleSettings(of).explain(*place) for of in (plain, study))
    assert (before["images"], before["target"], before["batch_size"]) == (50, "dense_predicted", 9)
    assert found == {**before, "images": 30, "target": "predicted"}
    assert [study.explains("new", "magnitude", level) for level in (1, 2)] == [False, True]
    assert study.explains("new", DENSE, 0)
    assert study.explaining("gradient") == plain.explaining("gradient")
    for entries in ("explain_entries", "score_entries", "compare_entries"):
        before, found = (getattr(RuleSettings(of), entries)(*place) for of in (plain, study))
        assert found == before


def test_copies_keep_the_target_of_their_explainer(study_of):
    spade = {"pruners": ["spade_magnitude"], "explainers": ["new"], "images": 20, "levels": [0]}
    study = study_of(overlay(OWN, sample_pruning=spade))
    found = study.explaining("spade_magnitude__new")
    assert (found["images"], found["levels"], found["target"]) == (20, [0], "predicted")


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ({"images": 10**6}, "catalogue.explainers.new.images is 1000000, but digits"),
        ({"levels": [0, 99]}, "catalogue.explainers.new.levels holds level 99"),
        ({"target": "predictd"}, "catalogue.explainers.new.target is 'predictd'"),
        ({"family": "gradient", "target": "predicted"}, "catalogue.explainers.new.target: "),
        ({"method": "edges", "levels": [0]}, "catalogue.explainers.new.levels: controls"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(problems_of, entry, key):
    study = overlay(entry)
    if "family" in entry:
        study["families"] = {}
    (found,) = problems_of(study)
    assert found.startswith(key)
