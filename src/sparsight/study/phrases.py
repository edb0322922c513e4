"""Wording of the error messages about a configuration: values, places and what a schema allows."""

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any

TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of keys to values",
    "null": "empty (null)",
}
LONGEST = 280  # characters of an error message
_FORM = ".<Class>"
BOUNDS = {
    "minimum": "of at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "of at most {}",
    "exclusiveMaximum": "below {}",
    "pattern": "matching {}",
    "minLength": "of at least {} characters",
    "maxLength": "of at most {} characters",
    "minItems": "of at least {} entries",
    "maxItems": "of at most {} entries",
    "minProperties": "of at least {} keys",
    "maxProperties": "of at most {} keys",
}


def allowed_by(schema: Any) -> str:
    """What a schema allows, in a phrase that follows "must be"; empty where it says nothing."""
    if not isinstance(schema, dict):
        return ""
    if "anyOf" in schema:
        return "; or ".join(dict.fromkeys(map(allowed_by, schema["anyOf"])))
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {join_names(schema['enum'])}"
    types = schema.get("type", ["string"] if "pattern" in schema else [])
    names = [TYPES[name] for name in ([types] if isinstance(types, str) else types)]
    bounds = [text.format(schema[bound]) for bound, text in BOUNDS.items() if bound in schema]
    comma = "," if len(names) > 1 and bounds else ""
    phrase = f"{' or '.join(names)}{comma} {' and '.join(bounds)}".strip()
    return shorten(re.sub(r"\b1 (entr|key|character)(ies|s)\b", _singular, phrase), 150)


def _singular(found: re.Match[str]) -> str:
    return f"1 {found[1]}{'y' if found[2] == 'ies' else ''}"


def in_words(value: object) -> str:
    """A value in a phrase that follows "is"."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return f"a mapping with the keys {join_names(value, 60)}" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    return as_yaml(value)


def as_yaml(value: object) -> str:
    """A value as it stands in YAML, shortened."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return shorten(repr(value) if isinstance(value, str | list | dict) else str(value), 60)


def misread(value: object, types: object) -> str:
    """Remedy where YAML read a number as text or text as something else."""
    wanted = types if isinstance(types, list) else [types]
    if isinstance(value, str) and {"number", "integer"} & {*wanted}:
        try:
            number = float(value)
        except ValueError:
            return ""
        if not math.isfinite(number):
            return ""
        # YAML 1.1 reads 1e-3 as text: its numbers with an exponent have a point.
        written = re.sub(r"^(-?\d+)e", r"\1.0e", f"{number!r}").removesuffix(".0")
        return f"; YAML took it for text: write {written}, without quotes"
    return quote_it(value) if "string" in wanted and not isinstance(value, str) else ""


def quote_it(value: object) -> str:
    """Remedy for a value that was meant as text and is none."""
    if isinstance(value, bool):
        return "; YAML reads no, off, yes and on as truth values: put it in quotes"
    if value is None or isinstance(value, list | tuple | dict):
        return ""
    return "; to make it text, put it in quotes"


def near_miss(name: object, known: Iterable[str], longest: int = 60) -> str:
    """ "; did you mean 'x'?" where a known name is close."""
    names = {str(other).lower(): str(other) for other in known}
    if not isinstance(name, str):
        truth = isinstance(name, bool) and {"no", "off", "yes", "on"} & {*names}
        return quote_it(name) if truth or as_yaml(name) in names else ""
    near = difflib.get_close_matches(name[: longest + 20].lower(), names, 1)
    return f"; did you mean '{shorten(names[near[0]], longest)}'?" if near else ""


def join_names(names: Iterable[object], room: int = 130) -> str:
    """Names in their order, as many as fit; forms of names ("quantus.<Class>") last and always."""
    texts = [shorten(name if isinstance(name, str) else as_yaml(name), 40) for name in names]
    # One form stands for all the names of a library, which nobody could guess from the others.
    forms = [text for text in texts if text.endswith(_FORM)]
    plain = [text for text in texts if not text.endswith(_FORM)]
    fitting = list(plain)
    while fitting and len(", ".join([*fitting, *forms])) > room:
        fitting.pop()
    more = len(plain) - len(fitting)
    cut = ", ".join(fitting) + (f" and {more} more" if fitting else f"{more} names")
    return ", ".join([*([cut] if more else fitting), *forms])


def with_known(text: str, known: Iterable[object]) -> str:
    """A text that ends with known names, as many as there is room for."""
    room = max(0, min(130, LONGEST - len(f"{text} (known:  and 999 more).")))
    return f"{text} (known: {join_names(known, room)})."


def dotted_key(place: Iterable[str | int]) -> str:
    """Dotted path of a key, with the positions in lists in brackets."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += "." + (step if re.fullmatch(r"[\w\-]{1,40}", step) else as_yaml(step))
    text = text.removeprefix(".")
    return (f"…{text[-100:]}" if len(text) > 100 else text) or "the top level"


def shorten(text: str, longest: int) -> str:
    """Text on one line, of at most `longest` characters."""
    text = " ".join(text.splitlines())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def clip_message(sentence: str) -> str:
    """An error message of at most `LONGEST` characters with one mark at its end."""
    return shorten(sentence.replace("?.", "?"), LONGEST)


def unknown_name(kind: str, key: str, name: object, known: Iterable[str]) -> str:
    """Error message for a name that is in no table.

    Parameters
    ----------
    kind : what the names stand for ("metric").
    key : dotted path of the configuration key that gives the name.
    name : what was given, often a slip of the pen, sometimes what YAML made of it (`no` is False).
    known : the names that there are.
    """
    if isinstance(name, str):
        text = f"{key} names the unknown {kind} {as_yaml(name)}{near_miss(name, known)}"
    else:
        text = f"{key} must name a {kind}, but is {in_words(name)}{quote_it(name)}"
    return clip_message(with_known(text, known))
