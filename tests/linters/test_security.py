"""What comes from outside: nothing of it is run, and nothing listens.

`test_source.py` finds what unpickles. Here is the rest: code in texts, sockets, programs that are
started, downloads without HTTPS or without a checksum.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sparsight.data.download import is_private
from sparsight.data.registry import SOURCES
from sparsight.models.registry import MODELS
from sparsight.models.weights import MIRRORS, checksum_in
from tests.linters.source_files import (
    MODULES,
    ROOT,
    RULE_FILES,
    SCRIPTS,
    listed,
    name_of,
    nodes_of,
    place,
    place_of_item,
    text_of,
    tree_of,
)

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
PROGRAMS = {  # git, nvidia-smi, snakemake, and the library's own forecast and tracing
    "src/sparsight/io/provenance.py",
    "src/sparsight/io/gpu.py",
    "src/sparsight/study/costs/predict.py",
    "src/sparsight/study/costs/forecast.py",
    "src/sparsight/study/looks.py",
    "src/sparsight/study/power.py",
    "src/sparsight/study/traced.py",
}


def imports(tree: ast.AST) -> dict[str, int]:
    """Every module that is imported, with those above it, and the first line that does so."""
    found: dict[str, int] = {}
    for node in nodes_of(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        above = [name.rsplit(".", n)[0] for name in names for n in range(1, name.count(".") + 1)]
        for name in names + above:
            found[name] = min(node.lineno, found.get(name, node.lineno))
    return found


def calls(tree: ast.AST):
    """(last part of the name, what it is an attribute of, keywords that are literals, line)."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Call):
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            words = {
                word.arg: word.value.value
                for word in node.keywords
                if isinstance(word.value, ast.Constant)
            }
            yield name, owner, words, node.lineno


def unsafe(tree: ast.AST, name_of_file: str) -> list[tuple[int, str]]:
    """What a module of the library or the workflow must not hold, with its line."""
    there = imports(tree)
    forbidden = NETWORK | RUNNING
    if name_of_file not in DOWNLOADS:
        forbidden = forbidden | {"requests", "pooch", "urllib3"}
    if name_of_file not in PROGRAMS:
        forbidden = forbidden | {"subprocess", "pty"}
    found = [(there[name], f"imports {name}") for name in sorted(there.keys() & forbidden)]
    for name, owner, words, line in calls(tree):
        if not owner and name in ("eval", "exec", "compile", "__import__"):
            found.append((line, name))
        if name in LISTENING and owner != "inspect":
            found.append((line, f"{owner}.{name}"))
        if owner == "os" and (name in ("system", "popen") or name.startswith(("exec", "spawn"))):
            found.append((line, f"os.{name}"))
        if words.get("shell") is True or words.get("verify") is False:
            found.append((line, str(words)))
        if (owner, name) in {("torch.hub", "load"), ("torch.jit", "load"), ("torch", "compile")}:
            found.append((line, f"{owner}.{name}"))
        if name == "load_state_dict_from_url" or words.get("trust_remote_code"):
            found.append((line, name))
        if owner.endswith(("tar", "tarfile")) and name in ("extract", "extractall"):
            found += [] if words.get("filter") == "data" else [(line, name)]
    return found


def test_nothing_is_run_and_nothing_listens() -> None:
    found = [
        f"{place(path, line)}: {what}"
        for path in MODULES + SCRIPTS
        for line, what in unsafe(tree_of(path), name_of(path))
    ]
    assert not found, listed(found)


_DOORS = re.compile(
    r"\b(socket|socketserver|http\.server|serve_forever|subprocess|os\.system|eval|exec|pickle|"
    r"yaml\.load|urllib\.request|requests)\b(?=[\s.(]|$)|^\s+(shell|run):"
)


def doors(text: str) -> Iterator[tuple[int, str]]:
    """What a rule file must not hold: a rule runs a script, and the script calls the library."""
    # Not Python, so no tree. What is left out keeps its lines.
    text = re.sub(r'#.*|"""[\s\S]*?"""', lambda found: "\n" * found[0].count("\n"), text)
    for number, line in enumerate(text.splitlines(), 1):
        yield from ((number, found[0].strip()) for found in _DOORS.finditer(line))


def test_rule_files_open_no_door() -> None:
    found = [
        f"{place(path, line)}: {what}" for path in RULE_FILES for line, what in doors(text_of(path))
    ]
    assert not found, listed(found, "a rule has a script")


# --- every download is over HTTPS, and is held against a checksum


def addresses(value: Any) -> list[str]:
    """All texts in a fact that look like addresses."""
    if isinstance(value, dict):
        return [one for inner in value.values() for one in addresses(inner)]
    if isinstance(value, list | tuple):
        return [one for inner in value for one in addresses(inner)]
    return [value] if isinstance(value, str) and "://" in value else []


def unguarded(facts: dict[str, Any]) -> list[str]:
    """Addresses that are not HTTPS, and checksums that are none or are missing."""
    there = addresses(facts)
    checksums = [
        *facts.get("checksums", {}).values(),
        *facts.get("archives", {}).values(),
        *facts.get("files", {}).values(),
    ]
    found = [address for address in there if not address.startswith("https://")]
    checksums = [one if isinstance(one, str) else one[0] for one in checksums]
    found += [c for c in checksums if not re.fullmatch(r"[0-9a-f]{64}|md5:[0-9a-f]{32}", c)]
    if bool(there) != bool(checksums):
        found.append(f"{len(there)} addresses and {len(checksums)} checksums")
    return found


def test_files_of_sources_come_over_https_with_checksums() -> None:
    found = [
        f"{place_of_item(SOURCES, name)}: {what}"
        for name in sorted(SOURCES.entries)
        for what in unguarded(SOURCES.facts(name))
    ]
    assert not found, listed(found)


def test_downloads_are_known() -> None:
    """The test above looks at all that there are: five sources, and the files of weights."""
    loaded = {name for name in SOURCES.entries if addresses(SOURCES.facts(name))}
    assert loaded == {"mnist", "fashion_mnist", "imagenette", "cub200", "ham10000"}
    assert all(mirror.startswith("https://") for mirror in MIRRORS)
    weights = [MODELS.facts(name).get("imagenet_weights") for name in MODELS.entries]
    assert all(len(checksum_in(one)) >= 8 for one in weights if one)


def open_addresses(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        for address in re.findall(r"(?:http|ftp)://[^\s\"')>]*", line):
            # A page that describes a format is read by people, and never fetched.
            if "yann.lecun.com/exdb/mnist" not in address:
                yield number, address


def test_no_open_address_is_written_down() -> None:
    settings = [ROOT / "config.yaml", *ROOT.glob("catalogue/*"), *sorted(ROOT.glob("studies/*"))]
    found = [
        f"{place(path, line)}: {address}"
        for path in [*MODULES, *SCRIPTS, *RULE_FILES, *settings]
        for line, address in open_addresses(text_of(path))
    ]
    assert not found, listed(found)


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


def test_doors_of_rule_files_are_found() -> None:
    text = '"""A subprocess\n."""\n# eval(x)\nimport subprocess\nrule a:\n    shell:\n'
    assert [*doors(text)] == [(4, "subprocess"), (6, "shell:")]


def test_open_addresses_are_found() -> None:
    text = "https://a.org\nx = 'http://b.org/c'\n# http://yann.lecun.com/exdb/mnist/\nftp://d"
    assert [*open_addresses(text)] == [(2, "http://b.org/c"), (4, "ftp://d")]


def test_unguarded_downloads_are_found() -> None:
    file = {"a": ("0" * 64, 1)}
    assert unguarded({"mirrors": ("https://a.org",), "files": file}) == []
    assert len(unguarded({"mirrors": ("http://a.org",), "files": file})) == 1
    assert len(unguarded({"mirrors": ("https://a.org",), "files": {"a": ("0" * 63, 1)}})) == 1
    assert len(unguarded({"mirrors": ("https://a.org",)})) == 1
