"""Options of a planted trojan: which stickers, for which classes, how many and how large."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsight.data.settings import number_of, section, seed_number, share_or_number
from sparsight.data.stickers import SMALLEST_SIDE, STICKERS
from sparsight.io.errors import InputError

# `stickers` is None where its names are the user's: all four, for the classes 0 to 3.
DEFAULTS: dict[str, Any] = {
    "stickers": None,
    "share": 0.1,
    "size": [0.15, 0.25],
    "seed": 0,
    "test": 0.1,
}


@dataclass(frozen=True)
class Trojan:
    """What is planted.

    Attributes
    ----------
    targets : sticker to the class (0..class count - 1) that it stands for.
    share : of the training images, and of the validation images, that get a sticker, 0..1.
    test : share (a float) or number (an int) of the test images of which there are copies with one.
    smallest, largest : side of a sticker in pixels.
    seed : of all draws.
    """

    targets: Mapping[str, int]
    share: float
    test: float | int
    smallest: int
    largest: int
    seed: int

    def planted(self, count: int) -> int:
        """How many of `count` training or validation images get a sticker: halves go up."""
        return int(self.share * count + 0.5)

    def copied(self, count: int) -> int:
        """Of how many of `count` test images there are copies with a sticker."""
        return number_of(self.test, count)


def trojan_of(settings: Mapping[str, Any], classes: Sequence[str], side: int) -> Trojan:
    """The trojan that `settings["trojan"]` describes.

    Parameters
    ----------
    settings : with `trojan`, see `sparsight.data.trojaned.Trojaned`.
    classes : names of the classes of the images it is planted in.
    side : of these images in pixels, the shorter one.

    Raises
    ------
    InputError
        One sentence that names the key and says what to give.
    """
    values = section(settings, "trojan", DEFAULTS)
    share = values["share"]
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise InputError(f"'trojan: share' must be above 0 and at most 1, not {share!r}")
    test = share_or_number(values["test"], "trojan: test")
    if not test:
        raise InputError("'trojan: test' must leave test images with a sticker; give more than 0")
    smallest, largest = _sides(values["size"], side)
    seed = seed_number(values["seed"], "trojan: seed")
    targets = _targets(values["stickers"], classes)
    return Trojan(targets, float(share), test, smallest, largest, seed)


def _targets(stickers: Any, classes: Sequence[str]) -> dict[str, int]:
    given = {name: k for k, name in enumerate(STICKERS)} if stickers is None else stickers
    if not isinstance(given, Mapping) or not given:
        raise InputError(
            f"'trojan: stickers' must be a mapping of stickers ({', '.join(STICKERS)}) to the "
            f"classes that they stand for, not {given!r}"
        )
    for name in given:
        if name not in STICKERS:
            raise InputError(
                f"'trojan: stickers' names the unknown sticker {name!r}; choose among "
                f"{', '.join(STICKERS)}"
            )
    # In one order, however the configuration was sorted: a draw must not hang on it.
    return {name: _class(name, given[name], classes) for name in STICKERS if name in given}


def _class(sticker: str, wanted: Any, classes: Sequence[str]) -> int:
    if isinstance(wanted, str) and wanted in classes:
        return list(classes).index(wanted)
    whole = isinstance(wanted, int) and not isinstance(wanted, bool)
    if not whole or not 0 <= wanted < len(classes):
        raise InputError(
            f"'trojan: stickers: {sticker}' must be the name or number of a class (0 to "
            f"{len(classes) - 1}), not {wanted!r}"
        )
    return int(wanted)


def _sides(size: Any, side: int) -> tuple[int, int]:
    numbers = list(size) if isinstance(size, list | tuple) else []
    fits = all(isinstance(x, int | float) and not isinstance(x, bool) for x in numbers)
    if len(numbers) != 2 or not fits or not 0 < numbers[0] <= numbers[1] <= 1:
        raise InputError(
            "'trojan: size' must be the smallest and the largest side of a sticker as shares of "
            f"the image's, above 0 and at most 1, not {size!r}"
        )
    smallest, largest = (int(share * side + 0.5) for share in numbers)
    if smallest < SMALLEST_SIDE:
        raise InputError(
            f"'trojan: size' gives stickers of {smallest} pixels on images of {side}, too few to "
            f"be seen; give a share of at least {SMALLEST_SIDE / side:.2f}"
        )
    return smallest, largest
