"""A checkpoint: the weights of a network, the masks that pruned it, and what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sparsight.io.arrays import read_arrays, read_metadata, write_arrays
from sparsight.io.errors import InputError
from sparsight.io.remedies import remedy

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Weights (state_dict keys to tensors), masks (prunable parameter to bool tensor), metadata.

    The metadata of a result: model, architecture, class_count, dataset, seed, pruner, level,
    density (from the masks), rewind, epochs.
    """

    weights: Tensors
    masks: Tensors
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def density(self) -> float:
        """Share of prunable weights that survive, measured from the masks."""
        total = sum(mask.numel() for mask in self.masks.values())
        return self.surviving / total

    @property
    def surviving(self) -> int:
        """Number of prunable weights that survive."""
        return sum(int(mask.sum()) for mask in self.masks.values())


def write_checkpoint(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint as safetensors: `weights/<key>`, `masks/<parameter>`."""
    groups = {"weights": checkpoint.weights, "masks": checkpoint.masks}
    write_groups(path, groups, {**checkpoint.metadata, "density": repr(checkpoint.density)})


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint; a missing or corrupt file is one sentence that names it."""
    groups = read_groups(path)
    if "weights" not in groups:
        raise InputError(f"{path} is no checkpoint, it holds no weights; {remedy(path)}")
    return Checkpoint(groups["weights"], groups.get("masks", {}), read_metadata(path))


def write_groups(
    path: Path | str, groups: Mapping[str, Tensors], metadata: Mapping[str, str] | None = None
) -> None:
    """Write several named sets of tensors into one file."""
    tensors = {
        f"{group}/{key}": tensor
        for group, members in groups.items()
        for key, tensor in members.items()
    }
    write_arrays(path, tensors, metadata)


def read_groups(path: Path | str) -> dict[str, Tensors]:
    """Read what `write_groups` wrote."""
    groups: dict[str, Tensors] = {}
    for name, tensor in read_arrays(path).items():
        group, _, key = name.partition("/")
        groups.setdefault(group, {})[key] = tensor
    return groups
