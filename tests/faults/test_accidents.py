"""What goes wrong beside kills: each accident is named, and what it broke comes back equal."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Undisturbed
from tests.faults.study import (
    LEVEL,
    OPTIONS,
    command_in,
    files,
    leftovers,
    resume,
    run_printed,
    tables,
)
from tests.workflow.project import Project

pytestmark = pytest.mark.faults

SCORES = f"{LEVEL}/scores/cam.parquet"
CHECKPOINT = f"{LEVEL}/checkpoint.safetensors"


@pytest.fixture
def small_disk(fresh: Project, undisturbed: Undisturbed) -> Iterator[Path]:
    """A tmpfs for the results on which half of them have room."""
    folder = fresh.folder / "results"
    folder.mkdir()
    needed = sum(
        path.stat().st_size for path in (undisturbed.project.folder / "results").rglob("*")
    )
    options = f"size={needed // 2}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_nothing_half_written(
    small_disk: Path, fresh: Project, undisturbed: Undisturbed
) -> None:
    # the data lie elsewhere, they are there already
    shutil.copytree(undisturbed.project.folder / "data", fresh.folder / "data")
    done = fresh.call(*OPTIONS)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "no space is left on the disk" in text, text[-6000:]
    assert files(undisturbed.project) - files(fresh), "the disk was large enough"
    assert not leftovers(fresh)
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    resume(fresh)
    assert tables(fresh) == undisturbed.tables
    assert files(fresh) == files(undisturbed.project)


def test_an_exception_in_a_job_is_told_and_repaired(
    finished: Project, undisturbed: Undisturbed
) -> None:
    module = "src/sparsight/metrics/run.py"
    original = (finished.folder / module).read_text(encoding="utf-8")
    # after the first rows have gone into the file
    line = "        self._writer.append(columns)\n"
    before = (finished.folder / SCORES).read_bytes()
    finished.edit(module, line, f'{line}        raise RuntimeError("injected")\n')
    done = finished.call(*OPTIONS, "-R", "score_explanations")
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "RuntimeError: injected" in text
    assert "Error in rule score_explanations" in text
    assert (finished.folder / SCORES).read_bytes() == before, "what was there is restored"
    assert not leftovers(finished)
    (finished.folder / module).write_text(original, encoding="utf-8")
    # The scores of the earlier run are there, so that Snakemake alone would not make them again.
    found = re.search(r"run the same command with (--forcerun [a-z_ ]+)$", text, re.M)
    assert found, text[-6000:]
    finished.run(*OPTIONS, *found[1].split())
    assert tables(finished) == undisturbed.tables
    assert files(finished) == files(undisturbed.project)


def test_a_corrupt_checkpoint_is_remade_by_the_command_that_is_printed(
    finished: Project, undisturbed: Undisturbed
) -> None:
    checkpoint = finished.folder / CHECKPOINT
    content = bytearray(checkpoint.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 3):
        content[place] ^= 255
    checkpoint.write_bytes(content)
    done = finished.call(*OPTIONS)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert f"{CHECKPOINT} is corrupt ('weights/" in text
    assert "Traceback" not in text
    command = command_in(text)
    assert command.endswith(f"check_claims --forcerun {CHECKPOINT}")
    run_printed(finished, command)
    assert tables(finished) == undisturbed.tables
    assert files(finished) == files(undisturbed.project)


def test_a_truncated_table_is_made_again(finished: Project, undisturbed: Undisturbed) -> None:
    scores = finished.folder / SCORES
    scores.write_bytes(scores.read_bytes()[: scores.stat().st_size // 2])
    finished.run(*OPTIONS)
    assert tables(finished) == undisturbed.tables
    assert files(finished) == files(undisturbed.project)


def test_a_corrupt_table_is_remade_by_the_command_that_is_printed(
    finished: Project, undisturbed: Undisturbed
) -> None:
    scores = finished.folder / SCORES
    content = bytearray(scores.read_bytes())
    # in the first page: what the file says of its entries is at its end, and whole
    content[60] ^= 255
    scores.write_bytes(content)
    done = finished.call(*OPTIONS)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert f"{SCORES} is corrupt (as parquet); remake it with" in text
    assert "Traceback" not in text
    run_printed(finished, command_in(text))
    assert tables(finished) == undisturbed.tables
    assert files(finished) == files(undisturbed.project)


def test_a_second_run_in_the_same_directory_is_refused(
    finished: Project, undisturbed: Undisturbed
) -> None:
    # so that there is something to do: the images are explained again
    shutil.rmtree(finished.folder / LEVEL / "explanations")
    (finished.folder / SCORES).unlink()
    shutil.rmtree(finished.folder / "results" / "tiny" / "summary")
    first = subprocess.Popen(
        finished.command(*OPTIONS),
        cwd=finished.folder,
        env=finished.environment,
        stdout=(finished.folder / "first.log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    locks = finished.folder / ".snakemake" / "locks"
    while not any(locks.glob("*.lock")):
        assert first.poll() is None, "the first run ended before the second began"
        time.sleep(0.01)
    second = finished.call(*OPTIONS)
    assert first.poll() is None, "the first run ended before the second was refused"
    assert second.returncode != 0
    text = second.stdout + second.stderr
    assert "Directory cannot be locked" in text
    assert "Traceback" not in text
    printed = (finished.folder / "first.log").read_text
    assert first.wait() == 0, printed(encoding="utf-8")[-6000:]
    assert tables(finished) == undisturbed.tables
    assert files(finished) == files(undisturbed.project)
