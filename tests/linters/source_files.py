"""The files that linters look at, each read and parsed once, and how linters name an offence."""

import ast
import functools
from collections.abc import Iterable
from pathlib import Path

from sparsight.registration import Registry

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src").rglob("*.py"))
SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))
#: not Python, so that they have no tree
RULE_FILES = [*sorted((ROOT / "workflow").rglob("*.smk")), ROOT / "workflow" / "Snakefile"]


@functools.cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path), filename=str(path))


@functools.cache
def nodes_of(tree: ast.AST) -> tuple[ast.AST, ...]:
    """All nodes of a tree, which is known by its identity."""
    return tuple(ast.walk(tree))


def name_of(path: Path) -> str:
    """A path as the repository names it."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def place(path: Path, line: int) -> str:
    return f"{name_of(path)}:{line}"


def place_of_item(registry: Registry, name: str) -> str:
    """Where the class of a registered item is defined."""
    item = registry.item(name)
    path = ROOT.joinpath("src", *item.module.split(".")).with_suffix(".py")
    lines = [n.lineno for n in tree_of(path).body if getattr(n, "name", "") == item.attribute]
    return f"{place(path, *(lines or [1])[:1])}: {registry.kind} {name}"


def listed(offences: Iterable[str], remedy: str = "") -> str:
    """Message of an assertion: the remedy, and every offence on a line of its own."""
    return "\n".join([remedy, *offences])
