"""A nested state (weights, optimiser, random generators, counters) in one safetensors file.

Optimisers keep dictionaries with integer keys and tensors at any depth. `torch.save` would pickle
them; here tensors go into the file's arrays and the rest, as JSON, into its metadata.
"""

import json
from pathlib import Path
from typing import Any

import torch

from sparsight.io.arrays import read_arrays, read_metadata, write_arrays
from sparsight.io.errors import CorruptFile


def write_state(path: Path | str, state: dict[str, Any], fingerprint: str) -> None:
    """Write a nested state of dicts, lists, tuples, tensors and plain values, atomically.

    Parameters
    ----------
    fingerprint : identity of the work in progress; `read_state` gives back only a state with the
        same one.
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
