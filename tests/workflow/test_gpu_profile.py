"""`profiles/gpu` shares out GPUs; there is none here, so the jobs take one and run on the CPU."""

import re
from pathlib import Path

import pytest

from tests.unit.io.gpu_workers import environment, install_nvidia_smi
from tests.workflow.project import Project

GPU = ("--workflow-profile", "profiles/gpu")
TABLE = "0, GPU-a, 16000, Disabled\n1, GPU-b, 24000, Disabled\n"


def granted(text: str) -> set[tuple[int, int]]:
    """What the jobs of a dry run that may ask for a GPU get: how many, and MB."""
    found = re.findall(r"^    resources: .*\bgpu=(\d+), vram_mb=(\d+)", text, re.MULTILINE)
    return {(int(count), int(megabytes)) for count, megabytes in found}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param((), (0, 4000), id="the default: none"),
        pytest.param(GPU, (1, 4000), id="the profile"),
        # a limit is also the most that one job gets
        pytest.param((*GPU, "--resources", "gpu=1", "vram_mb=3000"), (1, 3000), id="a small GPU"),
    ],
)
def test_what_a_job_is_granted(
    fresh: Project, arguments: tuple[str, ...], expected: tuple[int, int]
) -> None:
    assert granted(fresh.run("--dry-run", "--until", "train_dense", *arguments)) == {expected}


def test_a_job_of_the_workflow_takes_the_gpu_with_most_room(fresh: Project, tmp_path: Path) -> None:
    path = install_nvidia_smi(tmp_path / "bin", TABLE)
    path = f"{path.partition(':')[0]}:{fresh.environment['PATH']}"
    own = {name: fresh.environment[name] for name in ("PYTHONPATH", "OMP_NUM_THREADS")}
    fresh.environment = environment(tmp_path, PATH=path, **own)
    fresh.run("--cores", "1", "--until", "make_rewind_point", *GPU)
    log = fresh.folder / "results/tiny/logs/make_rewind_point/digits__tiny__seed1__start.log"
    text = log.read_text(encoding="utf-8")
    assert "Took 4000 MB of GPU 1 (GPU-b); 20000 of 24000 MB stay free." in text
    assert list((tmp_path / "locks").glob("*.claim")) == []
