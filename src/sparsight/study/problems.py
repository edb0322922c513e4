"""What is wrong with a configuration, as sentences that say what to change."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from sparsight.study.phrases import (
    BOUNDS,
    TYPES,
    allowed_by,
    dotted,
    fit,
    given,
    listed,
    misread,
    near_miss,
    quote_it,
    shortened,
    shown,
    with_known,
)

# Re-exported: whoever looks for problems has read a file before.
from sparsight.study.yaml_files import load_yaml as load_yaml

_Place = tuple[str | int, ...]


def _matches(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    """The rule `pattern`, where `$` is the very end: to Python it is also before a line break."""
    if isinstance(value, str) and not re.search(pattern.replace("$", r"\Z"), value):
        yield ValidationError(f"{shown(value)} does not match {pattern}")


_extended: Any = validators.extend
_Validator = _extended(Draft202012Validator, {"pattern": _matches})


def schema_problems(config: Any, schema: dict[str, Any]) -> list[str]:
    """One sentence for every violation of a schema.

    Parameters
    ----------
    config : what was read from YAML or JSON, of whatever form.
    schema : a valid JSON schema, draft 2020-12.

    Returns
    -------
    Sentences of at most 280 characters, each naming its key, without duplicates, ordered by the
    place in the configuration. Empty where the configuration is valid. Keys that are not text and
    numbers that JSON cannot write are problems everywhere: no schema can speak of them, params
    with them have no defined order, and Snakemake hands them on changed.
    """
    unusable: dict[_Place, str] = {}
    plain = _as_json(config, (), unusable)
    found = list(unusable.items())
    for error in _Validator(schema).iter_errors(plain):
        found.extend(
            (place, sentence)
            for place, sentence in _sentences(error)
            if not any(place[: len(bad)] == bad for bad in unusable)
        )
    ordered = sorted({(_rank(place), fit(sentence)) for place, sentence in found})
    return list(dict.fromkeys(sentence for _, sentence in ordered))


def unknown_name(kind: str, key: str, name: object, known: Iterable[str]) -> str:
    """Sentence for a name that is in no table.

    Parameters
    ----------
    kind : what the names stand for ("metric").
    key : dotted path of the configuration key that gives the name.
    name : what was given, often a slip of the pen, sometimes what YAML made of it (`no` is False).
    known : the names that there are.
    """
    if isinstance(name, str):
        text = f"{key} names the unknown {kind} {shown(name)}{near_miss(name, known)}"
    else:
        text = f"{key} must name a {kind}, but is {given(name)}{quote_it(name)}"
    return fit(with_known(text, known))


def _as_json(value: Any, place: _Place, unusable: dict[_Place, str]) -> Any:
    """Copy with text keys only, which jsonschema takes for granted; what is left out is noted."""
    if isinstance(value, dict):
        copy: dict[str, Any] = {}
        for key, inner in value.items():
            if isinstance(key, str):
                copy[key] = _as_json(inner, (*place, key), unusable)
            else:
                unusable[(*place, str(key))] = (
                    f"a key at {dotted(place)} is {given(key)}{quote_it(key)}."
                )
        return copy
    if isinstance(value, list | tuple):
        return [_as_json(inner, (*place, index), unusable) for index, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        unusable[place] = f"{dotted(place)} is {value}; give a finite number."
        return 0
    if isinstance(value, int) and abs(value) > 2**63:
        unusable[place] = f"{dotted(place)} is a number beyond 64 bits."
        return 0
    return value


def _sentences(error: ValidationError) -> Iterator[tuple[_Place, str]]:
    """Place and sentence for a violation; several where it concerns several keys."""
    place: _Place = tuple(error.absolute_path)
    if error.validator in ("anyOf", "oneOf") and error.context:
        yield from _no_alternative(error)
        return
    if error.validator == "additionalProperties":
        yield from _unknown_keys(error)
        return
    if error.validator == "required":
        schema: Any = error.schema
        instance: Any = error.instance
        for key in schema["required"]:
            if key not in instance:
                allowed = allowed_by(schema.get("properties", {}).get(key))
                rest = f"; it must be {allowed}" if allowed else ""
                text = f"{shown(key)} is missing at {dotted(place)}{rest}"
                yield (*place, key), f"{text}."
        return
    yield place, f"{_plain_sentence(error)}."


def _plain_sentence(error: ValidationError) -> str:
    """Sentence, without its ends, for a violation that concerns one value."""
    key = dotted(error.absolute_path)
    value: Any = error.instance
    rule: Any = error.validator_value
    schema: Any = error.schema
    if _is_about_a_name(error):
        return f"the name {shown(value)} at {key} must be {allowed_by(schema)}"
    if error.validator == "enum":
        hint = near_miss(value, [x for x in rule if isinstance(x, str)])
        return f"{key} is {given(value)}, but must be {allowed_by(schema)}{hint}"
    if error.validator == "uniqueItems":
        twice = next((x for i, x in enumerate(value) if x in value[:i]), None)
        return f"{key} holds {shown(twice)} more than once; every entry must be there once"
    if error.validator == "dependentRequired":
        missing = {x for first in rule if first in value for x in rule[first]} - {*value}
        return f"{key} also needs {listed(sorted(missing))}"
    if error.validator == "oneOf":
        return f"{key} is {given(value)}, which fits more than one alternative; leave one"
    if error.validator is None:  # the schema `false`; jsonschema leaves out which key has it
        return f"{key} holds {given(value)}, which is not allowed there"
    if error.validator == "not":
        return _conflict(error)
    allowed = allowed_by(schema)
    if error.validator in {"type", "const", *BOUNDS} and allowed:
        hint = misread(value, schema.get("type"))
        merged = _merged_entry(error) if error.validator == "maxProperties" else ""
        return f"{key} is {given(value)}, but must be {allowed}{hint}{merged}"
    # The rest (contains, unevaluatedProperties, …) is rare; jsonschema's own words are for experts.
    described = schema.get("description", "")
    says = f": {shortened(described.rstrip('.'), 100)}" if described else ""
    return f"{key} is {given(value)}, which breaks the rule '{error.validator}' of the schema{says}"


def _conflict(error: ValidationError) -> str:
    """Sentence, without its ends, for a value that has what another part of it excludes.

    A form `{required: [a], not: {required: [b]}}` says that b conflicts with a.
    """
    key = dotted(error.absolute_path)
    value: Any = error.instance
    schema: Any = error.schema
    excluded = _required_keys(error.validator_value)
    if not isinstance(value, dict) or not (present := [x for x in value if x in excluded]):
        return f"{key} is {given(value)}, which is not allowed there"
    beside = [x for x in _required_keys({"required": schema.get("required", [])}) if x in value]
    conflict = f"conflicts with {' and '.join(beside)}" if beside else "is not allowed there"
    return f"{key}: {' and '.join(present)} {conflict}; keep one or the other{_merged_entry(error)}"


def _required_keys(schema: Any) -> list[str]:
    """Keys that a schema, or one of its alternatives, requires."""
    if not isinstance(schema, dict):
        return []
    inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    return [*schema.get("required", ()), *(key for one in inner for key in _required_keys(one))]


def _merged_entry(error: ValidationError) -> str:
    """Remedy where a key may come from the catalogue, whose entries a study is merged with."""
    group, *_ = [*error.absolute_path, ""]
    if group != "catalogue":
        return ""
    kind = str([*error.absolute_path, "", "entry"][1]).removesuffix("s").replace("_", " ")
    return f", or, where the catalogue has the entry, name a new {kind or 'entry'}"


def _unknown_keys(error: ValidationError) -> Iterator[tuple[_Place, str]]:
    place: _Place = tuple(error.absolute_path)
    schema: Any = error.schema
    instance: Any = error.instance
    known = list(schema.get("properties", {}))
    patterns = list(schema.get("patternProperties", {}))
    for key in instance:
        if key in known or any(re.search(pattern, key) for pattern in patterns):
            continue
        allowed = listed(known) if known else "none"
        if patterns:
            allowed = f"{allowed}, and names that match {' or '.join(patterns)}"
        text = f"unknown key {shown(key)} at {dotted(place)}{near_miss(key, known)}"
        yield (*place, key), f"{text} (known: {allowed})."


def _no_alternative(error: ValidationError) -> Iterator[tuple[_Place, str]]:
    """Sentences for a value that fits none of several forms.

    Where the value is plainly meant as one of the forms (its type and its constants agree), these
    are the violations of that form; else all forms are named.
    """
    forms: dict[int, list[ValidationError]] = {}
    for inner in error.context or ():
        forms.setdefault(int(inner.schema_path[0]), []).append(inner)
    meant = {i: inners for i, inners in forms.items() if not any(map(_is_another_form, inners))}
    # A form is described by the schema of its own first violation, which has references resolved.
    at_value = [[e for e in inners if not e.relative_path] for inners in forms.values()]
    allowed = [allowed_by(inners[0].schema) if inners else "" for inners in at_value]
    if not meant and all(allowed):
        place: _Place = tuple(error.absolute_path)
        alternatives = "; or ".join(dict.fromkeys(allowed))
        types = [name for name in ("integer", "number") if TYPES[name] in alternatives]
        hint = misread(error.instance, types)
        text = f"{dotted(place)} is {given(error.instance)}, but must be {alternatives}{hint}"
        yield place, f"{text}."
        return
    candidates = meant or forms
    nearest = min(candidates, key=lambda form: (len(candidates[form]), form))
    for inner in candidates[nearest]:
        yield from _sentences(inner)


def _is_another_form(error: ValidationError) -> bool:
    """Whether a violation says that another of several forms was meant."""
    if error.validator == "const":
        return True
    if error.validator in ("anyOf", "oneOf"):
        return all(map(_is_another_form, error.context or ()))
    return not error.relative_path and error.validator in ("type", "enum", "pattern", None)


def _is_about_a_name(error: ValidationError) -> bool:
    steps = ["", *map(str, error.absolute_schema_path)]
    pairs = itertools.pairwise(steps)
    return any(this == "propertyNames" and last != "properties" for last, this in pairs)


def _rank(place: _Place) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, x, "") if isinstance(x, int) else (1, 0, x) for x in place)
