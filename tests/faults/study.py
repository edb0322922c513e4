"""The study that faults are done to: 14 jobs, one of every kind that a chain of networks needs."""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.workflow.project import BIN, CLAIMS, TINY, Project, without_times

#: rules whose tables are compared; with what they need, these are all jobs
TARGETS = ("summarise", "contrast", "stratify", "check_claims")
JOBS = 14
OPTIONS = ("--cores", "2", *TARGETS)
PRUNER = {"criterion": "magnitude", "rate": 0.5, "levels": 1}
#: the tiny study with one pruned level, one explainer, one claim, nothing to compare with
SMALL: dict[str, Any] = {
    "pruners": ["tiny"],
    "explainers": ["grad_cam_pp_conv2"],
    "agreement": [],
    "claims": [{**CLAIMS[1], "density": 0.5}],
    "catalogue": {**TINY["catalogue"], "pruners": {"tiny": PRUNER}},
}
TABLES = ("evaluations.parquet", "scores.parquet", "contrasts.csv", "strata.csv", "claims.csv")
LEVEL = "results/tiny/digits/tiny/seed1/tiny/level01"


def start_resuming(project: Project) -> subprocess.Popen[bytes]:
    """`make resume` in a process group of its own; the environment is there already."""
    arguments = f"ARGS={' '.join(TARGETS)} --configfile tiny.yaml"
    return subprocess.Popen(
        ["make", "-o", ".venv/.ready", f"BIN={BIN}", "CORES=2", "resume", arguments],
        cwd=project.folder,
        env=project.environment,
        stdout=(project.folder / "resumed.log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def resume(project: Project) -> None:
    """Resume to the end."""
    code = start_resuming(project).wait()
    assert code == 0, log_of(project)[-6000:]


def log_of(project: Project) -> str:
    """What the last `make resume` printed."""
    return (project.folder / "resumed.log").read_text(encoding="utf-8", errors="replace")


def tables(project: Project) -> dict[str, bytes]:
    """The tables that must not depend on how the study was run."""
    folder = project.folder / "results" / "tiny" / "summary"
    found = {name: (folder / name).read_bytes() for name in TABLES}
    found["levels.csv"] = without_times((folder / "levels.csv").read_text(encoding="utf-8"))
    return found


def files(project: Project) -> set[str]:
    """All that lies among the results and the data, hidden files too."""
    return {
        path.relative_to(project.folder).as_posix()
        for part in ("results", "data")
        for path in (project.folder / part).rglob("*")
    }


def leftovers(project: Project) -> set[str]:
    """Files that are half done: not the state of a training, which is written whole, nor locks."""
    hidden = {path for path in files(project) if Path(path).name.startswith(".")}
    return {path for path in hidden if not path.endswith((".epoch_state.safetensors", ".lock"))}


def command_in(text: str) -> str:
    """The command that a sentence about a damaged file names."""
    found = set(re.findall(r"; remake it with: (.*)$", text, re.MULTILINE))
    assert len(found) == 1, text[-6000:]
    return found.pop()


def run_printed(project: Project, command: str) -> None:
    """Run a command as a user would who copied it from the console."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


class Strike:
    """One signal at one moment, to a `make resume` that is running.

    Parameters
    ----------
    kind : SIGKILL goes to the whole process group, SIGTERM to Snakemake alone, which lets running
        jobs finish.
    seconds : after the start.
    """

    def __init__(self, kind: signal.Signals, seconds: float) -> None:
        self.kind, self.seconds = kind, seconds

    def at(self, process: subprocess.Popen[bytes]) -> str | None:
        """What was going on when it struck; None where the process had ended before.

        Waits until the process has ended.
        """
        try:
            process.wait(self.seconds)
        except subprocess.TimeoutExpired:
            pass
        else:
            return None
        # Between its two calls, make has no child for a moment.
        while not (snakemake := _children(process.pid)) and process.poll() is None:
            time.sleep(0.001)
        if process.poll() is not None:
            return None
        doing = _doing(snakemake[0])
        with suppress(ProcessLookupError):
            if self.kind == signal.SIGKILL:
                # the process group has the number of its first process
                os.killpg(process.pid, self.kind)
            else:
                os.kill(snakemake[0], self.kind)
        process.wait()
        return doing


def _children(number: int) -> list[int]:
    """Processes whose parent this is."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == number:
            found.append(int(status.parent.name))
    return found


def _doing(snakemake: int) -> str:
    """What Snakemake is at: unlocking, planning, or running jobs."""
    try:
        words = Path(f"/proc/{snakemake}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "planning"
    if b"--unlock" in words:
        return "unlocking"
    return "running jobs" if _children(snakemake) else "planning"
