"""Sizes of layers, options and inputs from facts alone."""

from typing import Any

import pytest

from sparsight.io.errors import InputError
from sparsight.models.options import checked_options, layer_names, layer_size
from sparsight.models.registry import MODELS

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


def test_an_unknown_layer_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"no layer 'stage3'.*did you mean 'stage2'"):
        layer_size(FACTS, {}, (3, 33, 16), "stage3")


def test_options_are_overlaid_and_checked() -> None:
    assert checked_options(FACTS, {"width": 8}) == {"width": 8, "stem": "big"}
    for wrong, sentence in [
        ({"wdith": 8}, "did you mean 'width'"),
        ({"stem": "smal"}, "'stem' cannot be 'smal'.*did you mean 'small'"),
        ({"width": "8"}, "of the kind int"),
        ({"width": 0}, "at least 1"),
    ]:
        with pytest.raises(InputError, match=sentence):
            checked_options(FACTS, wrong)
