"""Results that are damaged, or forged with checksums that are right."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.data.packed import PackedSplit
from sparsight.io.arrays import BLANK_DIGEST, DIGEST_BYTES, ArrayReader, read_arrays, read_metadata
from sparsight.io.checkpoints import Checkpoint, read_checkpoint, read_state, write_checkpoint
from sparsight.io.tables import read_table, write_table
from sparsight.models.networks import load_network
from tests.bad_input.counting import Tried
from tests.bad_input.damage import damaged_bytes

PROFILE = settings.get_profile("bad_input")
CPU = torch.device("cpu")
ENTRY: dict[str, Any] = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


def forged(entries: dict[str, Any], data: bytes = bytes(16), **metadata: Any) -> bytes:
    """A file whose checksums are right, whatever its header says."""

    def header(own: str) -> bytes:
        digests = {**{name: digest(data) for name in entries}, "": own}
        whole = {**metadata, "checksums": json.dumps(digests, sort_keys=True)}
        return json.dumps({"__metadata__": whole, **entries}).encode()

    raw = header(digest(header(BLANK_DIGEST)))
    return struct.pack("<Q", len(raw)) + raw + data


def uses(path: Path) -> dict[str, Callable[[], Any]]:
    """Every way in which such a file is read."""
    return {
        "arrays": lambda: read_arrays(path),
        "metadata": lambda: read_metadata(path),
        "checkpoint": lambda: read_checkpoint(path),
        "network": lambda: load_network(path, CPU),
        "packed": lambda: PackedSplit.open(path).close(),
        "state": lambda: read_state(path, "work"),
    }


def read_rows(path: Path) -> None:
    with ArrayReader(path) as reader:
        for name in reader.names:
            reader.rows(name, 0, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.safetensors"


def test_a_forgery_is_read_where_it_is_sound(path: Path) -> None:
    path.write_bytes(forged({"weights/a": ENTRY}))
    assert read_arrays(path)["weights/a"].tolist() == [[0, 0], [0, 0]]


CHANGES = [
    *(("dtype", value) for value in ("BF16", "f32", "", None, 3, [])),
    *(("shape", value) for value in ([4, 2], [-2, -2], [2.0, 2], [True, 4], "22", None, 4, [[4]])),
    *(("shape", [2**63, 2]),),
    *(("data_offsets", value) for value in ([0], [], [0, 8], [-16, 0], [16, 0], [0, 2**62])),
    *(("data_offsets", value) for value in (["0", "16"], None, [0, 16, 0], {"a": 0, "b": 16})),
]


@pytest.mark.parametrize(("key", "value"), CHANGES)
def test_forged_entries(tried: Tried, path: Path, key: str, value: Any) -> None:
    path.write_bytes(forged({"weights/a": {**ENTRY, key: value}}))
    for read in (lambda: read_rows(path), uses(path)["network"]):
        tried.refused(read, [str(path)], path.parent)


@pytest.mark.parametrize("entry", [None, [], "a", 3, {}, {"dtype": "F32"}])
def test_entries_of_another_kind(tried: Tried, path: Path, entry: Any) -> None:
    path.write_bytes(forged({"weights/a": entry}))
    tried.refused(lambda: read_rows(path), [str(path)], path.parent)


def test_thousands_of_brackets(tried: Tried, path: Path) -> None:
    raw = b"[" * 10**6
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)
    tried.refused(lambda: read_rows(path), [str(path)], path.parent)


METADATA = [
    {},
    {"architecture": "thesis_cnn"},
    {"architecture": "unheard_of", "class_count": "3"},
    {"architecture": "thesis_cnn", "class_count": "-3"},
    {"architecture": "thesis_cnn", "class_count": "3", "options": "[]"},
    {"architecture": "thesis_cnn", "class_count": "3", "options": "null"},
    {"architecture": "thesis_cnn", "class_count": 3},
    {"dataset": "a", "split": "b", "classes": "{", "has_masks": "true", "data_hash": "c"},
]


@pytest.mark.parametrize("metadata", METADATA)
def test_whole_files_that_are_something_else(
    tried: Tried, path: Path, metadata: dict[str, Any]
) -> None:
    names = ("images", "labels", "image_ids", "evaluation_rank", "noise", "masks", "weights/a")
    path.write_bytes(forged(dict.fromkeys(names, ENTRY), **metadata))
    tried.refused(uses(path)["network"], [str(path)], path.parent)
    tried.refused(uses(path)["packed"], [str(path)], path.parent)


@settings(PROFILE, max_examples=80)
@given(data=st.data(), use=st.sampled_from(sorted(uses(Path()))))
def test_damaged_checkpoints(
    tried: Tried, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, use: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    masks = {"a": torch.ones(3, dtype=torch.bool)}
    write_checkpoint(path, Checkpoint({"a": torch.arange(3.0)}, masks, {"architecture": "x"}))
    whole = path.read_bytes()
    content = data.draw(damaged_bytes(whole))
    path.write_bytes(content)
    if use == "state":
        # The state of interrupted work is not asked for: what is unusable is begun again.
        assert uses(path)[use]() is None
    elif content != whole:
        sentence = tried(uses(path)[use], [str(path)])
        assert sentence is not None or use == "metadata"


@settings(PROFILE, max_examples=80)
@given(data=st.data())
def test_damaged_tables(
    tried: Tried, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    write_table(path, {"name": ["a", "b", "ü"], "value": [1.5, 2.5, None]}, {"key": "x"})
    path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    tried(lambda: read_table(path, ["name", "value"]), [str(path)])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 3, b"name,value\na,1\n", bytes(4000)])
def test_what_is_no_table(tried: Tried, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    tried.refused(lambda: read_table(path), [str(path)], tmp_path)
