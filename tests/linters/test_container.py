"""The Containerfile agrees with the project; nobody builds the image in the tests."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")


def instructions(text):
    """(instruction, rest) of a Containerfile, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def copied(text):
    """What it copies from the project, in order."""
    rests = [rest.split() for word, rest in instructions(text) if word == "COPY"]
    return [source for *sources, _ in rests for source in sources]


def commands(text):
    """Every command that it runs."""
    runs = (rest for word, rest in instructions(text) if word == "RUN")
    return [command.strip() for rest in runs for command in rest.split("&&")]


def test_python_is_one_that_the_project_accepts():
    (image,) = [rest for word, rest in instructions(TEXT) if word == "FROM"]
    version = re.fullmatch(r"docker\.io/library/python:(\d+\.\d+)-slim-\w+", image)[1]
    assert f"{version}.0" in SpecifierSet(PROJECT["requires-python"])
    # and the oldest that the lock file is made for, on which everything is tested
    lock = re.search(r"--python-version (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert version == lock[1]


def test_all_that_is_copied_is_there_and_all_that_is_needed_is_copied():
    assert [name for name in copied(TEXT) if not (ROOT / name).exists()] == []
    needed = {"pyproject.toml", "requirements.lock", "src", PROJECT["readme"]}
    assert needed | {*PROJECT["license-files"]} == {*copied(TEXT)}


def test_dependencies_are_those_of_the_lock_with_their_hashes():
    locked = [command for command in commands(TEXT) if "requirements.lock" in command]
    assert len(locked) == 1
    assert "--require-hashes" in locked[0]
    (project,) = [command for command in commands(TEXT) if command.endswith(" .")]
    assert "--no-deps" in project
    # where to install from is the user's choice
    assert not re.search(r"index|find-links|https?:", TEXT)


def test_what_is_copied_is_sent_to_the_builder():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {line[1:] for line in rules if line.startswith("!")} == {*copied(TEXT)}
    assert not [n for n in copied(TEXT) for r in rules[1:] if r[0] != "!" and fnmatch(n, r)]


def test_the_project_is_installed_after_its_dependencies():
    order = [command for command in commands(TEXT) if command.startswith("uv pip install")]
    assert len(order) == 2
    assert order[1].endswith(" .")


# --- the rules above can fail


@pytest.mark.parametrize(
    ("text", "sources", "runs"),
    [
        ("FROM x\n# COPY a b\nCOPY c d ./\n", ["c", "d"], []),
        ("RUN a \\\n && b c\n\nRUN d\n", [], ["a", "b c", "d"]),
        ("RUN a \\\n# why\n && b\nCOPY e .", ["e"], ["a", "b"]),
    ],
)
def test_containerfiles_are_read(text, sources, runs):
    assert copied(text) == sources
    assert commands(text) == runs
