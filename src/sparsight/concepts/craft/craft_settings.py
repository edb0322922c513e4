"""What the parameters of CRAFT may be."""

from collections.abc import Mapping
from typing import Any

from sparsight.concepts.craft.factorisation import BACKENDS
from sparsight.concepts.craft.importance import SAMPLERS, replicated_design
from sparsight.io.errors import InputError

CHOICES = {
    "backend": tuple(BACKENDS),
    "choose": ("shared", "correct"),
    "sampler": SAMPLERS,
}
LEAST = {
    "concepts": 1,
    "images_of_class": 1,
    "designs": 2,
    "top_crops": 2,
    "top_concepts": 1,
    "sample_crops": 2,
    "pooled_concepts": 0,
    "picture_classes": 1,
    "picture_crops": 1,
    "picture_images": 1,
    "picture_side": 1,
}


def check_craft(settings: Mapping[str, Any]) -> None:
    """Refuse what cannot be, before any image is read.

    Raises
    ------
    InputError
        For the first parameter that is not one of its choices, or out of its range.
    """
    for key, known in CHOICES.items():
        if settings[key] not in known:
            raise InputError(
                f"concept method craft: '{key}' must be one of {', '.join(known)}, not "
                f"'{settings[key]}'"
            )
    for key, least in LEAST.items():
        if settings[key] < least:
            raise InputError(
                f"concept method craft: '{key}' must be at least {least}, not {settings[key]}"
            )
    if not 0 < settings["patch"] <= 1:
        raise InputError(
            f"concept method craft: 'patch' must be above 0 and at most 1, not {settings['patch']}"
        )
    replicated_design(1, settings["designs"], settings["sampler"], 0)
