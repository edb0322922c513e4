"""Fifty processes share three GPUs, and some of them are killed while they hold one."""

import fcntl
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from sparsight.io.gpu import gpu_slot
from tests.unit.io.gpu_workers import environment

MEMORY = {"GPU-a": 8000, "GPU-b": 8000, "GPU-c": 12000}
LISTED = ",".join(f"{name}={megabytes}" for name, megabytes in MEMORY.items())
# not all see the same
VISIBLE = ("GPU-a,GPU-b,GPU-c", "GPU-a,GPU-b", "GPU-c,GPU-b", "GPU-a,GPU-c")
PROCESSES, KILLED = 50, 10
LARGEST = 6000
WORKER = """
import fcntl, os, sys, time
from sparsight.io.gpu import gpu_slot

megabytes, seconds = int(sys.argv[1]), float(sys.argv[2])
journal = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND)

def note(sign):
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    os.write(journal, f"{sign} {os.getpid()} {gpu} {megabytes}\\n".encode())

note("r")
fcntl.flock(os.open(sys.argv[4], os.O_RDONLY), fcntl.LOCK_SH)
with gpu_slot(1, megabytes):
    note("+")
    time.sleep(seconds)
    note("-")
assert "torch" not in sys.modules
"""


class Replay:
    """What a journal of takings (+), endings (-) and announced kills (x) says, line by line.

    `most` and `together` are the most MB and jobs that a GPU had at a time, `jobs` is how many it
    had, `held` what is left.

    A process notes its taking after it has taken, and its ending before it gives back; a kill is
    noted before it is done. So the journal never shows more in use than there was.
    """

    def __init__(self, lines: list[str]) -> None:
        self.held: dict[str, tuple[str, int]] = {}
        self.most: Counter[str] = Counter()
        self.together: Counter[str] = Counter()
        self.jobs: Counter[str] = Counter()
        killed = set()
        for line in lines:
            sign, process, *what = line.split()
            if sign == "x":
                killed.add(process)
            if sign == "+" and process not in killed:
                self.held[process] = (what[0], int(what[1]))
                self.jobs[what[0]] += 1
            elif sign in "-x":
                self.held.pop(process, None)
            in_use = Counter[str]()
            for gpu, megabytes in self.held.values():
                in_use[gpu] += megabytes
            self.most |= in_use
            self.together |= Counter(gpu for gpu, _ in self.held.values())


def test_a_journal_is_replayed() -> None:
    lines = [
        "+ 1 GPU-a 500",
        "+ 2 GPU-a 600",
        "x 1",
        "- 1 GPU-a 500",
        "+ 3 GPU-b 50",
        "- 2 GPU-a 600",
    ]
    found = Replay(lines)
    assert found.most == {"GPU-a": 1100, "GPU-b": 50}
    assert found.together == {"GPU-a": 2, "GPU-b": 1}
    assert found.jobs == {"GPU-a": 2, "GPU-b": 1}
    assert found.held == {"3": ("GPU-b", 50)}


def start(draw: random.Random, seconds: float, folder: Path) -> subprocess.Popen[bytes]:
    megabytes = draw.choice([1000, 2500, 4000, LARGEST])
    files = [str(folder / "journal"), str(folder / "gate")]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(megabytes), str(seconds), *files],
        env=environment(folder, SPARSIGHT_GPUS=LISTED, CUDA_VISIBLE_DEVICES=draw.choice(VISIBLE)),
    )


def kill_when_they_hold(
    victims: set[subprocess.Popen[bytes]], journal: Path, draw: random.Random
) -> None:
    while victims:
        lines = [line.split() for line in journal.read_text().splitlines()]
        holding = {process for sign, process, *_ in lines if sign == "+"}
        for process in [one for one in victims if str(one.pid) in holding]:
            with journal.open("a") as file:
                file.write(f"x {process.pid}\n")
            process.kill()
            victims.remove(process)
        time.sleep(draw.uniform(0.02, 0.2))


def test_fifty_processes_never_hold_more_than_there_is(tmp_path: Path) -> None:
    draw = random.Random(7)
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    journal.touch()
    victims = set(draw.sample(range(PROCESSES), KILLED))
    processes = []
    with gate.open("w") as closed:
        # all of them rush at the GPUs when the last has started
        fcntl.flock(closed, fcntl.LOCK_EX)
        for number in range(PROCESSES):
            # a victim would hold its share for ever
            seconds = 3600.0 if number in victims else draw.uniform(0, 0.3)
            processes.append(start(draw, seconds, tmp_path))
        while len(journal.read_text().splitlines()) < PROCESSES:
            assert not any(process.poll() for process in processes)
            time.sleep(0.05)
    try:
        kill_when_they_hold({processes[number] for number in victims}, journal, draw)
        statuses = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [n for n, status in enumerate(statuses) if status] == sorted(victims)
    found = Replay(journal.read_text().splitlines())
    assert found.held == {}
    assert found.jobs.total() == PROCESSES
    for gpu, megabytes in MEMORY.items():
        assert found.most[gpu] <= megabytes
        # somebody had to wait, and nobody waits while there is room for the largest
        assert found.most[gpu] > megabytes - LARGEST
    assert max(found.together.values()) > 1
    # Nothing is left behind that counts: a job gets the whole of the largest.
    environ = environment(tmp_path, SPARSIGHT_GPUS=LISTED)
    with gpu_slot(1, max(MEMORY.values()), environ):
        assert environ["CUDA_VISIBLE_DEVICES"] == "GPU-c"
    assert not list((tmp_path / "locks").glob("*.claim"))
