"""Positions of images in a split, as files are read: in runs, each row once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sparsight.io.errors import InputError


def distinct_positions(
    indices: Tensor | Sequence[int], count: int, path: Path
) -> tuple[Tensor, Tensor]:
    """Each position once, and where each index is among them.

    Parameters
    ----------
    indices : positions in any order, also repeated, int64 [n].
    count : images in the split.
    path : its file, for the message.

    Returns
    -------
    int64 [m], ascending; int64 [n], so that `distinct[back]` are the indices.

    Raises
    ------
    InputError
        When an index is not in the split.
    """
    wanted = torch.as_tensor(indices, dtype=torch.int64).cpu().reshape(-1)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= count):
        raise InputError(
            f"{path} has {count} images, no index "
            f"{int(wanted.min() if wanted.min() < 0 else wanted.max())}"
        )
    distinct, back = torch.unique(wanted, return_inverse=True)
    return distinct, back


def runs(ascending: Tensor) -> Iterator[tuple[int, int]]:
    """Ranges [start, stop) of consecutive numbers in distinct ascending ones, int64 [m], m > 0."""
    breaks = torch.nonzero(torch.diff(ascending) > 1).reshape(-1) + 1
    for run in torch.tensor_split(ascending, breaks):
        yield int(run[0]), int(run[-1]) + 1
