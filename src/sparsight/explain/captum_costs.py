"""What classes of captum cost, as their parameters and the images have it."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

# More than anyone can wait for; orders of a whole image's values are beyond all numbers.
_MOST = 10**9
_COUNTS = ("n_steps", "n_samples", "nt_samples")
_ABLATIONS = ("FeatureAblation", "LayerFeatureAblation", "NeuronFeatureAblation")


def with_counts(cost: int, attribute: Callable[..., Any], settings: Mapping[str, Any]) -> int:
    """`cost`, that of the defaults of `attribute`, with the numbers of steps and samples given."""
    signature = inspect.signature(attribute).parameters
    for name in _COUNTS:
        if name in settings and name in signature:
            cost = math.ceil(cost * settings[name] / signature[name].default)
    return cost


def cost_of_features(
    class_name: str, settings: Mapping[str, Any], shape: tuple[int, int, int]
) -> int | None:
    """Passes of a class that tries features one after another; None for other classes.

    Parameters
    ----------
    class_name : of captum.
    settings : its parameters. Without a mask each value of the image is a feature; a layer is
        taken to have as many as the image.
    shape : (C, H, W) of the images.
    """
    if class_name == "Occlusion":
        return _windows(settings, shape) + 1
    count = _features(settings, shape)
    if class_name in _ABLATIONS:
        # A layer is looked at once more, for what it gives.
        return count + (2 if class_name.startswith("Layer") else 1)
    if class_name == "ShapleyValueSampling":
        return int(settings.get("n_samples", 25)) * count + 1
    if class_name == "ShapleyValues":
        return _MOST if count > 12 else min(_MOST, math.factorial(count) * count + 1)
    return None


def _features(settings: Mapping[str, Any], shape: tuple[int, int, int]) -> int:
    mask = settings.get("feature_mask", settings.get("layer_mask"))
    if mask is None:
        return math.prod(shape)
    numbers = torch.as_tensor(mask)
    return int(numbers.max() - numbers.min()) + 1


def _windows(settings: Mapping[str, Any], shape: tuple[int, int, int]) -> int:
    windows = _numbers(settings["sliding_window_shapes"])
    strides = settings.get("strides")
    steps = [1] * 3 if strides is None else _numbers(strides)
    counts = [
        math.ceil(max(side - window, 0) / step) + 1
        for side, window, step in zip(shape, windows, steps, strict=False)
    ]
    return math.prod(counts)


def _numbers(given: int | Sequence[Any]) -> Sequence[int]:
    """A number for each side, from one for all of them or from a list that may be in a list."""
    if isinstance(given, int):
        return [given] * 3
    first = given[0]
    return given if isinstance(first, int) else first
