"""What a safetensors file says of each tensor: its dtype, its shape and where it lies."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

#: name in the file, torch dtype, numpy dtype (numpy has no bfloat16; nothing stored needs it)
DTYPES = (
    ("F64", torch.float64, np.dtype("<f8")),
    ("F32", torch.float32, np.dtype("<f4")),
    ("F16", torch.float16, np.dtype("<f2")),
    ("I64", torch.int64, np.dtype("<i8")),
    ("I32", torch.int32, np.dtype("<i4")),
    ("I16", torch.int16, np.dtype("<i2")),
    ("U8", torch.uint8, np.dtype("u1")),
    ("BOOL", torch.bool, np.dtype("?")),
)
_BYTES = {name: kind.itemsize for name, _, kind in DTYPES}


def check_entries(entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold the entries of a header against each other, before anything is read by them.

    Parameters
    ----------
    entries : tensor name to `dtype`, `shape` and `data_offsets`, as JSON gave them.

    Raises
    ------
    ValueError, KeyError, TypeError
        When one of them cannot be: the checksum of a header says that it is as it was written, not
        that this program wrote it.
    """
    for name, entry in entries.items():
        start, end = entry["data_offsets"]
        numbers = [start, end, *entry["shape"]]
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"'{name}' has a shape or place that is none")
        if end - start != _BYTES[entry["dtype"]] * math.prod(entry["shape"]):
            raise ValueError(f"'{name}' does not fill its place")
