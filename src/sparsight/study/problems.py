"""What the models refuse in a configuration, one error message for each fault.

pydantic finds the faults; what is allowed in their place is read from the models' JSON schema.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from sparsight.study.models import StudyFile, json_schema
from sparsight.study.phrases import (
    allowed_by,
    dotted,
    fit,
    given,
    listed,
    misread,
    near_miss,
    quote_it,
    shown,
)

Place = tuple[str | int, ...]
#: what a member of a union says of a value of another kind
_OTHER_KIND = ("_type", "literal_error")


def validated(config: Any) -> tuple[dict[str, Any], list[str]]:
    """A configuration with all defaults, and one error message for each fault in it.

    Messages are in the order of places, without duplicates; the configuration is empty where there
    are any. Keys that are not text and numbers that JSON cannot write are faults everywhere: params
    with them have no defined order, and Snakemake hands them on changed.
    """
    unusable: dict[Place, str] = {}
    config = _usable(config, (), unusable)
    found = list(unusable.items())
    whole: dict[str, Any] = {}
    try:
        whole = StudyFile.model_validate(config).model_dump(by_alias=True)
    except ValidationError as error:
        found += [
            pair
            for pair in _explained(config, error.errors(include_url=False))
            if pair[0] not in unusable
        ]
    ordered = sorted({(_rank(place), fit(f"{text}.")) for place, text in found})
    return {} if ordered else whole, list(dict.fromkeys(text for _, text in ordered))


def _rank(place: Place) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, x, "") if isinstance(x, int) else (1, 0, x) for x in place)


def _usable(value: Any, place: Place, unusable: dict[Place, str]) -> Any:
    """A copy without keys that are not text and numbers beyond JSON, which are noted."""
    if isinstance(value, dict):
        copy: dict[str, Any] = {}
        for key, inner in value.items():
            if isinstance(key, str):
                copy[key] = _usable(inner, (*place, key), unusable)
            else:
                text = f"a key at {dotted(place)} is {given(key)}{quote_it(key)}"
                unusable[(*place, str(key))] = text
        return copy
    if isinstance(value, list | tuple):
        return [_usable(inner, (*place, index), unusable) for index, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        unusable[place] = f"{dotted(place)} is {value}; give a finite number"
        return 0
    if isinstance(value, int) and abs(value) > 2**63:
        unusable[place] = f"{dotted(place)} is a number beyond 64 bits"
        return 0
    return value


def _explained(config: Any, errors: list[Any]) -> Iterator[tuple[Place, str]]:
    """Place and message of each error; the members of a union have one together."""
    schema = json_schema()
    members: dict[Place, list[tuple[Place, Any]]] = defaultdict(list)
    for error in errors:
        place, rest = _split(config, error["loc"], error["type"] == "missing")
        if not rest:
            yield _message(config, schema, place, error)
        else:
            members[place].append((rest[1:], error))
    for place, found in members.items():
        inner = [pair for pair in found if pair[0] and pair[0] != ("[key]",)]
        named = [pair for pair in found if not pair[1]["type"].endswith(_OTHER_KIND)]
        for rest, error in inner or named[:1] or found[:1]:
            yield _message(config, schema, (*place, *rest), error)


def _split(config: Any, steps: Place, lacks_last: bool) -> tuple[Place, Place]:
    """The steps of an error that lead into a configuration, and those from a union's member on."""
    value = config
    for index, step in enumerate(steps):
        is_last = index == len(steps) - 1
        if isinstance(value, dict) and (step in value or (is_last and lacks_last)):
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int):
            value = value[step]
        elif step == "[key]" and is_last:
            break
        else:
            return tuple(steps[:index]), tuple(steps[index:])
    return tuple(steps), ()


def _message(config: Any, schema: Any, place: Place, error: Any) -> tuple[Place, str]:
    kind, value = error["type"], error["input"]
    if place[-1:] == ("[key]",):
        *above, name, _ = place
        bound = _schema_at(schema, tuple(above)).get("propertyNames", {"type": "string"})
        text = f"the name {shown(name)} at {dotted(above)} must be {allowed_by(bound)}"
        return (*above, name), text
    if kind == "missing":
        allowed = allowed_by(_schema_at(schema, place))
        text = f"{shown(place[-1])} is missing at {dotted(place[:-1])}"
        return place, f"{text}; it must be {allowed}" if allowed else text
    if kind == "extra_forbidden":
        part = _schema_at(schema, place[:-1])
        known = [k for one in part.get("anyOf", [part]) for k in one.get("properties", {})]
        hint = near_miss(place[-1], known)
        text = f"unknown key {shown(place[-1])} at {dotted(place[:-1])}{hint}"
        return place, f"{text} (known: {listed(known)})"
    if kind == "repeated":
        return place, f"{dotted(place)} {error['msg']}"
    if kind == "needs":
        return place, f"{error['msg']} at {dotted(place)}"
    if kind in ("conflict", "plain"):
        text = f"{dotted(place)}: {error['msg']}"
        return place, f"{text}{_new_entry(place)}" if kind == "conflict" else text
    part = _schema_at(schema, place)
    hint = near_miss(value, _words(part)) or misread(value, _types(part))
    return place, f"{dotted(place)} is {given(value)}, but must be {allowed_by(part)}{hint}"


def _new_entry(place: Place) -> str:
    """Remedy where a key may come from the catalogue, whose entries a study is merged with."""
    group, *_ = [*place, ""]
    if group != "catalogue":
        return ""
    kind = str([*place, "", "entry"][1]).removesuffix("s").replace("_", " ")
    return f", or, where the catalogue has the entry, name a new {kind or 'entry'}"


def _schema_at(schema: Any, place: Place) -> dict[str, Any]:
    """The part of a JSON schema that describes a place; empty where nothing does."""
    parts = [schema]
    for step in ((), *((step,) for step in place)):
        forms: list[Any] = []
        for part in parts:
            inner = [part] if not step else _inner(part, step[0])
            forms += [form for one in inner for form in _forms(schema, one)]
        parts = forms
    if len(parts) > 1:
        return {"anyOf": parts}
    return parts[0] if parts else {}


def _forms(schema: Any, part: Any) -> list[Any]:
    """A schema with its reference resolved, or the alternatives that it has."""
    if "$ref" in part:
        return _forms(schema, schema["$defs"][part["$ref"].rpartition("/")[2]])
    if "anyOf" in part:
        return [form for one in part["anyOf"] for form in _forms(schema, one)]
    return [part]


def _inner(part: Any, step: str | int) -> list[Any]:
    if isinstance(step, int):
        return [part["items"]] if "items" in part else []
    found = part.get("properties", {}).get(step, part.get("additionalProperties"))
    return [found] if isinstance(found, dict) else []


def _words(part: Any) -> list[str]:
    forms = part.get("anyOf", [part])
    return [
        str(w) for one in forms for w in one.get("enum", [one["const"]] if "const" in one else [])
    ]


def _types(part: Any) -> list[str]:
    """Types that a value may have been meant to be; text only where nothing else is allowed."""
    if "anyOf" not in part:
        return [part.get("type", "")]
    return [one["type"] for one in part["anyOf"] if one.get("type") in ("integer", "number")]
