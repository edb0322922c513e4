"""Parameters of items: defaults, what a configuration may give, and the sentences on mistakes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsight.io.errors import InputError
from sparsight.parameters import REQUIRED, checked_parameters, hint

DEFAULTS: dict[str, Any] = {
    "steps": 5,
    "sigma": 0.5,
    "absolute": False,
    "reduction": "mean",
    "sizes": [1, 2],
    "layer": None,
}


def test_defaults_stand_where_nothing_is_given() -> None:
    assert checked_parameters("metric 'x'", DEFAULTS, {}) == DEFAULTS
    assert checked_parameters("metric 'x'", {}, {}) == {}


def test_what_is_given_wins_and_changes_neither_side() -> None:
    defaults, chosen = dict(DEFAULTS), {"steps": 7, "sigma": 0.25}
    assert checked_parameters("x", defaults, chosen) == {**DEFAULTS, "steps": 7, "sigma": 0.25}
    assert defaults == DEFAULTS
    assert chosen == {"steps": 7, "sigma": 0.25}


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
    ("key", "value", "kind"),
    [
        ("steps", 1.0, "int"),
        ("steps", "7", "int"),
        ("steps", True, "int"),
        ("steps", None, "int"),
        ("sigma", "0.5", "float"),
        ("sigma", False, "float"),
        ("sigma", None, "float"),
        ("absolute", 0, "bool"),
        ("absolute", "yes", "bool"),
        ("reduction", 3, "str"),
        ("reduction", ["mean"], "str"),
        ("sizes", 1, "list"),
        ("sizes", "1, 2", "list"),
    ],
)
def test_another_kind_is_refused(key: str, value: object, kind: str) -> None:
    with pytest.raises(InputError) as found:
        checked_parameters("metric 'x'", DEFAULTS, {key: value})
    assert str(found.value) == (
        f"metric 'x': parameter '{key}' is {value!r}, it must be of the kind {kind}"
    )


@pytest.mark.parametrize("value", ["conv2", 3, False, None, [1], REQUIRED])
def test_a_required_parameter_takes_any_kind_when_given(value: object) -> None:
    defaults = {"layer": REQUIRED, "steps": 5}
    assert checked_parameters("x", defaults, {"layer": value}) == {"layer": value, "steps": 5}


def test_a_required_parameter_must_be_given() -> None:
    with pytest.raises(InputError) as found:
        checked_parameters("explainer 'grad_cam'", {"steps": 5, "layer": REQUIRED}, {"steps": 6})
    assert str(found.value) == (
        "explainer 'grad_cam' needs the parameter 'layer'; give it under parameters"
    )


def test_an_unknown_parameter_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(InputError) as found:
        checked_parameters("metric 'x'", {"steps": 5, "sigma": 0.5}, {"step": 7})
    assert str(found.value) == (
        "metric 'x' has no parameter 'step' (known: sigma, steps); did you mean 'steps'?"
    )


def test_an_unknown_parameter_is_named_before_a_missing_one() -> None:
    # the misspelt name is why the required one is missing
    with pytest.raises(InputError, match=r"no parameter 'layr'.*did you mean 'layer'"):
        checked_parameters("x", {"layer": REQUIRED}, {"layr": "conv2"})


def test_an_item_without_parameters_takes_none() -> None:
    with pytest.raises(InputError, match=r"^x has no parameter 'steps' \(known: none\)$"):
        checked_parameters("x", {}, {"steps": 1})


def test_hint() -> None:
    assert hint("grad_cm", ["smooth", "grad_cam"]) == (
        " (known: grad_cam, smooth); did you mean 'grad_cam'?"
    )
    assert hint("zzz", iter(("b", "a"))) == " (known: a, b)"
    assert hint("zzz", ()) == " (known: none)"
