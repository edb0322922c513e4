"""The tiny study through a real SLURM."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.conftest import HANGING, OPTIONS, TOO_LARGE
from tests.cluster.slurm import Cluster
from tests.workflow.project import Project

pytestmark = pytest.mark.cluster


def slurm_log(submitted: Project, job: str) -> str:
    """What SLURM wrote into the log of a job that failed; logs of others are deleted."""
    (log,) = submitted.folder.glob(f".snakemake/slurm_logs/*/*/{job}.log")
    return log.read_text(encoding="utf-8")


def test_the_tables_are_those_of_a_local_run(submitted: Project, finished_once: Project) -> None:
    assert submitted.tables() == finished_once.tables()
    assert submitted.planned() == {}


def test_a_job_killed_for_memory_gets_more(submitted: Project, cluster: Cluster) -> None:
    first, second = map(cluster.facts, cluster.jobs(*TOO_LARGE))
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert "mem=400M" in first["TRES"]
    assert "mem=3200M" in second["TRES"]
    killed = rf"StepId={first['JobId']}\.0 exceeded memory limit \(\d+ > {400 * 2**20}\)"
    assert re.search(killed, slurm_log(submitted, first["JobId"]))


def test_a_job_killed_for_time_gets_more(submitted: Project, cluster: Cluster) -> None:
    first, second = map(cluster.facts, cluster.jobs(*HANGING))
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    # twice the 720 minutes of the first attempt
    assert second["TimeLimit"] == "1-00:00:00"
    assert "DUE TO TIME LIMIT" in slurm_log(submitted, first["JobId"])
    log = "results/tiny/logs/prune_level/digits__tiny__seed1__retrain__level01.log"
    # what was trained before is not trained again
    assert "resumed after epoch" in (submitted.folder / log).read_text(encoding="utf-8")


def test_no_other_job_failed(submitted: Project, cluster: Cluster) -> None:
    states = [line.split()[1] for line in cluster.listed("%i %T")]
    assert sorted(set(states)) == ["COMPLETED", "FAILED", "TIMEOUT"]
    assert len(states) - states.count("COMPLETED") == 2


def test_rules_that_compute_on_a_gpu_get_one(submitted: Project, cluster: Cluster) -> None:
    (controls,) = map(cluster.facts, cluster.jobs("make_controls", "digits", "controls"))
    (start,) = map(cluster.facts, cluster.jobs("make_rewind_point", "digits", "tiny", "1"))
    assert start["TresPerJob"] == "gres:gpu:1"
    assert "TresPerJob" not in controls


def test_light_rules_run_beside_snakemake(submitted: Project, cluster: Cluster) -> None:
    rules = set(cluster.listed("%k"))
    assert "rule_summarise" in rules
    assert not [
        rule for rule in rules if rule.startswith(("rule_draw", "rule_fetch", "rule_write"))
    ]


def test_without_gpus_and_from_inside_a_job(
    submitted: Project, cluster: Cluster, tmp_path: Path
) -> None:
    # where nothing may be computed on the login node, Snakemake runs in a job of its own
    shutil.copytree(submitted.folder, tmp_path / "project", symlinks=True)
    project = Project(tmp_path / "project", warm=False)
    project.environment = cluster.environment(project.environment)
    known = cluster.jobs("make_rewind_point", "digits", "tiny", "1")
    one_rule = ("-R", "make_rewind_point", "--until", "make_rewind_point")
    profile = ("--workflow-profile", "profiles/slurm_cpu", *OPTIONS)
    command = shlex.join(project.command(*profile, *one_rule))
    done = subprocess.run(
        ["sbatch", "--wait", "--mem=2000", "--output=snakemake.log", f"--wrap={command}"],
        cwd=project.folder,
        env=project.environment,
        check=False,
    )
    assert done.returncode == 0, (project.folder / "snakemake.log").read_text(encoding="utf-8")
    (job,) = set(cluster.jobs("make_rewind_point", "digits", "tiny", "1")) - set(known)
    assert cluster.facts(job)["JobState"] == "COMPLETED"
    assert "TresPerJob" not in cluster.facts(job)
