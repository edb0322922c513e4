"""Concepts through every rule: what runs, what it leaves behind, and what an edit runs again."""

import csv
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.workflow.conftest import PARTS, copy_of
from tests.workflow.project import TINY, Project
from tests.workflow.test_recipes import BLOCKS, follow

ROOT = Path(__file__).parents[2]
CROPS = '''
"""Crops of the first images as concepts, for a sheet."""

import torch

from sparsight.concepts.base import ConceptMethod, Findings, Measured, Ranked
from sparsight.data.packed import PackedSplit


class Crops(ConceptMethod):
    """Two concepts of each of the first two classes: the upper and the lower half of its images."""

    name = "crops"
    reference = "made by ourselves"
    measures = {"mean": ("", "0 to 1", "mean brightness of the crops")}
    shared_names = False
    sheet = True

    def find(self, checkpoint):
        """See `ConceptMethod.find`."""
        with PackedSplit.open(checkpoint.splits["test"]) as split:
            batch = split.select(split.subset(checkpoint.images))
            classes = split.classes[:2]
        images = (batch.images("clean") * 255).to(torch.uint8)
        own = torch.stack([images[batch.labels == k][:3] for k in range(2)])
        crops = torch.stack([own[..., :14, :14], own[..., 14:, :14]], dim=1)
        ranked = [Ranked(n, f"concept_{k:02d}", k + 1, 0.5) for n in classes for k in range(2)]
        measured = [Measured("mean", float(crops.float().mean()) / 255)]
        heat = torch.ones(2, 2, 3, 4, 4).cumsum(dim=-1)
        arrays = {"top_crops": crops, "pictures": own, "heat_maps": heat}
        notes = [f"looked at {len(images)} images"]
        return Findings(ranked, measured, arrays, notes=notes, passes=2 * len(images))
'''
SPLIT = {"test": 500, "validation": 0, "seed": 0}
CONCEPTS = {
    "study": "concepts",
    "pruners": ["short", "retrain"],
    "seeds": [1, 2],
    "concepts": ["channels", "crops"],
    "concept_bank": {"digits": "bank"},
    "concept_analysis": {"images": 60, "batch_size": 50},
    "claims": [
        {
            **{"name": "less_selective", "claim": "It is so.", "test": "concept_change"},
            **{"concept": "channels", "measure": "selectivity", "levels": [1, 1]},
            **{"pruner": "short", "expected": "negative", "published": -0.1},
        },
        {
            **{"name": "enters", "claim": "It enters.", "test": "concept_in_top"},
            **{"concept": "channels", "entry": "channel 3", "class": "7", "levels": [1, 1]},
            **{"pruner": "short", "published": 1},
        },
    ],
    "catalogue": {
        **TINY["catalogue"],
        "datasets": {"bank": {"source": "digits", "options": {"split": {**SPLIT, "test": 1700}}}},
        "pruners": {"short": {"criterion": "magnitude", "rate": 0.5, "levels": 1}},
        "concepts": {
            "channels": {"method": "example_channels", "parameters": {"split": "test"}},
            "crops": {"method": "crops"},
        },
    },
}
RESULTS = "results/concepts"
FIGURES = [
    "concepts/digits__tiny__channels",
    "concepts/digits__tiny__crops",
    "concept_sheets/digits__tiny__short__crops",
]
TARGETS = [
    *(f"{RESULTS}/summary/{name}" for name in ("concepts.csv", "concept_tables.html")),
    *(f"{RESULTS}/figures/{name}.png" for name in FIGURES),
]
#: two seeds; dense, one level, one retraining; two methods, of which one is compared
JOBS = {
    "extract_features": 2 * 3,
    "find_concepts": 2 * 3 * 2,
    "compare_concepts": 2 * 3,
    "summarise_concepts": 1,
    "draw_concepts": 2,
    "write_concept_tables": 1,
    "draw_concept_sheet": 1,
}


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project with two concept methods, in which nothing has run."""
    project = copy_of(ROOT, tmp_path_factory.mktemp("concepts") / "project", PARTS)
    for recipe, path, content in BLOCKS:
        if recipe == "A concept method" and path.endswith(".py"):
            follow(project.folder, path, content)
    folder = project.folder / "src" / "sparsight" / "concepts"
    (folder / "crops_example.py").write_text(CROPS, encoding="utf-8")
    line = '        "crops": "sparsight.concepts.crops_example:Crops",'
    follow(project.folder, "src/sparsight/concepts/registry.py", line)
    project.configure(**CONCEPTS)
    return project


@pytest.fixture(scope="module")
def ran(followed: Project) -> Project:
    """The copy after its concepts were found, compared, summarised and drawn."""
    followed.run("--cores", "2", *TARGETS)
    return followed


@pytest.fixture
def edited(ran: Project, tmp_path: Path) -> Project:
    """A copy of what has run, to be edited."""
    shutil.copytree(ran.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def rows_of(project: Project, name: str) -> list[dict[str, str]]:
    with (project.folder / RESULTS / "summary" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_job_counts_follow_from_the_configuration(followed: Project) -> None:
    planned = followed.planned("-F")
    assert {rule: planned[rule] for rule in JOBS} == JOBS
    # the data set and the bank, which does not run
    assert planned["fetch_dataset"] == planned["prepare_dataset"] == 2
    assert planned["train_dense"] == 2
    assert planned["check_claims"] == 1


def test_claims_about_concepts_wait_for_their_tables(followed: Project) -> None:
    text = followed.run("--dry-run", "-F", f"{RESULTS}/summary/claims.csv")
    (inputs,) = [
        line
        for block in text.split("rule check_claims:")[1:2]
        for line in block.splitlines()
        if line.strip().startswith("input:")
    ]
    assert f"{RESULTS}/summary/concepts.csv" in inputs
    assert f"{RESULTS}/summary/concept_tables.csv" in inputs


def test_findings_lie_beside_the_checkpoint(ran: Project) -> None:
    folder = ran.folder / RESULTS / "digits/tiny/seed1/short/level01"
    ranking = pq.read_table(folder / "concepts/channels.parquet")
    assert ranking.column_names == ["method", "class", "concept", "rank", "weight", "value"]
    # ten classes, eight channels
    assert ranking.num_rows == 80
    metadata = {k.decode(): v.decode() for k, v in ranking.schema.metadata.items()}
    assert (metadata["concept"], metadata["method"]) == ("channels", "example_channels")
    assert (metadata["pruner"], metadata["level"], metadata["seed"]) == ("short", "01", "1")
    assert float(metadata["density"]) == pytest.approx(0.5, abs=0.01)
    drift = pq.read_table(folder / "concept_drift/channels.parquet").to_pylist()
    assert {row["reference_pruner"] for row in drift} == {"dense"}
    assert {row["reference_seed"] for row in drift} == {1}
    assert not (folder / "concept_drift/crops.parquet").exists()
    log = ran.folder / RESULTS / "logs/find_concepts/digits__tiny__seed1__short__level01__crops.log"
    assert "120 forward passes beyond the 3594 of the shared features" in log.read_text("utf-8")


def test_tables_hold_every_network_and_the_floors(ran: Project) -> None:
    rows = rows_of(ran, "concepts.csv")
    whole = [row for row in rows if not row["class"] and not row["concept_label"]]
    found = {(row["pruner"], row["concept"], row["measure"], row["seed"]) for row in whole}
    for pruner in ("dense", "short", "retrain"):
        for seed in ("1", "2", "mean"):
            assert (pruner, "channels", "selectivity", seed) in found
            assert (pruner, "channels", "same_first", seed) in found
            assert (pruner, "crops", "mean", seed) in found
    (passes,) = [
        row
        for row in whole
        if (row["pruner"], row["concept"], row["measure"], row["seed"])
        == ("short", "crops", "forward_passes", "1")
    ]
    # 1,797 images of the data set and as many of the bank, and two each of 60 images
    assert float(passes["value"]) == 2 * 1797 + 2 * 60
    kinds = {(row["pruner"], row["reference"]) for row in rows if row["kind"] == "compared"}
    assert kinds == {
        ("dense", "seed_floor"),
        ("short", "dense_parent"),
        ("retrain", "dense_parent"),
    }
    tables = rows_of(ran, "concept_tables.csv")
    # ten classes, two seeds, three checkpoints; numbered concepts are left out
    assert {row["concept"] for row in tables} == {"channels"}
    assert len(tables) == 10 * 2 * 3


def test_figures_and_page_are_there(ran: Project) -> None:
    for name in FIGURES:
        for suffix in ("svg", "png"):
            path = ran.folder / RESULTS / "figures" / f"{name}.{suffix}"
            assert path.stat().st_size > 5000, path
    page = (ran.folder / RESULTS / "summary" / "concept_tables.html").read_text(encoding="utf-8")
    assert "<summary>short, seed 1</summary>" in page
    assert page.count("<table>") == 4
    assert "looked at 60 images <small>(6 of 6 networks)</small>" in page


def test_the_report_shows_concepts(ran: Project) -> None:
    ran.run("--report", "report.html", *TARGETS)
    text = (ran.folder / "report.html").read_text(encoding="utf-8")
    # categories are numbered in the order of reading
    assert re.search(r"\d Concepts", text)
    assert "concept_tables.html" in text


def test_what_has_run_has_nothing_to_do(ran: Project) -> None:
    assert ran.planned(*TARGETS) == {}


FOLLOWS = {"summarise_concepts": 1, "draw_concepts": 2, "write_concept_tables": 1}


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        pytest.param(
            "concepts/example_channels.py",
            "ExampleChannels",
            {"find_concepts": 6, "compare_concepts": 6, **FOLLOWS},
            id="a method finds again and nothing is extracted again",
        ),
        pytest.param(
            "concepts/crops_example.py",
            "Crops",
            {"find_concepts": 6, **FOLLOWS, "draw_concept_sheet": 1},
            id="another method's jobs are left alone",
        ),
        pytest.param(
            "plots/concept_sheet.py",
            "VERSION",
            {"draw_concept_sheet": 1},
            id="a plot redraws only",
        ),
    ],
)
def test_a_raised_version_runs_what_uses_it(
    edited: Project, path: str, name: str, expected: dict[str, int]
) -> None:
    edited.raise_version(path, name)
    assert edited.planned(*TARGETS) == expected


def test_a_new_method_extracts_nothing_again(edited: Project) -> None:
    catalogue = {**CONCEPTS["catalogue"]}
    catalogue["concepts"] = {
        **catalogue["concepts"],
        "of_training": {"method": "example_channels"},
    }
    edited.configure(
        **{**CONCEPTS, "concepts": ["channels", "crops", "of_training"], "catalogue": catalogue}
    )
    planned = edited.planned(*TARGETS)
    assert planned["find_concepts"] == planned["compare_concepts"] == 6
    assert "extract_features" not in planned
