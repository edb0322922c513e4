"""Files appear whole or not at all."""

import json
from pathlib import Path

import pytest

from sparsight.io import files
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import (
    COMMAND_VARIABLE,
    atomic_path,
    command_to_repeat,
    expand_path,
    read_json,
    remedy,
    write_json,
    write_text,
)


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.svg"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".svg"
        assert temporary.name.startswith("."), "a pattern such as *.svg would find it"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failing_block_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def failing() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        failing()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_rename_leaves_nothing_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(PermissionError):
        write_text(tmp_path / "x.txt", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x.txt"):
        pass


def test_what_a_killed_job_left_is_cleaned_away(tmp_path: Path) -> None:
    stale = tmp_path / ".x.99999.partial.txt"
    stale.write_text("half")
    write_text(tmp_path / "x.txt", "whole")
    assert list(tmp_path.iterdir()) == [tmp_path / "x.txt"]


def test_what_other_jobs_are_writing_is_left_alone(tmp_path: Path) -> None:
    others = [".x.99999.partial.csv", ".xy.99999.partial.txt", ".x.y.99999.partial.txt"]
    others.append(".x.1.99999.partial.txt")
    for name in others:
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "x.txt", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {*others, "x.txt"}


def test_names_with_characters_of_patterns(tmp_path: Path) -> None:
    (tmp_path / ".x[1].99999.partial.txt").write_text("half")
    write_text(tmp_path / "x[1].txt", "whole")
    assert list(tmp_path.iterdir()) == [tmp_path / "x[1].txt"]


def test_content_is_on_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    replace = Path.replace

    def fsync(handle: int) -> None:
        steps.append("flush " + Path(f"/proc/self/fd/{handle}").readlink().name.split(".")[-1])

    def rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    folder = tmp_path / "folder"
    write_text(folder / "x.txt", "whole")
    assert steps == ["flush txt", "rename", "flush folder"]


def test_text_is_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "ρ × τ\n")
    assert (tmp_path / "x.txt").read_bytes() == "ρ × τ\n".encode()


def test_json_is_sorted_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": [1, None], "a": {"d": 1.5, "c": True}})
    text = (tmp_path / "x.json").read_text()
    assert text.endswith("}\n")
    assert text.index('"a"') < text.index('"b"')
    assert text.index('"c"') < text.index('"d"')
    assert json.loads(text) == {"a": {"c": True, "d": 1.5}, "b": [1, None]}


def test_json_refuses_what_json_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert (tmp_path / "x.json").read_text() == "old"


ENVIRON = {"HOME": "/home/ada", "SCRATCH": "/scratch", "ODD": "$HOME", "EMPTY": ""}


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("~/x", "/home/ada/x"),
        ("~", "/home/ada"),
        ("$HOME/x", "/home/ada/x"),
        ("${SCRATCH}/a/$HOME", "/scratch/a//home/ada"),
        ("$ODD/x", "$HOME/x"),
        ("data", "data"),
        ("a/~/b~", "a/~/b~"),
        ("5$", "5$"),
    ],
)
def test_as_a_shell_does(given: str, right: str) -> None:
    assert expand_path(given, "data_folder", ENVIRON) == right


@pytest.mark.parametrize("given", ["$NOWHERE/x", "${NOWHERE}", "$EMPTY/x", "~no_such_user/x"])
def test_what_stands_for_nothing_is_an_error(given: str) -> None:
    with pytest.raises(InputError, match="data_folder"):
        expand_path(given, "data_folder", ENVIRON)


LEVEL = "results/tiny/digits/cnn/seed1/dense/level00"


@pytest.mark.parametrize(
    "path",
    [
        f"{LEVEL}/checkpoint.safetensors",
        f"{LEVEL}/explanations/cam.safetensors",
        "results/tiny/summary/levels.csv",
        "sub/results/tiny/summary/levels.csv",
        "data/packed/digits/test.safetensors",
        "/scratch/data/packed/digits/test.safetensors",
        "data/fetched/digits.json",
        "data/fetched/weights/x.json",
    ],
)
def test_what_the_workflow_made_is_remade_by_its_command(path: str) -> None:
    assert remedy(path, {}) == f"remake it with: snakemake --cores 1 --forcerun {path}"
    command = "snakemake --cores 8 --configfile 'my study.yaml'"
    found = remedy(path, {COMMAND_VARIABLE: command})
    assert found == f"remake it with: {command} --forcerun {path}"


def test_elsewhere_the_command_says_where_to_go() -> None:
    found = remedy("/home/me/my project/results/tiny/summary/levels.csv", {})
    assert found == (
        "remake it with: cd '/home/me/my project' && snakemake --cores 1 --forcerun "
        "results/tiny/summary/levels.csv"
    )


def test_here_it_need_not_go_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = remedy(Path.cwd() / "results/tiny/summary/levels.csv", {})
    assert found.endswith("with: snakemake --cores 1 --forcerun results/tiny/summary/levels.csv")


@pytest.mark.parametrize(
    "path",
    [
        "mine.safetensors",
        "/home/me/networks/mine.safetensors",
        "data/mnist/t10k-images-idx3-ubyte.gz",
        "results/reference/thesis_mnist/levels.parquet",
    ],
)
def test_what_it_did_not_make_cannot_be_remade(path: str) -> None:
    assert remedy(path, {}) == "the workflow did not make it: copy or fetch it again"


def test_the_environment_of_the_job_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMMAND_VARIABLE, "snakemake --workflow-profile profiles/slurm")
    assert "with: snakemake --workflow-profile profiles/slurm --forcerun results/" in remedy(
        f"{LEVEL}/evaluation.json"
    )


def test_the_command_that_is_kept_does_not_make_everything_again() -> None:
    arguments = [
        "--cores",
        "2",
        "-F",
        "--configfile",
        "my study.yaml",
        "--forceall",
        "-f",
        "-n",
        "--dry-run",
    ]
    assert command_to_repeat(arguments) == "snakemake --cores 2 --configfile 'my study.yaml'"
    assert command_to_repeat(["-R", "score_explanations"]) == "snakemake -R score_explanations"


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
