"""A small study, run once without a disturbance; and the count of kills that were survived."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.study import JOBS, OPTIONS, SMALL, tables
from tests.tallies import FAULT
from tests.workflow.conftest import PARTS, ROOT, copy_of
from tests.workflow.project import Project


@dataclass
class Undisturbed:
    """The study as it is when nothing happens to it, and how long that took. Not to be changed."""

    project: Project
    tables: dict[str, bytes]
    seconds: float


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Run once; with it, that the study is as small as it should be."""
    project = copy_of(ROOT, tmp_path_factory.mktemp("undisturbed") / "project", PARTS, warm=False)
    project.configure(**SMALL)
    assert sum(project.planned(*OPTIONS).values()) == JOBS
    started = time.monotonic()
    project.run(*OPTIONS)
    return Undisturbed(project, tables(project), time.monotonic() - started)


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A copy of the project in which nothing has run."""
    project = copy_of(ROOT, tmp_path / "project", PARTS, warm=False)
    project.configure(**SMALL)
    return project


@pytest.fixture
def finished(undisturbed: Undisturbed, tmp_path: Path) -> Project:
    """A copy of the finished study, to be damaged."""
    # file times are copied too: Snakemake compares them
    shutil.copytree(undisturbed.project.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", warm=False)


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Have a line printed at the end of the run."""
    return lambda line: request.node.user_properties.append((FAULT, line))
