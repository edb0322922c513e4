"""Files that should be YAML: one sentence that names the file, whatever is in them."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsight.io.errors import InputError
from sparsight.study.yaml_files import MOST_DEPTH, load_yaml, refuse_unfolding
from tests.bad_input.counting import Tried
from tests.bad_input.damage import damaged_bytes
from tests.bad_input.mutations import ROOT

PROFILE = settings.get_profile("bad_input")
WHOLE = (ROOT / "studies" / "demo.yaml").read_bytes()


def bomb(levels: int, width: int = 9) -> str:
    """Aliases of aliases: `width` to the power of `levels` values in a few lines."""
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels + 1):
        copies = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{copies}]")
    return "\n".join(lines)


def merges(levels: int) -> str:
    """The same with keys that are merged."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels + 1):
        copies = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {{<<: [{copies}]}}")
    return "\n".join(lines)


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
    "a bomb": bomb(9).encode(),
    "a bomb of merges": merges(5).encode(),
    "very deep": b"a: " + b"[" * 5000 + b"]" * 5000,
    "deep": b"a: " + b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1),
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


def test_aliases_that_are_few_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{bomb(3)}\nb: {{<<: {{x: 1}}, y: 2}}\n", encoding="utf-8")
    found = load_yaml(path)
    assert len(found["a3"]) == 9
    assert found["b"] == {"x": 1, "y": 2}


@settings(PROFILE, max_examples=40)
@given(levels=st.integers(1, 12), width=st.integers(1, 9))
def test_what_aliases_stand_for_is_counted(tried: Tried, levels: int, width: int) -> None:
    """1 for a value and for each list, by a formula; the limit is a million."""
    content = yaml.safe_load(bomb(levels, width))
    counts = [2]
    for _ in range(levels):
        counts.append(1 + width * counts[-1])
    sentence = tried(lambda: refuse_unfolding(content, "x.yaml"), ["x.yaml"])
    assert (sentence is not None) == (1 + sum(counts) > 1_000_000)


def test_a_loop_is_refused_wherever_it_is() -> None:
    loop: list[object] = []
    loop.append({"a": [loop]})
    with pytest.raises(InputError, match=r"x\.yaml has an alias"):
        refuse_unfolding({"b": 1, "c": loop}, "x.yaml")
