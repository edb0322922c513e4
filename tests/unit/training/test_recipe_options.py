"""What a recipe can say is checked without torch, a sentence for every mistake."""

from typing import Any

import pytest

from sparsight.io.errors import InputError
from sparsight.training.options import (
    OPTIMISERS,
    checked_augmentation,
    checked_choice,
    recipe_problems,
)

GOOD: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "optimiser": {"name": "ranger", "learning_rate": 0.001, "weight_decay": 1e-4, "epsilon": 1e-6},
    "schedule": {"name": "cosine"},
    "augment": {"random_resized_crop": {"scale": [0.25, 1]}, "flip": True},
    "select": "best_validation",
}


def test_defaults_fill_what_is_left_out() -> None:
    name, facts = checked_choice("optimiser", OPTIMISERS, {"name": "sgd", "learning_rate": 1})
    assert (name, facts) == ("sgd", {"learning_rate": 1, "momentum": 0.0, "weight_decay": 0.0})
    assert checked_augmentation({"random_resized_crop": {}}) == {
        "random_resized_crop": {"scale": [0.08, 1.0], "ratio": [3 / 4, 4 / 3]}
    }


def test_a_good_recipe_has_no_problems() -> None:
    assert recipe_problems(GOOD, ("train", "validation", "test")) == []
    assert recipe_problems({"optimiser": GOOD["optimiser"]}, ()) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"optimiser": {"name": "adam", "learning_rate": 1}}, "did you mean 'adamw'"),
        ({"optimiser": {"name": "sgd"}}, "needs the parameter 'learning_rate'"),
        ({"optimiser": {"name": "sgd", "learning_rate": 1, "betas": [0, 1]}}, "no parameter"),
        ({"schedule": {"name": "multi_step", "factor": 0.1}}, "needs the parameter 'milestones'"),
        ({"augment": {"flips": True}}, "did you mean 'flip'"),
        ({"augment": {"flip": 1}}, "must be true or false"),
        ({"augment": {"random_resized_crop": {"scale": [0.5, 1.5]}}}, "two positive numbers up to"),
        ({"augment": {"random_resized_crop": {"ratio": [2, 1]}}}, "the smaller first"),
        ({"augment": {"colour_jitter": {"hue": 0.6}}}, "from 0 to 0.5"),
        ({"select": "best"}, "unknown rule 'select: best'"),
        ({"select": "best_test"}, "needs images in the split 'test'"),
    ],
)
def test_every_mistake_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    (problem,) = recipe_problems({**GOOD, **change}, ("train", "validation"))
    assert sentence in problem


def test_a_schedule_without_a_name_is_refused() -> None:
    with pytest.raises(InputError, match="unknown optimiser 'None'"):
        checked_choice("optimiser", OPTIMISERS, {})
