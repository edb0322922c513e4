"""Parameters of items: defaults, what a configuration may give, and messages about mistakes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsight.io.errors import InputError, hint
from sparsight.registration import REQUIRED, checked_parameters, parameter_problems

DEFAULTS: dict[str, Any] = {
    "steps": 5,
    "sigma": 0.5,
    "absolute": False,
    "reduction": "mean",
    "sizes": [1, 2],
    "part": {"count": 3, "inner": {"flag": False}},
    "layer": None,
}
ALLOWED: dict[str, Any] = {
    "steps": "[1, inf)",
    "sigma": "(0, 1]",
    "reduction": ("mean", "max"),
    "sizes": "(0, 9)",
    "part": {"count": "[2, 4]"},
}


def problems(values: dict[str, Any]) -> list[str]:
    """What is wrong with parameters of `x`."""
    return list(parameter_problems("x", values, DEFAULTS, ALLOWED))


def test_what_is_given_wins_and_changes_neither_side() -> None:
    defaults, chosen = dict(DEFAULTS), {"steps": 7, "sigma": 0.25}
    assert checked_parameters("x", defaults, chosen) == {**DEFAULTS, "steps": 7, "sigma": 0.25}
    assert defaults == DEFAULTS
    assert chosen == {"steps": 7, "sigma": 0.25}
    assert checked_parameters("x", {}, {}) == {}


@given(
    chosen=st.fixed_dictionaries(
        {},
        optional={
            "steps": st.integers(),
            "sigma": st.floats(allow_nan=False) | st.integers(),
            "absolute": st.booleans(),
            "reduction": st.text(),
            "sizes": st.lists(st.integers()),
            "layer": st.none() | st.text() | st.integers() | st.booleans(),
        },
    )
)
def test_any_value_of_the_right_kind_is_taken_as_it_is(chosen: dict[str, Any]) -> None:
    found = checked_parameters("x", DEFAULTS, chosen)
    assert found == {**DEFAULTS, **chosen}
    assert all(type(found[key]) is type(value) for key, value in chosen.items())


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"absolute": True, "steps": 1, "sigma": 1, "reduction": "max", "part": {}},
        {"layer": [1]},
        {"part": {"count": 4, "inner": {"flag": True}}},
    ],
    ids=str,
)
def test_fitting_values_are_accepted(values: dict[str, Any]) -> None:
    assert problems(values) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"absolute": 1}, "x.absolute is 1, but must be true or false."),
        ({"steps": 1.5}, "x.steps is 1.5, but must be a whole number."),
        ({"steps": True}, "x.steps is true, but must be a whole number."),
        ({"sigma": True}, "x.sigma is true, but must be a number."),
        ({"sigma": None}, "x.sigma is empty, but must be a number."),
        (
            {"reduction": 3},
            "x.reduction is 3, but must be text; to make it text, put it in quotes.",
        ),
        ({"sizes": "a"}, "x.sizes is 'a', but must be a list."),
        ({"part": [1]}, "x.part is a list of 1, but must be a mapping of keys to values."),
        ({"part": {"inner": {"flag": 2}}}, "x.part.inner.flag is 2, but must be true or false."),
        (
            {"steps": "7"},
            "x.steps is '7', but must be a whole number; YAML took it for text: write 7, without "
            "quotes.",
        ),
        (
            {"part": {"cuont": 1}},
            "x.part names the unknown parameter 'cuont'; did you mean 'count'? (known: count, "
            "inner).",
        ),
        ({"steps": 0}, "x.steps is 0, but must be at least 1."),
        ({"sigma": 0}, "x.sigma is 0, but must be above 0 and at most 1."),
        ({"sigma": float("nan")}, "x.sigma is nan, but must be above 0 and at most 1."),
        ({"sizes": [1, 9]}, "x.sizes is a list of 2, but must be above 0 and below 9."),
        ({"sizes": []}, "x.sizes is an empty list, but must be above 0 and below 9."),
        ({"part": {"count": 5}}, "x.part.count is 5, but must be at least 2 and at most 4."),
        ({"reduction": "sum"}, "x.reduction is 'sum', but must be one of mean, max."),
        (
            {"reduction": "meam"},
            "x.reduction is 'meam', but must be one of mean, max; did you mean 'mean'?",
        ),
    ],
    ids=str,
)
def test_others_are_one_sentence(values: dict[str, Any], sentence: str) -> None:
    assert problems(values) == [sentence]
    with pytest.raises(InputError) as found:
        checked_parameters("x", DEFAULTS, values, ALLOWED)
    assert str(found.value) == sentence.removesuffix(".")


def test_a_word_can_stand_for_a_mapping_or_a_number() -> None:
    defaults = {"validation": "none", "test": "all"}
    assert not [*parameter_problems("x", {"validation": {"share": 0.1}, "test": 3}, defaults)]


@pytest.mark.parametrize("value", ["conv2", 3, False, None, [1], REQUIRED])
def test_a_required_parameter_takes_any_kind_when_given(value: object) -> None:
    defaults = {"layer": REQUIRED, "steps": 5}
    assert checked_parameters("x", defaults, {"layer": value}) == {"layer": value, "steps": 5}


def test_a_required_parameter_must_be_given_and_be_allowed() -> None:
    known = {"share": REQUIRED}
    assert [*parameter_problems("x", {}, known)] == ["'share' is missing at x; it is required."]
    for value in ("a", None, True, {}):
        (found,) = parameter_problems("x", {"share": value}, known, {"share": "[0, 1]"})
        assert "must be at least 0 and at most 1" in found


def test_an_unknown_parameter_is_named_before_a_missing_one() -> None:
    # the misspelt name is why the required one is missing
    with pytest.raises(InputError, match=r"unknown parameter 'layr'.*did you mean 'layer'"):
        checked_parameters("x", {"layer": REQUIRED}, {"layr": "conv2"})


def test_an_item_without_parameters_takes_none() -> None:
    with pytest.raises(InputError, match=r"the unknown parameter 'steps' \(known: none\)$"):
        checked_parameters("x", {}, {"steps": 1})


def test_hint() -> None:
    assert hint("grad_cm", ["smooth", "grad_cam"]) == (
        "; did you mean 'grad_cam'? (known: smooth, grad_cam)"
    )
    assert hint("zzz", iter(("b", "a"))) == " (known: b, a)"
    assert hint("zzz", ()) == " (known: none)"
