"""Jobs that are started as forks of a process that has imported torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparsight.io.files import read_json
from workflow.warm import run, server

SNAKEFILE = """
rule look:
    output: "seen.json"
    benchmark: "benchmark.jsonl"
    script: "look.py"
"""
SCRIPT = """
import json, os, sys
seen = {"torch": "torch" in sys.modules, "name": __name__, "here": os.getcwd()}
seen["set"] = os.environ["SET"]
with open(snakemake.output[0], "w") as file:
    json.dump(seen, file)
print("said, and not yet written")
sys.exit(int(os.environ["STATUS"]))
"""
BIN = Path(sys.executable).parent


def snakemake(
    folder: Path, status: int = 0, **environment: str
) -> "subprocess.CompletedProcess[str]":
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "look.py").write_text(SCRIPT)
    command = [sys.executable, run.__file__, str(BIN / "snakemake"), "--cores", "1", "--quiet"]
    # Output waits in a buffer, whatever these tests run with.
    own = {"PYTHONUNBUFFERED": "", "SET": "by the client", "STATUS": str(status)}
    more = {**own, **environment}
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **more}, capture_output=True, text=True, check=False
    )


def test_a_job_finds_torch_imported_and_is_else_as_always(tmp_path):
    done = snakemake(tmp_path)
    assert done.returncode == 0, done.stderr
    seen = read_json(tmp_path / "seen.json")
    here = str(tmp_path.resolve())
    assert seen == {"torch": True, "name": "__main__", "here": here, "set": "by the client"}
    # Snakemake measures the client: costs.csv leaves such CPU seconds and memory out
    assert read_json(tmp_path / "benchmark.jsonl")["s"] > 0
    assert "said, and not yet written" in done.stdout


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("", 0, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('why')", 1, "why\n"),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_a_script_ends_as_in_a_process_of_its_own(script, status, said, tmp_path, capsys):
    path = tmp_path / "script.py"
    path.write_text(script)
    assert server.run(str(path), module=False) == status
    assert said in capsys.readouterr().err


def test_a_job_that_fails_fails_the_command(tmp_path):
    done = snakemake(tmp_path, status=3)
    assert done.returncode == 1
    assert not (tmp_path / "seen.json").exists()


def test_without_a_server_a_client_is_python_itself(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys; print('torch' in sys.modules); sys.exit(4)")
    client = [sys.executable, "-IS", str(run.FOLDER / "client.py"), str(tmp_path / "no_socket")]
    done = subprocess.run(
        [*client, sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (4, "False\n")


def test_where_there_is_no_pidfd_the_command_runs_as_it_is(monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    became = []
    monkeypatch.setattr(os, "execvp", lambda *command: became.append(command) or sys.exit(0))
    with pytest.raises(SystemExit):
        run.main(["snakemake", "--cores", "2"])
    assert became == [("snakemake", ["snakemake", "--cores", "2"])]
    with pytest.raises(SystemExit, match="usage: python workflow"):
        run.main([])
