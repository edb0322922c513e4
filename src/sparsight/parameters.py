"""Parameters of registered items: defaults overlaid with what a configuration gives."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sparsight.io.errors import InputError

#: stands in an item's `parameters` for a parameter without a default
REQUIRED = "required"


def checked_parameters(
    owner: str,
    defaults: Mapping[str, Any],
    given: Mapping[str, Any],
    allowed: Mapping[str, str | Sequence[Any]] | None = None,
) -> dict[str, Any]:
    """`defaults` overlaid with `given`.

    Parameters
    ----------
    allowed : parameter to its values: a sequence of them, or the interval in which a number must
        lie, such as "[1, inf)" or "(0, 1]".

    Raises
    ------
    InputError
        For an unknown or missing parameter, one whose type differs from its default's (an integer
        passes for a float), or a value that is not allowed.
    """
    for key, value in given.items():
        if key not in defaults:
            raise InputError(f"{owner} has no parameter '{key}'{hint(key, defaults)}")
        _check_type(owner, key, value, defaults[key])
    settings = {**defaults, **given}
    for key, value in settings.items():
        if key not in given and value == REQUIRED:
            raise InputError(f"{owner} needs the parameter '{key}'; give it under parameters")
    for key, values in (allowed or {}).items():
        if problem := _outside(settings[key], values):
            raise InputError(
                f"{owner}: parameter '{key}' is {settings[key]!r}, it must be {problem}"
            )
    return settings


def _outside(value: Any, allowed: str | Sequence[Any]) -> str:
    """What `value` must be; empty where it is that."""
    if not isinstance(allowed, str):
        return "" if value in allowed else f"one of {', '.join(map(str, allowed))}"
    low, high = (part.strip() for part in allowed[1:-1].split(","))
    # So written that NaN lies in no interval.
    over = value >= float(low) if allowed[0] == "[" else value > float(low)
    under = value <= float(high) if allowed[-1] == "]" else value < float(high)
    if over and under:
        return ""
    above = f"{'at least' if allowed[0] == '[' else 'above'} {low}"
    if high == "inf":
        return above
    return f"{above} and {'at most' if allowed[-1] == ']' else 'below'} {high}"


def _check_type(owner: str, key: str, value: Any, default: Any) -> None:
    if default is None or default == REQUIRED:
        return
    wanted = type(default)
    # bool is a subclass of int, but `true` is no number in a configuration
    same_kind = isinstance(value, bool) == isinstance(default, bool)
    fits = same_kind and isinstance(value, (int, float) if wanted is float else wanted)
    if not fits:
        raise InputError(
            f"{owner}: parameter '{key}' is {value!r}, it must be of the kind {wanted.__name__}"
        )


def hint(wrong: str, known: Iterable[str]) -> str:
    """Tail of a message on an unknown name: all known names, and the nearest."""
    names = sorted(known)
    near = difflib.get_close_matches(wrong, names, 1)
    listed = f" (known: {', '.join(names) or 'none'})"
    return listed + (f"; did you mean '{near[0]}'?" if near else "")
