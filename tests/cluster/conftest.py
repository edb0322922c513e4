"""A SLURM cluster, and the tiny study once through it."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.slurm import Cluster, install, missing_programs, reason_against
from tests.workflow.conftest import PARTS, ROOT, copy_of
from tests.workflow.project import Project

#: there is no database for sacct, and these jobs are short
OPTIONS = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1")
#: a job that gets less memory at its first attempt than importing torch takes
TOO_LARGE = ("train_dense", "digits", "tiny", "1")
TOO_LITTLE = "train_dense:mem_mb=400 * attempt ** 3"
#: a job that hangs at its first attempt, and what it has kept of its training by then
HANGING = ("prune_level", "digits", "tiny", "1", "retrain", "01")
STATE = "results/tiny/digits/tiny/seed1/retrain/level01/.epoch_state.safetensors"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster; where none can be started, tests are skipped with the reason."""
    if reason := reason_against():
        pytest.skip(reason)
    if missing_programs():
        try:
            install()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"SLURM cannot be installed: {error.stderr.strip()[-300:]}")
    started = Cluster()
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def submitted(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny study through SLURM: one job needs more memory than it asks for, another hangs."""
    project = copy_of(ROOT, tmp_path_factory.mktemp("submitted") / "project", PARTS, warm=False)
    project.environment = cluster.environment(project.environment)
    ended = threading.Event()
    watch = threading.Thread(target=make_hang, args=(cluster, project.folder / STATE, ended))
    watch.start()
    try:
        project.run("--workflow-profile", "profiles/slurm", *OPTIONS, "--set-resources", TOO_LITTLE)
    finally:
        ended.set()
        watch.join()
    return project


def make_hang(cluster: Cluster, state: Path, ended: threading.Event) -> None:
    """Stop a job once it has kept an epoch, and cut its twelve hours to the least: a minute."""
    while not state.exists():
        if ended.wait(0.01):
            return
    (job,) = cluster.jobs(*HANGING)
    cluster.ask("scancel", "--signal=STOP", f"{job}.0")
    cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")
