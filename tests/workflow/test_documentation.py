"""What a reader would type: every command, block of Python and query on the pages.

Commands are parsed by Snakemake's own parser, and planned where nothing but the project is needed.
The recipes of CONTRIBUTING.md are followed in `test_recipes.py`, docs/my_network.md in
`test_my_network.py`.
"""

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import torch
from snakemake.cli import get_argument_parser
from torch import nn

from tests.workflow.conftest import ROOT
from tests.workflow.project import BIN, TINY, Project

PAGES = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "config/README.md", "studies/README.md")
] + sorted((ROOT / "docs").rglob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: programs of a cluster or of containers, which are not here
ELSEWHERE = {"apptainer", "pip", "podman", "sbatch", "scancel", "source"}
#: keys of a study that only the reader has
OWN = "images="
PARSER = get_argument_parser()


def blocks(*languages: str) -> Iterator[tuple[str, str]]:
    """(page, text) of every block in these languages."""
    for page in PAGES:
        for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
            if language in languages:
                yield page.relative_to(ROOT).as_posix(), text


def commands() -> Iterator[tuple[str, list[str]]]:
    """(page, words) of every command."""
    for page, text in blocks("bash"):
        for line in text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield page, words


COMMANDS = list(commands())
#: (page, path) to the study that a page says to save there
STUDIES = {
    (page, found[1]): text
    for page, text in blocks("yaml")
    if (found := re.match(r"# (studies/\S+)\n", text))
}
RULES = {
    name
    for path in (ROOT / "workflow" / "rules").glob("*.smk")
    for name in re.findall(r"^rule (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
}
TARGETS = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


def problems(page: str, words: list[str]) -> Iterator[str]:
    """What is wrong with a command as it is written."""
    program, *arguments = words
    if program == "make":
        yield from (f"no target {target}" for target in arguments[:1] if target not in TARGETS)
    elif program == "python":
        if (ROOT / arguments[0]).is_file():
            # a script that runs another command
            yield from problems(page, arguments[1:])
        elif arguments[0] != "-m" or importlib.util.find_spec(arguments[1]) is None:
            yield f"no module {arguments[1]}"
    elif program == "sparsight":
        if arguments[0] != "compare" or not {*arguments[3:]} <= {"--page", "difference.html"}:
            yield "unknown command or option"
    elif program != "snakemake":
        if program not in ELSEWHERE:
            yield f"unknown program {program}"
    elif "kubernetes" in arguments:
        # options of two plugins that the page says to install
        return
    else:
        try:
            given = PARSER.parse_args(arguments)
        except SystemExit:
            yield "Snakemake does not accept it"
            return
        for path in given.configfile or ():
            own = (page, str(path)) in STUDIES or "NAME" in str(path)
            if not own and not (ROOT / path).is_file():
                yield f"no file {path}"
        if given.workflow_profile and not Path(ROOT / given.workflow_profile).is_dir():
            yield f"no profile {given.workflow_profile}"
        rules = {*(given.forcerun or ()), *(given.until or ())}
        yield from (f"no rule {name}" for name in rules - RULES)


@pytest.mark.parametrize("page", dict.fromkeys(page for page, _ in COMMANDS))
def test_commands_are_those_of_the_programs(page: str) -> None:
    found = [
        f"{shlex.join(words)}: {problem}"
        for where, words in COMMANDS
        if where == page
        for problem in problems(page, words)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("make tset", "no target tset"),
        ("python -m sparsight.oi", "no module sparsight.oi"),
        ("sparsight compar a b", "unknown command or option"),
        ("snakmake --cores 2", "unknown program snakmake"),
        ("snakemake --core-s 2", "Snakemake does not accept it"),
        ("snakemake --configfile studies/no.yaml", "no file studies/no.yaml"),
        ("snakemake --workflow-profile profiles/no", "no profile profiles/no"),
        ("snakemake -R score_explanation", "no rule score_explanation"),
    ],
)
def test_wrong_commands_are_found(command: str, problem: str) -> None:
    assert list(problems("README.md", command.split())) == [problem]


def test_what_a_reader_types_is_marked_as_such() -> None:
    unmarked = [
        f"{page}: {text}" for page, text in blocks("") if re.match("make |snakemake ", text)
    ]
    assert unmarked == []


def planned_commands() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Commands that can be planned in a fresh clone: those that differ, without number of cores."""
    known = set()
    for page, words in COMMANDS:
        arguments = [*words[1:]]
        skipped = {"--workflow-profile", "--report", "--sdm", "--executor", "--unlock"}
        if words[0] != "snakemake" or skipped & {*arguments} or page == "CONTRIBUTING.md":
            continue
        # planned by other tests: the study of everything, and those of one's own images
        if "studies/everything.yaml" in arguments or any(w.startswith(OWN) for w in arguments):
            continue
        if page == "docs/my_network.md":
            continue
        if "--cores" in arguments:
            place = arguments.index("--cores")
            del arguments[place : place + 2]
        plain = tuple(word for word in arguments if word != "--dry-run")
        own = page if any((page, word) in STUDIES for word in plain) else ""
        if (own, plain) not in known:
            known.add((own, plain))
            yield page, plain


@pytest.mark.parametrize(
    ("page", "arguments"),
    list(planned_commands()),
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else one,
)
def test_commands_can_be_planned(page: str, arguments: tuple[str, ...], fresh: Project) -> None:
    for (where, path), text in STUDIES.items():
        if where == page:
            fresh.write(path, text)
    done = subprocess.run(
        [str(BIN / "snakemake"), "--dry-run", *arguments],
        cwd=fresh.folder,
        env=fresh.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert re.search(r"^total +\d+", done.stdout, re.MULTILINE)


PYTHON = [(page, text) for page, text in blocks("python") if page != "CONTRIBUTING.md"]
SNAKEFILES = [text for _, text in PYTHON if text.startswith("module ")]


@pytest.mark.parametrize(
    "page", dict.fromkeys(page for page, text in PYTHON if text not in SNAKEFILES)
)
def test_python_runs(
    page: str, finished_once: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder in which the default study is finished (here it is the tiny one)."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "digits").symlink_to(finished_once.folder / "results" / "tiny")
    (tmp_path / "results" / "reference").symlink_to(ROOT / "results" / "reference")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 196, 2))
    names: dict[str, Any] = {"network": network.eval(), "images": torch.rand(2, 3, 16, 16)}
    for where, text in PYTHON:
        if where == page and text not in SNAKEFILES:
            exec(compile(text, page, "exec"), names)


def test_the_workflow_is_a_module_as_the_page_says(fresh: Project, tmp_path: Path) -> None:
    import yaml

    (text,) = SNAKEFILES
    host = tmp_path / "host"
    host.mkdir()
    (host / "sparsight").symlink_to(fresh.folder)
    (host / "study.yaml").write_text(yaml.safe_dump({"pruning": TINY}), encoding="utf-8")
    (host / "Snakefile").write_text(f'configfile: "study.yaml"\n\n\n{text}', encoding="utf-8")
    done = subprocess.run(
        [str(BIN / "snakemake"), "--dry-run"],
        cwd=host,
        env=fresh.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert "sparsight_train_dense" in done.stdout


def test_queries_run(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = [text for _, text in blocks("sql")]
    assert queries
    monkeypatch.chdir(ROOT)
    for query in queries:
        assert len(duckdb.sql(query).fetchall()) > 0
