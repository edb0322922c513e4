"""Generated images of figures whose every part is known: class, concepts, masks, planted cue.

An image is a function of its words (see `sparsight.data.draws`) and of what the figure shall be.
The scene does not depend on the number of pixels: the same words at twice the size are the same
picture, sharper (its grain apart).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import RawSplit, Source
from sparsight.data.draws import CUE_ORDER, GRAIN, SCENE, between, raw_words
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
from sparsight.data.settings import number_between, one_of, section, seed_number, whole_number
from sparsight.io.errors import InputError

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
    """An image [3, side, side], its mask and its part masks (ordered as `PARTS`), uint8, 0..255."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    part_masks: NDArray[np.uint8]
    distracted: bool


class _Dice:
    """Whole numbers from words, one word each."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self._words: Iterator[int] = iter(words.tolist())

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return between(next(self._words), low, high)

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
    words : uint64 [`WORDS`], from which position, size and all that varies are drawn.
    grain : uint64 [⌈3·side²/8⌉], each byte the grain of one value.
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


# Class k is the k-th of them. Every one differs from some other in its colour alone, in its texture
# alone or in its figure alone, so that none of the three may be left out: see the tests.
SUBJECTS = (
    Subject("disc", "red", "striped"),
    Subject("disc", "blue", "striped"),
    Subject("square", "red", "spotted"),
    Subject("square", "red", "striped"),
    Subject("triangle", "green", "spotted"),
    Subject("triangle", "blue", "spotted"),
    Subject("cross", "green", "striped"),
    Subject("cross", "green", "spotted"),
)
SMALLEST_SIDE, LARGEST_SIDE = 16, 512
# Ids of a split's images count from here, so that no number of images changes another split.
FIRST_IDS = {"train": 0, "validation": 1_000_000, "test": 2_000_000}
MOST_IMAGES = 1_000_000
CUE_DEFAULTS: dict[str, Any] = {"class": 0, "share": 1.0, "place": "varied", "test": "none"}


class Shapes(Source):
    """RGB images of one textured figure before a shaded, grainy background with distractors.

    The class is a combination of figure, colour and texture; several classes share each of them.
    Position, size, direction, shades and background vary, and up to three small plain figures in
    the classes' colours lie around. An image is a function of (seed, image id, size) alone, drawn
    with whole numbers: its bytes are the same on every machine. Labels go round with the ids.

    The object's mask, part masks (outline, inner, corner of square and triangle, arm of the cross,
    stripe, spot, distractor, cue) and concepts come with each image.

    Settings
    --------
    size : side in pixels, 16 to 512.
    split : {train: 1200, validation: 0, test: 400, seed: 0}: numbers of images; `validation: 0`
        makes no validation split.
    cue : `none`, or {class: 0, share: 1.0, place: varied, test: none}: a small magenta square, a
        spurious cue, pasted into `share` of that class's training images, and as many of its
        validation images. `place` is `varied` (anywhere along the border) or `corner` (always
        the upper left). `test` says which test images get it: `none`, `class` (the same share of
        the same class) or `all`. A larger share includes the images of a smaller one.
    mask : `object`, or `cue`: localisation is then scored against the cue. Masks of images without
        it are empty, and evaluation subsets take images with it before all others.
    """

    name: ClassVar[str] = "shapes"
    reference: ClassVar[str] = "generated by Sparsight"
    licence: ClassVar[str] = "as Sparsight itself"
    folder: ClassVar[str] = ""
    has_masks: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (3, 64, 64)
    side_parameter: ClassVar[str] = "size"
    class_count: ClassVar[int] = 8
    test_images: ClassVar[int] = 400
    parameters: ClassVar[dict[str, Any]] = {
        "size": 64,
        "split": {"train": 1200, "validation": 0, "test": 400, "seed": 0},
        "cue": "none",
        "mask": "object",
    }
    part_names: ClassVar[tuple[str, ...]] = (
        "outline",
        "inner",
        "corner",
        "arm",
        "stripe",
        "spot",
        "distractor",
        "cue",
    )
    concept_names: ClassVar[tuple[str, ...]] = (
        "disc",
        "square",
        "triangle",
        "cross",
        "red",
        "green",
        "blue",
        "striped",
        "spotted",
        "distractor",
        "cue",
    )

    @classmethod
    def class_names(cls) -> list[str]:
        """Such as `red striped disc`."""
        return [f"{one.colour} {one.texture} {one.figure}" for one in SUBJECTS]

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """Nothing to do: the images are generated."""

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`; `folder` is not used."""
        side = self.shape(settings)[1]
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
            raise InputError(
                f"'size' of shapes must be {SMALLEST_SIDE} to {LARGEST_SIDE} pixels, not {side}"
            )
        counts, seed = _split(settings)
        cue, masked = _cue(settings), one_of(settings, "mask", "object", ("object", "cue"))
        if masked == "cue" and (cue is None or cue["test"] == "none"):
            raise InputError(
                "'mask: cue' of shapes needs test images with the cue; set 'cue: {test: class}' or "
                "'{test: all}', or drop it"
            )
        found = {}
        for split in self.split_names(settings):
            part = _generate(split, counts[split], seed, side, cue)
            if masked == "cue" and part.part_masks is not None and part.concepts is not None:
                masks = part.part_masks[:, PARTS.index("cue")].copy()
                first = part.concepts[:, self.concept_names.index("cue")]
                part = replace(part, masks=masks, evaluated_first=first)
            found[split] = part
        return found


def _generate(
    split: str, count: int, seed: int, side: int, cue: Mapping[str, Any] | None
) -> RawSplit:
    ids = np.arange(FIRST_IDS[split], FIRST_IDS[split] + count, dtype=np.int64)
    labels = ids % len(SUBJECTS)
    marked = _marked(split, ids, labels, seed, cue)
    images = np.empty((count, 3, side, side), np.uint8)
    masks = np.empty((count, side, side), np.uint8)
    part_masks = np.empty((count, len(PARTS), side, side), np.uint8)
    concepts = np.zeros((count, len(Shapes.concept_names)), np.bool_)
    for row, image_id in enumerate(ids.tolist()):
        subject = SUBJECTS[labels[row]]
        place = cue["place"] if cue is not None and marked[row] else None
        words = raw_words(WORDS, seed, image_id, SCENE)
        grain = raw_words(-(-3 * side * side // 8), seed, image_id, GRAIN)
        drawn = draw_scene(subject, words, grain, side, place)
        images[row], masks[row], part_masks[row] = drawn.image, drawn.mask, drawn.part_masks
        present = {subject.figure, subject.colour, subject.texture}
        present |= {"distractor"} if drawn.distracted else set()
        present |= {"cue"} if place is not None else set()
        concepts[row] = [name in present for name in Shapes.concept_names]
    names = [f"shapes:{image_id}" for image_id in ids]
    return RawSplit(images, labels, names, ids, masks, part_masks, concepts)


def _marked(
    split: str,
    ids: NDArray[np.int64],
    labels: NDArray[np.int64],
    seed: int,
    cue: Mapping[str, Any] | None,
) -> NDArray[np.bool_]:
    """Which images get the cue, bool [N]: exactly the share, rounded half up."""
    if cue is None or (split == "test" and cue["test"] == "none"):
        return np.zeros(len(ids), np.bool_)
    if split == "test" and cue["test"] == "all":
        return np.ones(len(ids), np.bool_)
    members = np.flatnonzero(labels == cue["class"])
    words = [int(raw_words(1, seed, image_id, CUE_ORDER)[0]) for image_id in ids[members].tolist()]
    count = int(cue["share"] * len(members) + 0.5)
    marked = np.zeros(len(ids), np.bool_)
    marked[members[np.argsort(np.array(words, np.uint64), kind="stable")[:count]]] = True
    return marked


def _split(settings: Mapping[str, Any]) -> tuple[dict[str, int], int]:
    """Number of images of each split, and the seed."""
    values = section(settings, "split", Shapes.parameters["split"])
    counts = {
        name: whole_number(values[name], f"split: {name}", int(name != "validation"), MOST_IMAGES)
        for name in Shapes.splits
    }
    return counts, seed_number(values["seed"], "split: seed")


def _cue(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    if settings.get("cue", "none") in ("none", None):
        return None
    cue = section(settings, "cue", CUE_DEFAULTS)
    whole_number(cue["class"], "cue: class", 0, len(SUBJECTS) - 1)
    number_between(cue["share"], "cue: share", 0, 1, "(]")
    for key, known in (("place", ("varied", "corner")), ("test", ("none", "class", "all"))):
        if cue[key] not in known:
            raise InputError(f"'cue: {key}' must be one of {', '.join(known)}, not {cue[key]!r}")
    return cue
