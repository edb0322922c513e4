"""Downloads from servers on this machine that offer small archives in the original format."""

import hashlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from sparsight.data.download import fetch_files, is_private, verify_files
from sparsight.data.sources.mnist import Mnist
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.provenance import sha256_of

FILES = sorted(Mnist.checksums)
# Port 9 (discard) of this machine: nothing listens there.
NOBODY = "http://127.0.0.1:9/"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_fetches_all_four_files(tmp_path: Path, archive: Path, make_mnist, serve) -> None:
    server = serve(archive.parent)
    mirror = f"{server.address}{archive.name}/"
    make_mnist(archive).fetch({"mirrors": [mirror]}, tmp_path / "data" / "mnist")
    assert contents(tmp_path / "data" / "mnist") == contents(archive)
    assert sorted(server.requests) == [f"/{archive.name}/{name}" for name in FILES]
    # A server must not pack the archives once more.
    assert set(server.encodings) == {"identity"}


def test_local_copy_is_used_without_a_request(archive: Path, make_mnist, serve) -> None:
    server = serve(archive)
    before = contents(archive)
    make_mnist(archive).fetch({"mirrors": [server.address]}, archive)
    assert server.requests == []
    assert contents(archive) == before


def test_only_what_is_missing_is_fetched(tmp_path: Path, archive: Path, make_mnist, serve) -> None:
    source, server = make_mnist(archive), serve(archive)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name in FILES[1:]:
        (folder / name).write_bytes((archive / name).read_bytes())
    source.fetch({"mirrors": [server.address]}, folder)
    assert server.requests == [f"/{FILES[0]}"]
    assert contents(folder) == contents(archive)


@pytest.mark.parametrize("damage", ["absent", "wrong", "truncated", "nobody"])
def test_falls_back_to_the_second_mirror(
    tmp_path: Path, archive: Path, make_mnist, serve, damage: str
) -> None:
    source = make_mnist(archive)
    (tmp_path / "first").mkdir()
    for name, content in contents(archive).items():
        if damage != "absent":
            changed = content[:-5] if damage == "truncated" else b"<html>moved</html>"
            (tmp_path / "first" / name).write_bytes(changed)
    first = NOBODY if damage == "nobody" else serve(tmp_path / "first").address
    # Without the final slash, which users forget.
    second = serve(archive).address.rstrip("/")
    source.fetch({"mirrors": [first, second]}, tmp_path / "mnist")
    assert contents(tmp_path / "mnist") == contents(archive)


def test_all_mirrors_fail(tmp_path: Path, archive: Path, make_mnist, serve) -> None:
    source = make_mnist(archive)
    (tmp_path / "wrong").mkdir()
    for name in FILES:
        (tmp_path / "wrong" / name).write_bytes(b"something else")
    (tmp_path / "empty").mkdir()
    wrong, empty = serve(tmp_path / "wrong").address, serve(tmp_path / "empty").address
    folder = tmp_path / "data" / "mnist"
    with pytest.raises(InputError) as caught:
        source.fetch({"mirrors": [wrong, empty, NOBODY]}, folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert f"{wrong} (wrong checksum, SHA-256 " in sentence
    assert f"{empty} (HTTP 404)" in sentence
    assert f"{NOBODY} (no connection)" in sentence
    assert "'mirrors'" in sentence
    assert str(folder) in sentence
    assert not folder.exists()


def test_no_mirror_and_an_odd_address(tmp_path: Path, archive: Path, make_mnist) -> None:
    source = make_mnist(archive)
    with pytest.raises(InputError, match="none is named"):
        source.fetch({"mirrors": []}, tmp_path / "mnist")
    with pytest.raises(InputError, match=r"gopher://x/ \(no https address\)"):
        source.fetch({"mirrors": ["gopher://x/"]}, tmp_path / "mnist")
    with pytest.raises(InputError, match="'mirrors' must be a list"):
        source.fetch({"mirrors": "http://x/"}, tmp_path / "mnist")


def test_files_that_came_whole_are_kept(tmp_path: Path, archive: Path, make_mnist, serve) -> None:
    source = make_mnist(archive)
    whole = contents(archive)
    names = list(source.checksums)
    (archive / names[1]).unlink()
    folder = tmp_path / "mnist"
    with pytest.raises(InputError, match=names[1]):
        source.fetch({"mirrors": [serve(archive).address]}, folder)
    assert contents(folder) == {names[0]: whole[names[0]]}


def test_wrong_local_file_is_never_used(archive: Path, make_mnist, serve) -> None:
    source, server = make_mnist(archive), serve(archive)
    path = archive / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes() + b"\0")
    before = contents(archive)
    calls: list[Callable[[], object]] = [
        lambda: source.fetch({"mirrors": [server.address]}, archive),
        lambda: source.read({}, archive),
    ]
    for call in calls:
        with pytest.raises(CorruptFile, match="does not match its checksum") as caught:
            call()
        assert str(path) in str(caught.value)
        assert "delete it and fetch" in str(caught.value)
    assert server.requests == []
    assert contents(archive) == before


def test_a_place_that_cannot_be_written(tmp_path: Path, archive: Path, make_mnist, serve) -> None:
    (tmp_path / "mnist").write_text("a file, not a folder")
    with pytest.raises(InputError, match="cannot be"):
        make_mnist(archive).fetch({"mirrors": [serve(archive).address]}, tmp_path / "mnist")


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1.
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "abc") == known


def test_md5_and_a_dataverse_that_is_asked_by_number(tmp_path: Path, serve) -> None:
    content = b"a table"
    digits = hashlib.md5(content).hexdigest()
    server_folder = tmp_path / "server" / "api" / "access" / "datafile"
    server_folder.mkdir(parents=True)
    (server_folder / "17").write_bytes(content)
    (server_folder.parent / "table.csv").write_bytes(content)
    server = serve(tmp_path / "server")
    dataverse = f"{server.address}api/access/datafile/"
    checksums, numbers = {"table.csv": f"md5:{digits}"}, {"table.csv": "17?format=original"}
    fetch_files(tmp_path / "a", checksums, [dataverse], numbers=numbers)
    assert contents(tmp_path / "a") == {"table.csv": content}
    # An ordinary mirror has the file under its name.
    fetch_files(tmp_path / "b", checksums, [f"{server.address}api/access"], numbers=numbers)
    assert contents(tmp_path / "b") == {"table.csv": content}
    assert server.requests == [
        "/api/access/datafile/17?format=original",
        "/api/access/table.csv",
    ]
    (tmp_path / "a" / "table.csv").write_bytes(b"changed")
    with pytest.raises(CorruptFile, match=rf"\(MD5 \w{{12}}… instead of {digits[:12]}…\)"):
        verify_files(tmp_path / "a", checksums)
    (server_folder / "17").write_bytes(b"other")
    with pytest.raises(InputError, match="wrong checksum, MD5"):
        fetch_files(tmp_path / "c", checksums, [dataverse], numbers=numbers)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("https://example.org/x", True),
        ("HTTPS://example.org", True),
        ("http://127.0.0.1:8000/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:80/x", True),
        ("http://example.org/x", False),
        ("http://127.0.0.1.example.org/", False),
        ("http://localhost.example.org/", False),
        ("http://127.0.0.1@example.org/", False),
        ("http://10.0.0.1/", False),
        ("https:///x", False),
        ("ftp://example.org/", False),
        ("file:///etc/passwd", False),
        ("http://[::1/", False),
        ("/data", False),
        ("", False),
    ],
)
def test_what_nobody_between_can_read(address: str, private: bool) -> None:
    assert is_private(address) is private


def test_an_open_mirror_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*arguments: object, **_: object) -> None:
        raise AssertionError(f"asked for {arguments}")

    monkeypatch.setattr("requests.Session.send", asked)
    with pytest.raises(InputError, match=r"http://example\.org/ \(no https address\)"):
        fetch_files(tmp_path / "new", {"a.gz": "0" * 64}, ["http://example.org/"])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("target", ["http://example.org/a.gz", "//example.org/a.gz", "ftp://x/a"])
def test_a_redirection_to_an_open_address_is_not_followed(
    tmp_path: Path, serve, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    (tmp_path / "served").mkdir()
    server = serve(tmp_path / "served")

    def redirected(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    monkeypatch.setattr(server.handler, "do_GET", redirected)
    with pytest.raises(InputError, match="leads to an address without https"):
        fetch_files(tmp_path / "new", {"a.gz": "0" * 64}, [server.address])
    assert not (tmp_path / "new").exists()
