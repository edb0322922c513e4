"""Markdown of the reference pages: sections, tables, links, and what docstrings say."""

import ast
import importlib.util
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sparsight.parameters import REQUIRED
from sparsight.registration import Registry

_NOTE = "<!-- Made by `make docs` from the sources; edit those. -->"


def section(registry: Registry, name: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    """Heading, description, the facts that say something, and what else the docstring says."""
    first, *rest = _paragraphs(registry, name)
    told = [row for row in rows if row[1]]
    return [f"### {name}", first, table(("", ""), told), *rest]


def _paragraphs(registry: Registry, name: str) -> list[str]:
    """Paragraphs of a class's docstring before its first headed section, each on one line."""
    module, _, class_name = registry.entries[name].partition(":")
    spec = importlib.util.find_spec(module)
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    found = [
        ast.get_docstring(node) or ""
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == class_name
    ]
    text = re.split(r"\n[^\n]+\n-{3,}\n", found[0] if found else "")[0]
    return [linked(_one_line(part)) for part in text.strip().split("\n\n")]


def _one_line(paragraph: str) -> str:
    """A paragraph on one line; lists keep their items' lines."""
    lines: list[str] = []
    for line in paragraph.splitlines():
        if lines and not re.match(r"\s*([*-]|\d+\.) ", line):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line.strip())
    return "\n".join(lines)


def parameters(defaults: Mapping[str, Any]) -> str:
    """Names and defaults, a line each."""
    shown = []
    for name, default in defaults.items():
        value = "required" if default == REQUIRED else f"`{_value(default)}`"
        shown.append(f"`{name}`: {value}")
    return "<br>".join(shown)


def _value(value: Any) -> str:
    """A default as it stands in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(part) for part in value)}]"
    return '""' if value == "" else str(value)


def linked(text: str) -> str:
    """Text in which arXiv ids and DOIs are links."""
    text = re.sub(
        r"(?:arXiv:|arXiv )(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text
    )
    return re.sub(r"doi:(10\.\d+/[^\s,;)]+)", r"[doi:\1](https://doi.org/\1)", text)


def listed(names: Iterable[str]) -> str:
    """Names as code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table with a line of `heads`."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def page(title: str, *parts: str) -> str:
    """A page of paragraphs under a title, with a note on who made it."""
    return "\n\n".join([_NOTE, f"# {title}", *parts]) + "\n"
