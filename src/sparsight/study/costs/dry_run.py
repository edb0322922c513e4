"""The jobs of a study, as a dry run of the workflow prints them."""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sparsight.io.errors import InputError

_START = re.compile(r"^(?:local)?rule (\w+):$")
_FACT = re.compile(r"^    (\w+): (.*)$")
#: all jobs, whatever is finished; without a profile, whose limits hide what a rule asks for
OPTIONS = ("--dry-run", "--forceall", "--workflow-profile", "none", "--quiet", "reason")


@dataclass(frozen=True)
class PlannedJob:
    """One job.

    Attributes
    ----------
    rule : its name.
    wildcards : name to value.
    inputs, outputs : paths.
    gpu : whether it asks for a GPU.
    memory_mb : memory that it reserves, in MB; 0 where it says nothing.
    """

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    gpu: bool = False
    memory_mb: int = 0

    def key(self) -> tuple[str, str, str, str]:
        """What jobs that cost alike have in common: rule, data set, model, and what it works on.

        The last is the family of explainers, the concept method or the sample pruner, as in the
        column `family` of `costs.csv`.
        """
        found = self.wildcards
        names = ("family", "concept", "sample_pruner", "metric")
        what = next((found[name] for name in names if name in found), "")
        return self.rule, found.get("dataset", ""), found.get("model", ""), what


def planned_jobs(lines: Iterable[str]) -> list[PlannedJob]:
    """The jobs of a printed dry run, in its order, the target `all` left out."""
    return [_job(rule, facts) for rule, facts in _blocks(lines) if rule != "all"]


def _blocks(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    rule, facts = "", dict[str, str]()
    for line in lines:
        line = line.rstrip("\n")
        started, fact = _START.match(line), _FACT.match(line)
        if fact and rule:
            facts[fact[1]] = fact[2]
            continue
        if rule:
            yield rule, facts
        rule, facts = (started[1] if started else ""), {}
    if rule:
        yield rule, facts


def _job(rule: str, facts: Mapping[str, str]) -> PlannedJob:
    def pairs(key: str) -> dict[str, str]:
        text = facts.get(key, "")
        return dict(part.split("=", 1) for part in text.split(", ") if "=" in part)

    def paths(key: str) -> tuple[str, ...]:
        return tuple(facts[key].split(", ")) if facts.get(key) else ()

    resources = pairs("resources")
    return PlannedJob(
        rule,
        pairs("wildcards"),
        paths("input"),
        paths("output"),
        gpu=int(resources.get("gpu", "0")) > 0,
        memory_mb=int(resources.get("mem_mb", "0")),
    )


def dry_run(configfile: Path | None) -> list[PlannedJob]:
    """All jobs of a study, by a dry run in the current folder.

    Parameters
    ----------
    configfile : overlay of `config.yaml`; None, the default configuration.

    Raises
    ------
    InputError
        When the workflow refuses the configuration, with what it says, or is not there.
    """
    if not Path("Snakefile").is_file():
        raise InputError("There is no Snakefile here; change to the project's folder")
    chosen = [] if configfile is None else ["--configfile", str(configfile)]
    command = [sys.executable, "-m", "snakemake", *OPTIONS, *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"The dry run failed: {done.stderr.strip() or done.stdout.strip()}")
    return planned_jobs((done.stdout + "\n" + done.stderr).splitlines())
