"""Which device a job runs on, and that its numbers are the same each time."""

import os

import torch


def choose_device(gpu: int) -> torch.device:
    """`cuda` when the job was granted a GPU (`gpu` > 0) and one is there, else `cpu`.

    The default profile clamps the resource `gpu` to 0, so that every rule runs on the CPU.
    """
    return torch.device("cuda" if gpu > 0 and torch.cuda.is_available() else "cpu")


def set_determinism(threads: int) -> None:
    """Fix the number of torch threads and choose deterministic kernels, TF32 off.

    `threads` comes from the configuration and not from the scheduler: the order in which a sum is
    taken depends on it, and results must not depend on `--cores`.
    """
    # cuBLAS is deterministic only with a fixed workspace, read when its handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    # What use_deterministic_algorithms(True) does, without importing the compiler, which would cost
    # every job seconds.
    torch.set_deterministic_debug_mode("error")
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def device_name(device: torch.device) -> str:
    """What to write into a provenance: the GPU's model, or the CPU's architecture."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({os.uname().machine})"
