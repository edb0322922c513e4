"""Studies of networks that another tool has pruned: what is planned, and what is refused."""

from pathlib import Path

import pytest
import yaml

from sparsight.study.costs.work import StudyWork
from sparsight.study.methods import methods_of, run
from sparsight.study.original_files import weights_problems
from sparsight.study.plan import fill_path
from sparsight.study.settings import FigureSettings, RuleSettings, TableSettings

RECIPE = {"epochs": 1, "batch_size": 16, "optimiser": {"name": "sgd", "learning_rate": 0.01}}
PATHS = {"given": "$RUNS/seed{seed}/level{level:02}.pth", "levels": 3}


def overlay(pruner=None, model=None, **changes):
    own = {"architecture": "thesis_cnn", "initial_weights": "$RUNS/seed{seed}/dense.pth"}
    return {
        "datasets": ["digits"],
        "models": ["mine"],
        "pruners": ["theirs"],
        "seeds": [1, 20],
        "claims": [],
        "catalogue": {
            "models": {"mine": {**own, **(model or {})}},
            "pruners": {"theirs": PATHS if pruner is None else pruner},
        },
        **changes,
    }


@pytest.fixture(autouse=True)
def runs(monkeypatch, tmp_path):
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_placeholders_are_numbers():
    assert fill_path("{seed}/{level}/{level:02}", seed=12, level=3) == "12/3/03"
    assert fill_path("{seed}/{level}", level=3) == "{seed}/3"
    assert fill_path("{other}/{level:2}", level=3) == "{other}/{level:2}"


def test_files_levels_and_settings_are_known(study_of, runs):
    study = study_of(overlay())
    assert study.level_count("theirs") == 3
    assert study.is_given("theirs")
    assert study.pruning_pruners() == ["theirs"]
    assert study.retraining_pruners() == []
    assert study.given_files("theirs", 2, 20) == [f"{runs}/seed20/level02.pth"]
    assert study.initial_weights("mine", 20) == f"{runs}/seed20/dense.pth"
    assert study.is_untrained("mine")
    assert len([*study.places()]) == 2 * 4
    rules = RuleSettings(study)
    assert rules.given_level("digits", "mine")["retraining"]["epochs"] == 0
    assert rules.start("digits", "mine")["untrained"] is True
    assert [item.kind for item in rules.network_items("mine", "theirs")] == ["architecture"]
    assert FigureSettings(study).accuracy("digits", "mine")["pruners"] == ["theirs"]
    assert TableSettings(study).whole()["catalogue"]["pruners"]["theirs"]["levels"] == 3


def test_a_list_has_its_own_number_of_levels(study_of, runs):
    files = ["~/a.pth", "$RUNS/model_ep3_it0.pth"]
    study = study_of(overlay({"given": files}, {"initial_weights": "a.pth"}, seeds=[5]))
    assert study.level_count("theirs") == 2
    assert study.given_files("theirs", 1, 5)[0].endswith("/a.pth")
    # OpenLTH's masks are next to its weights
    assert study.given_files("theirs", 2, 5) == [f"{runs}/model_ep3_it0.pth", f"{runs}/mask.pth"]


def test_the_study_of_the_page_is_sound(problems_of):
    page = Path(__file__).parents[3] / "docs" / "checkpoints.md"
    text = page.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    assert len(text.splitlines()) <= 25
    assert problems_of(yaml.safe_load(text)) == []


def test_its_jobs_cost_an_evaluation(study_of):
    wildcards = {"dataset": "digits", "model": "mine", "pruner": "theirs", "level": "01"}
    job = StudyWork(study_of(overlay())).job("take_level", wildcards)
    # 1,297 + 500 images once; 61,184 multiply-adds each (test_teachers)
    assert job.work["operations"] == pytest.approx(1797 * 61_184 / 1e12)
    assert job.work["images"] == 0
    assert job.memory["batch"] > 0


def test_methods_say_whose_levels_they_are(study_of, runs, tmp_path):
    both = overlay(pruners=["theirs", "magnitude"])
    methods = tmp_path / "methods.md"
    run(methods, tmp_path / "references.bib", methods_of(study_of(both)))
    lines = methods.read_text(encoding="utf-8").splitlines()
    theirs = f"another tool has made (`{runs}/seed{{seed}}/level{{level:02}}.pth`)"
    (line,) = (line for line in lines if "(`theirs`): " in line)
    assert theirs in line
    assert "rewound" not in line
    assert any("(`magnitude`): " in line and "rewound" in line for line in lines)


def test_other_studies_keep_their_settings(study_of):
    own = {"initial_weights": "a.pth", "retraining": RECIPE}
    study = study_of(overlay(model=own, pruners=["magnitude"]))
    assert "untrained" not in RuleSettings(study).start("digits", "mine")


def test_pruning_here_may_stand_next_to_it(problems_of):
    ours = {"criterion": "magnitude", "densities": [0.5], "rewind": "none", "retraining": RECIPE}
    both = overlay(pruners=["theirs", "ours"])
    both["catalogue"]["pruners"]["ours"] = ours
    assert problems_of(both) == []


WHERE, WEIGHTS = "catalogue.pruners.theirs", "catalogue.models.mine.initial_weights"
WRONG = {
    "a criterion": (overlay({**PATHS, "criterion": "random"}), [WHERE, "given", "criterion"]),
    "a rate": (overlay({**PATHS, "rate": 0.5}), [WHERE, "given", "rate"]),
    "densities": (overlay({**PATHS, "densities": [0.5]}), [WHERE, "given", "densities"]),
    "a recipe": (overlay({**PATHS, "retraining": RECIPE}), [WHERE, "given", "retraining"]),
    "a rewind": (overlay({**PATHS, "rewind": "none"}), [WHERE, "given", "rewind"]),
    "a list with levels": (overlay({"given": ["a.pth"], "levels": 1}), [WHERE, "given", "levels"]),
    "a file twice": (overlay({"given": ["a.pth", "a.pth"]}), [f"{WHERE}.given", "a.pth"]),
    "no levels": (overlay({"given": "a{level}.pth"}), [WHERE, "levels"]),
    "one file for all": (overlay({"given": "a.pth", "levels": 2}), [WHERE, "{level}"]),
    "nothing given": (overlay({"levels": 2, "rate": 0.5}), [WHERE, "criterion"]),
    "another placeholder": (overlay({"given": ["{epoch}.pth"]}), [f"{WHERE}.given", "{epoch}"]),
    "a level of dense": (overlay(model={"initial_weights": "{level}.pth"}), [WEIGHTS, "{level}"]),
    "no such variable": (overlay({"given": ["${NOWHERE_}/a"]}), [f"{WHERE}.given", "NOWHERE_"]),
    "trained here": (overlay(model={"retraining": RECIPE}), [f"{WHERE}.given", WEIGHTS]),
    "drawn here": (
        overlay(model={"initial_weights": "random", "retraining": RECIPE}),
        [f"{WHERE}.given", WEIGHTS],
    ),
    "levels of one seed": (overlay({"given": ["a.pth"]}), [f"{WHERE}.given", "{seed}"]),
    "dense of one seed": (overlay(model={"initial_weights": "a.pth"}), [WEIGHTS, "{seed}"]),
    "no retraining": (
        overlay(model={"initial_weights": "random"}),
        ["retraining", "catalogue.models.mine"],
    ),
    "training alone": (overlay(model={"training": RECIPE}), ["retraining"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_refused_once(problems_of, case):
    config, parts = WRONG[case]
    found = problems_of(config)
    assert len(found) == 1, found
    assert all(part in found[0] for part in parts), found


def test_missing_files_are_one_message_for_each_key(study_of, runs, tmp_path):
    pruner = {**PATHS, "given": "$RUNS/seed{seed}/level_{level}/model_ep3_it0.pth"}
    study, results = study_of(overlay(pruner)), tmp_path / "results"
    dense, levels = weights_problems(study, results)
    assert dense.startswith(WEIGHTS)
    assert levels.startswith(f"{WHERE}.given")
    assert [f"{runs}/seed{seed}/dense.pth" in dense for seed in (1, 20)] == [True, True]
    # two seeds of three levels, each with weights and masks
    assert levels.count("level_") == 10
    assert "2 more" in levels
    for level in (1, 2, 3):
        folder = runs / "seed1" / f"level_{level}"
        folder.mkdir(parents=True)
        (folder / "model_ep3_it0.pth").touch()
    (levels,) = (text for text in weights_problems(study, results) if text.startswith(WHERE))
    assert (levels.count("mask.pth"), levels.count("model_ep3")) == (6, 3)
    # What is there needs its files no more.
    for level in ("dense/level00", *(f"theirs/level0{n}" for n in (1, 2, 3))):
        for seed in (1, 20):
            place = results / "digits" / "mine" / f"seed{seed}"
            (place / level).mkdir(parents=True)
            (place / level / "checkpoint.safetensors").touch()
            (place / "start.safetensors").touch()
    assert [*weights_problems(study, results)] == []
