"""The jobs: in which order they do what."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.io.errors import InputError
from sparsight.spade import run

PRUNER: dict[str, Any] = {
    "name": "fast",
    "solver": "obs_fast",
    "parameters": {},
    "sparsities": {"constant": 0.5},
    "augmentations": 2,
    "augment": {},
    "batch_size": 2,
    "memory_mb": 10,
}


@pytest.fixture
def as_it_was() -> Any:
    """Threads and determinism as before the test."""
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)


@pytest.mark.usefixtures("as_it_was")
def test_nothing_is_computed_before_kernels_are_deterministic(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """cuBLAS reads its setting once: a pass before that would make every later one fail."""
    torch.set_deterministic_debug_mode("default")

    def first(*_: Any) -> Any:
        assert torch.get_deterministic_debug_mode() == 2
        raise InputError("the first to touch the device")

    monkeypatch.setattr(run, "load_network", first)
    with pytest.raises(InputError, match="the first to touch"):
        run.explain_samples(
            {"threads": 1, "sample_pruner": PRUNER},
            packed_test=tmp_path / "test.safetensors",
            checkpoint=tmp_path / "checkpoint.safetensors",
            predictions=tmp_path / "predictions.parquet",
            dense_predictions=None,
            sparsities=None,
            output=tmp_path / "explanations.safetensors",
            fidelity=tmp_path / "fidelity.parquet",
            wildcards={},
            gpu=0,
        )
