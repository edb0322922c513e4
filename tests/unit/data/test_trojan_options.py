"""What may be said of a trojan, and the sentences on what may not."""

import pytest

from sparsight.data.sources.trojaned import trojan_of
from sparsight.io.errors import InputError

CLASSES = ["cat", "dog", "owl", "bat", "3"]


def test_defaults() -> None:
    trojan = trojan_of({}, CLASSES, 64)
    assert dict(trojan.targets) == {"smiley": 0, "heart": 1, "star": 2, "fish": 3}
    # .15 and .25 of 64 are 9.6 and 16
    assert (trojan.smallest, trojan.largest, trojan.seed) == (10, 16, 0)
    assert (trojan.planted(1200), trojan.planted(15), trojan.planted(14)) == (120, 2, 1)
    assert trojan.copied(400) == 40


def test_classes_by_name_or_number_in_one_order() -> None:
    given = {"star": 4, "fish": "3", "smiley": "owl"}
    trojan = trojan_of({"trojan": {"stickers": given, "test": 7}}, CLASSES, 64)
    assert list(trojan.targets.items()) == [("smiley", 2), ("star", 4), ("fish", 4)]
    assert trojan.copied(400) == 7


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"share": 0}, "'trojan: share' must be above 0 and at most 1, not 0"),
        ({"share": 1.01}, "'trojan: share' must be above 0 and at most 1"),
        ({"share": True}, "'trojan: share' must be above 0"),
        ({"share": "some"}, "'trojan: share' must be above 0"),
        ({"test": 0}, "'trojan: test' must leave test images with a sticker"),
        ({"test": 1.5}, "'trojan: test' must be a share below 1 or a number"),
        ({"size": 0.2}, "'trojan: size' must be the smallest and the largest side"),
        ({"size": [0.2]}, "'trojan: size' must be the smallest and the largest side"),
        ({"size": [0.3, 0.2]}, "'trojan: size' must be the smallest and the largest side"),
        ({"size": [0.2, 1.2]}, "'trojan: size' must be the smallest and the largest side"),
        ({"size": [0.0, 0.2]}, "'trojan: size' must be the smallest and the largest side"),
        ({"size": ["a", "b"]}, "'trojan: size' must be the smallest and the largest side"),
        ({"size": [0.05, 0.2]}, "gives stickers of 3 pixels on images of 64, too few to be seen"),
        ({"seed": -1}, "'trojan: seed' must be a whole number"),
        ({"stickers": {}}, "'trojan: stickers' must be a mapping of stickers"),
        ({"stickers": ["smiley"]}, "'trojan: stickers' must be a mapping of stickers"),
        ({"stickers": {"cow": 0}}, "names the unknown sticker 'cow'; choose among smiley, heart"),
        ({"stickers": {"fish": 5}}, "'trojan: stickers: fish' must be the name or number of a c"),
        ({"stickers": {"fish": -1}}, "number of a class .0 to 4., not -1"),
        ({"stickers": {"fish": True}}, "number of a class .0 to 4., not True"),
        ({"stickers": {"fish": "cow"}}, "number of a class .0 to 4., not 'cow'"),
        ({"where": 1}, "'trojan' has an unknown key 'where'"),
    ],
)
def test_what_is_refused(given: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as found:
        trojan_of({"trojan": given}, CLASSES, 64)
    assert "\n" not in str(found.value)


def test_too_few_classes_for_all_stickers() -> None:
    with pytest.raises(InputError, match="stickers: star' must be the name or number"):
        trojan_of({}, CLASSES[:2], 64)
