"""One generated image of a figure before a background, with masks: whole numbers only.

Everything is a function of the image's words (see `sparsight.data.draws`) and of what the figure
shall be. The scene does not depend on the number of pixels: the same words at twice the size are
the same picture, sharper (its grain apart).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsight.data.geometry import (
    CANVAS,
    FIGURES,
    FULL,
    Samples,
    Window,
    arms,
    corners,
    coverage,
    fine,
    inside,
    spots,
    stripes,
)

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (200, 50, 45),
    "green": (50, 165, 60),
    "blue": (55, 80, 205),
}
TEXTURES = ("striped", "spotted")
PARTS = ("outline", "inner", "corner", "arm", "stripe", "spot", "distractor", "cue")
MAGENTA = (235, 30, 220)
# Of the 512 units of the canvas; 8 are a pixel of an image of 64 × 64.
SMALLEST, LARGEST = 110, 170
# How far a figure goes from its centre, in sixteenths of its size: it never leaves the image.
REACHES = {"disc": 17, "square": 21, "triangle": 23, "cross": 20}
RIM = 14
CUE_SIZE = 26
CUE_CORNER = 32
# Words that a scene uses; more than enough for every branch.
WORDS = 64
MOST_DISTRACTORS = 3
GRAIN_AMPLITUDE = 8

Picture = NDArray[np.int64]


@dataclass(frozen=True)
class Subject:
    """What the image shows; each is a name in `FIGURES`, `COLOURS` and `TEXTURES`."""

    figure: str
    colour: str
    texture: str


@dataclass(frozen=True)
class Drawn:
    """An image with its annotation.

    Attributes
    ----------
    image : uint8 [3, side, side].
    mask : uint8 [side, side], the object, 0..255.
    part_masks : uint8 [P, side, side], in the order of `PARTS`, 0..255.
    distracted : whether there are distractors.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    part_masks: NDArray[np.uint8]
    distracted: bool


class _Dice:
    """Whole numbers from words, one word each (Lemire's multiplication, on the upper half)."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self._words: Iterator[int] = iter(words.tolist())

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + ((next(self._words) >> 32) * (high - low + 1) >> 32)

    def near(self, colour: Sequence[int], spread: int) -> list[int]:
        """A colour whose channels differ by at most `spread`."""
        return [min(255, max(0, value + self.between(-spread, spread))) for value in colour]


def draw_scene(
    subject: Subject,
    words: NDArray[np.uint64],
    grain: NDArray[np.uint64],
    side: int,
    cue: str | None = None,
) -> Drawn:
    """Draw an image of `side` × `side` pixels.

    Parameters
    ----------
    subject : the object.
    words : uint64 [`WORDS`], from which position, size and all that varies are drawn.
    grain : uint64 [⌈3·side²/8⌉], each byte the grain of one value.
    side : pixels.
    cue : where to paste the planted mark: `corner` (the upper left), `varied` (anywhere along the
        border); None for none.
    """
    dice = _Dice(words)
    covers = np.zeros((len(PARTS), side, side), np.uint8)
    # First, so that the mark's place does not hang on what else is drawn.
    place = _cue_place(dice)
    picture = _background(dice, side)
    _distract(dice, picture, covers[PARTS.index("distractor")], side)
    whole = _draw_object(dice, subject, picture, covers, side)
    if cue is not None:
        x, y = place if cue == "varied" else (CUE_CORNER, CUE_CORNER)
        window = Window.around(side, x, y, CUE_SIZE)
        mark = _plain("square", window, x, y, CUE_SIZE, (1, 0))
        _paint(picture, window, mark, MAGENTA)
        _hide(window, mark, whole, *covers)
        covers[PARTS.index("cue")][window.pixels] = mark
    levels = 2 * GRAIN_AMPLITUDE + 1
    bytes_ = grain.astype("<u8").view(np.uint8)[: picture.size].astype(np.int64)
    picture += ((bytes_ * levels) >> 8).reshape(picture.shape) - GRAIN_AMPLITUDE
    image = np.clip(picture, 0, 255).astype(np.uint8)
    # What the object or the cue hides wholly is not in the image.
    distracted = bool(covers[PARTS.index("distractor")].any())
    return Drawn(image, _to_255(whole), _to_255(covers), distracted)


def _cue_place(dice: _Dice) -> tuple[int, int]:
    margin = CUE_SIZE + 4
    along = dice.between(margin, CANVAS - margin)
    edge = dice.between(0, 3)
    across = margin if edge % 2 == 0 else CANVAS - margin
    return (along, across) if edge < 2 else (across, along)


def _background(dice: _Dice, side: int) -> Picture:
    """A tinted grey with a linear gradient, int64 [3, side, side]."""
    grey = dice.between(60, 190)
    tint = dice.near([grey] * 3, 25)
    slopes = dice.between(-30, 30), dice.between(-30, 30)
    # From -1 to 1 across the image, times the number of pixels.
    ramp = 2 * np.arange(side, dtype=np.int64) + 1 - side
    slope = (slopes[0] * ramp[np.newaxis] + slopes[1] * ramp[:, np.newaxis]) // side
    return np.array(tint, np.int64)[:, np.newaxis, np.newaxis] + slope


def _distract(dice: _Dice, picture: Picture, cover: NDArray[np.uint8], side: int) -> None:
    """Small plain figures in the objects' colours, which the object may hide."""
    count = dice.between(0, MOST_DISTRACTORS)
    for _ in range(count):
        figure = FIGURES[dice.between(0, len(FIGURES) - 1)]
        colour = dice.near(list(COLOURS.values())[dice.between(0, len(COLOURS) - 1)], 30)
        size = dice.between(16, 30)
        x, y = dice.between(size, CANVAS - size), dice.between(size, CANVAS - size)
        window = Window.around(side, x, y, size * 3 // 2)
        mark = _plain(figure, window, x, y, size, (256, dice.between(-96, 96)))
        _paint(picture, window, mark, colour)
        np.maximum(cover[window.pixels], mark, out=cover[window.pixels])


def _draw_object(
    dice: _Dice, subject: Subject, picture: Picture, covers: NDArray[np.uint8], side: int
) -> NDArray[np.uint8]:
    """Draw the object, fill in its parts' covers, and give its own, uint8 [side, side], 0..16."""
    size = dice.between(SMALLEST, LARGEST)
    room = size * REACHES[subject.figure] // 16
    x, y = dice.between(room, CANVAS - room), dice.between(room, CANVAS - room)
    direction = (256, dice.between(-96, 96))
    window = Window.around(side, x, y, size * 3 // 2)
    u, v = window.coordinates(x, y, direction)
    length = fine(size, side, direction)
    body = inside(subject.figure, u, v, length, 0)
    inner = inside(subject.figure, u, v, length, fine(RIM, side, direction))
    texture = _texture(dice, subject.texture, u, v, side, direction) & body
    parts = {
        "outline": body & ~inner,
        "inner": inner,
        "corner": body & corners(subject.figure, u, v, length),
        "arm": body & arms(subject.figure, u, v, length),
        "stripe" if subject.texture == "striped" else "spot": texture,
    }
    counted = coverage(np.stack([body, *parts.values()]))
    whole = np.zeros((side, side), np.uint8)
    whole[window.pixels] = counted[0]
    _hide(window, counted[0], covers[PARTS.index("distractor")])
    for name, cover in zip(parts, counted[1:], strict=True):
        covers[PARTS.index(name)][window.pixels] = cover
    colour = dice.near(COLOURS[subject.colour], 30)
    light = dice.between(0, 1) == 1
    marks = [255 - (255 - value) // 3 if light else value // 3 for value in colour]
    _paint(picture, window, counted[0], colour)
    _paint(picture, window, covers[PARTS.index(list(parts)[-1])][window.pixels], marks)
    return whole


def _texture(
    dice: _Dice,
    texture: str,
    u: NDArray[np.int64],
    v: NDArray[np.int64],
    side: int,
    direction: tuple[int, int],
) -> Samples:
    period = fine(dice.between(60, 80), side, direction)
    shift = fine(dice.between(0, 79), side, direction)
    if texture == "spotted":
        return spots(u, v, period, shift)
    slant = dice.between(0, 2)
    # Along, across, or diagonally: there the period is longer by about √2.
    return stripes((u, v, (u + v) * 5 // 7)[slant], period, shift)


def _plain(
    figure: str, window: Window, x: int, y: int, size: int, direction: tuple[int, int]
) -> NDArray[np.uint8]:
    u, v = window.coordinates(x, y, direction)
    return coverage(inside(figure, u, v, fine(size, window.side, direction), 0))


def _paint(
    picture: Picture, window: Window, cover: NDArray[np.uint8], colour: Sequence[int]
) -> None:
    region = picture[:, *window.pixels]
    share = cover.astype(np.int64)
    wanted = np.array(colour, np.int64)[:, np.newaxis, np.newaxis]
    region[:] = (region * (FULL - share) + wanted * share + FULL // 2) // FULL


def _hide(window: Window, cover: NDArray[np.uint8], *below: NDArray[np.uint8]) -> None:
    """Take away from the covers `below` what lies under `cover`."""
    for other in below:
        region = other[window.pixels]
        # 16 · 16 does not fit into a byte.
        region[:] = region.astype(np.uint16) * (FULL - cover) // FULL


def _to_255(cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return ((cover.astype(np.uint16) * 255 + FULL // 2) // FULL).astype(np.uint8)
