"""Pruners that round weights: what is planned, and what is refused."""

import pytest

from sparsight.study.settings import RuleSettings

DENSITIES = {"criterion": "magnitude", "densities": [0.5, 0.2]}
RATE = {"criterion": "magnitude", "rate": 0.2, "levels": 3}


def overlay(**entry):
    """A study of the default network under one pruner."""
    return {"pruners": ["new"], "catalogue": {"pruners": {"new": entry}}}


def jobs_of(study, pruner="new"):
    network = study.networks()[0]
    settings = RuleSettings(study)
    levels = range(1, study.level_count(pruner) + 1)
    return [settings.level(network.dataset, network.model, pruner, level) for level in levels]


def test_bits_alone_round_the_dense_network(study_of):
    study = study_of({"pruners": ["quantised"]})
    jobs = jobs_of(study, "quantised")
    assert [job["bits"] for job in jobs] == [8, 4, 3, 2]
    assert {job["rewind"] for job in jobs} == {"none"}
    assert {job["retraining"]["epochs"] for job in jobs} == {0}
    assert not any("criterion" in job for job in jobs)
    assert {study.predecessor("quantised", level) for level in range(1, 5)} == {0}
    items = RuleSettings(study).network_items(study.networks()[0].model, "quantised")
    assert [item.kind for item in items] == ["architecture"]


def test_one_number_alone_is_one_level(study_of):
    assert [job["bits"] for job in jobs_of(study_of(overlay(bits=6)))] == [6]


def test_what_is_given_stays(study_of):
    (job,) = jobs_of(study_of(overlay(bits=6, rewind="pretrained", retraining=None)))
    assert job["rewind"] == "pretrained"
    assert job["retraining"]["epochs"] > 0


@pytest.mark.parametrize(
    ("entry", "bits"),
    [
        ({**DENSITIES, "bits": 4}, [4, 4]),
        ({**DENSITIES, "bits": [4, 8]}, [4, 8]),
        ({**RATE, "bits": [8, 4, 2]}, [8, 4, 2]),
    ],
)
def test_bits_next_to_densities_or_a_rate(study_of, entry, bits):
    study = study_of(overlay(**entry))
    assert [job["bits"] for job in jobs_of(study)] == bits
    assert {job["criterion"] for job in jobs_of(study)} == {"magnitude"}


def test_jobs_know_bits_only_where_they_are_used(study_of):
    assert not any("bits" in job for job in jobs_of(study_of(overlay(**RATE))))


def test_rounding_without_pruning_is_no_retrain_floor(study_of):
    entry = {"criterion": "magnitude", "rate": 0, "levels": 1}
    assert study_of(overlay(**entry)).retraining_pruners() == ["new"]
    assert study_of(overlay(**entry, bits=4)).retraining_pruners() == []


WRONG = {
    "too few": ({"bits": 1}, ["new.bits is 1", "2", "16"]),
    "too many": ({"bits": 17}, ["new.bits is 17", "2", "16"]),
    "too few of a level": ({"bits": [8, 1]}, ["new.bits[1] is 1", "2", "16"]),
    "too many beside densities": ({**DENSITIES, "bits": 17}, ["new.bits is 17", "16"]),
    "no level": ({"bits": []}, ["new.bits", "empty"]),
    "they stay": ({"bits": [4, 4]}, ["new.bits must fall", "[4, 4]"]),
    "they rise": ({"bits": [4, 8]}, ["new.bits must fall", "[4, 8]"]),
    "not one for each density": ({**DENSITIES, "bits": [4]}, ["'bits' holds 1", "2 levels"]),
    "not one for each round": ({**RATE, "bits": [8, 4]}, ["'bits' holds 2", "3 levels"]),
    "a criterion without a density": (
        {"bits": [4], "criterion": "magnitude"},
        ["criterion goes with pruning", "add densities"],
    ),
    "level after level": ({"bits": 4, "schedule": "iterative"}, ["bits", "schedule: iterative"]),
    "files of another tool": ({"bits": 4, "given": "a/file.pth"}, ["given", "bits"]),
    "no mask": (
        {**RATE, "bits": 4, "published_bugs": ["no_mask_in_training"]},
        ["no_mask_in_training", "bits", "drop one"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_one_message(problems_of, case):
    entry, parts = WRONG[case]
    (problem,) = problems_of(overlay(**entry))
    assert problem.startswith("catalogue.pruners.new")
    assert all(part in problem for part in parts), problem
