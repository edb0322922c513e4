"""Predictions of small studies whose costs are known."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from sparsight.analysis.cost_model import CostJob, CostModel, MeasuredJob
from sparsight.io.errors import InputError
from sparsight.study.costs.forecast import FITTED, fitted_text
from sparsight.study.costs.predict import (
    Measurement,
    check_lines,
    dry_run,
    fitted_lines,
    main,
    planned_jobs,
    predict,
    prediction_error,
    prediction_lines,
    read_images,
    read_measurements,
    schedule,
)
from sparsight.study.costs.work import ImageCounts, PlannedJob, StudyWork, predicted_bytes

ROOT = Path(__file__).parents[4]
PLACE = {"dataset": "digits", "model": "thesis_cnn_digits", "seed": "333", "pruner": "magnitude"}
HEADER = "rule,study,dataset,model,seed,pruner,level,family,seconds,cpu_seconds,max_rss_mb\n"


def measured(rule, seconds, key="", **work):
    kind = "training" if rule in ("train_dense", "prune_level") else rule
    return MeasuredJob(CostJob(kind, (rule, key, "", ""), work), seconds, 100.0)


@pytest.fixture(scope="module")
def work(study_of):
    study = study_of()
    return StudyWork(study, ImageCounts(study))


@pytest.fixture
def plan():
    levels = [
        PlannedJob(
            "prune_level",
            {**PLACE, "level": f"{level:02d}"},
            (f"level{level - 1}",),
            (f"level{level}",),
            gpu=True,
            memory_mb=4000,
        )
        for level in (1, 2)
    ]
    return [*levels, PlannedJob("contrast", {}, ("level2",), ("contrasts",)), PlannedJob("new")]


@pytest.fixture
def model(work):
    """3 s to start a training and 1 s for 1,000 images; 5 s for the contrasts."""
    jobs = [
        measured("prune_level", 3 + images, str(images), images=images) for images in (1, 9, 30)
    ]
    found = CostModel([*jobs, measured("contrast", 5)])
    # what the fit says of the other units of a training does not matter here
    found.fits["training"].seconds.update(operations=0.0, elements=0.0)
    return found


def test_jobs_hours_and_wall_time(model, work, plan):
    rules, time = predict(model, work, plan, cores=2)
    level = rules.loc["prune_level"]
    # 20 epochs of 1,297 images
    assert level["seconds"] == pytest.approx(2 * (3 + 25.94))
    assert level[["jobs", "gpu", "reserved", "unknown"]].tolist() == [2, False, 4000, 0]
    assert rules.loc["contrast", "seconds"] == pytest.approx(5)
    assert rules.loc["new", "unknown"] == 1
    assert time.seconds == pytest.approx(2 * 28.94 + 5)
    assert time.critical == time.seconds


def test_a_gpu_makes_the_work_faster_and_not_the_start(model, work, plan):
    rules, _ = predict(model, work, plan, cores=2, gpus=1, speedup=10.0)
    assert rules.loc["prune_level", "seconds"] == pytest.approx(2 * (3 + 2.594))
    assert rules["gpu"].to_dict() == {"prune_level": True, "contrast": False, "new": False}
    # rules without a GPU are as they were
    assert rules.loc["contrast", "seconds"] == pytest.approx(5)


def test_what_cannot_be_predicted_is_not():
    fitted = [measured("contrast", 5)]
    tested = [measured("contrast", 4), measured("contrast", 4), measured("draw", 7)]
    error = prediction_error(fitted, tested)
    assert error["measured"].tolist() == [4, 4, 7]
    assert error["predicted"].tolist()[:2] == [5, 5]
    assert error["predicted"].isna().tolist() == [False, False, True]


def test_a_study_is_predicted_from_others_and_with_its_first_seed():
    fast = [(None, measured("contrast", 1)), (0, measured("prune_level", 10, "fast"))]
    slow = [(seed, measured("prune_level", 20, "slow")) for seed in (0, 1, 2)]
    lines = list(check_lines([Measurement("fast", fast), Measurement("slow", slow)]))
    assert lines[2] == "| fast | other studies | 10 | 20 | +100% | 1 | prune_level +100% |"
    assert lines[4] == "| slow | other studies | 60 | 30 | -50% | 0 | prune_level -50% |"
    assert lines[5] == "| slow | and its first seed | 40 | 40 | +0% | 0 | prune_level +0% |"


def test_fitted_coefficients_are_printed():
    jobs = [measured("prune_level", 3 + 2 * a, str(a), images=a) for a in (1, 2, 5)]
    lines = list(fitted_lines(CostModel(jobs)))
    assert lines[2] == "| training | 3 | 3.0 | 2 × images | 100  |"


def test_bytes_of_a_small_study(study_of):
    overlay = {"explaining": {"images": 100}, "seeds": [1], "pruners": ["retrain"]}
    study = study_of(overlay)
    found = predicted_bytes(StudyWork(study, ImageCounts(study)))
    # one channel of the image, one of noise, a mask
    assert found["packed data"] == 1797 * 3 * 28 * 28
    # the start and two levels
    assert found["checkpoints"] == 2346 * (8 + 2 * 5)
    # both levels explained with 14 explainers and 7 metrics
    assert found["scores"] == 2 * 7 * (2 * 100 * 14 * 7)
    assert found["statistics"] == 2 * 14 * 7 * 1000 * 8 * 4
    assert found["features"] == 0


def test_measured_tables_are_read_with_their_study(tmp_path, monkeypatch):
    table = tmp_path / "costs.csv"
    place = "digits,thesis_cnn_digits,333"
    table.write_text(
        f"{HEADER}contrast,,,,,,,,5,1,300\nprune_level,,{place},magnitude,1,,60,50,900\n"
        f"explain_images,,{place},magnitude,1,cam,7,,\n"
    )
    (tmp_path / "study.yaml").write_text(
        "study: mine\ndatasets: [digits]\nmodels: [thesis_cnn_digits]\n"
    )
    listed = tmp_path / "measured.yaml"
    listed.write_text(f"measured: [{{study: {tmp_path}/study.yaml, costs: {table}}}]\n")
    (found,) = read_measurements(listed)
    assert found.name == "mine"
    seeds = [seed for seed, _ in found.jobs]
    assert seeds == [None, 333, 333]
    job = found.jobs[1][1]
    assert (job.job.kind, job.seconds, job.megabytes) == ("training", 60, 900)
    assert job.job.key == ("prune_level", "digits", "thesis_cnn_digits", "")
    assert job.job.work["images"] == pytest.approx(25.94)
    table.write_text(f"{HEADER}explain_images,,{place},magnitude,1,nothing,7,,\n")
    with pytest.raises(InputError, match="a job of explain_images that mine does not have"):
        read_measurements(listed)
    table.write_text("rule,seconds\n")
    with pytest.raises(InputError, match=r"costs\.csv has no column 'study'"):
        read_measurements(listed)
    listed.write_text("measured: []\n")
    with pytest.raises(InputError, match="lists no measured study"):
        read_measurements(listed)


def test_images_are_read_or_refused(tmp_path):
    file = tmp_path / "images.yaml"
    file.write_text("cub: {train: 300, test: 243}\n")
    assert read_images(file) == {"cub": {"train": 300, "test": 243}}
    for wrong in ("many", "{train: 300}", "{train: 300, tests: 243}", "{train: -1, test: 2}"):
        file.write_text(f"cub: {wrong}\n")
        with pytest.raises(InputError, match="must hold lines like"):
            read_images(file)


@pytest.mark.parametrize(
    "wrong", [["--cores", "0"], ["--cores", "-1"], ["--gpus", "-1"], ["--gpu-speedup", "0"]]
)
def test_workers_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match="cannot be: give at least 1 core"):
        main(wrong)


def test_what_is_not_predicted_is_said(model, work, plan):
    other = [PlannedJob("prune_level", {**PLACE, "dataset": "digits"}), PlannedJob("new")]
    rules, time = predict(model, work, [*plan, *other], cores=2)
    rules.loc["prune_level", "unknown"] = 1
    options = Namespace(cores=2, gpus=0, gpu_speedup=None)
    lines = list(prediction_lines("mine", rules, time, {"scores": 10**9}, options))
    assert "* not in these numbers: 3 jobs of kinds that were never measured" in lines
    assert "* disk, GB: 1.00 (scores 1.00)" in lines
    assert [line for line in lines if line.startswith("| prune_level | 3, 1 not measured |")]
    assert [line for line in lines if line.startswith("| new | 2 | not measured |")]


def test_a_later_rewind_point_is_read_with_its_epoch(tmp_path):
    table, study = tmp_path / "costs.csv", tmp_path / "study.yaml"
    table.write_text(f"{HEADER}make_epoch_point,,digits,thesis_cnn_digits,333,,,5,60,50,900\n")
    study.write_text("study: mine\ndatasets: [digits]\nmodels: [thesis_cnn_digits]\n")
    listed = tmp_path / "measured.yaml"
    listed.write_text(f"measured: [{{study: {study}, costs: {table}}}]\n")
    (found,) = read_measurements(listed)
    assert found.jobs[0][1].job.work["images"] == pytest.approx(5 * 1.297)


def test_no_speedup_of_a_gpu_is_made_up():
    with pytest.raises(InputError, match="--gpus needs --gpu-speedup"):
        main(["--gpus", "1"])


def test_the_committed_fit_is_that_of_the_measured_studies(monkeypatch):
    monkeypatch.chdir(ROOT)
    committed = json.loads(FITTED.read_text(encoding="utf-8"))
    fresh = json.loads(fitted_text())
    remedy = "python -m sparsight.study.costs.forecast --fit"
    for fit in (committed, fresh):
        fit["corrections"] = {"/".join(row.pop("key")): row for row in fit["corrections"]}
    assert committed["fits"].keys() == fresh["fits"].keys(), remedy
    assert committed["corrections"].keys() == fresh["corrections"].keys(), remedy
    for key, row in fresh["corrections"].items():
        assert committed["corrections"][key] == pytest.approx(row, rel=0.05), remedy
    for kind, fit in fresh["fits"].items():
        for name in ("seconds", "megabytes"):
            assert committed["fits"][kind][name] == pytest.approx(fit[name], rel=0.05), remedy


PRINTED = """\
Job stats:
job            count
-----------  -------
prune_level        1
total              2


[Wed Nov 25 21:45:30 2026]
rule prune_level:
    input: data/test.safetensors, results/s/start.safetensors
    output: results/s/checkpoint.safetensors, results/s/evaluation.json
    log: results/s/logs/prune.log
    jobid: 72
    benchmark: results/s/benchmarks/prune.jsonl
    wildcards: dataset=digits, model=cnn, seed=2, pruner=random, level=01
    resources: tmpdir=/tmp, runtime=720, gpu=1, vram_mb=4000, mem_mb=4000, mem=4 GB, mem_mib=3815
[Wed Nov 25 21:45:30 2026]
rule find_concepts:
    output: results/s/cav.parquet
    jobid: 73
    wildcards: dataset=digits, model=cnn, concept=cav
    resources: tmpdir=/tmp, mem_mb=6000

[Wed Nov 25 21:45:30 2026]
localrule all:
    input: results/s/evaluation.json
    jobid: 0
    resources: tmpdir=/tmp
Job stats:
"""


def test_blocks_become_jobs_without_the_target():
    first, second = planned_jobs(PRINTED.splitlines(keepends=True))
    assert first == PlannedJob(
        "prune_level",
        {"dataset": "digits", "model": "cnn", "seed": "2", "pruner": "random", "level": "01"},
        ("data/test.safetensors", "results/s/start.safetensors"),
        ("results/s/checkpoint.safetensors", "results/s/evaluation.json"),
        gpu=True,
        memory_mb=4000,
    )
    assert (second.inputs, second.gpu, second.memory_mb) == ((), False, 6000)


def test_keys_say_what_a_job_works_on():
    first, second = planned_jobs(PRINTED.splitlines())
    assert first.key() == ("prune_level", "digits", "cnn", "")
    assert second.key() == ("find_concepts", "digits", "cnn", "cav")


def test_away_from_the_project_there_is_nothing_to_plan(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="There is no Snakefile here"):
        dry_run(None)


def chain(names, gpu=False):
    """Jobs that wait for each other, by the names of what they make."""
    return [
        PlannedJob("work", {}, (before,), (name,), gpu=gpu)
        for before, name in zip(("", *names), names, strict=False)
    ]


def test_a_chain_takes_its_sum_whatever_the_number_of_workers():
    jobs = chain("abc")
    for cores in (1, 4):
        found = schedule(jobs, [1, 2, 3], cores, 0)
        assert (found.seconds, found.critical) == (6, 6)


def test_two_chains_run_side_by_side_on_two_cores_only():
    jobs = [*chain("abc"), *chain("xyz")]
    seconds = [1, 2, 3, 1, 1, 1]
    assert schedule(jobs, seconds, 1, 0).seconds == 9
    assert schedule(jobs, seconds, 2, 0).seconds == 6
    assert schedule(jobs, seconds, 1, 0).critical == 6


def test_a_table_waits_for_all_chains():
    table = PlannedJob("table", {}, ("c", "z"), ("table",))
    found = schedule([*chain("abc"), *chain("xyz"), table], [1, 2, 3, 1, 1, 1, 10], 8, 0)
    assert (found.seconds, found.critical) == (16, 16)


def test_jobs_with_a_gpu_take_turns_on_it_beside_the_others():
    jobs = [PlannedJob("train", {}, (), (str(n),), gpu=True) for n in range(4)]
    jobs += [PlannedJob("draw", {}, (), (f"figure{n}",)) for n in range(2)]
    seconds = [5, 5, 5, 5, 8, 8]
    assert schedule(jobs, seconds, 2, 1).seconds == 20
    assert schedule(jobs, seconds, 2, 2).seconds == 10
    # without a GPU all share the cores
    assert schedule(jobs, seconds, 2, 0).seconds == 18


def test_inputs_that_no_job_makes_are_there_already():
    assert schedule([PlannedJob("work", {}, ("raw",), ("a",))], [4.0], 1, 0).seconds == 4
    assert schedule([], [], 1, 0).critical == pytest.approx(0)
