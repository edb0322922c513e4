"""What remakes a damaged file."""

from pathlib import Path

import pytest

from sparsight.io.files import ENVIRONMENT_VARIABLE, kept_command, remedy

LEVEL = "results/tiny/digits/cnn/seed1/dense/level00"


@pytest.mark.parametrize(
    "path",
    [
        f"{LEVEL}/checkpoint.safetensors",
        f"{LEVEL}/explanations/cam.safetensors",
        "results/tiny/summary/levels.csv",
        "sub/results/tiny/summary/levels.csv",
        "data/packed/digits/test.safetensors",
        "/scratch/data/packed/digits/test.safetensors",
        "data/fetched/digits.json",
        "data/fetched/weights/x.json",
    ],
)
def test_what_the_workflow_made_is_remade_by_its_command(path: str) -> None:
    assert remedy(path, {}) == f"remake it with: snakemake --cores 1 --forcerun {path}"
    command = "snakemake --cores 8 --configfile 'my study.yaml'"
    found = remedy(path, {ENVIRONMENT_VARIABLE: command})
    assert found == f"remake it with: {command} --forcerun {path}"


def test_elsewhere_the_command_says_where_to_go() -> None:
    found = remedy("/home/me/my project/results/tiny/summary/levels.csv", {})
    assert found == (
        "remake it with: cd '/home/me/my project' && snakemake --cores 1 --forcerun "
        "results/tiny/summary/levels.csv"
    )


def test_here_it_need_not_go_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = remedy(Path.cwd() / "results/tiny/summary/levels.csv", {})
    assert found.endswith("with: snakemake --cores 1 --forcerun results/tiny/summary/levels.csv")


@pytest.mark.parametrize(
    "path",
    [
        "mine.safetensors",
        "/home/me/networks/mine.safetensors",
        "data/mnist/t10k-images-idx3-ubyte.gz",
        "results/reference/thesis_mnist/levels.parquet",
    ],
)
def test_what_it_did_not_make_cannot_be_remade(path: str) -> None:
    assert remedy(path, {}) == "the workflow did not make it: copy or fetch it again"


def test_the_environment_of_the_job_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "snakemake --workflow-profile profiles/slurm")
    assert "with: snakemake --workflow-profile profiles/slurm --forcerun results/" in remedy(
        f"{LEVEL}/evaluation.json"
    )


def test_the_command_that_is_kept_does_not_make_everything_again() -> None:
    arguments = [
        "--cores",
        "2",
        "-F",
        "--configfile",
        "my study.yaml",
        "--forceall",
        "-f",
        "-n",
        "--dry-run",
    ]
    assert kept_command(arguments) == "snakemake --cores 2 --configfile 'my study.yaml'"
    assert kept_command(["-R", "score_explanations"]) == "snakemake -R score_explanations"
