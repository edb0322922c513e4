"""What comes from outside: nothing of it is run, and nothing listens.

`test_source.py` finds what unpickles. Here is the rest: code in texts, sockets, programs that are
started, downloads without HTTPS or without a checksum.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from sparsight.data.download import is_private
from sparsight.data.registry import SOURCES
from sparsight.models.imagenet_weights import MIRRORS, checksum_in
from sparsight.models.registry import MODELS

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src").rglob("*.py"))
SCRIPTS = sorted((ROOT / "workflow").rglob("*.py"))
RULES = [*sorted((ROOT / "workflow").rglob("*.smk")), ROOT / "Snakefile"]
#: they open a door, or leave through one that is not watched
NETWORK = {
    *("socket", "socketserver", "ssl", "http", "urllib.request", "xmlrpc", "ftplib", "telnetlib"),
    *("smtplib", "smtpd", "asyncio", "asyncore", "multiprocessing.connection", "wsgiref", "flask"),
    *("fastapi", "uvicorn", "tornado", "aiohttp", "bottle", "dash", "gradio", "streamlit"),
    *("torch.distributed", "torch.multiprocessing", "debugpy", "pdb", "rpyc", "zmq", "httpx"),
}
#: they run code that a text or a file brings along
RUNNING = {
    *("code", "codeop", "runpy", "jsonpickle", "cPickle", "_pickle", "imp"),
    # by these names `test_source.py` would not know them
    *("torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.UnsafeLoader"),
}
LISTENING = {"bind", "listen", "serve_forever", "create_server", "start_server", "runserver"}
#: modules that may download, and that may start a program
DOWNLOADS = {"src/sparsight/data/download.py"}
PROGRAMS = {  # git, nvidia-smi, snakemake
    "src/sparsight/io/provenance.py",
    "src/sparsight/io/gpu_list.py",
    "src/sparsight/study/costs/dry_run.py",
}


def named(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda p: p.relative_to(ROOT).as_posix())


def imports(tree: ast.AST) -> set[str]:
    """Every module that is imported, with those above it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    above = {name.rsplit(".", n)[0] for name in found for n in range(1, name.count(".") + 1)}
    return found | above


def calls(tree: ast.AST):
    """(last part of the name, what it is an attribute of, keywords that are literals, line)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            words = {
                word.arg: word.value.value
                for word in node.keywords
                if isinstance(word.value, ast.Constant)
            }
            yield name, owner, words, node.lineno


def unsafe(tree: ast.AST, place: str) -> list[str]:
    """What a module of the library or the workflow must not hold."""
    there = imports(tree)
    found = [f"imports {name}" for name in sorted(there & (NETWORK | RUNNING))]
    if place not in DOWNLOADS:
        found += [f"imports {name}" for name in sorted(there & {"requests", "pooch", "urllib3"})]
    if place not in PROGRAMS:
        found += [f"imports {name}" for name in sorted(there & {"subprocess", "pty"})]
    for name, owner, words, line in calls(tree):
        if not owner and name in ("eval", "exec", "compile", "__import__"):
            found.append(f"line {line}: {name}")
        if name in LISTENING and owner != "inspect":
            found.append(f"line {line}: {owner}.{name}")
        if owner == "os" and (name in ("system", "popen") or name.startswith(("exec", "spawn"))):
            found.append(f"line {line}: os.{name}")
        if words.get("shell") is True or words.get("verify") is False:
            found.append(f"line {line}: {words}")
        if (owner, name) in {("torch.hub", "load"), ("torch.jit", "load"), ("torch", "compile")}:
            found.append(f"line {line}: {owner}.{name}")
        if name == "load_state_dict_from_url" or words.get("trust_remote_code"):
            found.append(f"line {line}: {name}")
        if owner.endswith(("tar", "tarfile")) and name in ("extract", "extractall"):
            found += [] if words.get("filter") == "data" else [f"line {line}: {name}"]
    return found


@named(MODULES + SCRIPTS)
def test_nothing_is_run_and_nothing_listens(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert unsafe(tree, path.relative_to(ROOT).as_posix()) == []


_DOORS = re.compile(
    r"\b(socket|socketserver|http\.server|serve_forever|subprocess|os\.system|eval|exec|pickle|"
    r"yaml\.load|urllib\.request|requests)\b(?=[\s.(])"
)


@named(RULES)
def test_rule_files_open_no_door(path: Path) -> None:
    # Not Python, so no tree. A rule runs a script, and the script calls the library.
    text = re.sub(r'#.*|"""[\s\S]*?"""', "", path.read_text(encoding="utf-8"))
    assert _DOORS.findall(text) == []
    assert not re.search(r"^\s+(shell|run):", text, re.M), "a rule has a script"


# --- every download is over HTTPS, and is held against a checksum


def addresses(value: Any) -> list[str]:
    """All texts in a fact that look like addresses."""
    if isinstance(value, dict):
        return [one for inner in value.values() for one in addresses(inner)]
    if isinstance(value, list | tuple):
        return [one for inner in value for one in addresses(inner)]
    return [value] if isinstance(value, str) and "://" in value else []


@pytest.mark.parametrize("name", sorted(SOURCES.entries))
def test_files_of_a_source_come_over_https_with_checksums(name: str) -> None:
    facts = SOURCES.facts(name)
    found = addresses(facts)
    assert all(address.startswith("https://") for address in found)
    checksums = [
        *facts.get("checksums", {}).values(),
        *(one[0] for key in ("archives", "files") for one in facts.get(key, {}).values()),
    ]
    assert all(re.fullmatch(r"[0-9a-f]{64}|md5:[0-9a-f]{32}", one) for one in checksums)
    assert bool(found) == bool(checksums)


def test_downloads_are_known() -> None:
    """The test above looks at all that there are: four sources, and the files of weights."""
    loaded = {name for name in SOURCES.entries if addresses(SOURCES.facts(name))}
    assert loaded == {"mnist", "imagenette", "cub200", "ham10000"}
    assert all(mirror.startswith("https://") for mirror in MIRRORS)
    weights = [MODELS.facts(name).get("imagenet_weights") for name in MODELS.entries]
    assert all(len(checksum_in(one)) >= 8 for one in weights if one)


@named([*MODULES, *SCRIPTS, *RULES, ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*"))])
def test_no_open_address_is_written_down(path: Path) -> None:
    found = re.findall(r"(?:http|ftp)://[^\s\"')>]*", path.read_text(encoding="utf-8"))
    # A page that describes a format is read by people, and never fetched.
    assert [one for one in found if "yann.lecun.com/exdb/mnist" not in one] == []


# --- the rules above can fail


@pytest.mark.parametrize(
    "text",
    [
        *("import socket", "from http.server import HTTPServer", "import http.server"),
        *("import socketserver", "from urllib.request import urlopen", "import urllib.request"),
        *("import torch.distributed as d", "from multiprocessing.connection import Listener"),
        *("s.bind(('', 80))", "server.serve_forever()", "asyncio.start_server(f)"),
        *("import requests", "def f():\n    import pooch", "import subprocess"),
        *("eval(text)", "exec(text)", "compile(text, '', 'exec')", "__import__(name)"),
        *("os.system('ls')", "os.popen('ls')", "os.execv('ls', [])", "run('ls', shell=True)"),
        *("get(url, verify=False)", "torch.hub.load('a', 'b')", "torch.jit.load(p)"),
        *("tar.extract(m, f)", "tar.extractall(f, filter='tar')", "import runpy"),
        *("hub(trust_remote_code=True)", "from torch import load", "from yaml import load"),
    ],
)
def test_a_door_is_found(text: str) -> None:
    assert unsafe(ast.parse(text), "src/sparsight/x.py")


@pytest.mark.parametrize(
    "text",
    [
        *("model.eval()", "re.compile('a')", "torch.load(p, weights_only=True)", "os.fsync(f)"),
        *("tar.extract(m, f, filter='data')", "from urllib.parse import urljoin", "import json"),
    ],
)
def test_what_is_safe_is_allowed(text: str) -> None:
    assert unsafe(ast.parse(text), "src/sparsight/x.py") == []


def test_one_module_may_download_and_it_asks_first() -> None:
    (place,) = DOWNLOADS
    tree = ast.parse((ROOT / place).read_text(encoding="utf-8"))
    asked = [name for name, *_ in calls(tree)]
    assert asked.count("HTTPDownloader") == 1
    assert asked.count("is_private") == 2, "of the mirror, and of what it redirects to"
    assert not is_private("http://example.org/")
