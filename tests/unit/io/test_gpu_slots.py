"""A job's share of a GPU: who may take it, when, and that it is free when its holder is gone."""

import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsight.io.errors import InputError
from sparsight.io.gpu import gpu_slot, lock_folder
from sparsight.io.job import job
from tests.unit.io.gpu_workers import Holder, environment, install_nvidia_smi

VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Environment variables of a machine with two GPUs, one of 1000 and one of 3000 MB."""
    return environment(tmp_path, SPARSIGHT_GPUS="GPU-a=1000,GPU-b=3000")


@pytest.fixture
def holders() -> Iterator[list[Holder]]:
    """Processes to be killed if a test fails before it has ended them."""
    started: list[Holder] = []
    yield started
    for holder in started:
        holder.kill()


def claims(environ: dict[str, str]) -> list[str]:
    folder = Path(environ["SPARSIGHT_GPU_LOCKS"])
    return sorted(path.name.rpartition("@")[0] for path in folder.glob("*.claim"))


def test_the_gpu_with_most_room_is_taken_and_given_back(environ: dict[str, str]) -> None:
    with gpu_slot(1, 500, environ):
        assert environ[VISIBLE] == "GPU-b"
        with gpu_slot(1, 1900, {**environ, VISIBLE: "GPU-a,GPU-b"}):
            assert claims(environ) == ["GPU-b@1900", "GPU-b@500"]
            other = {**environ, VISIBLE: "GPU-a,GPU-b"}
            with gpu_slot(1, 600, other):  # 1000 MB of one are left, 600 of the other
                assert other[VISIBLE] == "GPU-a"
    assert VISIBLE not in environ
    assert claims(environ) == []


def test_what_was_visible_is_so_again_after_a_failure(environ: dict[str, str]) -> None:
    environ[VISIBLE] = "GPU-a"
    with pytest.raises(ZeroDivisionError), gpu_slot(1, 1000, environ):
        assert 1 / (len(claims(environ)) - 1)
    assert environ[VISIBLE] == "GPU-a"
    assert claims(environ) == []


@pytest.mark.parametrize(
    ("gpu", "variables", "sentence"),
    [
        pytest.param(0, {}, "", id="no GPU was granted"),
        pytest.param(1, {VISIBLE: ""}, "this job runs on the CPU", id="all GPUs are hidden"),
        pytest.param(1, {"SPARSIGHT_GPUS": "", "PATH": ""}, "no nvidia-smi", id="nobody knows"),
        pytest.param(
            1, {"SLURM_JOB_ID": "7", VISIBLE: "3"}, "SLURM has given", id="SLURM chose the GPU"
        ),
    ],
)
def test_where_there_is_nothing_to_choose_nothing_is_locked(
    environ: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    gpu: int,
    variables: dict[str, str],
    sentence: str,
) -> None:
    environ.update(variables)
    before = dict(environ)
    # the job asks for more than there is: not even that matters
    with caplog.at_level("INFO"), gpu_slot(gpu, 9999, environ):
        assert environ == before
    assert not Path(environ["SPARSIGHT_GPU_LOCKS"]).exists()
    assert sentence in caplog.text


@pytest.mark.parametrize("visible", ["GPU-a,GPU-b", None])
def test_jobs_inside_one_allocation_of_slurm_share_its_gpus(
    environ: dict[str, str], visible: str | None
) -> None:
    environ["SLURM_JOB_ID"] = "7"
    if visible:
        environ[VISIBLE] = visible
    with gpu_slot(1, 2000, environ):
        assert environ[VISIBLE] == "GPU-b"
        assert claims(environ) == ["GPU-b@2000"]


def test_more_than_any_visible_gpu_has_is_refused_in_the_jobs_log(
    environ: dict[str, str], tmp_path: Path
) -> None:
    environ[VISIBLE] = "GPU-a"
    with pytest.raises(SystemExit), job(tmp_path / "x.log"), gpu_slot(1, 1001, environ):
        pytest.fail("it has got the GPU")
    text = (tmp_path / "x.log").read_text()
    assert "ERROR The job asks for 1001 MB of a GPU (vram_mb)" in text
    assert "has more than 1000 MB" in text
    assert "Traceback" not in text
    with gpu_slot(1, 1000, environ):
        assert claims(environ) == ["GPU-a@1000"]


def test_a_job_finds_its_gpu_through_nvidia_smi(tmp_path: Path) -> None:
    table = "0, GPU-a, 8000, Disabled\n1, GPU-b, 9000, Disabled\n2, GPU-c, 9500, Disabled\n"
    path = install_nvidia_smi(tmp_path / "bin", table)
    environ = environment(tmp_path, PATH=path, CUDA_VISIBLE_DEVICES="0,1")
    with gpu_slot(1, 4000, environ):
        assert environ[VISIBLE] == "GPU-b"
    environ[VISIBLE] = "GPU-c"
    with gpu_slot(1, 4000, environ):
        assert claims(environ) == ["GPU-c@4000"]


# --- waiting


def test_a_job_waits_for_room_and_the_next_behind_it(
    environ: dict[str, str], holders: list[Holder]
) -> None:
    holders.append(Holder(environ, 2500))
    assert holders[0].wait_until_it_holds() == "GPU-b"
    holders.append(Holder(environ, 1500))
    assert holders[1].next_sentence() == "No GPU has 1500 MB free (at most 1000): waiting."
    # there would be room for this one; but then large jobs would wait for ever
    holders.append(Holder(environ, 100))
    assert "this one waits behind them" in holders[2].next_sentence()
    # one that sees other GPUs does not stand in this line
    holders.append(Holder({**environ, VISIBLE: "GPU-a"}, 900))
    assert holders[3].wait_until_it_holds() == "GPU-a"
    assert holders[0].end() == 0
    assert holders[1].wait_until_it_holds() == "GPU-b"
    assert holders[2].wait_until_it_holds() == "GPU-b"
    assert [holder.end() for holder in holders[1:]] == [0, 0, 0]
    assert claims(environ) == []


def test_claims_are_added_up_by_one_job_at_a_time(
    environ: dict[str, str], holders: list[Holder]
) -> None:
    folder = lock_folder(environ)
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    holders.append(Holder(environ, 2000))
    while not any(map(is_locked, folder.glob("*.line"))):
        assert not claims(environ)
    # What another job claims while it has the lock, the one that waits for the lock must see.
    with (folder / "GPU-b@2000@1.claim").open("w") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        os.close(other)
        assert holders[0].next_sentence() == "No GPU has 2000 MB free (at most 1000): waiting."
    assert holders[0].wait_until_it_holds() == "GPU-b"
    assert holders[0].end() == 0


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_killed_holder_leaves_its_room_to_others(
    environ: dict[str, str], holders: list[Holder]
) -> None:
    holders.append(Holder(environ, 3000, "exec"))
    assert holders[0].wait_until_it_holds() == "GPU-b"
    holders.append(Holder(environ, 2000))
    assert "waiting" in holders[1].next_sentence()
    holders[0].kill()
    try:
        # although a program that it started lives on
        os.kill(holders[0].child, 0)
        assert holders[1].wait_until_it_holds() == "GPU-b"
        assert claims(environ) == ["GPU-b@2000"]
    finally:
        os.kill(holders[0].child, signal.SIGKILL)
    assert holders[1].end() == 0


def test_a_killed_waiter_lets_the_next_step_forward(
    environ: dict[str, str], holders: list[Holder]
) -> None:
    holders.append(Holder(environ, 3000))
    holders[0].wait_until_it_holds()
    holders.append(Holder(environ, 2000))
    assert "waiting" in holders[1].next_sentence()
    holders.append(Holder(environ, 800))
    assert "waits behind" in holders[2].next_sentence()
    holders[1].kill()
    assert holders[2].wait_until_it_holds() == "GPU-a"
    assert [holders[2].end(), holders[0].end()] == [0, 0]


def test_memory_is_not_free_before_forked_processes_are_gone(
    environ: dict[str, str], holders: list[Holder]
) -> None:
    holders.append(Holder(environ, 3000, "fork"))
    assert holders[0].wait_until_it_holds() == "GPU-b"
    holders.append(Holder(environ, 2000))
    assert "waiting" in holders[1].next_sentence()
    holders[0].kill()
    assert claims(environ) == ["GPU-b@3000"]
    os.kill(holders[0].child, signal.SIGKILL)
    assert holders[1].wait_until_it_holds() == "GPU-b"
    assert holders[1].end() == 0


def test_a_forked_process_cannot_give_its_parents_claim_back(
    environ: dict[str, str], holders: list[Holder]
) -> None:
    holders.append(Holder(environ, 3000, "leave"))
    assert holders[0].wait_until_it_holds() == "GPU-b"
    assert claims(environ) == ["GPU-b@3000"]
    holders.append(Holder(environ, 2000))
    assert "waiting" in holders[1].next_sentence()
    assert holders[0].end() == 0
    assert holders[1].wait_until_it_holds() == "GPU-b"
    assert holders[1].end() == 0


# --- where the locks lie


def test_locks_lie_in_a_folder_of_this_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = lock_folder({})
    assert folder == tmp_path / f"sparsight-gpu-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert lock_folder({}) == folder
    assert lock_folder({"SPARSIGHT_GPU_LOCKS": str(tmp_path / "a/b")}) == tmp_path / "a/b"


def a_file(path: Path) -> None:
    path.write_text("")


def a_link(path: Path) -> None:
    path.with_name("elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.with_name("elsewhere"))


def open_to_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o755)


@pytest.mark.parametrize("make", [a_file, a_link, open_to_all])
def test_an_unsafe_folder_is_refused(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "locks")
    with pytest.raises(InputError, match=r"locks, the folder of the GPU locks, .* SPARSIGHT_GPU"):
        lock_folder({"SPARSIGHT_GPU_LOCKS": str(tmp_path / "locks")})


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locks").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(InputError, match="is not this user's alone"):
        lock_folder({"SPARSIGHT_GPU_LOCKS": str(tmp_path / "locks")})
