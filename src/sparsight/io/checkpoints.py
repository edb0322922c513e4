"""Checkpoints of networks, and nested states of trainings, as safetensors files.

Optimisers keep dictionaries with integer keys and tensors at any depth. `torch.save` would pickle
them; here tensors go into the file's arrays and the rest, as JSON, into its metadata.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sparsight.io.arrays import read_arrays, read_metadata, write_arrays
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import remedy
from sparsight.rounding import FULL_BITS

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Weights (state_dict keys to tensors), masks (prunable parameter to bool tensor), metadata.

    The metadata of a result: model, architecture, class_count, dataset, seed, pruner, level,
    density (from the masks), rewind, epochs; where layers are narrower than those of the dense
    network, `prunable`, the number of that one's prunable weights; and, where they are fewer than
    32, `bits`, the fewest that hold each prunable weight.
    """

    weights: Tensors
    masks: Tensors
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def prunable(self) -> int:
        """Number of prunable weights of the dense network."""
        own = sum(mask.numel() for mask in self.masks.values())
        return int(self.metadata.get("prunable", own))

    @property
    def density(self) -> float:
        """Share of the dense network's prunable weights that survive, measured from the masks."""
        return self.surviving / self.prunable

    @property
    def bits(self) -> int:
        """The fewest bits that hold each prunable weight, as measured when it was written."""
        return int(self.metadata.get("bits", FULL_BITS))

    @property
    def surviving(self) -> int:
        """Number of prunable weights that survive."""
        return sum(int(mask.sum()) for mask in self.masks.values())


def write_checkpoint(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint as safetensors: `weights/<key>`, `masks/<parameter>`."""
    groups = {"weights": checkpoint.weights, "masks": checkpoint.masks}
    write_groups(path, groups, {**checkpoint.metadata, "density": repr(checkpoint.density)})


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint; a missing or corrupt file is an error that names it."""
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


def write_state(path: Path | str, state: dict[str, Any], fingerprint: str) -> None:
    """Write a nested state of dicts, lists, tuples, tensors and plain values, atomically.

    `fingerprint` identifies the work in progress; `read_state` returns only a state with the same.
    """
    tensors: dict[str, torch.Tensor] = {}

    def encode(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            name = f"t{len(tensors):05d}"
            tensors[name] = value
            return {"tensor": name}
        if isinstance(value, dict):
            # pairs, because JSON turns the optimiser's integer keys into text
            return {"dict": [[key, encode(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return {type(value).__name__: [encode(item) for item in value]}
        return {"value": value}

    structure = json.dumps(encode(state))
    write_arrays(path, tensors, {"structure": structure, "fingerprint": fingerprint})


def read_state(path: Path | str, fingerprint: str) -> dict[str, Any] | None:
    """The state at `path`, or None where there is none, it is corrupt, or it is of other work."""
    if not Path(path).exists():
        return None
    try:
        metadata = read_metadata(path)
        if metadata.get("fingerprint") != fingerprint:
            return None
        tensors = read_arrays(path)
    except CorruptFile:
        return None

    def decode(node: dict[str, Any]) -> Any:
        ((kind, content),) = node.items()
        if kind == "tensor":
            return tensors[content]
        if kind == "dict":
            return {key: decode(item) for key, item in content}
        if kind == "value":
            return content
        items = [decode(item) for item in content]
        return tuple(items) if kind == "tuple" else items

    state: dict[str, Any] = decode(json.loads(metadata["structure"]))
    return state
