"""The options of `ham10000`, checked."""

from collections.abc import Mapping
from typing import Any

from sparsight.data.ham_tables import DIAGNOSES
from sparsight.data.settings import one_of, section, seed_number, share_or_number
from sparsight.io.errors import InputError

SPLIT_DEFAULTS: dict[str, Any] = {"rule": "lesion", "test": 0.2, "validation": 0.0, "seed": 0}
RULES = ("lesion", "image")
CLASSES = ("seven", "binary")
MASKS = ("lesions", "none")
CONCEPTS = ("abcd", "none")
BINARY = ("benign", "malignant")


def split_rule(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`split` with its defaults."""
    values = section(settings, "split", SPLIT_DEFAULTS)
    return {
        "rule": one_of(values, "rule", "lesion", RULES),
        "test": share_or_number(values["test"], "split: test"),
        "validation": share_or_number(values["validation"], "split: validation"),
        "seed": seed_number(values["seed"], "split: seed"),
    }


def class_rule(settings: Mapping[str, Any]) -> dict[str, int]:
    """Diagnosis to label, under `classes` and `malignant`.

    Raises
    ------
    InputError
        When `malignant` is no list of diagnoses, or is all or none of them.
    """
    if one_of(settings, "classes", "seven", CLASSES) == "seven":
        return {diagnosis: label for label, diagnosis in enumerate(DIAGNOSES)}
    malignant = settings.get("malignant", ["mel", "bcc"])
    sound = isinstance(malignant, list | tuple) and all(one in DIAGNOSES for one in malignant)
    if not sound or not 0 < len(set(malignant)) < len(DIAGNOSES):
        raise InputError(f"'malignant' must list some of {', '.join(DIAGNOSES)}, not {malignant!r}")
    return {diagnosis: int(diagnosis in malignant) for diagnosis in DIAGNOSES}


def class_names(settings: Mapping[str, Any]) -> list[str]:
    """Names of the classes, in the order of the labels."""
    if one_of(settings, "classes", "seven", CLASSES) == "seven":
        return list(DIAGNOSES)
    return list(BINARY)


def has_masks(settings: Mapping[str, Any]) -> bool:
    """Whether `masks` names some."""
    return one_of(settings, "masks", "lesions", MASKS) != "none"


def has_concepts(settings: Mapping[str, Any]) -> bool:
    """Whether `concepts` names some."""
    return one_of(settings, "concepts", "none", CONCEPTS) != "none"


def concept_quantile(settings: Mapping[str, Any]) -> float:
    """`concept_quantile`, above 0 and below 1."""
    quantile = settings.get("concept_quantile", 0.5)
    if isinstance(quantile, bool) or not isinstance(quantile, int | float) or not 0 < quantile < 1:
        raise InputError(f"'concept_quantile' must lie between 0 and 1, not {quantile!r}")
    return float(quantile)
