"""The options of `cub200`, checked."""

from collections.abc import Mapping
from typing import Any

from sparsight.data.settings import one_of, section, seed_number, share_or_number
from sparsight.io.errors import InputError

SPLIT_DEFAULTS: dict[str, Any] = {"rule": "official", "validation": 0.0, "test": 0.1, "seed": 0}
RULES = ("official", "random")
MASKS = ("segmentations", "boxes", "none")
CONCEPTS = ("class_majority", "image_majority", "none")


def split_rule(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`split` with its defaults; its `test` is 0 where the official test set is meant."""
    values = section(settings, "split", SPLIT_DEFAULTS)
    rule = one_of(values, "rule", "official", RULES)
    if rule == "official" and "test" in settings.get("split", {}):
        raise InputError("'split: test' has no meaning for 'rule: official'; leave it out")
    return {
        "rule": rule,
        "validation": share_or_number(values["validation"], "split: validation"),
        "test": share_or_number(values["test"], "split: test") if rule == "random" else 0,
        "seed": seed_number(values["seed"], "split: seed"),
    }


def mask_rule(settings: Mapping[str, Any]) -> str:
    """`masks`: one of `MASKS`."""
    return one_of(settings, "masks", "segmentations", MASKS)


def concept_rule(settings: Mapping[str, Any]) -> str:
    """`concepts`: one of `CONCEPTS`."""
    return one_of(settings, "concepts", "class_majority", CONCEPTS)


def part_radius(settings: Mapping[str, Any]) -> float:
    """`part_radius`, a share of the side; 0 for no parts."""
    radius = settings.get("part_radius", 0.0)
    if isinstance(radius, bool) or not isinstance(radius, int | float) or not 0 <= radius <= 0.5:
        raise InputError(f"'part_radius' must be a share of the side from 0 to 0.5, not {radius!r}")
    return float(radius)
