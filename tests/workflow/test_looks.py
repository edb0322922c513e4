"""Seeds by looks: a further look trains further networks, and leaves the others as they are."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from sparsight.study.looks import LOOK_VARIABLE
from tests.workflow.project import Project

SEEDS = {"first": 1, "look": [1, 2, 4]}


def look(project: Project, *arguments: str) -> str:
    """What `make look` prints."""
    command = [sys.executable, "-m", "sparsight.study.looks", "--configfile", "tiny.yaml"]
    done = subprocess.run(
        [*command, "--cores", "2", *arguments],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


def test_a_look_adds_networks_and_leaves_the_others(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(finished.environment, "OMP_NUM_THREADS", "1")
    networks = finished.planned("--forceall")
    finished.configure(seeds=SEEDS)
    # claims and methods know the looks, the report shows the claims, the provenance the whole study
    told = (
        "check_claims",
        "draw_claims",
        "write_methods",
        "write_report",
        "write_study_provenance",
    )
    assert finished.planned() == dict.fromkeys(told, 1)
    finished.environment[LOOK_VARIABLE] = "2"
    made = finished.planned_outputs()
    assert not [path for path in made if "/seed1/" in path]
    assert [path for path in made if "/seed2/" in path]
    # as many jobs of networks as the first look had, but for data and controls, which are there
    planned = finished.planned()
    for rule in ("train_dense", "prune_level", "explain_images", "resample_images"):
        assert planned[rule] == networks[rule]
    del finished.environment[LOOK_VARIABLE]

    printed = look(finished)
    assert "Look 1 of 3, 1 networks:" in printed
    assert "go on with make look, to 2 networks." in printed
    assert look_file(finished) == [1]
    # a dry run reaches nothing
    look(finished, "--dry-run")
    assert look_file(finished) == [1]

    checkpoint = (
        finished.folder / "results/tiny/digits/tiny/seed1/tiny/level01/checkpoint.safetensors"
    )
    before = checkpoint.stat().st_mtime_ns
    printed = look(finished)
    assert "Look 2 of 3, 2 networks:" in printed
    assert look_file(finished) == [1, 2]
    assert checkpoint.stat().st_mtime_ns == before
    summary = finished.folder / "results" / "tiny" / "summary"
    claims = pd.read_csv(summary / "claims.csv")
    assert claims["look"].tolist() == [2, 2]
    assert claims["n_seeds"].tolist() == [2, 2]
    provenance = json.loads((summary / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["settings"]["looks"] == {"at": 2, "networks": SEEDS["look"]}
    # the look that is reached stays, whoever runs the study
    assert finished.planned() == {}


def look_file(project: Project) -> list[int]:
    """How many networks the looks had that were reached."""
    path = project.folder / "results" / "tiny" / "look.json"
    found: list[int] = json.loads(path.read_text(encoding="utf-8"))["networks"]
    return found
