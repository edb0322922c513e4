"""Killed in mid-training and resumed: the tables of an unbroken run."""

import os
import signal
import subprocess
import time

from tests.workflow.project import BIN, Project

#: the rules that make the tables of `Project.tables`; figures are left out
RULES = (
    "summarise contrast compare_predictions stratify correlate summarise_agreement find_exemplars "
    "check_claims"
)
STATE = "results/tiny/digits/tiny/seed1/tiny/level01/.epoch_state.safetensors"


def test_a_killed_run_resumes_to_the_same_tables(fresh: Project, finished_once: Project) -> None:
    process = subprocess.Popen(
        fresh.command("--cores", "2"),
        cwd=fresh.folder,
        env=Project(fresh.folder, warm=False).environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not (fresh.folder / STATE).exists():
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.005)
    finally:
        # snakemake and all its children
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert (fresh.folder / STATE).exists()
    level = (fresh.folder / STATE).parent
    assert not (level / "checkpoint.safetensors").exists(), "killed too late to prove anything"

    # the environment is there already: -o keeps make from building one
    arguments = f"ARGS={RULES} --configfile tiny.yaml"
    command = ["make", "-o", ".venv/.ready", f"BIN={BIN}", "resume", arguments]
    done = subprocess.run(
        command,
        cwd=fresh.folder,
        env=fresh.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    log = fresh.folder / "results/tiny/logs/prune_level/digits__tiny__seed1__tiny__level01.log"
    assert "resumed after epoch" in log.read_text(encoding="utf-8")
    assert not (fresh.folder / STATE).exists()
    assert fresh.tables() == finished_once.tables()
