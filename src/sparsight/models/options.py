"""Facts of an architecture, checked without building it: its options, input and layer sizes.

The workflow imports this module before any job starts: it does not import torch.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sparsight.io.errors import InputError
from sparsight.parameters import checked_parameters, hint


def checked_options(facts: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of an architecture: the defaults overlaid with `given`.

    `facts` are those of the architecture, as `Registry.facts` gives them. An `InputError` for an
    unknown option, one of another kind, a text that is none of its choices, or a number below 1
    (numbers are widths and depths).
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


def layer_names(facts: Mapping[str, Any]) -> list[str]:
    """Modules that a layer explainer may name, in the order of the forward pass."""
    return list(facts.get("layers") or facts.get("layer_windows") or facts["layer_strides"])


def layer_size(
    facts: Mapping[str, Any], options: Mapping[str, Any], shape: tuple[int, int, int], layer: str
) -> tuple[int, int]:
    """Height and width of a layer's output; an `InputError` for an unknown layer or option.

    Parameters
    ----------
    facts : of the architecture: either `layers`, whose sizes are fixed, or `layer_windows`, or
        `layer_strides` and, where it has an option `stem`, `stem_strides`.
    options : of the architecture; those left out have their defaults.
    shape : (C, H, W) of the images.
    layer : one of `layer_names(facts)`.
    """
    known = layer_names(facts)
    if layer not in known:
        raise InputError(f"architecture {facts['name']} has no layer '{layer}'{hint(layer, known)}")
    if facts.get("layers"):
        height, width = facts["layers"][layer]
        return int(height), int(width)
    if facts.get("layer_windows"):
        windows = list(facts["layer_windows"].values())[: known.index(layer) + 1]
        return _side(shape[1], windows), _side(shape[2], windows)
    chosen = checked_options(facts, options)
    stem = facts["stem_strides"][chosen["stem"]] if facts.get("stem_strides") else {}
    # layers of the stem have strides of their own, all others a stride counted after the stem
    stride = stem[layer] if layer in stem else facts["layer_strides"][layer] * stem.get("", 1)
    return -(-shape[1] // stride), -(-shape[2] // stride)


def _side(side: int, windows: Iterable[tuple[int, int, int]]) -> int:
    for kernel, stride, padding in windows:
        side = (side + 2 * padding - kernel) // stride + 1
    return side
