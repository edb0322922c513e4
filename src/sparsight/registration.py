"""Tables from a name in the configuration to the class that does the work.

A table is static and is imported by name, late: starting a job costs only what that job uses, and
only a change of an item that the job names re-runs it (`sparsight.study.versions`).
"""

import ast
import copy
import difflib
import functools
import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class UnknownName(ValueError):
    """A name that is in no table; the message lists the known ones."""


class Item(NamedTuple):
    """One entry of a registry, known without importing it.

    Attributes
    ----------
    kind, name : such as `metric` and `soft_iou`.
    module, attribute : where it is defined.
    version : its class attribute `version`, 1 where it states none.
    """

    kind: str
    name: str
    module: str
    attribute: str
    version: int


class Registry:
    """Static table from a name to `module:attribute`.

    Parameters
    ----------
    kind : what the names stand for, for messages ("metric").
    entries : name to `package.module:attribute`.
    adapters : prefix to `package.module:attribute`, for names of a foreign library such as
        `captum.Deconvolution`: the adapter is called with the part behind the prefix.
    """

    def __init__(
        self, kind: str, entries: Mapping[str, str], adapters: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self.entries = dict(entries)
        self.adapters = dict(adapters or {})

    def __contains__(self, name: str) -> bool:
        prefix, _, rest = name.partition(".")
        return name in self.entries or (bool(rest) and prefix in self.adapters)

    def names(self) -> list[str]:
        """All names, sorted; a foreign library as `prefix.<Class>`."""
        return sorted(self.entries) + [f"{prefix}.<Class>" for prefix in sorted(self.adapters)]

    def _target(self, name: str) -> str:
        if name in self.entries:
            return self.entries[name]
        prefix, _, rest = name.partition(".")
        if rest and prefix in self.adapters:
            return self.adapters[prefix]
        near = difflib.get_close_matches(name, self.entries, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UnknownName(f"unknown {self.kind} '{name}' (known: {', '.join(self.names())}){hint}")

    def module(self, name: str) -> str:
        """Dotted path of the module that defines `name`."""
        return self._target(name).partition(":")[0]

    def item(self, name: str) -> Item:
        """What a job that uses `name` depends on."""
        module, _, attribute = self._target(name).partition(":")
        version = dict(_literal_attributes(module, attribute)).get("version", 1)
        return Item(self.kind, name, module, attribute, version)

    def is_foreign(self, name: str) -> bool:
        """Whether `name` belongs to another library and is reached through an adapter."""
        return name not in self.entries and name in self

    def load(self, name: str) -> Any:
        """The registered object; for a foreign name, its adapter bound to that class name."""
        module, _, attribute = self._target(name).partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if self.is_foreign(name):
            return functools.partial(found, name.partition(".")[2])
        return found

    def facts(self, name: str) -> dict[str, Any]:
        """Class attributes of `name` that are literals, read from its source without importing it.

        Attributes of base classes in the same module are included. The workflow asks for facts
        (needs, direction, cost) before any job starts, when importing torch would cost seconds.
        """
        module, _, attribute = self._target(name).partition(":")
        # a copy: what is kept here serves every caller
        return copy.deepcopy(dict(_literal_attributes(module, attribute)))


@functools.cache
def _read(module: str) -> tuple[dict[str, ast.ClassDef], dict[str, tuple[str, str]]]:
    """Classes of a module, and the module and name behind each name that it imports."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UnknownName(f"no module {module}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    origins = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }
    return classes, origins


@functools.cache
def _literal_attributes(module: str, class_name: str) -> tuple[tuple[str, Any], ...]:
    classes, origins = _read(module)
    if class_name not in classes:
        return ()
    found: dict[str, Any] = {}
    # from the last base to the first, whose facts win
    for base in reversed(classes[class_name].bases):
        if not isinstance(base, ast.Name):
            continue
        if base.id in classes:
            found.update(_literal_attributes(module, base.id))
        elif base.id in origins and origins[base.id][0].startswith("sparsight."):
            found.update(_literal_attributes(*origins[base.id]))
    for node in classes[class_name].body:
        target, value = None, None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign):
            target, value = node.target, node.value
        if isinstance(target, ast.Name) and value is not None:
            try:
                found[target.id] = ast.literal_eval(value)
            except ValueError:
                # computed: what a base says is no longer so
                found.pop(target.id, None)
    return tuple(found.items())
