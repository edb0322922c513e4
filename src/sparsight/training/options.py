"""What a recipe can say, checked without torch: for the workflow and for the training itself."""

from collections.abc import Mapping
from typing import Any

from sparsight.io.errors import InputError
from sparsight.parameters import REQUIRED, checked_parameters, hint

#: optimiser to its hyper-parameters and their defaults
OPTIMISERS: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": REQUIRED, "momentum": 0.0, "weight_decay": 0.0},
    "adamw": {
        "learning_rate": REQUIRED,
        "weight_decay": 0.0,
        "betas": [0.9, 0.999],
        "epsilon": 1e-8,
    },
    "ranger": {
        "learning_rate": REQUIRED,
        "weight_decay": 0.0,
        "betas": [0.95, 0.999],
        "epsilon": 1e-5,
    },
}
#: schedule to its parameters and their defaults
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "multi_step": {"milestones": REQUIRED, "factor": REQUIRED},
    "step": {"every": REQUIRED, "factor": REQUIRED},
    "cosine": {"minimum_rate": 0.0},
}
#: augmentation to its parameters and their defaults
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "random_resized_crop": {"scale": [0.08, 1.0], "ratio": [3 / 4, 4 / 3]},
    "colour_jitter": {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
}
#: rule of selection to the split whose accuracy decides, empty where the last epoch is taken
SELECTIONS = {"last": "", "best_validation": "validation", "best_test": "test"}


def checked_choice(
    kind: str, tables: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The name and all parameters of a recipe's optimiser or schedule (`kind`, for messages).

    `given` is `{name: ..., parameter: value, ...}`, `tables` one of `OPTIMISERS` and `SCHEDULES`.
    An `InputError` for an unknown name or an unknown, missing or unusable parameter.
    """
    name = str(given.get("name"))
    if name not in tables:
        raise InputError(f"unknown {kind} '{name}'{hint(name, tables)}")
    own = {key: value for key, value in given.items() if key != "name"}
    return name, checked_parameters(f"{kind} {name}", tables[name], own)


def checked_augmentation(given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's `augment` with all parameters filled in.

    `given` is `{random_resized_crop: {scale, ratio}, flip: true, colour_jitter: {brightness,
    contrast, saturation, hue}}`; what is left out is not done.
    """
    found: dict[str, Any] = {}
    for part, value in given.items():
        if part == "flip":
            if not isinstance(value, bool):
                raise InputError(f"augment: 'flip' is {value!r}; it must be true or false")
            found[part] = value
        elif part in AUGMENTATIONS:
            found[part] = checked_parameters(f"augment: {part}", AUGMENTATIONS[part], value)
        else:
            raise InputError(f"augment has no part '{part}'{hint(part, [*AUGMENTATIONS, 'flip'])}")
    _check_ranges(found)
    return found


def _check_ranges(parts: Mapping[str, Any]) -> None:
    for key, bounds in parts.get("random_resized_crop", {}).items():
        least, most = (*bounds, 0, 0)[:2]
        if len(bounds) != 2 or not 0 < least <= most or (key == "scale" and most > 1):
            limit = " up to 1" if key == "scale" else ""
            raise InputError(
                f"augment: random_resized_crop: '{key}' is {list(bounds)}; it must be two positive "
                f"numbers{limit}, the smaller first"
            )
    for key, value in parts.get("colour_jitter", {}).items():
        most = 0.5 if key == "hue" else 1
        if not 0 <= value <= most:
            raise InputError(
                f"augment: colour_jitter: '{key}' is {value}; it must be from 0 to {most}"
            )


def recipe_problems(recipe: Mapping[str, Any], splits: tuple[str, ...]) -> list[str]:
    """What is wrong with a recipe, a message each; empty when it can be trained with.

    Of a recipe without epochs nothing else is used. `splits` are those of the data set that hold
    images.
    """
    if recipe.get("epochs") == 0:
        return []
    problems = []
    checks = (
        lambda: checked_choice("optimiser", OPTIMISERS, recipe["optimiser"]),
        lambda: checked_choice("schedule", SCHEDULES, recipe.get("schedule", {"name": "constant"})),
        lambda: checked_augmentation(recipe.get("augment", {})),
        lambda: _check_selection(recipe.get("select", "last"), splits),
    )
    for check in checks:
        try:
            check()
        except InputError as error:
            problems.append(str(error))
    return problems


def _check_selection(rule: str, splits: tuple[str, ...]) -> None:
    if rule not in SELECTIONS:
        raise InputError(f"unknown rule 'select: {rule}'{hint(rule, SELECTIONS)}")
    if SELECTIONS[rule] and SELECTIONS[rule] not in splits:
        raise InputError(
            f"'select: {rule}' needs images in the split '{SELECTIONS[rule]}'; set some aside, or "
            "take 'select: last'"
        )
