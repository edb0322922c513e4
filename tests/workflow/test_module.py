"""The workflow as a module of another one."""

import re
import subprocess
from pathlib import Path

import yaml

from tests.workflow.project import BIN, TINY, Project

HOST = """
configfile: "study.yaml"


module sparsight:
    snakefile:
        "{snakefile}"
    config:
        config["pruning"]
{prefix}

use rule * from sparsight as sparsight_*


rule all:
    default_target: True
    input:
        rules.sparsight_all.input,
        "lines.txt",


rule count_lines:
    input:
        rules.sparsight_summarise.output.levels,
    output:
        "lines.txt",
    shell:
        "wc -l < {{input}} > {{output}}"
"""
PREFIX = """    prefix:
        "explained"
"""


class Host:
    """A workflow of somebody else in a folder of its own, with the tiny study as a part of it."""

    def __init__(self, folder: Path, project: Project, prefix: str = "") -> None:
        folder.mkdir()
        text = HOST.format(snakefile=project.folder / "Snakefile", prefix=prefix)
        (folder / "Snakefile").write_text(text, encoding="utf-8")
        study = yaml.safe_dump({"pruning": TINY, "colour": "blue"})
        (folder / "study.yaml").write_text(study, encoding="utf-8")
        self.folder = folder
        self.environment = project.environment

    def run(self, *arguments: str) -> str:
        """Run Snakemake in the host's folder, which must succeed; what it printed."""
        done = subprocess.run(
            [str(BIN / "snakemake"), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done.stdout + done.stderr

    def files(self) -> set[str]:
        """What lies in the host's folder, without Snakemake's own files."""
        found = {path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file()}
        return {path.as_posix() for path in found if path.parts[0] != ".snakemake"}


def job_counts(text: str) -> dict[str, str]:
    """Rule to number of jobs of a dry run, without targets."""
    return {
        name: count
        for name, count in re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE)
        if name not in ("all", "total")
    }


def paths_in(text: str) -> set[str]:
    """Every file that the jobs of a dry run read or write."""
    lines = re.findall(r"^    (?:input|output|log|benchmark): (.*)$", text, re.MULTILINE)
    return {path for line in lines for path in line.split(", ")}


def test_a_network_is_trained_inside_another_workflow(fresh: Project, tmp_path: Path) -> None:
    host = Host(tmp_path / "host", fresh)
    planned = job_counts(host.run("--dry-run"))
    own = {f"sparsight_{rule}": str(count) for rule, count in fresh.planned().items()}
    assert planned == {**own, "count_lines": "1"}
    level = "results/tiny/digits/tiny/seed1/dense/level00"
    host.run("--cores", "1", f"{level}/evaluation.json")
    assert {
        "data/packed/digits/test.safetensors",
        f"{level}/checkpoint.safetensors",
        f"{level}/evaluation.json",
        f"{level}/provenance.json",
        "results/tiny/logs/train_dense/digits__tiny__seed1__dense__level00.log",
    } <= host.files()
    assert not (fresh.folder / "results").exists()
    assert not (fresh.folder / "data").exists()


def test_a_prefix_goes_before_every_file_once(fresh: Project, tmp_path: Path) -> None:
    host = Host(tmp_path / "host", fresh, PREFIX)
    paths = paths_in(host.run("--dry-run"))
    assert {path for path in paths if not path.startswith("explained/")} == {"lines.txt"}
    assert not [path for path in paths if "explained/explained" in path]
    host.run("--cores", "1", "--until", "sparsight_make_controls")
    made = host.files() - {"Snakefile", "study.yaml"}
    assert "explained/results/tiny/digits/explanations/controls.safetensors" in made
    assert all(path.startswith("explained/") for path in made)
