"""The frame of a job: its log, and how it ends."""

import errno
import logging
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsight.io.errors import CorruptFile, InputError, InvariantError
from sparsight.io.files import atomic_path
from sparsight.io.job import job, log_progress


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    logging.captureWarnings(False)


def test_what_is_logged_goes_into_the_file(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "train.log"
    with job(log):
        logging.getLogger("sparsight.training").info("epoch 3")
        logging.getLogger("sparsight.training").debug("too fine")
        warnings.warn("careful", stacklevel=1)
    text = log.read_text()
    assert "INFO epoch 3" in text
    assert "careful" in text
    assert "too fine" not in text
    assert "done in" in text.splitlines()[-1]


@pytest.mark.parametrize("error", [InputError, CorruptFile])
def test_bad_input_is_a_sentence_and_an_exit(
    tmp_path: Path, error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as found, job(tmp_path / "x.log"):
        raise error("x.safetensors is broken; delete it")
    assert found.value.code == 1
    assert capsys.readouterr().err == "x.safetensors is broken; delete it\n"
    text = (tmp_path / "x.log").read_text()
    assert "ERROR x.safetensors is broken; delete it" in text
    assert "Traceback" not in text
    assert "done in" not in text


@pytest.mark.parametrize(
    "error", ["InputError('x is broken')", "OSError(errno.ENOSPC, 'full', 'x')"]
)
def test_a_message_and_its_end_of_line_are_written_at_once(tmp_path: Path, error: str) -> None:
    # Jobs share one console: what one writes in two parts, another can fall between. Here each
    # write arrives as a packet of its own.
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        code = (
            "import errno\n"
            "from sparsight.io.errors import InputError\n"
            "from sparsight.io.job import job\n"
            f"with job({str(tmp_path / 'x.log')!r}):\n    raise {error}\n"
        )
        done = subprocess.run([sys.executable, "-c", code], stderr=there, check=False)
        message = here.recv(4096).decode()
    assert done.returncode == 1
    assert message.endswith("\n")
    assert len(message) > 1


def test_a_full_disk_is_a_sentence_that_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(SystemExit) as found, job(tmp_path / "x.log"), atomic_path(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert found.value.code == 1
    err = capsys.readouterr().err
    assert err == f"no space is left on the disk for {path}; make room and run again\n"
    text = (tmp_path / "x.log").read_text()
    assert "ERROR no space is left on the disk" in text
    assert "Traceback" not in text


def test_other_trouble_with_a_disk_is_a_defect(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="read"), job(tmp_path / "x.log"):
        raise OSError(errno.EIO, "cannot read")
    assert "Traceback" in (tmp_path / "x.log").read_text()


@pytest.mark.parametrize("error", [ValueError, InvariantError])
def test_a_defect_is_raised_with_its_traceback_in_the_log(
    tmp_path: Path, error: type[Exception]
) -> None:
    with pytest.raises(error, match="a defect"), job(tmp_path / "x.log"):
        raise error("a defect")
    text = (tmp_path / "x.log").read_text()
    assert "Traceback" in text
    assert f"{error.__name__}: a defect" in text


def test_an_interruption_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), job(tmp_path / "x.log"):
        raise KeyboardInterrupt


def test_the_log_is_given_back_and_begun_anew(tmp_path: Path) -> None:
    handlers = list(logging.getLogger().handlers)
    for text in ("first", "second"):
        with pytest.raises(SystemExit), job(tmp_path / "x.log"):
            raise InputError(text)
    assert logging.getLogger().handlers == handlers
    logging.getLogger().error("afterwards")
    found = (tmp_path / "x.log").read_text()
    assert "second" in found
    assert "first" not in found
    assert "afterwards" not in found


@pytest.fixture
def lines(caplog, monkeypatch):
    """Function from seconds of each item to what their loop logs."""

    def log(seconds):
        clock = iter([0.0, *(sum(seconds[: n + 1]) for n in range(len(seconds)))])
        with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
            patch.setattr("sparsight.io.job.time.monotonic", lambda: next(clock))
            items = list(log_progress(range(len(seconds)), "batches", len(seconds)))
        assert items == list(range(len(seconds)))
        return [record.getMessage() for record in caplog.records]

    return log


def test_a_line_every_so_often_with_the_time_left(lines):
    # after 40 and 80 s; the end needs none
    assert lines([10, 10, 20, 20, 20, 20]) == [
        "3 of 6 batches, 40 s, left 40 s",
        "5 of 6 batches, 80 s, left 16 s",
    ]


def test_short_loops_say_nothing(lines):
    assert lines([5, 5, 5]) == []
