"""Jobs as Snakemake 9 prints them in a dry run."""

from pathlib import Path

import pytest

from sparsight.io.errors import InputError
from sparsight.study.costs.predict import dry_run, planned_jobs
from sparsight.study.costs.work import PlannedJob

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
