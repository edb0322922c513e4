import pytest

from sparsight.study.configuration import with_paths
from sparsight.study.settings import RuleSettings

from .test_starts import overlay

ENVIRON = {"HOME": "/home/ada", "WEIGHTS": "/w/a.pth", "BRACED": "/a{b}"}


def config(folder="data", weights="random", given="{seed}.pth"):
    models = {
        name: {"architecture": "thesis_cnn", "initial_weights": given}
        for name, given in (("a", weights), ("b", "imagenet"))
    }
    pruners = {"a": {"given": given}, "b": {"given": [given]}, "c": {"criterion": "magnitude"}}
    datasets = {"digits": {"source": "digits"}}
    catalogue = {"models": models, "pruners": pruners, "datasets": datasets}
    return {"data_folder": folder, "catalogue": catalogue}


def test_every_path_of_a_configuration_is_expanded():
    found = with_paths(config("~/x", "$WEIGHTS", "~/{level}/{seed}"), ENVIRON)
    assert found == (config("/home/ada/x", "/w/a.pth", "/home/ada/{level}/{seed}"), [])


def with_images(**options):
    found = config("~/x")
    found["catalogue"]["datasets"]["mine"] = {"source": "image_folder", "options": options}
    return found


def test_paths_of_own_images_are_expanded_and_scans_get_a_place():
    given = with_images(path="~/birds", table="$WEIGHTS", masks=None, size=8)
    found, problems = with_paths(given, ENVIRON)
    assert problems == []
    assert found["catalogue"]["datasets"]["mine"]["options"] == {
        "path": "/home/ada/birds",
        "table": "/w/a.pth",
        "masks": None,
        "size": 8,
        "scans": "/home/ada/x/fetched/scans",
    }
    _, (problem,) = with_paths(with_images(path="$NOWHERE/birds"), ENVIRON)
    assert problem.startswith("catalogue.datasets.mine.options.path")


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (config(folder="$NOWHERE"), "data_folder"),
        (config(folder="$BRACED/x"), "data_folder"),
        (config(weights="$NOWHERE/a.pth"), "catalogue.models.a.initial_weights"),
        (config(weights="{level}/a.pth"), "catalogue.models.a.initial_weights"),
        (config(weights="$BRACED"), "catalogue.models.a.initial_weights"),
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
