"""JSON files: what can be read, and one sentence for what cannot."""

from pathlib import Path

import pytest

from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import read_json, write_json


def test_an_object_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [1, None, "ü"]})
    assert read_json(tmp_path / "x.json") == {"a": [1, None, "ü"]}


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a": 1', b"\xff\xfe", b"[1]", b"3", b"[" * 10**5]
)
def test_all_else_is_corrupt(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "results" / "tiny" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(CorruptFile) as found:
        read_json(path)
    sentence = str(found.value)
    assert sentence.startswith(f"{path} is corrupt (it ")
    assert sentence.endswith("snakemake --cores 1 --forcerun results/tiny/x.json")
    assert "\n" not in sentence


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json does not exist; run snakemake again"):
        read_json(tmp_path / "none.json")
