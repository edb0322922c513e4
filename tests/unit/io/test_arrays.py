"""Arrays: round trips, agreement with the safetensors library, and files that were damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sparsight.io import arrays
from sparsight.io.arrays import (
    ArrayReader,
    ArrayWriter,
    read_arrays,
    read_metadata,
    write_arrays,
)
from sparsight.io.errors import CorruptFile, InputError

DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.uint8,
    torch.bool,
)
SHAPES = ((), (0,), (1,), (7,), (2, 3), (0, 4), (3, 0), (2, 1, 3))


def values(dtype: torch.dtype, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Random values of any dtype."""
    draw = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=draw).to(dtype)
    return torch.randint(-100, 100, shape, generator=draw).to(dtype)


def every_dtype_and_shape() -> dict[str, torch.Tensor]:
    """One tensor of each kind, by a name that tells it."""
    pairs = [(dtype, shape) for dtype in DTYPES for shape in SHAPES]
    return {
        f"{str(dtype).removeprefix('torch.')}/{shape}": values(dtype, shape, seed)
        for seed, (dtype, shape) in enumerate(pairs)
    }


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    """Whether names, dtypes, shapes and values are equal."""
    return found.keys() == expected.keys() and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
        for name, tensor in expected.items()
    )


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A file of a few hundred bytes with three tensors."""
    path = tmp_path / "small.safetensors"
    tensors = {
        "a": torch.arange(6).reshape(2, 3),
        "b": values(torch.float32, (5,)),
        "c": torch.tensor(True),
    }
    write_arrays(path, tensors, {"dataset": "digits"})
    return path


def test_every_dtype_and_shape_comes_back(tmp_path: Path) -> None:
    tensors = every_dtype_and_shape()
    write_arrays(tmp_path / "x.safetensors", tensors)
    assert same(read_arrays(tmp_path / "x.safetensors"), tensors)


def test_the_library_reads_the_files(tmp_path: Path) -> None:
    tensors = every_dtype_and_shape()
    path = tmp_path / "x.safetensors"
    write_arrays(path, tensors, {"dataset": "digits"})
    assert same(load_file(path), tensors)
    with safe_open(path, "pt") as file:
        assert file.metadata()["dataset"] == "digits"


def test_every_tensor_is_aligned(tmp_path: Path) -> None:
    # odd sizes by names that would put them first
    tensors = {
        "a": torch.zeros(3, dtype=torch.uint8),
        "b": torch.zeros(3, dtype=torch.float16),
        "c": torch.zeros(3),
        "d": torch.zeros(3, dtype=torch.int64),
    }
    path = tmp_path / "x.safetensors"
    write_arrays(path, tensors)
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    assert size % 8 == 0
    for name, tensor in tensors.items():
        assert header[name]["data_offsets"][0] % tensor.element_size() == 0


def test_the_order_of_what_is_given_does_not_matter(tmp_path: Path) -> None:
    tensors, facts = {"a": torch.zeros(2), "b": torch.ones(2)}, {"k": "v", "a": "b"}
    write_arrays(tmp_path / "x.safetensors", tensors, facts)
    turned = [dict(reversed(part.items())) for part in (tensors, facts)]
    write_arrays(tmp_path / "y.safetensors", *turned)
    assert (tmp_path / "x.safetensors").read_bytes() == (tmp_path / "y.safetensors").read_bytes()


def test_values_survive_non_contiguous_views_and_gradients(tmp_path: Path) -> None:
    whole = values(torch.float32, (4, 6))
    tensors = {"view": whole.T[1:4], "grad": whole.clone().requires_grad_()}
    write_arrays(tmp_path / "x.safetensors", tensors)
    found = read_arrays(tmp_path / "x.safetensors")
    assert torch.equal(found["view"], whole.T[1:4])
    assert torch.equal(found["grad"], whole)


def test_special_floats_survive(tmp_path: Path) -> None:
    special = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 1e-45])
    write_arrays(tmp_path / "x.safetensors", {"a": special})
    found = read_arrays(tmp_path / "x.safetensors")["a"]
    assert torch.equal(found.view(torch.int32), special.view(torch.int32))


def test_a_file_without_tensors(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.safetensors", {}, {"why": "none"})
    assert read_arrays(tmp_path / "x.safetensors") == {}
    assert read_metadata(tmp_path / "x.safetensors") == {"why": "none"}


@pytest.mark.parametrize("cuts", [(9,), (4, 9), (1, 1, 2, 8, 9)])
def test_streamed_and_whole_writing_give_the_same_bytes(
    tmp_path: Path, cuts: tuple[int, ...]
) -> None:
    tensors = {"maps": values(torch.float32, (9, 2, 2)), "labels": values(torch.int64, (9,))}
    write_arrays(tmp_path / "whole.safetensors", tensors, {"k": "v"})
    layout = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    with ArrayWriter(tmp_path / "rows.safetensors", layout, {"k": "v"}) as writer:
        # tensors in turn, so that their rows are interleaved
        for start, stop in zip((0, *cuts), cuts, strict=False):
            for name in sorted(tensors):
                writer.append(name, tensors[name][start:stop])
    whole, rows = (tmp_path / f"{name}.safetensors" for name in ("whole", "rows"))
    assert rows.read_bytes() == whole.read_bytes()


def test_reading_chunk_by_chunk_verifies_the_same(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 7)
    assert read_arrays(small)["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_rows_of_a_range(tmp_path: Path) -> None:
    tensors = {"a": values(torch.float64, (3, 2)), "b": values(torch.int16, (10, 3))}
    write_arrays(tmp_path / "x.safetensors", {**tensors, "s": torch.tensor(4)})
    with ArrayReader(tmp_path / "x.safetensors") as reader:
        assert reader.names == ["a", "b", "s"]
        assert reader.shape("b") == (10, 3)
        assert torch.equal(reader.rows("b"), tensors["b"])
        assert torch.equal(reader.rows("b", 2, 5), tensors["b"][2:5])
        assert torch.equal(reader.rows("b", 8), tensors["b"][8:])
        assert torch.equal(reader.rows("b", 8, 99), tensors["b"][8:])
        assert reader.rows("b", 5, 5).shape == reader.rows("b", 12, 20).shape == (0, 3)
        assert reader.rows("s").item() == 4
        with pytest.raises(InputError, match=r"holds no 'z' \(it holds a, b, s\)"):
            reader.rows("z")


@pytest.mark.parametrize("bounds", [(-1, None), (-2, 1), (0, -1)])
def test_rows_do_not_count_from_the_end(small: Path, bounds: tuple[int, int | None]) -> None:
    # the bytes before a tensor are another tensor's
    with ArrayReader(small) as reader, pytest.raises(InputError, match="no rows"):
        reader.rows("b", *bounds)


def test_rows_are_writable_copies(small: Path) -> None:
    with ArrayReader(small) as reader:
        reader.rows("b").zero_()
        assert reader.rows("b").abs().sum() > 0


def test_metadata_comes_back_without_the_checksums(small: Path) -> None:
    assert read_metadata(small) == {"dataset": "digits"}
    with ArrayReader(small) as reader:
        assert reader.metadata == {"dataset": "digits"}


def test_only_the_tensors_asked_for_are_read_and_verified(small: Path) -> None:
    assert list(read_arrays(small, ["b"])) == ["b"]
    raw = bytearray(small.read_bytes())
    raw[-1] ^= 1  # the one byte of `c`, which lies last
    small.write_bytes(raw)
    assert read_metadata(small) == {"dataset": "digits"}
    assert list(read_arrays(small, ["a", "b"])) == ["a", "b"]
    with pytest.raises(CorruptFile, match="'c' does not match its checksum"):
        read_arrays(small)


def test_a_tensor_that_is_not_there_is_named(small: Path) -> None:
    # the file is well, so nobody shall be told to delete it
    with pytest.raises(InputError, match=r"holds no 'z' \(it holds a, b, c\)") as found:
        read_arrays(small, ["a", "z"])
    assert not isinstance(found.value, CorruptFile)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors does not exist"):
        read_arrays(tmp_path / "none.safetensors")


def test_a_file_cut_at_any_byte_is_corrupt(small: Path) -> None:
    raw = small.read_bytes()
    for length in range(len(raw)):
        small.write_bytes(raw[:length])
        with pytest.raises(CorruptFile, match=r"small\.safetensors is corrupt"):
            read_arrays(small)


def test_bytes_behind_the_end_are_noticed(small: Path) -> None:
    small.write_bytes(small.read_bytes() + b"\0")
    with pytest.raises(CorruptFile, match="length"):
        read_arrays(small)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_flipped_bits_are_noticed(small: Path, data: st.DataObject) -> None:
    raw = small.read_bytes()
    places = st.tuples(st.integers(0, len(raw) - 1), st.integers(1, 255))
    damaged = bytearray(raw)
    flips = data.draw(st.lists(places, min_size=1, max_size=4, unique_by=lambda flip: flip[0]))
    for place, change in flips:
        damaged[place] ^= change
    try:
        small.write_bytes(damaged)
        with pytest.raises(CorruptFile, match=r"small\.safetensors is corrupt"):
            read_arrays(small)
    finally:
        small.write_bytes(raw)


def test_swapped_tensors_are_noticed(tmp_path: Path) -> None:
    # each is whole, but in the place of the other
    path = tmp_path / "x.safetensors"
    write_arrays(path, {"a": torch.full((4,), 1), "b": torch.full((4,), 2)})
    raw = path.read_bytes()
    path.write_bytes(raw[:-64] + raw[-32:] + raw[-64:-32])
    with pytest.raises(CorruptFile, match="does not match its checksum"):
        read_arrays(path)


def with_header(content: object) -> bytes:
    """A file that is nothing but a header."""
    raw = json.dumps(content).encode()
    return len(raw).to_bytes(8, "little") + raw


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"seven b",
        b"\xff" * 64,
        with_header(1),
        with_header(None),
        with_header([]),
        with_header({}),
        with_header({"__metadata__": 3}),
        with_header({"__metadata__": {}}),
        with_header({"__metadata__": {"checksums": "3"}}),
        with_header({"__metadata__": {"checksums": "{}"}}),
        with_header({"__metadata__": {"checksums": '{"": 3}'}}),
    ],
)
def test_something_else_is_corrupt(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"other\.safetensors is corrupt"):
        read_arrays(path)


def test_a_file_of_the_library_has_no_checksums_and_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(CorruptFile, match="header"):
        read_arrays(tmp_path / "x.safetensors")


LAYOUT = {"a": (torch.float32, (4, 2))}


def too_few(writer: ArrayWriter) -> None:
    writer.append("a", torch.zeros(3, 2))


def too_many(writer: ArrayWriter) -> None:
    writer.append("a", torch.zeros(3, 2))
    writer.append("a", torch.zeros(2, 2))


def other_dtype(writer: ArrayWriter) -> None:
    writer.append("a", torch.zeros(4, 2, dtype=torch.float64))


def other_shape(writer: ArrayWriter) -> None:
    writer.append("a", torch.zeros(2, 4))


def other_name(writer: ArrayWriter) -> None:
    writer.append("b", torch.zeros(4, 2))


def unknown_dtype(writer: ArrayWriter) -> None:
    writer.append("a", torch.zeros(4, 2, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (too_few, "'a' got 24 of 32 bytes"),
        (too_many, "more rows of 'a' than the 4 declared"),
        (other_dtype, r"rows of 'a' are F64 \[2\], declared were F32 \[2\]"),
        (other_shape, r"rows of 'a' are F32 \[4\], declared were F32 \[2\]"),
        (other_name, "no tensor 'b' was declared"),
        (unknown_dtype, "rows of 'a' are None"),
    ],
)
def test_rows_that_do_not_fit_leave_nothing_behind(
    tmp_path: Path, write: Callable[[ArrayWriter], None], sentence: str
) -> None:
    with (
        pytest.raises(InputError, match=sentence),
        ArrayWriter(tmp_path / "x.safetensors", LAYOUT) as writer,
    ):
        write(writer)
    assert list(tmp_path.iterdir()) == []


def test_a_scalar_is_written_once(tmp_path: Path) -> None:
    def twice() -> None:
        with ArrayWriter(tmp_path / "x.safetensors", {"s": (torch.int64, ())}) as writer:
            writer.append("s", torch.tensor(1))
            writer.append("s", torch.tensor(2))

    with pytest.raises(InputError, match="more rows of 's' than the 1 declared"):
        twice()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("tensor", "fact"), [("", "k"), ("__metadata__", "k"), ("a", "checksums")])
def test_names_of_the_header_itself_are_refused(tmp_path: Path, tensor: str, fact: str) -> None:
    with pytest.raises(InputError, match="is reserved"):
        write_arrays(tmp_path / "x.safetensors", {tensor: torch.zeros(2)}, {fact: "v"})
    assert list(tmp_path.iterdir()) == []


def test_a_dtype_that_the_files_do_not_keep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.safetensors.*'a'.*bfloat16"):
        write_arrays(tmp_path / "x.safetensors", {"a": torch.zeros(2, dtype=torch.bfloat16)})
    assert list(tmp_path.iterdir()) == []


def test_a_failing_block_leaves_the_old_file(small: Path) -> None:
    before = small.read_bytes()

    def interrupted() -> None:
        with ArrayWriter(small, LAYOUT) as writer:
            writer.append("a", torch.zeros(2, 2))
            assert small.read_bytes() == before
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert small.read_bytes() == before
    assert [path.name for path in small.parent.iterdir()] == ["small.safetensors"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    # of the module alone: pytest-xdist talks through the real one from a thread of its own
    monkeypatch.setattr(arrays, "struct", SimpleNamespace(pack=full))
    # the error is kept here, and with it all that it refers to
    with pytest.raises(OSError, match="No space left") as _kept:
        write_arrays(tmp_path / "x.safetensors", {"a": torch.zeros(4, 2)})
    assert list(tmp_path.iterdir()) == []
