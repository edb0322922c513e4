"""Files that should be YAML: one sentence that names the file, whatever is in them."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from sparsight.study.yaml_files import load_yaml
from tests.bad_input.counting import Tried
from tests.bad_input.damage import damaged_bytes
from tests.bad_input.mutations import ROOT

PROFILE = settings.get_profile("bad_input")
WHOLE = (ROOT / "studies" / "demo.yaml").read_bytes()


WRONG = {
    "nothing": b"",
    "blank": b"\n\n   \n",
    "only a comment": b"# study: a\n",
    "a list": b"- study\n- seeds\n",
    "a word": b"study\n",
    "a number": b"12\n",
    "null": b"~\n",
    "tabs": b"study: a\n\tseeds: [1]\n",
    "a tab as indent": b"catalogue:\n\tmodels: {}\n",
    "a key twice": b"seeds: [1]\nstudy: a\nseeds: [2]\n",
    "a key twice below": b"catalogue: {models: {}, models: {}}\n",
    "two documents": b"study: a\n---\nstudy: b\n",
    "latin 1": "study: h\xe4user\n".encode("latin-1"),
    "UTF-16": "study: a\n".encode("utf-16"),
    "binary": bytes(range(256)),
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "a NUL": b"study: a\0b\n",
    "an escape": b"study: \x1b[31m\n",
    "an open bracket": b"seeds: [1, 2\n",
    "an open quote": b"study: 'a\n",
    "a colon too many": b"study: a: b\n",
    "an unknown alias": b"study: *a\n",
    "an unknown tag": b"study: !thing a\n",
    "a Python tag": b"study: !!python/object/apply:os.system ['touch here']\n",
    "a Python module": b"study: !!python/module:os\n",
    "a Python name": b"study: !!python/name:os.system\n",
    "a loop": b"catalogue: &a {models: *a}\n",
    "a loop of lists": b"seeds: &a [*a]\n",
    "the whole a loop": b"&a {study: *a}\n",
    "very deep": b"a: " + b"[" * 5000 + b"]" * 5000,
    "no such day": b"study: 2024-02-30\n",
    "a list as a key": b"? [1, 2]\n: 3\n",
    "a mapping as a key": b"{a: 1}: 3\n",
    "a number of thousands of digits": b"seeds: [" + b"9" * 5000 + b"]\n",
    "sixty": b"seeds: [1:99:99:99]\nseeds: 1\n",
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_is_no_configuration_is_one_sentence(tried: Tried, tmp_path: Path, name: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(WRONG[name])
    tried.refused(lambda: load_yaml(path), [str(path)], tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize("name", ["absent.yaml", "folder", "x" * 300, "ä\nö.yaml"])
def test_what_cannot_be_opened(tried: Tried, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    tried.refused(lambda: load_yaml(tmp_path / name), [str(tmp_path)], tmp_path)


@settings(PROFILE, max_examples=100)
@given(content=damaged_bytes(WHOLE))
def test_damage_to_a_study(
    tried: Tried, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(content)
    found: list[object] = []
    if tried(lambda: found.append(load_yaml(path)), [str(path)]) is None:
        assert isinstance(found[0], dict)


def test_aliases_and_merges_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: &a [x]\nb: {<<: {x: 1}, y: 2}\nc: [*a, *a]\n", encoding="utf-8")
    assert load_yaml(path) == {"a": ["x"], "b": {"x": 1, "y": 2}, "c": [["x"], ["x"]]}
