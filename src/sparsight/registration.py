"""Tables from a name in the configuration to the class that does the work, and its parameters.

A table is static and is imported by name, late: starting a job costs only what that job uses, and
only a change of an item that the job names re-runs it (`sparsight.study.versions`).
"""

import ast
import copy
import functools
import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sparsight.io.errors import (
    TYPES,
    InputError,
    clip_message,
    hint,
    in_words,
    join_names,
    misread,
    near_miss,
    unknown_name,
)


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
        raise UnknownName(f"unknown {self.kind} '{name}'{hint(name, self.names())}")

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


# --------------------------------------------------------------------------------------- parameters

#: stands in an item's `parameters` for a parameter without a default
REQUIRED = "required"
_KINDS: tuple[tuple[type, str], ...] = (
    # bool before int, of which it is a subclass
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (Mapping, "object"),
)


def parameter_problems(
    where: str,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    allowed: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """One error message for each parameter that is unknown, missing, or not what it may be.

    Parameters
    ----------
    where : whose parameters they are, such as a dotted path in the configuration.
    defaults : parameter to default, whose kind a value must have (an integer passes for a float);
        `REQUIRED` or None where any will do. Mappings are compared key by key.
    allowed : parameter to its values: a sequence of them, or the interval in which a number (or
        each of a list of numbers) must lie, such as "[1, inf)" or "(0, 1]"; or a mapping of these.
    """
    allowed = allowed or {}
    for name, value in given.items():
        key = f"{where}.{name}"
        if name not in defaults:
            yield unknown_name("parameter", where, name, defaults)
        elif isinstance(defaults[name], Mapping) and isinstance(value, Mapping):
            yield from parameter_problems(key, value, defaults[name], allowed.get(name))
        elif not _fits(value, defaults[name]):
            kind = _kind(defaults[name])
            yield f"{key} is {in_words(value)}, but must be {TYPES[kind]}{misread(value, [kind])}."
        elif name in allowed and (wanted := _outside(value, allowed[name])):
            yield clip_message(f"{key} is {in_words(value)}, but must be {wanted}.")
    for name, default in defaults.items():
        if default == REQUIRED and name not in given:
            yield f"'{name}' is missing at {where}; it is required."


def checked_parameters(
    owner: str,
    defaults: Mapping[str, Any],
    given: Mapping[str, Any],
    allowed: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """`defaults` overlaid with `given`, where `parameter_problems` finds none.

    Raises
    ------
    InputError
        With the first problem.
    """
    for problem in parameter_problems(owner, given, defaults, allowed):
        raise InputError(problem.removesuffix("."))
    return {**defaults, **given}


def _kind(value: Any) -> str:
    return next((kind for cls, kind in _KINDS if isinstance(value, cls)), "null")


def _fits(value: Any, default: Any) -> bool:
    if default is None or default == REQUIRED:
        return True
    if isinstance(default, str) and isinstance(value, Mapping):
        # a word that stands for a mapping, such as mnist's `validation: none`
        return True
    if default == "all" and _kind(value) == "integer":
        # how many, or all of them
        return True
    kinds = {_kind(default), "integer"} if isinstance(default, float) else {_kind(default)}
    return _kind(value) in kinds


def _outside(value: Any, allowed: str | Sequence[Any]) -> str:
    """What `value` must be; empty where it is that."""
    if not isinstance(allowed, str):
        if value in allowed:
            return ""
        return f"one of {join_names(allowed)}{near_miss(value, allowed)}"
    low, high = (float(part) for part in allowed[1:-1].split(","))
    # So written that NaN lies in no interval.
    if all(
        _kind(number) in ("integer", "number")
        and (number >= low if allowed[0] == "[" else number > low)
        and (number <= high if allowed[-1] == "]" else number < high)
        for number in (value if isinstance(value, list) and value else [value])
    ):
        return ""
    above = f"{'at least' if allowed[0] == '[' else 'above'} {low:g}"
    below = f"{'at most' if allowed[-1] == ']' else 'below'} {high:g}"
    return above if high == float("inf") else f"{above} and {below}"
