"""Small archives in MNIST's original format, and web servers on this machine that offer them."""

import gzip
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sparsight.data.sources.mnist import Mnist


def idx_bytes(values: np.ndarray, kind: int = 8) -> bytes:
    """An idx file, written by hand from the format's description."""
    header = bytes([0, 0, kind, values.ndim])
    return header + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.tobytes()


def small_archive(folder: Path, train: int = 30, test: int = 20, seed: int = 0) -> dict[str, bytes]:
    """Write the four files of a small MNIST into `folder`; returns their contents."""
    rng = np.random.default_rng(seed)
    files = {}
    for part, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        images[images < 128] = 0
        labels = (np.arange(count) % 10).astype(np.uint8)
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx_bytes(images))
        files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx_bytes(labels))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return files


def mnist_for(folder: Path) -> Mnist:
    """A source whose checksums are those of the files in `folder`."""
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*.gz"))
    }

    class SmallMnist(Mnist):
        checksums = found

    return SmallMnist()


class Server:
    """Serves one folder and remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        requests: list[str] = []
        encodings: list[str | None] = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=str(folder))

            def do_GET(self) -> None:
                requests.append(self.path)
                encodings.append(self.headers.get("Accept-Encoding"))
                super().do_GET()

            def log_message(self, *arguments: object) -> None:
                pass

        self.requests, self.encodings, self.handler = requests, encodings, Handler
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Server]]:
    """Start a server for a folder; all are stopped after the test."""
    # A proxy of the surroundings must not stand between the test and its own servers.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers: list[Server] = []

    def start(folder: Path) -> Server:
        servers.append(Server(folder))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder with a small MNIST in the original format."""
    folder = tmp_path / "archive"
    small_archive(folder)
    return folder


@pytest.fixture
def make_mnist() -> Callable[[Path], Mnist]:
    return mnist_for


@pytest.fixture
def make_idx() -> Callable[..., bytes]:
    return idx_bytes
