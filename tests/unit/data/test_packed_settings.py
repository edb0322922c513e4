"""Packed data of another study: written down with their settings, refused where they differ."""

import json
from pathlib import Path

import pytest

from sparsight.data.packed import PackedSplit, read_planted
from sparsight.data.packed_settings import (
    KEY,
    PACKED_VARIABLE,
    content_settings,
    other_settings,
    settings_text,
)
from sparsight.data.packing import pack
from sparsight.data.registry import SOURCES
from sparsight.data.sources.digits import Digits
from sparsight.io.arrays import read_metadata
from sparsight.io.entries import header_metadata
from sparsight.io.errors import InputError

SMALL = {"source": "digits", "split": {"test": 60}, "noise": {"maximum": 7}}
DEFAULTS = {"split": {"test": 60, "validation": 0, "seed": 0}, "subset_seed": 0}
Environment = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "packed" / "digits"
    pack(Digits(), SMALL, Path("unused"), folder)
    return folder / "test.safetensors"


def announce(monkeypatch: Environment, **datasets: dict) -> None:
    monkeypatch.setenv(PACKED_VARIABLE, settings_text(datasets))


@pytest.mark.parametrize("same", [SMALL, {**SMALL, **DEFAULTS, "mirrors": ["http://x"]}])
def test_equal_settings_are_equal_however_they_are_written(
    packed: Path, monkeypatch: Environment, same: dict
) -> None:
    announce(monkeypatch, digits=same)
    with PackedSplit.open(packed) as split:
        assert len(split) == 60
    assert read_planted(packed) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"noise": {"maximum": 200}}, "noise.maximum is 7 there and 200 here"),
        ({"noise": {"maximum": 7, "seed": 1}}, "noise.seed is 0 there and 1 here"),
        ({"split": {"test": 300}}, "split.test is 60 there and 300 here"),
        ({"subset_seed": 3}, "subset_seed is 0 there and 3 here"),
        ({"source": "mnist"}, "source is 'digits' there and 'mnist' here"),
    ],
)
def test_other_settings_are_refused_and_both_are_named(
    packed: Path, monkeypatch: Environment, change: dict, named: str
) -> None:
    announce(monkeypatch, digits={**SMALL, **change})
    for read in (PackedSplit.open, read_planted):
        with pytest.raises(InputError) as caught:
            read(packed)
        for words in (str(packed), named, "'data_folder'", "--forcerun"):
            assert words in str(caught.value)


def test_only_the_studys_own_data_sets_are_compared(packed: Path, monkeypatch: Environment) -> None:
    announce(monkeypatch, digits_2={**SMALL, "subset_seed": 3})
    PackedSplit.open(packed).close()
    monkeypatch.delenv(PACKED_VARIABLE)
    PackedSplit.open(packed).close()


def test_files_of_older_versions_are_refused(packed: Path) -> None:
    metadata = read_metadata(packed)
    assert header_metadata(packed) == {
        **metadata,
        "checksums": header_metadata(packed)["checksums"],
    }
    wanted = json.loads(settings_text({"digits": SMALL}))["digits"]
    assert other_settings(metadata, wanted) == ""
    del metadata[KEY]
    assert "older version" in other_settings(metadata, wanted)


def test_a_header_that_is_none(tmp_path: Path) -> None:
    for content in (b"", b"12", b"\xff" * 40, (2).to_bytes(8, "little") + b"{}"):
        (tmp_path / "x").write_bytes(content)
        assert header_metadata(tmp_path / "x") is None
    assert header_metadata(tmp_path / "y") is None


def test_a_base_counts_with_its_own_defaults() -> None:
    parameters = SOURCES.facts("trojaned")["parameters"]

    def found(**options: object) -> dict:
        base = {"source": "digits", "options": options}
        return content_settings("trojaned", parameters, {"base": base, "trojan": {"seed": 1}})

    assert found() == found(split={"test": 500}) != found(split={"test": 400})
    assert found()["trojan"]["share"] == parameters["trojan"]["share"]
