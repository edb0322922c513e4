"""Copies of the project; tests work on those of the finished tiny study."""

import shutil
from pathlib import Path

import pytest

from tests.workflow.project import Project

ROOT = Path(__file__).parents[2]
PARTS = (
    "Snakefile",
    "Makefile",
    "config.yaml",
    "catalogue",
    "workflow",
    "profiles",
    "envs",
    "src",
    "studies",
)


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A copy of the project in which nothing has run."""
    return copy_of(ROOT, tmp_path / "project", PARTS)


@pytest.fixture
def finished(finished_once: Project, tmp_path: Path) -> Project:
    """A copy of the finished study, to be edited."""
    target = tmp_path / "project"
    # file times are copied too: Snakemake compares them
    shutil.copytree(finished_once.folder, target, symlinks=True)
    return Project(target)


def copy_of(source: Path, target: Path, parts: tuple[str, ...], *, warm: bool = True) -> Project:
    """A copy of parts of the project, with the tiny study configured."""
    target.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in parts:
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, ignore=ignored)
        else:
            shutil.copy2(source / part, target / part)
    project = Project(target, warm=warm)
    project.configure()
    return project
