"""Levels whose retraining learns from the dense network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.io.arrays import read_arrays
from sparsight.io.checkpoints import read_checkpoint, write_state
from sparsight.pruning.rounds import Job, make_rewind_point, prune_level, train_dense
from sparsight.training import loop

TAUGHT = {"distillation": {"logits": 0.9, "temperature": 4, "attention": 1}}


def test_a_level_learns_from_the_dense_network(
    make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The masks are those of a level without a teacher; the file of the teacher counts."""
    start, dense = tmp_path / "start.safetensors", tmp_path / "dense" / "checkpoint.safetensors"
    make_rewind_point(make_job(), start)
    train_dense(make_job(), start, tmp_path / "dense")
    prune_level(make_job("p", 1), start, dense, tmp_path / "alone")
    taught = make_job("p", 1, **TAUGHT)
    prune_level(taught, start, dense, tmp_path / "taught", dense)
    alone, found = (
        read_checkpoint(tmp_path / name / "checkpoint.safetensors") for name in ("alone", "taught")
    )
    assert all(torch.equal(mask, alone.masks[name]) for name, mask in found.masks.items())
    assert not torch.equal(found.weights["conv2.weight"], alone.weights["conv2.weight"])

    # killed after an epoch and started again: the same, and nothing else's state is taken up
    def killed(path: Path, state: dict[str, Any], fingerprint: str) -> None:
        write_state(path, state, fingerprint)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "write_state", killed)
    with pytest.raises(KeyboardInterrupt):
        prune_level(taught, start, dense, tmp_path / "again", dense)
    monkeypatch.undo()
    prune_level(taught, start, dense, tmp_path / "again", dense)
    first, second = (
        read_arrays(tmp_path / name / "checkpoint.safetensors") for name in ("taught", "again")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert taught.fingerprint(start, dense) != taught.fingerprint(start, dense, dense)
