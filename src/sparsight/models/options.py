"""Options of an architecture, checked from its facts: light, for the workflow and for building."""

from collections.abc import Mapping
from typing import Any

from sparsight.io.errors import InputError
from sparsight.parameters import checked_parameters, hint


def checked_options(facts: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of an architecture: the defaults overlaid with `given`.

    Parameters
    ----------
    facts : of the architecture, as `Registry.facts` gives them: `name`, `option_defaults` and
        `option_choices`.
    given : options from the configuration or a checkpoint.

    Raises
    ------
    InputError
        For an unknown option, one of another kind, a text that is none of its choices, or a number
        below 1 (numbers are widths and depths).
    """
    owner = f"architecture {facts['name']}"
    options = checked_parameters(owner, facts.get("option_defaults", {}), given)
    choices = facts.get("option_choices", {})
    for key, value in options.items():
        if key in choices and value not in choices[key]:
            raise InputError(f"{owner}: '{key}' cannot be '{value}'{hint(value, choices[key])}")
        if isinstance(value, int | float) and not isinstance(value, bool) and value < 1:
            raise InputError(f"{owner}: '{key}' is {value}; it must be at least 1")
    return options


def input_problem(facts: Mapping[str, Any], shape: tuple[int, int, int]) -> str | None:
    """Why an architecture does not take images of `shape` (C, H, W); None when it does.

    A height and width of 0 in the fact `input_shape` stand for any from `minimum_side` on.
    """
    channels, height, width = facts["input_shape"]
    if (height, width) != (0, 0):
        fits = tuple(shape) == (channels, height, width)
        return None if fits else f"takes images of {channels}x{height}x{width}"
    if shape[0] != channels:
        return f"takes images of {channels} channels"
    least = facts.get("minimum_side", 1)
    return None if min(shape[1:]) >= least else f"takes images of at least {least}x{least} pixels"
