"""Parameters are held against the defaults that an item states."""

import pytest

from sparsight.study.checks import parameter_problems

KNOWN = {
    "flag": True,
    "count": 3,
    "share": 0.5,
    "word": "max",
    "list": [1, 2],
    "part": {"count": 3, "inner": {"flag": False}},
    "free": None,
}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"flag": False, "count": 0, "share": 0.1, "word": "min", "list": [], "part": {}},
        {"share": 1},  # a whole number is a fine share
        {"free": [1]},
        {"part": {"count": 1, "inner": {"flag": True}}},
        {"word": {"share": 0.1}},  # a word that stands for a mapping
    ],
    ids=str,
)
def test_fitting_values_are_accepted(values):
    assert list(parameter_problems("x", values, KNOWN)) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"flag": 1}, "x.flag is 1, but must be true or false."),
        ({"count": 1.5}, "x.count is 1.5, but must be a whole number."),
        ({"count": True}, "x.count is true, but must be a whole number."),
        ({"share": True}, "x.share is true, but must be a number."),
        ({"share": None}, "x.share is empty, but must be a number."),
        ({"word": 3}, "x.word is 3, but must be text; to make it text, put it in quotes."),
        ({"list": "a"}, "x.list is 'a', but must be a list."),
        ({"part": [1]}, "x.part is a list of 1, but must be a mapping of keys to values."),
        ({"part": {"inner": {"flag": 2}}}, "x.part.inner.flag is 2, but must be true or false."),
        (
            {"count": "7"},
            "x.count is '7', but must be a whole number; YAML took it for text: write 7, without "
            "quotes.",
        ),
        (
            {"part": {"cuont": 1}},
            "x.part names the unknown parameter 'cuont'; did you mean 'count'? (known: count, "
            "inner).",
        ),
    ],
    ids=str,
)
def test_others_are_one_sentence(values, sentence):
    assert list(parameter_problems("x", values, KNOWN)) == [sentence]


def test_required_parameters_have_no_kind():
    known = {"layer": "required"}
    assert list(parameter_problems("x", {}, known)) == ["'layer' is missing at x; it is required."]
    assert list(parameter_problems("x", {"layer": 3}, known)) == []
