"""The device of a job, and what makes its numbers repeatable."""

import os
from collections.abc import Iterator

import pytest
import torch

from sparsight.io.gpu import choose_device, device_name, set_determinism


@pytest.fixture
def _settings_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    backends = torch.backends
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    kept = (
        backends.cudnn.benchmark,
        backends.cuda.matmul.allow_tf32,
        backends.cudnn.allow_tf32,
    )
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)
    (
        backends.cudnn.benchmark,
        backends.cuda.matmul.allow_tf32,
        backends.cudnn.allow_tf32,
    ) = kept


@pytest.mark.parametrize(
    ("gpu", "there", "device"),
    [(0, False, "cpu"), (0, True, "cpu"), (1, False, "cpu"), (1, True, "cuda"), (2, True, "cuda")],
)
def test_a_gpu_is_used_when_granted_and_there(
    monkeypatch: pytest.MonkeyPatch, gpu: int, there: bool, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert choose_device(gpu) == torch.device(device)


@pytest.mark.usefixtures("_settings_as_they_were")
@pytest.mark.parametrize("threads", [1, 2])
def test_determinism_is_switched_on(threads: int) -> None:
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    set_determinism(threads)
    assert torch.get_num_threads() == threads
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.usefixtures("_settings_as_they_were")
def test_a_workspace_that_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    set_determinism(1)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_a_cpu_is_named_by_its_architecture() -> None:
    assert device_name(torch.device("cpu")) == f"cpu ({os.uname().machine})"
