"""`--sdm apptainer` finds the image. The apptainer here is a false one: it contains nothing."""

import os
from pathlib import Path

from tests.workflow.project import Project

APPTAINER = """#!/bin/sh
# Run in no container what is to be run in one, and write down how it was to be run.
echo "$*" >> "{log}"
if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
while [ "$1" != sparsight.sif ]; do shift || exit 9; done
shift
exec "$@"
"""


def with_apptainer(project: Project, folder: Path) -> Path:
    """Put the false apptainer before the project's PATH; the file of what it is called with."""
    program = folder / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text(APPTAINER.format(log=folder / "called"), encoding="utf-8")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{project.environment['PATH']}"
    project.environment["PATH"] = path
    return folder / "called"


def test_a_study_in_containers_is_planned(fresh: Project, tmp_path: Path) -> None:
    log = with_apptainer(fresh, tmp_path)
    assert fresh.planned("--sdm", "apptainer") == fresh.planned()
    assert log.read_text(encoding="utf-8") == "--version\n"


def test_jobs_run_in_the_image_with_its_python(fresh: Project, tmp_path: Path) -> None:
    log = with_apptainer(fresh, tmp_path)
    (fresh.folder / "sparsight.sif").write_text("an image")
    arguments = ("--sdm", "apptainer", "--apptainer-args=--nv")
    fresh.run("--cores", "1", "--until", "fetch_dataset", *arguments)
    asked, called = log.read_text(encoding="utf-8").splitlines()
    assert asked == "--version"
    assert called.startswith(f"exec --home {fresh.folder} --nv ")
    assert " sparsight.sif bash -c " in called
    # not the Python that runs Snakemake
    command = called.split(" sparsight.sif bash -c ")[1].split("; ")[-1]
    assert command.split()[0] == "python"
    assert (fresh.folder / "data" / "fetched" / "digits.json").is_file()


def test_moving_into_containers_makes_results_again_unless_told_otherwise(
    finished: Project, tmp_path: Path
) -> None:
    assert finished.planned() == {}
    with_apptainer(finished, tmp_path)
    assert "train_dense" in finished.planned("--sdm", "apptainer")
    triggers = ("--rerun-triggers", "mtime", "params", "input")
    assert finished.planned("--sdm", "apptainer", *triggers) == {}
