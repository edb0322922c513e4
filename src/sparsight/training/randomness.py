"""Independent streams of random numbers from one seed."""

import hashlib

import torch


def derived_seed(*parts: str | int) -> int:
    """A 63-bit seed that depends on all `parts` (seed, pruner, level, epoch, purpose).

    Streams are named and not consumed in turn, so that a training resumed at epoch k draws what an
    unbroken one draws.
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(device: torch.device, *parts: str | int) -> torch.Generator:
    """A generator on `device` seeded by `derived_seed(*parts)`."""
    return torch.Generator(device).manual_seed(derived_seed(*parts))
