"""Sizes of layers from facts alone."""

from typing import Any

import pytest

from sparsight.models.registry import MODELS
from sparsight.study.plan import layer_names, layer_size

FACTS: dict[str, Any] = {
    "name": "example",
    "input_shape": (3, 0, 0),
    "minimum_side": 8,
    "option_defaults": {"width": 64, "stem": "big"},
    "option_choices": {"stem": ("big", "small")},
    "layers": {},
    "layer_strides": {"conv1": 1, "pool": 1, "stage2": 2},
    "stem_strides": {"big": {"": 4, "conv1": 2}, "small": {"": 1}},
}


def test_fixed_sizes_are_those_of_the_facts() -> None:
    facts = MODELS.facts("thesis_cnn")
    assert layer_names(facts) == ["conv1", "conv1_relu", "pool1", "conv2", "conv2_relu", "pool2"]
    assert layer_size(facts, {}, (1, 28, 28), "pool2") == (5, 5)


@pytest.mark.parametrize(
    ("stem", "layer", "size"),
    [
        ("big", "conv1", (17, 8)),
        ("big", "pool", (9, 4)),
        ("big", "stage2", (5, 2)),
        ("small", "conv1", (33, 16)),
        ("small", "pool", (33, 16)),
        ("small", "stage2", (17, 8)),
    ],
)
def test_strides_round_up(stem: str, layer: str, size: tuple[int, int]) -> None:
    assert layer_size(FACTS, {"stem": stem}, (3, 33, 16), layer) == size


def test_a_default_stem_and_an_architecture_without_stems() -> None:
    assert layer_size(FACTS, {}, (3, 33, 16), "pool") == (9, 4)
    plain = {**FACTS, "stem_strides": {}}
    assert layer_size(plain, {}, (3, 33, 16), "stage2") == (17, 8)


def test_windows_follow_one_another() -> None:
    # 33 -> (33 - 3) // 2 + 1 = 16 -> 14 -> 14; 16 -> 7 -> 5 -> 5
    facts = {**FACTS, "layer_windows": {"a": (3, 2, 0), "b": (3, 1, 0), "c": (3, 1, 1)}}
    assert layer_names(facts) == ["a", "b", "c"]
    found = [layer_size(facts, {}, (3, 33, 16), layer) for layer in "abc"]
    assert found == [(16, 7), (14, 5), (14, 5)]
