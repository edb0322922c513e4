"""Arrays in safetensors files: written as a stream, verified by checksum when read.

The format is that of the safetensors library (tests read these files with it). Reading and writing
are our own for two reasons: the library writes only tensors that are whole in memory, and it maps
files into memory, so that a job's resident memory would grow with the number of images.

A file's metadata holds `checksums`, a JSON object of one BLAKE2b digest per tensor and one of the
header (computed with the digests blanked).
"""

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import torch

from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import atomic_path, remedy

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAME_OF = {dtype: name for name, dtype in _DTYPES.items()}
CHUNK_BYTES = 4 * 1024 * 1024
DIGEST_BYTES = 16
BLANK_DIGEST = "0" * (2 * DIGEST_BYTES)
_MALFORMED = (AttributeError, RecursionError, struct.error)
Layout = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]


def check_entries(entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare a header's entries with each other, before anything is read by them.

    A ValueError, KeyError or TypeError where one cannot be: the checksum of a header says that it
    is as it was written, not that this program wrote it.
    """
    for name, entry in entries.items():
        start, end = entry["data_offsets"]
        numbers = [start, end, *entry["shape"]]
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"'{name}' has a shape or place that is none")
        if end - start != _DTYPES[entry["dtype"]].itemsize * math.prod(entry["shape"]):
            raise ValueError(f"'{name}' does not fill its place")


def _places(layout: Layout) -> dict[str, dict[str, Any]]:
    """Where each tensor of a file lies: without gaps, and large alignments first, so aligned."""
    entries: dict[str, dict[str, Any]] = {}
    start = 0
    for name in sorted(layout, key=lambda name: (-layout[name][0].itemsize, name)):
        dtype, shape = layout[name]
        end = start + dtype.itemsize * math.prod(shape)
        place = {"shape": list(shape), "data_offsets": [start, end]}
        entries[name] = {"dtype": _NAME_OF[dtype], **place}
        start = end
    return entries


def _header(
    entries: Mapping[str, Any], metadata: Mapping[str, str], digests: Mapping[str, str]
) -> bytes:
    whole = {**metadata, "checksums": json.dumps(digests, sort_keys=True)}
    text = json.dumps({"__metadata__": dict(sorted(whole.items())), **entries})
    raw = text.encode()
    return raw + b" " * (-len(raw) % 8)


def _hasher(data: bytes = b"") -> Any:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES)


class ArrayWriter:
    """Write tensors row by row into a safetensors file that appears only when it is complete.

    `layout` maps a tensor's name to (dtype, shape); rows along the first dimension are appended in
    order. Rows that do not fit, or are missing at the end of the block, are an `InputError`.
    """

    def __init__(
        self, path: Path | str, layout: Layout, metadata: Mapping[str, str] | None = None
    ) -> None:
        self.path = Path(path)
        self._metadata = dict(metadata or {})
        for name, (dtype, _) in layout.items():
            if dtype not in _NAME_OF:
                raise InputError(f"{self.path}: '{name}' is {dtype}, which these files do not keep")
        # The header has its own use for these names; the file could not be read back.
        for name in {"", "__metadata__"} & layout.keys() | {"checksums"} & self._metadata.keys():
            raise InputError(f"{self.path}: the name '{name}' is reserved; choose another")
        self._entries = _places(layout)
        self._written = dict.fromkeys(self._entries, 0)
        self._hashers = {name: _hasher() for name in self._entries}
        blanks = dict.fromkeys([*self._entries, ""], BLANK_DIGEST)
        self._header_size = len(_header(self._entries, self._metadata, blanks))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._file: BinaryIO = stack.enter_context(open(temporary, "w+b"))
            size = max((one["data_offsets"][1] for one in self._entries.values()), default=0)
            self._file.truncate(8 + self._header_size + size)
            self._stack = stack.pop_all()
        return self

    def append(self, name: str, rows: torch.Tensor) -> None:
        """Append `rows` [n, ...] to tensor `name`; dtype and trailing shape must be as declared."""
        entry = self._entries.get(name)
        if entry is None:
            raise InputError(f"{self.path}: no tensor '{name}' was declared for this file")
        # A scalar has no rows: its shape [] equals its declared trailing shape.
        given = (_NAME_OF.get(rows.dtype), list(rows.shape[1:]))
        if given != (entry["dtype"], entry["shape"][1:]):
            raise InputError(
                f"{self.path}: rows of '{name}' are {given[0]} {given[1]}, declared were "
                f"{entry['dtype']} {entry['shape'][1:]}"
            )
        data = rows.detach().cpu().contiguous().numpy().tobytes()
        start, end = entry["data_offsets"]
        if start + self._written[name] + len(data) > end:
            raise InputError(
                f"{self.path}: more rows of '{name}' than the {[*entry['shape'], 1][0]} declared"
            )
        self._file.seek(8 + self._header_size + start + self._written[name])
        self._file.write(data)
        self._hashers[name].update(data)
        self._written[name] += len(data)

    def _finish(self) -> None:
        for name, entry in self._entries.items():
            start, end = entry["data_offsets"]
            if self._written[name] != end - start:
                raise InputError(
                    f"{self.path}: '{name}' got {self._written[name]} of {end - start} bytes"
                )
        digests = {name: hasher.hexdigest() for name, hasher in self._hashers.items()}
        blanked = _header(self._entries, self._metadata, {**digests, "": BLANK_DIGEST})
        digests[""] = _hasher(blanked).hexdigest()
        self._file.seek(0)
        self._file.write(struct.pack("<Q", self._header_size))
        self._file.write(_header(self._entries, self._metadata, digests))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Whatever goes wrong in here, a full disk too, removes the temporary file.
        with self._stack:
            if error is not None:
                raise error
            self._finish()


class ArrayReader:
    """Read rows of a safetensors file with plain reads; checksums are verified on opening.

    `verify` names the tensors to verify; all by default. A missing file or tensor is an
    `InputError`, a damaged one a `CorruptFile`.
    """

    def __init__(self, path: Path | str, verify: Iterable[str] | None = None) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{self.path} does not exist; run snakemake again to make it")
        self._file: BinaryIO = open(self.path, "rb")
        try:
            self._entries, self.metadata, digests = self._parse()
            for name in self.names if verify is None else verify:
                self._verify(name, digests)
        # RecursionError: a header of thousands of brackets.
        except (LookupError, TypeError, ValueError, *_MALFORMED) as error:
            self._file.close()
            if isinstance(error, InputError):
                raise
            raise self._corrupt("its header is malformed") from error

    def _corrupt(self, why: str) -> CorruptFile:
        return CorruptFile(f"{self.path} is corrupt ({why}); {remedy(self.path)}")

    def _parse(self) -> tuple[dict[str, dict[str, Any]], dict[str, str], dict[str, str]]:
        total = os.fstat(self._file.fileno()).st_size
        (size,) = struct.unpack("<Q", self._file.read(8))
        if size > total:
            raise self._corrupt("it is shorter than its header says")
        raw = self._file.read(size)
        entries: dict[str, dict[str, Any]] = json.loads(raw)
        metadata: dict[str, str] = entries.pop("__metadata__")
        digests: dict[str, str] = json.loads(metadata.pop("checksums"))
        self._start = 8 + size
        blanked = raw.replace(digests[""].encode(), BLANK_DIGEST.encode())
        if _hasher(blanked).hexdigest() != digests[""]:
            raise self._corrupt("its header does not match its checksum")
        check_entries(entries)
        if self._start + max((e["data_offsets"][1] for e in entries.values()), default=0) != total:
            raise self._corrupt("its length is not what its header says")
        return entries, metadata, digests

    def _verify(self, name: str, digests: Mapping[str, str]) -> None:
        start, end = self._entry(name)["data_offsets"]
        hasher = _hasher()
        self._file.seek(self._start + start)
        left = end - start
        while left:
            chunk = self._file.read(min(CHUNK_BYTES, left))
            hasher.update(chunk)
            left -= len(chunk)
        if hasher.hexdigest() != digests[name]:
            raise self._corrupt(f"'{name}' does not match its checksum")

    @property
    def names(self) -> list[str]:
        """Names of the tensors, sorted."""
        return sorted(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of tensor `name`."""
        return tuple(self._entry(name)["shape"])

    def layout(self, name: str) -> tuple[torch.dtype, tuple[int, ...]]:
        """Dtype and shape of tensor `name`, as `ArrayWriter` wants them."""
        return _DTYPES[self._entry(name)["dtype"]], self.shape(name)

    def _entry(self, name: str) -> dict[str, Any]:
        if name not in self._entries:
            raise InputError(f"{self.path} holds no '{name}' (it holds {', '.join(self.names)})")
        return self._entries[name]

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Rows `start` to `stop` (exclusive; the end by default) of tensor `name`."""
        entry = self._entry(name)
        if start < 0 or (stop is not None and stop < 0):
            raise InputError(f"{self.path}: '{name}' has no rows {start} to {stop}")
        shape, dtype = entry["shape"], _DTYPES[entry["dtype"]]
        if not shape:
            start, stop, row_shape = 0, 1, []
        else:
            stop = shape[0] if stop is None else min(stop, shape[0])
            row_shape = shape[1:]
        count = max(stop - start, 0)
        row_bytes = dtype.itemsize * math.prod(row_shape)
        self._file.seek(self._start + entry["data_offsets"][0] + start * row_bytes)
        data = bytearray(self._file.read(count * row_bytes))
        values = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return values.reshape([count, *row_shape] if shape else [])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_arrays(
    path: Path | str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write whole tensors (name to tensor, any rank) atomically, with checksums."""
    layout = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    with ArrayWriter(path, layout, metadata) as writer:
        for name, tensor in tensors.items():
            writer.append(name, tensor)


def read_arrays(path: Path | str, names: Iterable[str] | None = None) -> dict[str, torch.Tensor]:
    """Read tensors (all by default) into memory; see `ArrayReader` for the errors."""
    wanted = None if names is None else list(names)
    with ArrayReader(path, wanted) as reader:
        return {name: reader.rows(name) for name in (reader.names if wanted is None else wanted)}


def read_metadata(path: Path | str) -> dict[str, str]:
    """The strings kept in a file, without the checksums; only the header is read and verified."""
    with ArrayReader(path, verify=()) as reader:
        return reader.metadata
