import pytest

from sparsight.study.original_files import (
    environment_problems,
    original_file_problems,
    weights_problems,
)

MNIST = {"datasets": ["mnist"], "models": ["thesis_cnn"]}


def test_a_shared_folder_that_is_none_is_named(tmp_path):
    (tmp_path / "file").touch()
    for given in (tmp_path / "none", tmp_path / "file", "$NOWHERE_AT_ALL"):
        (problem,) = environment_problems({"SPARSIGHT_DATA": str(given)})
        assert "SPARSIGHT_DATA" in problem
    for environ in ({}, {"SPARSIGHT_DATA": ""}, {"SPARSIGHT_DATA": str(tmp_path)}):
        assert list(environment_problems(environ)) == []


@pytest.fixture
def missing_of(study_of, tmp_path):
    """Function from an overlay to the data sets that cannot be had, in an empty data folder."""

    def missing(overlay, environ=()):
        study = study_of({**overlay, "data_folder": str(tmp_path / "data")})
        return dict(original_file_problems(study, dict(environ)))

    return missing


def derm7pt(name="derm7pt"):
    return {
        "datasets": [name],
        "models": ["resnet18_shapes"],
        "explainers": ["saliency"],
        "metrics": ["gini_sparseness"],
        "catalogue": {
            "datasets": {
                "planted": {
                    "base": "derm7pt",
                    "trojan": {"stickers": {"smiley": 0}, "share": 0.1, "test": 0.1},
                }
            }
        },
        "explaining": {"conditions": ["clean"], "images": 20},
    }


@pytest.mark.parametrize("name", ["derm7pt", "planted"])
def test_files_that_may_not_be_downloaded_are_missed_before_any_job(missing_of, tmp_path, name):
    found = missing_of(derm7pt(name))
    assert list(found) == [name]
    assert f"catalogue.datasets.{name}" in found[name]
    assert "derm7pt" in found[name]
    # what was found once is not looked for again
    (tmp_path / "data" / "fetched").mkdir(parents=True)
    (tmp_path / "data" / "fetched" / f"{name}.json").touch()
    assert missing_of(derm7pt(name)) == {}


def test_files_without_mirrors_are_too(missing_of, tmp_path):
    without = {"datasets": {"mnist": {"options": {"mirrors": []}}}}
    assert missing_of(MNIST) == {}
    found = missing_of({**MNIST, "catalogue": without})
    assert "catalogue.datasets.mnist.options.mirrors" in found["mnist"]
    shared = tmp_path / "shared" / "mnist"
    shared.mkdir(parents=True)
    (shared / "file").touch()
    environ = {"SPARSIGHT_DATA": str(shared.parent)}
    assert missing_of({**MNIST, "catalogue": without}, environ) == {}


def test_missing_initial_weights_are_named_while_a_network_still_needs_them(study_of, tmp_path):
    path = tmp_path / "a.pth"
    new = {"architecture": "thesis_cnn", "initial_weights": str(path)}
    study = study_of({"models": ["thesis_cnn"], "catalogue": {"models": {"thesis_cnn": new}}})
    (network,) = {(n.dataset, n.model, n.seeds) for n in study.networks()}
    (found,) = weights_problems(study, tmp_path / "results")
    assert found.startswith("catalogue.models.thesis_cnn.initial_weights")
    assert str(path) in found
    for seed in network[2]:
        start = tmp_path / "results" / network[0] / network[1] / f"seed{seed}"
        start.mkdir(parents=True)
        (start / "start.safetensors").touch()
    assert not [*weights_problems(study, tmp_path / "results")]
    assert [*weights_problems(study, tmp_path / "elsewhere")] == [found]
    path.touch()
    assert not [*weights_problems(study, tmp_path / "elsewhere")]
