"""Run a command whose Snakemake starts its jobs warm: `python workflow/warm/run.py snakemake …`.

A job takes about four seconds of which the import of torch takes three. Here they are forks of one
process that has imported it. Only for jobs on this machine's CPUs. Where the system has no pidfd
(all but Linux), the command runs as it is.
"""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def start() -> str:
    """Start a server, which ends with this process; the Python that hands scripts to it."""
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.Popen(
        [sys.executable, FOLDER / "server.py", folder / "socket"],
        # in a process with threads a fork is not safe
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Ctrl-C is for Snakemake, which waits for its jobs
        start_new_session=True,
    )
    python = folder / "python"
    client = f"'{sys.executable}' -IS '{FOLDER / 'client.py'}' '{folder / 'socket'}'"
    python.write_text(f"#!/bin/sh\nexec {client} '{sys.executable}' \"$@\"\n", encoding="utf-8")
    python.chmod(0o755)
    return str(python)


def warmed(environment: dict[str, str], python: str) -> dict[str, str]:
    """An environment in which Snakemake starts scripts by this Python."""
    path = [str(FOLDER), *filter(None, [environment.get("PYTHONPATH")])]
    found = {**environment, "PYTHONPATH": os.pathsep.join(path)}
    return {**found, "SPARSIGHT_WARM_PYTHON": python}


def main(command: list[str]) -> int:
    """Entry point; the exit status of the command."""
    if not command:
        sys.exit("usage: python workflow/warm/run.py snakemake …")
    if not hasattr(os, "pidfd_open"):
        os.execvp(command[0], command)
    process = subprocess.Popen(command, env=warmed(dict(os.environ), start()))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    status = process.wait()
    # as a shell says that a signal ended it
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
