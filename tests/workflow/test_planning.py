"""Which jobs run, and why."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image

from sparsight.io.arrays import read_arrays
from tests.workflow.project import TINY, Project

STUDIES = Path(__file__).parents[2] / "studies"

#: what follows when scores change: both chains, all tables of them
TABLES = {
    "summarise": 1,
    "resample_images": 2,
    "contrast": 1,
    "compare_predictions": 1,
    "stratify": 1,
    "correlate": 1,
    "check_claims": 1,
    # it takes the bits of weights from the table of evaluations, made with that of scores
    "summarise_agreement": 1,
}
#: what is drawn from these tables
FIGURES = {
    "draw_claims": 1,
    "draw_accuracy": 1,
    "draw_metric": 1,
    "draw_contrasts": 1,
    "draw_strata": 1,
    "draw_correctness": 1,
    "draw_correlations": 1,
    "draw_correlation_table": 1,
    "draw_agreement": 1,
}
#: what follows when comparisons change
AGREEMENT = {"summarise_agreement": 1, "draw_agreement": 1, "find_exemplars": 1}
#: what follows when any table or figure changes: their hashes are written down again
RECORDED = {"write_study_provenance": 1, "write_report": 1}


def test_job_counts_follow_from_the_configuration(fresh: Project) -> None:
    # 2 seeds; levels 00, 01, 02 and one retraining; one network family and one of controls; one
    # metric of each kind; with two seeds, dense networks are compared too
    fresh.configure(seeds=[1, 2])
    assert fresh.planned() == {
        "fetch_dataset": 1,
        "prepare_dataset": 1,
        "make_rewind_point": 2,
        "train_dense": 2,
        "prune_level": 2 * 3,
        "explain_images": 2 * 4,
        "make_controls": 1,
        "score_explanations": 2 * 4 * 2,
        "compare_explanations": 2 * 4,
        **TABLES,
        "resample_images": 2 * 2,
        **AGREEMENT,
        "gather_costs": 1,
        **RECORDED,
        "write_guide": 1,
        "write_methods": 1,
        **FIGURES,
        "draw_heatmaps": 1,
    }


def test_costs_are_those_of_all_jobs_but_statistics_and_figures(fresh: Project) -> None:
    fresh.configure(seeds=[1, 2])
    (inputs,) = re.findall(
        r"^(?:local)?rule gather_costs:\n    input: (.+)$", fresh.run("-n", "-p"), re.M
    )
    counted = Counter(Path(path).parent.name for path in inputs.split(", "))
    data = counted.pop("benchmarks")
    wanted = fresh.planned()
    assert data == wanted["fetch_dataset"] + wanted["prepare_dataset"] == 2
    assert counted == {rule: wanted[rule] for rule in counted}
    assert set(counted) == {
        "make_rewind_point",
        "train_dense",
        "prune_level",
        "make_controls",
        "explain_images",
        "score_explanations",
        "compare_explanations",
    }


def test_another_data_set_and_weights_come_first_where_a_model_starts_with_them(
    fresh: Project,
) -> None:
    before, catalogue = fresh.planned(), TINY["catalogue"]
    model = catalogue["models"]["tiny"]
    start = {"pretraining_dataset": "mnist", "pretraining": model["retraining"]}
    fresh.configure(catalogue={**catalogue, "models": {"tiny": {**model, **start}}})
    assert fresh.planned() == {**before, "fetch_dataset": 2, "prepare_dataset": 2}
    start = {"architecture": "resnet18", "initial_weights": "imagenet"}
    fresh.configure(
        datasets=["shapes"],
        explainers=["grad_cam", "control_edges"],
        claims=[],
        catalogue={**catalogue, "models": {"tiny": {**model, **start}}},
    )
    assert fresh.planned()["fetch_weights"] == 1
    assert "data/fetched/weights/resnet18-f37072fd.pth.json" in fresh.planned_outputs()


def test_own_images_are_looked_at_and_packed_again_when_they_change(fresh: Project) -> None:
    folder = fresh.folder / "pictures"
    for place in range(24):
        path = folder / ("dark", "light")[place % 2] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28), 9 + 100 * (place % 2)).save(path)
    mine = {"source": "image_folder", "options": {"path": "pictures"}}
    catalogue = {**TINY["catalogue"], "datasets": {"mine": mine}}
    changes = {"datasets": ["mine"], "metrics": ["entropy"], "claims": [], "explaining": {}}
    fresh.configure(**changes, catalogue=catalogue)
    target = "data/packed/mine/ids.parquet"
    assert fresh.planned("--", target) == {"fetch_dataset": 1, "prepare_dataset": 1}
    fresh.run("--cores", "1", "--", target)
    assert fresh.planned("--", target) == {}
    next((folder / "dark").iterdir()).touch()
    assert fresh.planned("--", target) == {"fetch_dataset": 1, "prepare_dataset": 1}
    (folder / "dark" / "0.png").write_bytes(b"no picture")
    assert "0.png" in fresh.call("--dry-run").stderr


@pytest.mark.parametrize(
    ("dataset", "model"), [("imagenette_64", "resnet18_w32"), ("cub200", "resnet50_cub")]
)
def test_three_lines_are_a_study(fresh: Project, dataset: str, model: str) -> None:
    fresh.write("tiny.yaml", f"study: mine\ndatasets: [{dataset}]\nmodels: [{model}]\n")
    planned = fresh.planned()
    # three networks; dense, five levels and the control, in the families gradient and cam
    assert planned["explain_images"] == 3 * 7 * 2
    assert planned["make_controls"] == 1


def test_what_is_not_chosen_is_not_made(fresh: Project) -> None:
    fresh.configure(agreement=[], claims=[], pruners=["tiny"])
    planned = fresh.planned()
    left_out = {"compare_explanations", *AGREEMENT, "check_claims", "draw_claims"}
    # predictions flip without agreement too
    assert left_out & set(planned) == {"find_exemplars"}
    assert planned["prune_level"] == 2
    assert planned["resample_images"] == 1


def test_curves_are_made_where_a_metric_has_steps(fresh: Project) -> None:
    curves = {"summarise_curves", "draw_curves"}
    assert not curves & set(fresh.planned())
    fresh.configure(metrics=["soft_iou", "deletion"])
    planned = fresh.planned()
    assert {rule: planned[rule] for rule in curves} == dict.fromkeys(curves, 1)
    outputs = fresh.planned_outputs()
    folder = "results/tiny/figures/curves"
    assert "results/tiny/summary/curves.csv" in outputs
    assert [path for path in outputs if path.startswith(folder)] == [
        f"{folder}/digits__tiny__deletion.{suffix}" for suffix in ("svg", "png")
    ]


def test_a_finished_study_has_nothing_to_do(finished: Project) -> None:
    assert finished.planned() == {}


def test_file_times_of_code_do_not_count(finished: Project) -> None:
    # what a git checkout does to every file
    for path in [*finished.folder.rglob("src/**/*.py"), *finished.folder.rglob("workflow/**/*.*")]:
        path.touch()
    assert finished.planned() == {}


def test_one_rule_is_run_again_with_what_depends_on_it(finished: Project) -> None:
    planned = finished.planned("-R", "score_explanations")
    follows = {**TABLES, **FIGURES, "gather_costs": 1, **RECORDED}
    assert planned == {"score_explanations": 8, **follows}


def test_one_rule_is_run_again_alone(finished: Project) -> None:
    planned = finished.planned("-R", "score_explanations", "--until", "score_explanations")
    assert planned == {"score_explanations": 8}


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        pytest.param(
            "metrics/localisation.py",
            "SoftIou",
            {"score_explanations": 8, **TABLES, **FIGURES, "gather_costs": 1, **RECORDED},
            id="a metric re-scores and retrains nothing",
        ),
        pytest.param(
            "metrics/complexity.py",
            "Entropy",
            {},
            id="a metric that is not in the study runs nothing",
        ),
        pytest.param(
            "plots/contrasts.py",
            "STRATA_VERSION",
            {"draw_strata": 1, **RECORDED},
            id="a plot redraws only",
        ),
        pytest.param(
            "metrics/agreement.py",
            "Ssim",
            {"compare_explanations": 3, **AGREEMENT, **RECORDED, "gather_costs": 1},
            id="a metric of agreement compares again only",
        ),
        pytest.param(
            "analysis/claims/kinds.py",
            "NoLoss",
            {"check_claims": 1, "draw_claims": 1, **RECORDED},
            id="a test of claims decides again only",
        ),
        pytest.param(
            "explain/controls.py",
            "Edges",
            {"make_controls": 1, "score_explanations": 4},
            id="a control is made again, networks are not explained again",
        ),
        pytest.param(
            "explain/cam.py",
            "GradCamPlusPlus",
            {"explain_images": 4, "score_explanations": 4, "compare_explanations": 3},
            id="an explainer explains its family again and trains nothing",
        ),
        pytest.param(
            "pruning/criteria.py",
            "Magnitude",
            {"prune_level": 3},
            id="a criterion prunes again and keeps the dense network",
        ),
        pytest.param(
            "training/loop.py",
            "VERSION",
            {"make_rewind_point": 1, "train_dense": 1, "prune_level": 3},
            id="the loop retrains everything",
        ),
    ],
)
def test_a_raised_version_runs_what_uses_it(
    finished: Project, path: str, name: str, expected: dict[str, int]
) -> None:
    finished.raise_version(path, name)
    planned = finished.planned()
    if not expected:
        assert planned == {}
        return
    assert {rule: planned.get(rule, 0) for rule in expected} == expected
    first = next(iter(expected))
    order = [
        "make_rewind_point",
        "train_dense",
        "prune_level",
        "explain_images",
        "score_explanations",
    ]
    if first in order:
        assert not set(order[: order.index(first)]) & set(planned), "something before it runs too"
    if first.startswith(("score", "compare", "check", "draw")):
        assert planned == expected, "nothing else runs"


def test_another_class_behind_a_name_runs_what_names_it(finished: Project) -> None:
    registry = "src/sparsight/pruning/registry.py"
    finished.edit(registry, "criteria:Magnitude", "criteria:RandomOrder")
    planned = finished.planned()
    assert planned["prune_level"] == 3
    assert not {"make_rewind_point", "train_dense"} & set(planned)


def test_rewording_and_moving_run_nothing(finished: Project) -> None:
    finished.edit("src/sparsight/io/files.py", "remake it with", "make it again by")
    finished.edit(
        "src/sparsight/training/loop.py", '"""How a network is trained', '"""How networks learn'
    )
    finished.edit("src/sparsight/training/loop.py", "network.train()", "network.train(True)")
    finished.edit("src/sparsight/metrics/registry.py", "METRICS = Reg", "OTHER = 1\nMETRICS = Reg")
    # A module moves, with the class that the study names.
    source = finished.folder / "src" / "sparsight"
    (source / "pruning" / "criteria.py").rename(source / "pruning" / "orders.py")
    registry = source / "pruning" / "registry.py"
    registry.write_text(registry.read_text().replace("pruning.criteria:", "pruning.orders:"))
    # So does a stage.
    (source / "metrics" / "run.py").rename(source / "metrics" / "scoring.py")
    stages = source / "study" / "versions.py"
    stages.write_text(stages.read_text().replace("metrics.run", "metrics.scoring"))
    assert finished.planned() == {}


def test_developers_can_track_the_code_itself(finished: Project) -> None:
    assert finished.planned("--config", "track_code=true")["train_dense"] == 1


def test_a_new_family_runs_alone(finished: Project) -> None:
    finished.configure(explainers=[*TINY["explainers"], "saliency"])
    planned = finished.planned()
    # dense, two levels and one retraining
    assert planned["explain_images"] == 4
    assert planned["score_explanations"] == 4
    assert planned["compare_explanations"] == 3
    assert not {"make_rewind_point", "train_dense", "prune_level", "make_controls"} & set(planned)


def test_a_new_level_runs_alone(finished: Project) -> None:
    pruner = {"criterion": "magnitude", "rate": 0.5, "levels": 3}
    catalogue = {**TINY["catalogue"], "pruners": {"tiny": pruner}}
    finished.configure(catalogue=catalogue)
    planned = finished.planned()
    assert planned["prune_level"] == 1
    assert planned["explain_images"] == 1
    assert planned["compare_explanations"] == 1
    # the chain that grew, not that of the retraining
    assert planned["resample_images"] == 1
    # its network family and its controls
    assert planned["score_explanations"] == 2
    assert not {"make_rewind_point", "train_dense", "make_controls"} & set(planned)


def test_studies_do_not_touch_each_others_files(finished: Project) -> None:
    # the same network and data, another recipe: under one name it would replace the first
    recipe = {**TINY["catalogue"]["models"]["tiny"]["retraining"], "epochs": 2}
    models = {"tiny": {"architecture": "thesis_cnn", "retraining": recipe}}
    catalogue = {**TINY["catalogue"], "models": models}
    finished.configure(study="second", catalogue=catalogue)
    outputs = finished.planned_outputs()
    assert outputs
    assert all(path.startswith("results/second/") for path in outputs), outputs
    finished.configure()
    assert finished.planned() == {}


def test_other_data_and_missing_results_are_planned_in_one_run(finished: Project) -> None:
    # With an `ancient` manifest, Snakemake would plan the fetching alone, and call that finished.
    datasets = {"digits": {"options": {"split": {"test": 400}}}}
    finished.configure(study="second", catalogue={**TINY["catalogue"], "datasets": datasets})
    planned = finished.planned()
    assert planned["fetch_dataset"] == planned["prepare_dataset"] == 1
    assert planned["make_rewind_point"] == planned["train_dense"] == 1
    assert planned["prune_level"] == 3
    assert planned["summarise"] == planned["draw_accuracy"] == 1


@pytest.mark.parametrize("study", [path.stem for path in sorted(STUDIES.glob("*.yaml"))])
def test_every_study_can_be_planned(fresh: Project, study: str) -> None:
    shutil.copy(STUDIES / f"{study}.yaml", fresh.folder / "tiny.yaml")
    planned = fresh.planned()
    assert planned["train_dense"] >= 1
    assert planned["write_study_provenance"] == 1


def test_a_teacher_is_asked_for_by_its_own_pruner_only(finished: Project) -> None:
    """Adding one runs its levels and no other network; they learn from the dense checkpoint."""
    own = {**TINY["catalogue"]["pruners"]["tiny"], "teacher": "dense"}
    pruners = {**TINY["catalogue"]["pruners"], "taught": own}
    finished.configure(
        pruners=[*TINY["pruners"], "taught"], catalogue={**TINY["catalogue"], "pruners": pruners}
    )
    networks = [path for path in finished.planned_outputs() if path.endswith("/provenance.json")]
    chain = "results/tiny/digits/tiny/seed1"
    levels = [f"{chain}/taught/level0{level}/provenance.json" for level in (1, 2)]
    assert [path for path in networks if path.startswith(chain)] == levels
    finished.run("--cores", "1", levels[1])
    folders = [finished.folder / chain / name / "level02" for name in ("taught", "tiny")]
    taught, alone = (read_arrays(folder / "checkpoint.safetensors") for folder in folders)
    assert not torch.equal(taught["weights/conv2.weight"], alone["weights/conv2.weight"])
