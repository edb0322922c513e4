"""torchvision's weights: where they are looked for, what is fetched, what is refused."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sparsight.io.errors import CorruptFile, InputError
from sparsight.models.registry import MODELS
from sparsight.models.weights import checksum_in, fetch_weights, weights_file

CONTENT = b"weights, in whatever format"
NAME = f"tiny-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
# Port 9 (discard) of this machine: nothing listens there.
NOBODY = "http://127.0.0.1:9/"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server that offers the file."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / NAME).write_bytes(CONTENT)
    handler = partial(Quiet, directory=str(tmp_path / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_missing_file_is_fetched_and_its_place_written_down(tmp_path: Path, mirror: str) -> None:
    manifest = tmp_path / "x.json"
    fetch_weights(NAME, tmp_path / "data", manifest, [mirror], {})
    path = tmp_path / "data" / "weights" / NAME
    assert path.read_bytes() == CONTENT
    digits = hashlib.sha256(CONTENT).hexdigest()
    assert json.loads(manifest.read_text()) == {"name": NAME, "path": str(path), "sha256": digits}
    assert weights_file(manifest) == path


@pytest.mark.parametrize("where", ["data", "shared"])
def test_a_file_that_is_there_is_used(tmp_path: Path, where: str) -> None:
    path = tmp_path / where / "weights" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    environ = {"SPARSIGHT_DATA": str(tmp_path / "shared")}
    fetch_weights(NAME, tmp_path / "data", tmp_path / "x.json", [NOBODY], environ)
    assert json.loads((tmp_path / "x.json").read_text())["path"] == str(path)


def test_without_a_connection_it_says_where_the_file_belongs(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch_weights(NAME, tmp_path / "data", tmp_path / "x.json", [NOBODY], {})
    for part in (
        NAME,
        "no connection",
        str(tmp_path / "data" / "weights"),
        "$SPARSIGHT_DATA/weights",
    ):
        assert part in str(caught.value)
    assert not (tmp_path / "x.json").exists()
    assert not (tmp_path / "data" / "weights").exists()


def test_another_file_of_that_name_is_refused(tmp_path: Path, mirror: str) -> None:
    path = tmp_path / "data" / "weights" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(CorruptFile, match="does not match its checksum"):
        fetch_weights(NAME, tmp_path / "data", tmp_path / "x.json", [mirror], {})
    assert path.read_bytes() == CONTENT + b"!"
    (tmp_path / "served" / NAME).write_bytes(b"something else")
    with pytest.raises(InputError, match="wrong checksum"):
        fetch_weights(NAME, tmp_path / "new", tmp_path / "x.json", [mirror], {})
    assert not (tmp_path / "new" / "weights" / NAME).exists()


@pytest.mark.parametrize("name", ["resnet50.pth", "resnet50-0676ba.pth", "net-0676ba6g.pth"])
def test_a_name_without_a_checksum_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="does not end in digits"):
        checksum_in(name)


def test_all_registered_files_have_a_checksum() -> None:
    names = [MODELS.facts(name)["imagenet_weights"] for name in MODELS.entries]
    found = [checksum_in(name) for name in names if name]
    assert found == ["0cc3c7bd", "f37072fd", "0676ba61"]
