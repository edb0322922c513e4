"""The two jobs that the workflow runs: fetch with a manifest, and prepare from it."""

import json
import threading
from pathlib import Path

import pytest

from sparsight.data import packing
from sparsight.data.packed import PackedSplit
from sparsight.data.packing import fetch_dataset, folder_lock, prepare_dataset
from sparsight.io.errors import InputError


def test_embedded_data_need_no_folder(tmp_path: Path) -> None:
    settings = {"source": "digits", "data_folder": str(tmp_path / "data")}
    manifest = tmp_path / "manifest.json"
    fetch_dataset(settings, manifest)
    written = json.loads(manifest.read_text())
    assert written["folder"] is None
    assert written["source"] == "digits"
    assert written["licence"].startswith("CC BY 4.0")
    assert not (tmp_path / "data").exists()
    prepare_dataset(settings, manifest, tmp_path / "packed" / "d" / "ids.parquet", "digits_28")
    with PackedSplit.open(tmp_path / "packed" / "d" / "test.safetensors") as split:
        assert split.dataset == "digits_28"
        assert len(split) == 500


def test_a_found_folder_is_noted_and_used(
    tmp_path: Path, archive: Path, make_mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_mnist(archive)
    monkeypatch.setattr(packing, "_source", lambda _: source)
    archive.rename(tmp_path / "mnist")
    settings = {"source": "mnist", "data_folder": str(tmp_path), "mirrors": []}
    manifest, ids = tmp_path / "manifest.json", tmp_path / "packed" / "ids.parquet"
    fetch_dataset(settings, manifest)
    assert json.loads(manifest.read_text())["folder"] == str(tmp_path / "mnist")
    prepare_dataset(settings, manifest, ids, "mnist")
    with PackedSplit.open(ids.with_name("test.safetensors")) as split:
        assert len(split) == 20
    (tmp_path / "mnist").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"mnist is gone; delete .*manifest\.json and run"):
        prepare_dataset(settings, manifest, ids, "mnist")


def test_a_failed_fetch_writes_no_manifest(
    tmp_path: Path, archive: Path, make_mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_source", lambda _: make_mnist(archive))
    monkeypatch.delenv("SPARSIGHT_DATA", raising=False)
    settings = {"source": "mnist", "data_folder": str(tmp_path / "data"), "mirrors": []}
    with pytest.raises(InputError, match="could not be fetched"):
        fetch_dataset(settings, tmp_path / "manifest.json")
    assert not (tmp_path / "manifest.json").exists()


def test_a_manifest_of_a_part_says_which_files_are_there(
    tmp_path: Path, archive: Path, make_mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_mnist(archive)
    monkeypatch.setattr(packing, "_source", lambda _: source)
    folder = archive.rename(tmp_path / "mnist")
    settings = {"source": "mnist", "data_folder": str(tmp_path), "mirrors": []}
    manifest, ids = tmp_path / "manifest.json", tmp_path / "packed" / "ids.parquet"

    def files(**more: bool) -> dict:
        fetch_dataset({**settings, **more}, manifest)
        (state,) = json.loads(manifest.read_text())["files"].values()
        return state

    first = files(partial=True)
    assert first["count"] == 4
    assert files(partial=True) == first
    (folder / "below").mkdir()
    (folder / "below" / "more.jpg").write_bytes(b"12")
    with pytest.raises(InputError, match=r"no longer those .*; delete .*manifest\.json"):
        prepare_dataset({**settings, "partial": True}, manifest, ids, "mnist")
    # Of the whole, its source knows which files it needs.
    prepare_dataset(settings, manifest, ids, "mnist")
    second = files(partial=True)
    assert second["count"] == 5
    prepare_dataset(settings, manifest, ids, "mnist")
    (folder / "below" / "more.jpg").write_bytes(b"123")
    third = files(partial=True)
    (folder / "below" / "more.jpg").rename(folder / "more.jpg")
    fourth = files(partial=True)
    assert len({found["sha256"] for found in (first, second, third, fourth)}) == 4


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"{}", b"3", b"\xff\xfe", None])
def test_a_manifest_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    manifest = tmp_path / "fetched" / "digits.json"
    if content is not None:
        manifest.parent.mkdir()
        manifest.write_bytes(content)
    settings = {"source": "digits", "noise": {"maximum": 0}}
    with pytest.raises(
        InputError, match=r"digits\.json (is|does) .*(remake it with|run snakemake)"
    ):
        prepare_dataset(settings, manifest, tmp_path / "packed" / "ids.parquet", "digits")
    assert not (tmp_path / "packed").exists()


def test_a_shared_folder_has_one_packer_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who had to wait keeps what was packed meanwhile, and refuses what is of another study."""
    manifest, ids = tmp_path / "manifest.json", tmp_path / "packed" / "d" / "ids.parquet"
    settings = {"source": "digits", "data_folder": str(tmp_path), "noise": {"maximum": 0}}
    fetch_dataset(settings, manifest)
    times: list[int] = []

    def prepare(waits: bool, **changes: object) -> None:
        thread = threading.Thread(
            target=lambda: outcome.append(attempt({**settings, **changes})), daemon=True
        )
        outcome: list[str] = []
        with folder_lock(ids.parent) as waited:
            assert not waited
            if waits:
                thread.start()
                waiting.wait(60)
        if not waits:
            thread.start()
        thread.join(60)
        times.append(ids.stat().st_mtime_ns)
        waiting.clear()
        assert len(outcome) == 1
        if outcome[0]:
            raise InputError(outcome[0])

    def attempt(wanted: dict) -> str:
        try:
            prepare_dataset(wanted, manifest, ids, "d")
        except InputError as error:
            return str(error)
        return ""

    waiting = threading.Event()
    monkeypatch.setattr("sparsight.data.packing._LOG.info", lambda *_: waiting.set(), raising=True)
    prepare(waits=False)
    prepare(waits=True)
    assert times[0] == times[1]
    # Snakemake asks for it again: nobody else has just done it.
    prepare(waits=False)
    assert times[2] != times[1]
    with pytest.raises(InputError, match=r"noise\.maximum is 0 there and 9 here"):
        prepare(waits=True, noise={"maximum": 9})
    assert times[3] == times[2]
    prepare(waits=False, noise={"maximum": 9})
