"""Archives that are damaged, hostile or without end; what is refused leaves nothing."""

import gzip
import io
import shutil
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.data.download import extract_flat, extract_folder
from tests.bad_input.counting import Tried
from tests.bad_input.damage import damaged_bytes
from tests.unit.data.test_archive import FILES, PICTURES, member, write, write_zip

PROFILE = settings.get_profile("bad_input")
Member = tuple[tarfile.TarInfo, bytes]
NAMES = (
    *("set/x", "set", "set/a", "set/a/1.txt/x", "set//x", "set/./x", "./set/x", "names.txt"),
    *("../x", "set/../x", "set/../../x", "/x", "//x", "/set/x", "", ".", "..", "other/x", "setx/y"),
    *(
        "set/é",
        "set/e\u0301",
        "set/😀",
        "set/a b",
        "set/\u202egpj.txt",
        "set/\udcff\udcfe",
        "SET/x",
    ),
    *("set/" + "x" * 300, "set/" + "x/" * 1500, "set/a\nb", "set/a\\b", "C:\\x", "set/-rf", "._x"),
)
TYPES = [
    *(tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE),
    *(tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, b"V", b"9", b"\xff"),
]
LINKS = ("", "set/a/1.txt", "/etc/passwd", "../../x", "set", ".", "set/x")
HEADERS = (
    *({}, {"path": "../x"}, {"path": "set/a\0b"}, {"linkpath": "/etc/passwd"}, {"size": "-1"}),
    *({"size": str(2**70)}, {"mtime": "nan"}, {"mtime": "inf"}, {"mtime": "1e300"}, {"uid": "-1"}),
    *({"GNU.sparse.size": "99999999999"}, {"GNU.sparse.map": "0,9,5"}, {"comment": "x" * 9000}),
)


@st.composite
def members(draw: Callable[..., Any]) -> Member:
    """A member of a tar archive that is odd in one way or another."""
    found = member(draw(st.sampled_from(NAMES)), draw(st.sampled_from([b"", b"text", bytes(600)])))
    info = found[0]
    info.type = draw(st.sampled_from([tarfile.REGTYPE, tarfile.REGTYPE, *TYPES]))
    info.linkname = draw(st.sampled_from(LINKS))
    info.mode = draw(st.sampled_from([0o644, 0, 0o7777, 0o4755]))
    info.pax_headers = dict(draw(st.sampled_from(HEADERS)))
    return found


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder with a place for the archive, for what is in it, and for what must not be there."""
    (tmp_path / "data").mkdir()
    return tmp_path


def plain_below(folder: Path) -> bool:
    """Whether there are only plain files and folders in a folder."""
    return all(
        not path.is_symlink() and (path.is_dir() or path.is_file()) and path.lstat().st_nlink > 0
        for path in folder.rglob("*")
    )


def extract(tried: Tried, archive: Path, folder: Path) -> str | None:
    """Unpack `archive` into `folder`, and take what came out away again."""
    around = folder.parent.parent
    outside = {path for path in around.rglob("*") if folder.parent not in path.parents}
    kind = archive.suffix
    try:
        return tried(
            lambda: (
                extract_folder(archive, folder, 2000, 12, beside=("names.txt",))
                if kind == ".tgz"
                else extract_flat(archive, folder, ".png", 2000, 12)
            ),
            [archive.name],
            folder.parent,
        )
    finally:
        assert plain_below(folder.parent)
        now = {path for path in around.rglob("*") if folder.parent not in path.parents}
        assert now == outside
        assert {path.name for path in folder.parent.iterdir()} <= {folder.name}
        shutil.rmtree(folder, ignore_errors=True)


@settings(PROFILE, max_examples=100)
@given(odd=st.lists(members(), min_size=1, max_size=2), form=st.sampled_from([0, 1, 2]))
def test_odd_members_of_a_tar(tried: Tried, top: Path, odd: list[Member], form: int) -> None:
    archive = top / "set.tgz"
    with tarfile.open(archive, "w:gz", format=form, errors="surrogateescape") as tar:
        for info, content in (*FILES, *odd):
            try:
                tar.addfile(info, io.BytesIO(content))
            except (ValueError, OverflowError, UnicodeError):
                # This format has no way to write it.
                continue
    extract(tried, archive, top / "data" / "set")


@settings(PROFILE, max_examples=50)
@given(data=st.data(), inside=st.booleans())
def test_damaged_tars(tried: Tried, top: Path, data: st.DataObject, inside: bool) -> None:
    archive = write(top / "set.tgz", *FILES)
    whole = archive.read_bytes()
    if inside:
        content = gzip.compress(data.draw(damaged_bytes(gzip.decompress(whole)[:3000])), 1)
    else:
        content = data.draw(damaged_bytes(whole))
    archive.write_bytes(content)
    extract(tried, archive, top / "data" / "set")


@settings(PROFILE, max_examples=80)
@given(data=st.data())
def test_damaged_zips(tried: Tried, top: Path, data: st.DataObject) -> None:
    archive = write_zip(top / "set.zip", PICTURES)
    archive.write_bytes(data.draw(damaged_bytes(archive.read_bytes())))
    extract(tried, archive, top / "data" / "set")


@settings(PROFILE, max_examples=60)
@given(
    name=st.sampled_from([f"{name}.png" for name in NAMES if "\udcff" not in name]),
    mode=st.sampled_from([0o100644, 0o120777, 0o020666, 0o010644, 0]),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    extra=st.sampled_from([b"", b"\1\0\4\0abcd", b"\x75\x70\5\0\1\0\0\0\0", b"\1\0\xff\xff"]),
    damage=st.none() | st.integers(0, 200),
)
def test_odd_members_of_a_zip(
    tried: Tried,
    top: Path,
    name: str,
    mode: int,
    method: int,
    extra: bytes,
    damage: int | None,
) -> None:
    archive = write_zip(top / "set.zip", {"a.png": b"one"})
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type, info.extra = mode << 16, method, extra
    with zipfile.ZipFile(archive, "a") as target:
        target.writestr(info, b"/etc/passwd")
    if damage is not None:
        content = bytearray(archive.read_bytes())
        content[damage % len(content)] ^= 0xFF
        archive.write_bytes(content)
    extract(tried, archive, top / "data" / "set")


def odd_zips() -> dict[str, bytes]:
    """Zips that zipfile does not take, each for a reason of its own."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as target:
        target.writestr("é.png", b"one" * 99)
    whole = stream.getvalue()
    lzma_at = whole.index("é.png".encode()) + len("é.png".encode()) + 4
    place = whole.index(b"PK\1\2")
    return {
        "a name that is no UTF-8": whole.replace("é".encode(), b"\xff\xfe"),
        "LZMA that is damaged": whole[:lzma_at] + b"\xff" * 8 + whole[lzma_at + 8 :],
        "a member before the beginning": whole[: place + 42] + b"\xff" * 4 + whole[place + 46 :],
        "an unknown method": whole.replace(b"\x0e\0", b"\x63\0"),
        "a later version": whole[: place + 6] + b"\xff\0" + whole[place + 8 :],
        "an encrypted member": whole[: place + 8] + b"\1\x08" + whole[place + 10 :],
        "a directory that lacks": whole[:place],
        "no end": whole[:-22],
    }


@pytest.mark.parametrize("name", sorted(odd_zips()))
def test_zips_that_cannot_be_unpacked(tried: Tried, top: Path, name: str) -> None:
    (top / "set.zip").write_bytes(odd_zips()[name])
    assert extract(tried, top / "set.zip", top / "data" / "set") is not None


def test_links_in_a_zip_become_files(tried: Tried, top: Path) -> None:
    info = zipfile.ZipInfo("a/link.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(top / "set.zip", "w") as target:
        target.writestr(info, b"/etc/passwd")
    extract_flat(top / "set.zip", top / "data" / "set", ".png", 2000, 12)
    assert (top / "data" / "set" / "link.png").read_bytes() == b"/etc/passwd"
    assert plain_below(top)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, b"x", b"g"])
def test_headers_without_end_take_no_memory(tried: Tried, top: Path, kind: bytes) -> None:
    """100 kB of gzip whose first header is a hundred million bytes long."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, 10**8
    archive = top / "set.tgz"
    with gzip.open(archive, "wb", 1) as stream:
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(100):
            stream.write(bytes(10**6))
    refused_without_memory(tried, archive, top)


@pytest.mark.parametrize("name", ["set/bomb", "._bomb", "."])
def test_files_without_end_are_not_unpacked(tried: Tried, top: Path, name: str) -> None:
    archive = top / "set.tgz"
    info = tarfile.TarInfo(name)
    info.size = 10**8
    with gzip.open(archive, "wb", 1) as stream:
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(100):
            stream.write(bytes(10**6))
    assert "more than 12 files or 0 MiB" in refused_without_memory(tried, archive, top)


def test_more_files_than_there_can_be(tried: Tried, top: Path) -> None:
    """What is left out counts too: it would be read for ever."""
    archive = write(top / "set.tgz", *FILES, *(member(f"._{index}", b"") for index in range(20)))
    assert "more than 12 files" in refused_without_memory(tried, archive, top)


@pytest.mark.parametrize("told", [True, False])
def test_a_zip_without_end(tried: Tried, top: Path, told: bool) -> None:
    """100 MB of zeros in 100 kB; a member that tells less is cut there, and its checksum is off."""
    archive = write_zip(top / "set.zip", {"a.png": bytes(10**8)})
    if not told:
        content = archive.read_bytes()
        archive.write_bytes(content.replace((10**8).to_bytes(4, "little"), b"\x64\0\0\0"))
    refused_without_memory(tried, archive, top)


def refused_without_memory(tried: Tried, archive: Path, top: Path) -> str:
    tracemalloc.start()
    sentence = extract(tried, archive, top / "data" / "set")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sentence is not None
    assert most < 2**24
    return sentence


def test_a_place_that_cannot_be_written(tried: Tried, top: Path) -> None:
    """Not the archive's fault, and no advice to delete it."""
    archive = write(top / "set.tgz", *FILES)
    (top / "file").touch()
    sentence = tried.refused(
        lambda: extract_folder(archive, top / "file" / "set", 2000, 12), ["set"], top
    )
    assert "delete" not in sentence
    assert [*(top / "data").iterdir()] == []
