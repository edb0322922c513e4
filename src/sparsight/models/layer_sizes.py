"""Sizes of layer outputs, from an architecture's facts alone: no network is built."""

from collections.abc import Iterable, Mapping
from typing import Any

from sparsight.io.errors import InputError
from sparsight.models.options import checked_options
from sparsight.parameters import hint


def layer_names(facts: Mapping[str, Any]) -> list[str]:
    """Modules that a layer explainer may name, in the order of the forward pass."""
    return list(facts.get("layers") or facts.get("layer_windows") or facts["layer_strides"])


def layer_size(
    facts: Mapping[str, Any], options: Mapping[str, Any], shape: tuple[int, int, int], layer: str
) -> tuple[int, int]:
    """Height and width of a layer's output.

    Parameters
    ----------
    facts : of the architecture, as `Registry.facts` gives them: either `layers`, whose sizes are
        fixed, or `layer_windows`, or `layer_strides` and, where it has an option `stem`,
        `stem_strides`.
    options : of the architecture; those left out have their defaults.
    shape : (C, H, W) of the images.
    layer : one of `layer_names(facts)`.

    Raises
    ------
    InputError
        For an unknown layer or option.
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
