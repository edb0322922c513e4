"""Settings of data sources, read strictly, and the facts that follow from them.

Each reader raises `InputError` for any other value. The planner imports this module: it imports
neither numpy nor torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sparsight.io.errors import InputError

#: One file each. A split that a data set does not have is a file without images, so that every job
#: finds the same files whatever the source: the outputs of a rule cannot depend on its wildcards.
SPLITS = ("train", "validation", "test")
#: those that every source has
REQUIRED = ("train", "test")
# Philox, from which all draws come, takes keys of 64 bits.
SEED_LIMIT = 2**64


def section(settings: Mapping[str, Any], key: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping `settings[key]`, filled up with `defaults`, when it has no other keys."""
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
    """`value`, when it is an integer from `minimum` to `maximum` (inclusive)."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise InputError(
            f"'{key}' must be a whole number from {minimum} to {maximum}, not {value!r}"
        )
    return value


def share_or_number(value: Any, key: str) -> float | int:
    """`value`, when it can say how many images: a share below 1, or a whole number; 0 for none."""
    if isinstance(value, float) and 0 <= value < 1:
        return value or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"'{key}' must be a share below 1 or a number of images, not {value!r}")
    return value


def number_between(value: Any, key: str, low: float, high: float, ends: str = "[]") -> float:
    """`value`, when it is a number in the interval; `ends` `(` and `)` leave out its ends."""
    sound = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not sound or (ends[0] == "(" and value == low) or (ends[1] == ")" and value == high):
        least = "above" if ends[0] == "(" else "at least"
        most = "below" if ends[1] == ")" else "at most"
        raise InputError(f"'{key}' must be {least} {low:g} and {most} {high:g}, not {value!r}")
    return float(value)


def number_of(wanted: float | int, total: int) -> int:
    """How many of `total` images are meant by what `share_or_number` gave."""
    return round(wanted * total) if isinstance(wanted, float) else wanted


def one_of(settings: Mapping[str, Any], key: str, default: str, known: Sequence[str]) -> str:
    """The word `settings[key]`, or the default, when it is one of `known`."""
    value = settings.get(key, default)
    # `null` in YAML.
    value = "none" if value is None else value
    if value not in known:
        raise InputError(f"'{key}' must be one of {', '.join(known)}, not {value!r}")
    return str(value)


def yes_or_no(settings: Mapping[str, Any], key: str) -> bool:
    """The setting `key`, false by default, when it is a boolean."""
    value = settings.get(key, False)
    if not isinstance(value, bool):
        raise InputError(f"'{key}' must be true or false, not {value!r}")
    return value


def split_rule(
    settings: Mapping[str, Any], defaults: Mapping[str, Any], rules: Sequence[str]
) -> dict[str, Any]:
    """The setting `split` with its defaults: `rule`, `test` and `validation` images, and `seed`."""
    values = section(settings, "split", defaults)
    return {
        "rule": one_of(values, "rule", rules[0], rules),
        "test": share_or_number(values["test"], "split: test"),
        "validation": share_or_number(values["validation"], "split: validation"),
        "seed": seed_number(values["seed"], "split: seed"),
    }


def seed_number(value: Any, key: str) -> int:
    """`value`, when it can be a seed: an integer from 0 to 2^64 - 1."""
    return whole_number(value, key, 0, SEED_LIMIT - 1)


def mirror_list(settings: Mapping[str, Any], default: Sequence[str]) -> Sequence[str]:
    """The addresses of `settings["mirrors"]`, when it is a list of texts."""
    mirrors = settings.get("mirrors", default)
    if isinstance(mirrors, str) or not all(isinstance(mirror, str) for mirror in mirrors):
        raise InputError(f"'mirrors' must be a list of addresses, not {mirrors!r}")
    return list(mirrors)


LARGEST_SIDE = 4096


def image_shape(facts: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[int, int, int]:
    """(C, H, W) of the images that a source gives under these options.

    `facts` are the literal facts of the source: `image_shape`; and, when its images are square with
    a side that is an option, `side_parameter`, with its default in `parameters`.
    """
    channels, height, width = facts["image_shape"]
    name = facts.get("side_parameter", "")
    if not name:
        return int(channels), int(height), int(width)
    side = whole_number(options.get(name, facts["parameters"][name]), name, 1, LARGEST_SIDE)
    return int(channels), side, side


def stated_test_images(facts: Mapping[str, Any], options: Mapping[str, Any]) -> int:
    """Images of the test split of a source whose `varying` does not hold `test_images`.

    A source whose test split has no fixed size takes it as `split: test` or as `test_images`.
    """
    given = options.get("split", {}).get("test") or options.get("test_images")
    # A word, `all`, and what is no number at all: the source itself refuses that.
    return given if isinstance(given, int) else int(facts["test_images"])
