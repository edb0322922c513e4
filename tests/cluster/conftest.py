"""A SLURM cluster, and the tiny study once through it."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.slurm import Cluster, install, missing_programs, reason_against
from tests.workflow.conftest import PARTS, ROOT, copy_of
from tests.workflow.project import Project

#: there is no database for sacct, and these jobs are short
OPTIONS = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1")
#: At the first attempt, less memory than importing torch takes; and for one job, which then hangs,
#: the shortest time that SLURM counts, a minute.
TOO_LITTLE = (
    "train_dense:mem_mb=400 * attempt ** 3",
    "prune_level:runtime=1 if wildcards.pruner == 'retrain' and attempt == 1 else 60",
)
TOO_LARGE = ("train_dense", "digits", "tiny", "1")
HANGING = ("prune_level", "digits", "tiny", "1", "retrain", "01")
#: what the job that hangs has kept of its training
STATE = "results/tiny/digits/tiny/seed1/retrain/level01/.epoch_state.safetensors"


@dataclass(frozen=True)
class Submitted:
    """The study after it went through SLURM, and what Snakemake printed."""

    project: Project
    text: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a cluster."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


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
def submitted(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    """The tiny study through SLURM: one job needs more memory than it asks for, another hangs."""
    project = copy_of(ROOT, tmp_path_factory.mktemp("submitted") / "project", PARTS)
    project.environment = cluster.environment(project.environment)
    ended = threading.Event()
    watch = threading.Thread(target=make_hang, args=(cluster, project.folder / STATE, ended))
    watch.start()
    try:
        text = project.run(
            "--workflow-profile", "profiles/slurm", *OPTIONS, "--set-resources", *TOO_LITTLE
        )
    finally:
        ended.set()
        watch.join()
    return Submitted(project, text)


def make_hang(cluster: Cluster, state: Path, ended: threading.Event) -> None:
    """Stop the training of a job as soon as it has kept an epoch."""
    while not state.exists():
        if ended.wait(0.01):
            return
    cluster.ask("scancel", "--signal=STOP", f"{cluster.jobs(*HANGING)[0]}.0")
