"""GPUs that are not there, and processes that take a share of one."""

import os
import subprocess
import sys
from pathlib import Path

HOLDER = """
import logging, os, subprocess, sys
from sparsight.io.gpu import gpu_slot

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
with gpu_slot(1, int(sys.argv[1])):
    if sys.argv[2:] == ["fork"]:
        child = os.fork()
        if child == 0:
            sys.stdin.readline()
            sys.exit()
        print(child, flush=True)
    if sys.argv[2:] == ["leave"]:
        child = os.fork()
        if child == 0:
            sys.exit()
        os.wait()
        print(child, flush=True)
    if sys.argv[2:] == ["exec"]:
        child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.readline()
assert "torch" not in sys.modules
"""


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Environment of a process whose locks lie below a folder, without any GPU variable of ours."""
    names = ("CUDA_VISIBLE_DEVICES", "SPARSIGHT_GPUS", "SLURM_JOB_ID")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return {**kept, "SPARSIGHT_GPU_LOCKS": str(folder / "locks"), **variables}


def install_nvidia_smi(folder: Path, table: str, listing: str = "", status: int = 0) -> str:
    """Put an `nvidia-smi` that prints these texts into a folder; a PATH that finds it first.

    `table` answers a query, `listing` the option -L.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("table", table), ("listing", listing)):
        (folder / name).write_text(text, encoding="utf-8")
    program = folder / "nvidia-smi"
    program.write_text(
        f'#!/bin/sh\ncase "$1" in\n-L) cat "{folder}/listing" ;;\n'
        f'--query-gpu=index,uuid,memory.total,mig.mode.current) cat "{folder}/table" ;;\n'
        f'*) echo "not asked for: $*"; exit 2 ;;\nesac\nexit {status}\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


class Holder:
    """A process that takes a share of a GPU and keeps it until it is told to end.

    Parameters
    ----------
    environ : its environment variables.
    megabytes : how much it takes.
    child : start another process inside, whose id is then in `child`: "fork" one that stays, "exec"
        a program that stays, or "leave" a fork that leaves the block at once.
    """

    def __init__(self, environ: dict[str, str], megabytes: int, child: str = "") -> None:
        self.has_child = bool(child)
        self.child = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(megabytes), *filter(None, [child])],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_it_holds(self) -> str:
        """The GPU that it has taken."""
        assert self.process.stdout
        if self.has_child:
            self.child = int(self.process.stdout.readline())
        return self.process.stdout.readline().strip()

    def next_sentence(self) -> str:
        """The next line that it logs."""
        assert self.process.stderr
        return self.process.stderr.readline().strip()

    def end(self) -> int:
        """Let it finish; its exit status."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait()

    def kill(self) -> None:
        """Kill it, so that it cannot tidy up."""
        self.process.kill()
        self.process.wait()
