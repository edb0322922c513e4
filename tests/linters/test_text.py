"""House rules of every text file in the repository."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.linters.source_files import ROOT, listed, place, text_of

FOLDERS = "|".join(["work", "farm", "root"])
MACHINE_PATH = re.compile(rf"(?:^|[^A-Za-z0-9_.])/(?:{FOLDERS})/")
# Written so that this file does not find itself.
UNFINISHED = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X)\b")
NOT_WRITTEN = re.compile(r"\bNotImplemented[E]rror\b")
WRITTEN_BY_HAND = {".py", ".smk", ".yaml", ".yml", ".md", ".toml", ".cff", ".rst", ".cfg", ""}


def repository_files():
    """Files that git tracks or would track; all files where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        names = sorted(filter(None, listed.stdout.split("\0")))
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    hidden = ("data", "build", "dist")
    relative = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return sorted(
        ROOT / path
        for path in relative
        if not path.parts[0].startswith(".") and path.parts[0] not in hidden
    )


def is_text(path):
    with path.open("rb") as file:
        return b"\0" not in file.read(8192)


TEXTS = [path for path in repository_files() if is_text(path)]


def found_in(paths, pattern):
    return [
        f"{place(path, number)}: {line[:100]}"
        for path in paths
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if pattern.search(line)
    ]


def test_repository_is_listed():
    assert Path(__file__) in TEXTS


def test_no_path_of_one_machine():
    found = found_in(TEXTS, MACHINE_PATH)
    assert not found, listed(found)


def test_nothing_is_left_for_later():
    by_hand = [path for path in TEXTS if path.suffix in WRITTEN_BY_HAND]
    unfinished = found_in(by_hand, UNFINISHED)
    assert not unfinished, listed(unfinished, "finish it, or write an issue")
    not_written = found_in(by_hand, NOT_WRITTEN)
    assert not not_written, listed(not_written, "an abstract method says it better")


@pytest.mark.parametrize("folder", FOLDERS.split("|"))
def test_paths_of_a_machine_are_found(folder):
    for before in ("", " ", "'", "="):
        assert MACHINE_PATH.search(f"{before}/{folder}/data")
    for text in (f"src/{folder}/data", f"../{folder}/x", f"{folder}/x", f"/{folder}flow/x"):
        assert not MACHINE_PATH.search(text)


@pytest.mark.parametrize("word", ["TO-DO", "FIX-ME", "X-XX"])
def test_unfinished_work_is_found(word):
    word = word.replace("-", "")
    assert UNFINISHED.search(f"# {word}: later")
    assert not UNFINISHED.search(f"{word}S")
