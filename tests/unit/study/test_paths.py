import pytest

from sparsight.study.configuration import with_paths
from sparsight.study.settings import RuleSettings

from .test_starts import overlay

ENVIRON = {"HOME": "/home/ada", "WEIGHTS": "/w/a.pth", "BRACED": "/a{b}"}


def config(folder="data", weights="random"):
    models = {"a": {"initial_weights": weights}, "b": {"initial_weights": "imagenet"}}
    return {"data_folder": folder, "catalogue": {"models": models}}


def test_every_path_of_a_configuration_is_expanded():
    found = with_paths(config("~/x", "$WEIGHTS"), ENVIRON)
    assert found == (config("/home/ada/x", "/w/a.pth"), [])


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (config(folder="$NOWHERE"), "data_folder"),
        (config(folder="$BRACED/x"), "data_folder"),
        (config(weights="$NOWHERE/a.pth"), "catalogue.models.a.initial_weights"),
    ],
)
def test_a_path_that_stands_for_nothing_is_named(given, key):
    _, (problem,) = with_paths(given, ENVIRON)
    assert problem.startswith(key)


@pytest.mark.parametrize("folder", ["~/x", "$HOME/x", "${HOME}/x"])
def test_jobs_get_the_expanded_paths(study_of, monkeypatch, folder):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("WEIGHTS", "/w/a.pth")
    study = study_of({**overlay(initial_weights="$WEIGHTS"), "data_folder": folder})
    settings = RuleSettings(study)
    assert settings.fetching("shapes")["data_folder"] == "/home/ada/x"
    assert settings.start("shapes", "new")["initial_weights"] == "/w/a.pth"
