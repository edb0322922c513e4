"""Unpacking: all plain files or nothing, whatever the archive holds."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from sparsight.data.download import extract_flat, extract_folder
from sparsight.io.errors import CorruptFile, InputError


def member(name: str, content: bytes = b"x", **facts: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, content


def write(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


FILES = (member("set/a/1.txt", b"one"), member("set/b/2.txt", b"two"))


def test_files_come_out(tmp_path: Path) -> None:
    archive = write(tmp_path / "set.tgz", member("set", b"", type=tarfile.DIRTYPE), *FILES)
    folder = tmp_path / "data" / "set"
    # An empty folder may be there, and what a killed extraction left.
    folder.mkdir(parents=True)
    (folder.parent / ".set.partial" / "set").mkdir(parents=True)
    (folder.parent / ".set.partial" / "set" / "old").touch()
    extract_folder(archive, folder)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.txt")}
    assert sorted(found) == ["a/1.txt", "b/2.txt"]
    assert found["b/2.txt"].read_bytes() == b"two"
    assert [path.name for path in folder.parent.iterdir()] == ["set"]
    assert not (folder / "old").exists()


@pytest.mark.parametrize(
    "bad",
    [
        member("../evil.txt"),
        member("set/../../evil.txt"),
        member("set/link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("set/link", b"", type=tarfile.SYMTYPE, linkname="../../evil.txt"),
        member("set/pipe", b"", type=tarfile.FIFOTYPE),
    ],
)
def test_refused_members_leave_nothing(tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes]) -> None:
    archive = write(tmp_path / "set.tgz", *FILES, bad)
    folder = tmp_path / "data" / "set"
    with pytest.raises(CorruptFile, match="it cannot be unpacked") as caught:
        extract_folder(archive, folder)
    assert str(archive) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(folder.parent.iterdir()) == []
    assert not (tmp_path / "evil.txt").exists()


def test_damaged_archives(tmp_path: Path) -> None:
    whole = write(tmp_path / "set.tgz", *FILES).read_bytes()
    plain = gzip.decompress(whole)
    wrong = [
        b"",
        b"no archive",
        whole[: len(whole) // 2],
        # Tar files may lack their end; here one ends within a file.
        gzip.compress(plain[:514]),
        gzip.compress(b"no archive" * 100),
    ]
    for content in wrong:
        archive = tmp_path / "wrong.tgz"
        archive.write_bytes(content)
        with pytest.raises(CorruptFile, match=r"wrong\.tgz is not the archive that it should be"):
            extract_folder(archive, tmp_path / "data" / "set")
        assert list((tmp_path / "data").iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    archive = write(tmp_path / "set.tgz", *FILES)
    (tmp_path / "data").touch()
    with pytest.raises(InputError, match="set cannot be written"):
        extract_folder(archive, tmp_path / "data" / "set")


def test_files_beside_the_folder_are_moved_into_it(tmp_path: Path) -> None:
    root = member("./", b"", type=tarfile.DIRTYPE)
    stub = member("._set", b"what macOS adds")
    beside = member("./names.txt", b"1 a")
    archive = write(tmp_path / "set.tgz", root, stub, beside, *FILES)
    folder = tmp_path / "data" / "set"
    extract_folder(archive, folder, beside=("names.txt", "absent.txt"))
    assert (folder / "names.txt").read_bytes() == b"1 a"
    assert {path.name for path in folder.iterdir()} == {"a", "b", "names.txt"}
    assert [path.name for path in folder.parent.iterdir()] == ["set"]


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return path


PICTURES = {
    "masks/": b"",
    "masks/a.png": b"one",
    "b.png": b"two",
    "notes.txt": b"left out",
    "__MACOSX/masks/._a.png": b"left out",
    "masks/._b.png": b"left out",
}


def test_files_of_a_zip_come_out_flat(tmp_path: Path) -> None:
    archive, folder = write_zip(tmp_path / "masks.zip", PICTURES), tmp_path / "data" / "masks"
    folder.mkdir(parents=True)
    (folder.parent / ".masks.partial").mkdir()
    (folder.parent / ".masks.partial" / "old.png").touch()
    extract_flat(archive, folder, ".png")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a.png": b"one",
        "b.png": b"two",
    }
    assert [path.name for path in folder.parent.iterdir()] == ["masks"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a/x.png": b"1", "b/x.png": b"2"}, r"it holds 'x\.png' twice"),
        ({"x.txt": b"1"}, r"it holds no \.png files"),
    ],
)
def test_zips_that_are_refused_leave_nothing(tmp_path: Path, files: dict, reason: str) -> None:
    archive = write_zip(tmp_path / "set.zip", files)
    with pytest.raises(CorruptFile, match=reason):
        extract_flat(archive, tmp_path / "data" / "set", ".png")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_zip_cannot_reach_outside(tmp_path: Path) -> None:
    files = {"../evil.png": b"x", f"{tmp_path}/evil.png2.png": b"y"}
    archive, folder = write_zip(tmp_path / "set.zip", files), tmp_path / "data" / "set"
    extract_flat(archive, folder, ".png")
    assert sorted(path.name for path in folder.iterdir()) == ["evil.png", "evil.png2.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "set.zip"]


def test_damaged_zips(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "set.zip", {"a.png": bytes(range(256)) * 4}).read_bytes()
    for content in (b"", b"no archive", whole[:-10], whole[:60] + b"\0\0" + whole[62:]):
        archive = tmp_path / "wrong.zip"
        archive.write_bytes(content)
        with pytest.raises(CorruptFile, match=r"wrong\.zip is not the archive"):
            extract_flat(archive, tmp_path / "data" / "set", ".png")
        assert list((tmp_path / "data").iterdir()) == []
