"""Every registered concept method runs from the configuration, on generated images."""

import csv
from pathlib import Path

import pytest

from sparsight.analysis.verdicts import NOT_TESTABLE, OPEN
from sparsight.concepts.registry import CONCEPTS
from tests.workflow.conftest import PARTS, copy_of
from tests.workflow.project import Project

ROOT = Path(__file__).parents[2]
TRAIN, TEST = 240, 80
RECIPE = {
    "epochs": 2,
    "batch_size": 32,
    "optimiser": {"name": "adamw", "learning_rate": 0.005, "weight_decay": 0.01},
}
STUDY = {
    "study": "methods",
    "datasets": ["few_shapes"],
    "models": ["small"],
    "pruners": ["short"],
    "seeds": [0],
    "explainers": ["grad_cam", "control_edges"],
    "metrics": ["background_share"],
    "agreement": [],
    "claims": [
        {
            **{"name": "gap", "claim": "Concepts lose less.", "test": "concept_change"},
            **{"concept": "pcbm", "measure": "accuracy_gap", "levels": [1, 1], "pruner": "short"},
            "published": 0.271,
        },
        {
            **{"name": "enters", "claim": "It enters.", "test": "concept_in_top", "top": 5},
            **{"concept": "tcav_layer3", "entry": "red", "class": "red striped disc"},
            **{"levels": [1, 1], "pruner": "short", "published": 1},
        },
    ],
    "concepts": ["cav", "concept_predictor", "pcbm", "tcav_layer3", "craft", "dissection"],
    "concept_analysis": {"images": 40, "batch_size": 40},
    "catalogue": {
        "datasets": {
            "few_shapes": {
                "source": "shapes",
                "options": {
                    "size": 32,
                    "split": {"train": TRAIN, "validation": 0, "test": TEST, "seed": 0},
                },
                "noise": {"maximum": 0},
            }
        },
        "models": {
            "small": {
                "architecture": "resnet18",
                "options": {"width": 8, "stem": "small"},
                "retraining": RECIPE,
            }
        },
        "pruners": {"short": {"criterion": "magnitude", "rate": 0.5, "levels": 1}},
        "concepts": {
            "tcav_layer3": {"parameters": {"draws": 3, "images_per_side": 20}},
            "craft": {"parameters": {"images_of_class": 8, "concepts": 3, "designs": 8}},
        },
    },
}
SUMMARY = "results/methods/summary"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The study after concepts were found, compared, summarised and drawn, and claims decided."""
    project = copy_of(ROOT, tmp_path_factory.mktemp("methods") / "project", PARTS)
    project.configure(**STUDY)
    tables = [f"{SUMMARY}/{name}" for name in ("concepts.csv", "concept_tables.html", "claims.csv")]
    sheet = "results/methods/figures/concept_sheets/few_shapes__small__short__craft.png"
    project.run("--cores", "2", *tables, sheet)
    return project


def rows_of(project: Project, name: str) -> list[dict[str, str]]:
    with (project.folder / SUMMARY / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_all_registered_methods_are_in_the_study(ran: Project) -> None:
    methods = {row["method"] for row in rows_of(ran, "concepts.csv")}
    assert methods == set(CONCEPTS.entries)


def test_every_measure_and_comparison_is_in_the_table(ran: Project) -> None:
    rows = rows_of(ran, "concepts.csv")
    for name in CONCEPTS.entries:
        facts = CONCEPTS.facts(name)
        stated = {*facts["measures"], *facts["comparisons"], "forward_passes", "shared_passes"}
        assert {row["measure"] for row in rows if row["method"] == name} == stated


def test_images_go_forward_once_for_all_methods(ran: Project) -> None:
    rows = [row for row in rows_of(ran, "concepts.csv") if row["seed"] == "0"]
    passes = {
        (row["method"], row["level"], row["measure"]): float(row["value"])
        for row in rows
        if row["measure"].endswith("_passes")
    }
    assert {value for key, value in passes.items() if key[2] == "shared_passes"} == {TRAIN + TEST}
    for name in ("cav", "concept_predictor", "pcbm"):
        assert passes[name, "0", "forward_passes"] == TRAIN + TEST
    assert passes["craft", "0", "forward_passes"] > TRAIN + TEST


def test_the_claim_is_the_difference_that_the_table_has(ran: Project) -> None:
    claim, _ = rows_of(ran, "claims.csv")
    gap = {
        row["level"]: float(row["value"])
        for row in rows_of(ran, "concepts.csv")
        if row["concept"] == "pcbm" and row["measure"] == "accuracy_gap" and row["seed"] == "0"
    }
    assert float(claim["estimate"]) == pytest.approx(gap["1"] - gap["0"], abs=1e-6)


def test_a_concept_is_in_the_top_where_the_table_has_it(ran: Project) -> None:
    _, claim = rows_of(ran, "claims.csv")
    there = {
        row["level"]: "red" in [row[f"top_{place}"] for place in range(1, 6)]
        for row in rows_of(ran, "concept_tables.csv")
        if row["concept"] == "tcav_layer3" and row["class"] == "red striped disc"
    }
    # the share of networks in which it enters; of one network nothing can be decided
    assert float(claim["estimate"]) == (there["1"] and not there["0"])
    assert claim["verdict"] in (OPEN, NOT_TESTABLE)


def test_notes_are_on_the_page(ran: Project) -> None:
    notes = rows_of(ran, "concept_notes.csv")
    # these shapes have no cue, so that this concept does not vary
    assert any("cue" in row["note"] for row in notes if row["concept"] == "cav")
    page = (ran.folder / SUMMARY / "concept_tables.html").read_text(encoding="utf-8")
    for row in notes:
        assert f"({row['networks']} of {row['of']} networks)" in page
        assert row["of"] == "2"
