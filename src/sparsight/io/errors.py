"""Errors of what the user did or gave that cannot be used, and the wording of their messages."""

import difflib
import math
import re
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input. The message is one line that names the file or key and the remedy.

    Names of files and texts out of them may hold line breaks; the message is one line all the same.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class CorruptFile(InputError):
    """A file whose content does not match its checksum or its format."""


class InvariantError(RuntimeError):
    """A result that breaks an invariant of the method: a defect of the program, not of its user."""


# ------------------------------------------------------------------------------------------ wording

#: types of JSON schemas in words
TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of keys to values",
    "null": "empty (null)",
}
#: characters of an error message
LONGEST = 280
#: end of a name that stands for all names of a library, which nobody could guess from the others
_FORM = (".<Class>", ".<name>", ":FUNCTION")


def shorten(text: str, longest: int) -> str:
    """Text on one line, of at most `longest` characters."""
    text = " ".join(text.splitlines())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def as_yaml(value: object) -> str:
    """A value as it stands in YAML, shortened."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return shorten(repr(value) if isinstance(value, str | list | dict) else str(value), 60)


def in_words(value: object) -> str:
    """A value in a phrase that follows "is"."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return f"a mapping with the keys {join_names(value, 60)}" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    return as_yaml(value)


def misread(value: object, types: Iterable[str]) -> str:
    """Remedy where YAML read a number as text or text as something else."""
    if isinstance(value, str) and {"number", "integer"} & {*types}:
        try:
            number = float(value)
        except ValueError:
            return ""
        if not math.isfinite(number):
            return ""
        # YAML 1.1 reads 1e-3 as text: its numbers with an exponent have a point.
        written = re.sub(r"^(-?\d+)e", r"\1.0e", f"{number!r}").removesuffix(".0")
        return f"; YAML took it for text: write {written}, without quotes"
    return quote_it(value) if "string" in types and not isinstance(value, str) else ""


def quote_it(value: object) -> str:
    """Remedy for a value that was meant as text and is none."""
    if isinstance(value, bool):
        return "; YAML reads no, off, yes and on as truth values: put it in quotes"
    if value is None or isinstance(value, list | tuple | dict):
        return ""
    return "; to make it text, put it in quotes"


def near_miss(name: object, known: Iterable[object], longest: int = 60) -> str:
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
    forms = [text for text in texts if text.endswith(_FORM)]
    plain = [text for text in texts if not text.endswith(_FORM)]
    fitting = list(plain)
    while fitting and len(", ".join([*fitting, *forms])) > room:
        fitting.pop()
    more = len(plain) - len(fitting)
    cut = ", ".join(fitting) + (f" and {more} more" if fitting else f"{more} names")
    return ", ".join([*([cut] if more else fitting), *forms])


def hint(wrong: object, known: Iterable[str]) -> str:
    """Tail of a message on an unknown name: the nearest known name, and as many as fit."""
    names = list(known)
    return f"{near_miss(wrong, names)} (known: {join_names(names, 200) or 'none'})"


def unknown_name(kind: str, key: str, name: object, known: Iterable[object]) -> str:
    """Error message for a name that is in no table.

    Parameters
    ----------
    kind : what the names stand for ("metric").
    key : dotted path of the configuration key that gives the name.
    name : what was given, often a slip of the pen, sometimes what YAML made of it (`no` is False).
    known : the names that there are.
    """
    known = list(known)
    if isinstance(name, str):
        text = f"{key} names the unknown {kind} {as_yaml(name)}{near_miss(name, known)}"
    else:
        text = f"{key} must name a {kind}, but is {in_words(name)}{quote_it(name)}"
    room = max(0, min(130, LONGEST - len(f"{text} (known:  and 999 more).")))
    return clip_message(f"{text} (known: {join_names(known, room) or 'none'}).")


def clip_message(sentence: str) -> str:
    """An error message of at most `LONGEST` characters with one mark at its end."""
    return shorten(sentence.replace("?.", "?"), LONGEST)
