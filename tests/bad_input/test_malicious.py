"""Checkpoints that would run code when unpickled, through every way in which weights come in."""

import contextlib
import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.io.checkpoints import read_checkpoint, read_state
from sparsight.models.base import build_network
from sparsight.models.networks import load_network
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.models.weights import fetch_weights, read_weights, weights_file
from sparsight.pruning.rounds import Job, make_rewind_point
from tests.bad_input.counting import Tried
from tests.unit.pruning.conftest import SETTINGS, write_split

# torch says of one of them that it is too new to be understood.
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, (f"import pathlib; pathlib.Path({str(self.marker)!r}).touch()",)


def saved(content: Any, **options: Any) -> bytes:
    """What torch writes."""
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def by_hand(pickled: bytes) -> bytes:
    """A torch archive of which the pickle is whatever one likes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return stream.getvalue()


def forms(marker: Path) -> dict[str, bytes]:
    """The ways to bring the object in."""
    evil = Malicious(marker)
    state = build_network(ThesisCnn, 4, 99).state_dict()
    text = f"cbuiltins\nexec\n(Vopen({str(marker)!r}, 'w')\ntR."
    return {
        "beside the weights": saved({"state_dict": state, "epoch": evil}),
        "as a weight": saved({**state, "conv1.bias": evil}),
        "as the whole": saved(evil),
        "as a key": saved({evil: state["conv1.bias"]}),
        "in the old format": saved({**state, "a": evil}, _use_new_zipfile_serialization=False),
        "a plain pickle": pickle.dumps({"state_dict": evil}),
        "an old pickle": pickle.dumps(evil, protocol=0),
        "written by hand": by_hand(text.encode()),
        "of one's own opcodes": text.encode(),
    }


FORMS = sorted(forms(Path("x")))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("quarters")
    splits = {name: write_split(folder / f"{name}.safetensors", 8, 0) for name in ("train", "test")}
    places = {"dataset": "quarters", "model": "cnn", "pruner": "dense"}
    identity = {"study": "test", **places, "seed": 1, "level": 0}
    settings = {**SETTINGS, "training": None, "initial_weights": "x.pth"}
    return Job(settings, identity, {"training": 1}, splits, torch.device("cpu"))


def test_the_object_is_malicious(tmp_path: Path) -> None:
    """Otherwise the tests below would show nothing."""

    def pickled() -> None:
        pickle.loads((tmp_path / "x.pth").read_bytes())

    for name, content in forms(tmp_path / "marker").items():
        (tmp_path / "x.pth").write_bytes(content)
        for unpickle in (lambda: torch.load(tmp_path / "x.pth", weights_only=False), pickled):
            # What comes after the object need not make sense.
            with contextlib.suppress(Exception):
                unpickle()
        assert (tmp_path / "marker").exists(), name
        (tmp_path / "marker").unlink()


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_others(tried: Tried, tmp_path: Path, job: Job, form: str) -> None:
    marker, output = tmp_path / "marker", tmp_path / "start.safetensors"
    for suffix in ("pth", "pt", "safetensors", "json"):
        path = tmp_path / f"x.{suffix}"
        path.write_bytes(forms(marker)[form])
        tried.refused(lambda path=path: read_weights(weights_file(path)), [str(path)], tmp_path)
        tried.refused(lambda path=path: make_rewind_point(job, output, path), [str(path)], tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("form", FORMS)
def test_our_own_files(tried: Tried, tmp_path: Path, form: str) -> None:
    marker, path = tmp_path / "marker", tmp_path / "checkpoint.safetensors"
    path.write_bytes(forms(marker)[form])
    tried.refused(lambda: read_checkpoint(path), [str(path)], tmp_path)
    tried.refused(lambda: load_network(path, torch.device("cpu")), [str(path)], tmp_path)
    assert read_state(path, "work") is None
    assert not marker.exists()


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_imagenet(tried: Tried, tmp_path: Path, job: Job, form: str) -> None:
    """Even where the digits in the name are right."""
    marker = tmp_path / "marker"
    content = forms(marker)[form]
    path = tmp_path / "data" / "weights" / f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    manifest = tmp_path / "net.json"
    fetch_weights(path.name, tmp_path / "data", manifest, [], {})
    assert json.loads(manifest.read_text())["path"] == str(path)
    output = tmp_path / "start.safetensors"
    tried.refused(lambda: make_rewind_point(job, output, manifest), [str(path)], tmp_path)
    assert not marker.exists()
