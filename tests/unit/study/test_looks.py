"""Seeds by looks: which are trained, what stays, and whether to go on."""

import json

import pytest
import yaml

from sparsight.io.errors import InputError
from sparsight.study.configuration import resolve
from sparsight.study.looks import (
    LOOK_VARIABLE,
    advice,
    configuration_of,
    is_decided,
    main,
    reached_look,
    record_look,
)
from sparsight.study.models import validated
from sparsight.study.plan import Place, Study
from sparsight.study.settings import TableSettings

SEEDS = {"first": 7, "look": [2, 4, 5]}
NETWORKS = SEEDS["look"]


@pytest.fixture
def at_look(overlaid):
    """Function from a look to the study that has reached it."""

    def study(look, **overlay):
        whole, problems = resolve(overlaid({"seeds": SEEDS, **overlay}), lambda *_: look)
        assert problems == []
        return Study(whole)

    return study


def test_a_look_has_its_networks_and_those_before(at_look):
    for look, count in enumerate(NETWORKS, 1):
        study = at_look(look)
        assert study.networks()[0].seeds == tuple(range(7, 7 + count))
        settings = TableSettings(study).claims()
        assert (settings["look"], settings["looks"]) == (look, NETWORKS)
        assert TableSettings(study).whole()["looks"] == {"at": look, "networks": NETWORKS}


def test_plain_seeds_have_no_looks(study_of):
    settings = TableSettings(study_of()).claims()
    assert (settings["look"], settings["looks"]) == (0, [])


def test_networks_of_later_looks_change_no_comparison_of_the_first(at_look):
    first, last = at_look(1), at_look(3)
    pair = first.networks()[0].dataset, first.networks()[0].model
    for seed in (7, 8):
        place = Place(*pair, seed, "dense", 0)
        assert first.references(place) == last.references(place) != []
    assert last.references(Place(*pair, 9, "dense", 0)) == []
    assert [p.seed for p in last.references(Place(*pair, 9, "magnitude", 1))] == [9]


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ({"first": 1, "look": [3, 5, 5]}, "seeds.look must rise"),
        ({"first": 1, "look": [5, 3]}, "seeds.look must rise"),
        ({"first": 1, "look": [2, 3]}, "seeds.look must end with 4 networks or more"),
        ({"first": 1, "look": [5]}, "seeds.look is"),
        ({"first": -1, "look": [3, 5]}, "seeds.first is -1, but must be"),
        ({"look": [3, 5]}, "'first' is missing at seeds"),
        ({"first": 1}, "'look' is missing at seeds"),
        ({"first": 1, "look": [3, 5], "last": 9}, "unknown key 'last' at seeds"),
    ],
)
def test_looks_that_cannot_be(overlaid, seeds, words):
    (found,) = validated(overlaid({"seeds": seeds}))[1]
    assert found.startswith(words)


def test_a_network_has_no_seeds_of_its_own_beside_looks(problems_of, overlaid):
    config = overlaid()
    own = {"dataset": config["datasets"][0], "model": config["models"][0], "seeds": [7]}
    (found,) = problems_of({"seeds": SEEDS, "networks": [own]})
    assert found.startswith("networks[0].seeds conflicts with seeds.look")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder, with a study whose seeds come by looks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(LOOK_VARIABLE, raising=False)
    (tmp_path / "catalogue").mkdir()
    return tmp_path


def test_the_look_that_is_reached(project, monkeypatch):
    assert reached_look("mine", NETWORKS) == 1
    results = project / "results" / "mine"
    record_look({"at": 2, "networks": NETWORKS}, results)
    assert reached_look("mine", NETWORKS) == 2
    # looks to come may change, those that are over may not
    assert reached_look("mine", [2, 4, 6, 9]) == 2
    for other in ([2, 5], [2], [3, 4, 5]):
        with pytest.raises(InputError, match=r"seeds\.look is .* decided with \[2, 4\]"):
            reached_look("mine", other)
    monkeypatch.setenv(LOOK_VARIABLE, "3")
    assert reached_look("mine", NETWORKS) == 3


def test_a_look_is_decided_by_the_last_file_of_its_run(project):
    looks = {"at": 2, "networks": NETWORKS}
    assert not is_decided(looks, project)
    summary = project / "summary"
    summary.mkdir()
    for at, decided in ((1, False), (2, True)):
        content = {"settings": {"looks": {"at": at, "networks": NETWORKS}}}
        (summary / "provenance.json").write_text(json.dumps(content))
        assert is_decided(looks, project) == decided


ROWS = [
    {"name": "a", "tier": "primary", "verdict": "supported", "verdict_reason": ""},
    {"name": "b", "tier": "primary", "verdict": "open", "verdict_reason": "9 networks"},
    {"name": "c", "tier": "secondary", "verdict": "open", "verdict_reason": ""},
]


@pytest.mark.parametrize(
    ("rows", "at", "last"),
    [
        (ROWS, 1, "1 of 2 primary claims are open: go on with make look, to 4 networks."),
        (ROWS, 3, "1 of 2 primary claims stay open, and this was the last look."),
        ([ROWS[0], ROWS[2]], 1, "All 1 primary claims are decided: stop here."),
        (ROWS[2:], 2, "1 of 1 claims are open: go on with make look, to 5 networks."),
        ([], 1, "The study makes no claims, so more networks decide nothing."),
    ],
)
def test_whether_to_go_on(rows, at, last):
    first, *_, found = advice(rows, {"at": at, "networks": NETWORKS})
    assert first == f"Look {at} of 3, {NETWORKS[at - 1]} networks:"
    assert found == last


def test_verdicts_come_with_their_reasons():
    lines = list(advice(ROWS, {"at": 1, "networks": NETWORKS}))
    assert lines[1:3] == ["  a: supported", "  b: open (9 networks)"]


def test_studies_with_plain_seeds_have_no_next_look(monkeypatch):
    monkeypatch.delenv(LOOK_VARIABLE, raising=False)
    with pytest.raises(InputError, match=r"do not come by looks; give it seeds"):
        main(["--configfile", "studies/norm_layer_ablation.yaml"])


def test_options_of_snakemake_name_the_configuration(project, overlaid):
    config = overlaid()
    (project / "config.yaml").write_text("study: other\n")
    file = project / "mine.yaml"
    file.write_text(yaml.safe_dump({**config, "seeds": SEEDS, "study": "mine"}))
    arguments = ["--cores", "2", "--configfile", str(file), "--config", "torch_threads=2"]
    whole, problems = configuration_of([*arguments, "-n"])
    assert problems == []
    assert (whole["study"], whole["seeds"], whole["torch_threads"]) == ("mine", [7, 8], 2)
