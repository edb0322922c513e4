"""Every training job, killed after an epoch and started again, gives the same files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.io.arrays import read_arrays
from sparsight.io.checkpoints import read_checkpoint
from sparsight.pruning.rounds import (
    Job,
    make_epoch_point,
    make_rewind_point,
    prune_level,
    train_dense,
)
from sparsight.training import loop

Make = Callable[..., Job]


@pytest.fixture(scope="module")
def made(make_job: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with start.safetensors, epoch point, dense and one level, made without a break."""
    folder = tmp_path_factory.mktemp("made")
    for work in ("start", "epoch", "dense", "level"):
        run(work, make_job, folder, folder)
    return folder


def run(work: str, make: Make, inputs: Path, outputs: Path, **changes: Any) -> Path:
    """Do one job; its tensors' file."""
    start = inputs / "start.safetensors"
    if work == "start":
        make_rewind_point(make(**changes), outputs / "start.safetensors")
        return outputs / "start.safetensors"
    if work == "epoch":
        make_epoch_point(make(**changes), start, 2, outputs / "start_epoch2.safetensors")
        return outputs / "start_epoch2.safetensors"
    if work == "dense":
        train_dense(make(**changes), start, outputs / "dense")
        return outputs / "dense" / "checkpoint.safetensors"
    previous = inputs / "dense" / "checkpoint.safetensors"
    prune_level(make("p", 1, **changes), start, previous, outputs / "level")
    return outputs / "level" / "checkpoint.safetensors"


def kill_after(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training stop once it has kept the state after `epoch` epochs."""
    write = loop.write_state

    def killed(path: Path, state: dict[str, Any], fingerprint: str) -> None:
        write(path, state, fingerprint)
        if state["epoch"] == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "write_state", killed)


def epochs_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs that training goes through from now on."""
    found: list[int] = []
    real = loop._train_epoch

    def record(*arguments: Any) -> Any:
        found.append(arguments[4])
        return real(*arguments)

    monkeypatch.setattr(loop, "_train_epoch", record)
    return found


def same(a: Path, b: Path) -> bool:
    """Whether two files hold the same tensors."""
    first, second = read_arrays(a), read_arrays(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("work", ["start", "epoch", "dense", "level"])
def test_a_killed_job_goes_on_at_its_last_epoch(
    made: Path, make_job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    kill_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(work, make_job, made, tmp_path)
    assert not list(tmp_path.rglob("[!.]*.*")), "a killed job must leave no result"
    assert list(tmp_path.rglob(".*epoch_state.safetensors"))
    monkeypatch.undo()
    epochs = epochs_run(monkeypatch)
    found = run(work, make_job, made, tmp_path)
    assert epochs == [1] if work == "epoch" else [1, 2]
    assert same(found, made / found.relative_to(tmp_path))
    assert not list(tmp_path.rglob(".*")), "the state must be gone"


@pytest.mark.parametrize(
    "changes",
    [
        {"version": {"training": 2}},
        {"seed": 2},
        {"evaluation_batch_size": 8},
        {"retraining": {"epochs": 3, "batch_size": 8, "noise": False}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_state_of_other_settings_is_left(
    made: Path,
    make_job: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    if "retraining" in changes:
        plain = make_job().settings["retraining"]
        changes = {"retraining": {**plain, **changes["retraining"]}}
    kill_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run("level", make_job, made, tmp_path)
    monkeypatch.undo()
    epochs = epochs_run(monkeypatch)
    run("level", make_job, made, tmp_path, **changes)
    assert epochs == [0, 1, 2]


def test_fingerprints_tell_inputs_and_data_apart(
    made: Path, make_job: Make, quarters: dict[str, Path]
) -> None:
    job = make_job()
    start, dense = made / "start.safetensors", made / "dense" / "checkpoint.safetensors"
    other_data = Job(
        job.settings, job.identity, job.version, {"train": quarters["test"]}, job.device
    )
    found = [
        job.fingerprint(),
        job.fingerprint(start),
        job.fingerprint(dense),
        job.fingerprint(start, dense),
        other_data.fingerprint(),
        make_job("p", 1).fingerprint(),
        make_job("p", 2).fingerprint(),
    ]
    assert len(set(found)) == len(found)
    assert job.fingerprint(start) == make_job().fingerprint(start)


def test_a_job_done_twice_gives_the_same_bytes(made: Path, make_job: Make, tmp_path: Path) -> None:
    for work in ("start", "epoch", "dense", "level"):
        torch.rand(3)
        found = run(work, make_job, made, tmp_path)
        assert found.read_bytes() == (made / found.relative_to(tmp_path)).read_bytes()
    assert read_checkpoint(tmp_path / "level" / "checkpoint.safetensors").surviving == 1124 - 224
