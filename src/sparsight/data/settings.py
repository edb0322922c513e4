"""Reading a part of the settings strictly: an unknown key or a wrong type is one clear sentence.

The workflow's schema catches the same mistakes earlier; these checks are for those who use the
library without the workflow.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sparsight.io.errors import InputError

# Philox, from which all draws come, takes keys of 64 bits.
SEED_LIMIT = 2**64


def section(settings: Mapping[str, Any], key: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping `settings[key]` filled up with `defaults`.

    Raises
    ------
    InputError
        When it is not a mapping or has a key that is not in `defaults`.
    """
    given = settings.get(key, {})
    if not isinstance(given, Mapping):
        raise InputError(f"'{key}' must be a mapping with {', '.join(defaults)}, not {given!r}")
    unknown = [str(name) for name in given if name not in defaults]
    if unknown:
        raise InputError(
            f"'{key}' has an unknown key '{unknown[0]}'; it takes {', '.join(defaults)}"
        )
    return {**defaults, **given}


def whole_number(value: Any, key: str, minimum: int, maximum: int) -> int:
    """`value`, when it is an integer from `minimum` to `maximum` (inclusive).

    Raises
    ------
    InputError
        When it is anything else, booleans included.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise InputError(
            f"'{key}' must be a whole number from {minimum} to {maximum}, not {value!r}"
        )
    return value


def seed_number(value: Any, key: str) -> int:
    """`value`, when it can be a seed: an integer from 0 to 2^64 - 1."""
    return whole_number(value, key, 0, SEED_LIMIT - 1)


def mirror_list(settings: Mapping[str, Any], default: Sequence[str]) -> Sequence[str]:
    """The addresses of `settings["mirrors"]`.

    Raises
    ------
    InputError
        When it is not a list of texts.
    """
    mirrors = settings.get("mirrors", default)
    if isinstance(mirrors, str) or not all(isinstance(mirror, str) for mirror in mirrors):
        raise InputError(f"'mirrors' must be a list of addresses, not {mirrors!r}")
    return list(mirrors)
