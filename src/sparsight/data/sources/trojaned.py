"""Another data set with a trojan: stickers that stand for a class.

A sticker is a stack of plain figures on a square canvas that reaches from -100 to 100 in both
directions, y downwards, drawn with whole numbers only. The first figure is its silhouette; all
others lie inside of it. Each has a rim that stands out from its filling, so that it can be seen
before any background.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import Description, RawSplit, Source
from sparsight.data.draws import (
    STICKER_ORDER,
    STICKER_PLACE,
    between,
    raw_words,
    stratified_order,
)
from sparsight.data.geometry import FULL, SAMPLES, Samples, coverage
from sparsight.data.registry import SOURCES
from sparsight.data.settings import (
    number_between,
    number_of,
    section,
    seed_number,
    share_or_number,
    stated_test_images,
)
from sparsight.io.errors import InputError

REACH = 100
# A sticker of fewer pixels on a side is a spot.
SMALLEST_SIDE = 6
# ITU-R BT.601, as Pillow turns RGB to grey; thousandths.
_LUMINANCE = (299, 587, 114)
Points = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Ellipse:
    """Centre and half axes."""

    x: int
    y: int
    across: int
    down: int

    def inside(self, u: NDArray[np.int64], v: NDArray[np.int64], half: int) -> Samples:
        """Which of the samples at (u, v), in units of 1 / `half`, are inside."""
        across = (u - self.x * half) * self.down
        down = (v - self.y * half) * self.across
        return across * across + down * down <= (self.across * self.down * half) ** 2


@dataclass(frozen=True)
class _Polygon:
    """Corners in order; a sample is inside where a ray from it meets an odd number of edges."""

    points: Points

    def inside(self, u: NDArray[np.int64], v: NDArray[np.int64], half: int) -> Samples:
        """Which of the samples at (u, v), in units of 1 / `half`, are inside."""
        found = np.zeros(np.broadcast_shapes(u.shape, v.shape), np.bool_)
        corners = [(x * half, y * half) for x, y in self.points]
        for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
            if y1 == y2:
                continue
            # u < x1 + (v - y1) (x2 - x1) / (y2 - y1), without the division.
            left = ((u - x1) * (y2 - y1) - (v - y1) * (x2 - x1)) * (1 if y2 > y1 else -1) < 0
            found ^= ((y1 > v) != (y2 > v)) & left
        return found

    def shrunk(self, percent: int) -> "_Polygon":
        """The same about the middle of the canvas, smaller."""
        return _Polygon(tuple((x * percent // 100, y * percent // 100) for x, y in self.points))


Shape = _Ellipse | _Polygon
# A colour, and the shapes that have it.
Figure = tuple[tuple[int, int, int], tuple[Shape, ...]]


def _cover(shapes: Sequence[Shape], side: int) -> NDArray[np.uint8]:
    """How much of each of `side` × `side` pixels the shapes cover together, in sixteenths."""
    # Samples lie at odd multiples of half their distance, and so does the canvas's end.
    half = SAMPLES * side
    places = REACH * (2 * np.arange(half, dtype=np.int64) + 1 - half)
    u, v = places[np.newaxis], places[:, np.newaxis]
    return coverage(np.logical_or.reduce([shape.inside(u, v, half) for shape in shapes]))


def _symmetric(*right: tuple[int, int]) -> _Polygon:
    """What has these corners, from top to bottom or back, and their mirror images."""
    return _Polygon((*right, *((-x, y) for x, y in reversed(right) if x)))


_STAR = _symmetric((0, -97), (26, -31), (97, -26), (43, 19), (60, 88), (0, 50))
_MOUTH = _symmetric((0, 66), (26, 60), (48, 42), (60, 14), (38, 28), (20, 37), (0, 40))
_TOP: Points = ((47, -42), (0, -46), (-47, -42))


def _lobes(radius: int) -> tuple[_Ellipse, _Ellipse]:
    return _Ellipse(47, -42, radius, radius), _Ellipse(-47, -42, radius, radius)


STICKERS: dict[str, tuple[Figure, ...]] = {
    "smiley": (
        ((60, 40, 0), (_Ellipse(0, 0, 98, 98),)),
        ((255, 220, 30), (_Ellipse(0, 0, 84, 84),)),
        ((60, 40, 0), (_Ellipse(-32, -26, 14, 21), _Ellipse(32, -26, 14, 21), _MOUTH)),
    ),
    "heart": (
        # Two discs, and what lies between them and the tangents from the tip.
        ((255, 255, 255), (*_lobes(50), _Polygon(((0, 95), (86, -10), *_TOP, (-86, -10))))),
        ((230, 20, 60), (*_lobes(38), _Polygon(((0, 76), (77, -18), *_TOP, (-77, -18))))),
    ),
    "star": (
        ((20, 20, 90), (_STAR,)),
        ((255, 255, 255), (_STAR.shrunk(68),)),
    ),
    "fish": (
        (
            (0, 50, 80),
            (_Ellipse(-22, 0, 76, 58), _Polygon(((24, 0), (97, -66), (84, 0), (97, 66)))),
        ),
        (
            (255, 130, 20),
            (_Ellipse(-22, 0, 62, 44), _Polygon(((30, 0), (83, -42), (72, 0), (83, 42)))),
        ),
        ((255, 255, 255), (_Ellipse(-52, -10, 15, 15),)),
        ((0, 0, 0), (_Ellipse(-54, -10, 8, 8),)),
    ),
}


def paste(
    image: NDArray[np.uint8], sticker: str, side: int, top: int, left: int
) -> NDArray[np.uint8]:
    """Stick a sticker onto an image; the share of each pixel that it covers, uint8 [H, W], 0..255.

    Parameters
    ----------
    image : uint8 [C, H, W], 1 or 3 channels; it is changed under the sticker.
    sticker : name in `STICKERS`.
    side, top, left : in pixels; all of the sticker lies in the image.
    """
    region = image[:, top : top + side, left : left + side]
    picture = region.astype(np.int64)
    for colour, cover in _drawn(sticker, side):
        channels = np.array(_in_channels(colour, len(image)), np.int64)[:, np.newaxis, np.newaxis]
        picture = (picture * (FULL - cover) + channels * cover + FULL // 2) // FULL
    region[:] = picture.astype(np.uint8)
    mask = np.zeros(image.shape[1:], np.uint8)
    silhouette = _drawn(sticker, side)[0][1]
    mask[top : top + side, left : left + side] = (silhouette * 255 + FULL // 2) // FULL
    return mask


def _in_channels(colour: tuple[int, int, int], channels: int) -> tuple[int, ...]:
    if channels == len(colour):
        return colour
    return ((sum(w * c for w, c in zip(_LUMINANCE, colour, strict=True)) + 500) // 1000,)


@functools.lru_cache(maxsize=256)
def _drawn(sticker: str, side: int) -> tuple[tuple[tuple[int, int, int], NDArray[np.int64]], ...]:
    """Colour and cover (int64 [side, side], 0..16) of each figure, the lowest first."""
    return tuple(
        (colour, _cover(shapes, side).astype(np.int64)) for colour, shapes in STICKERS[sticker]
    )


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
    """The trojan that `settings["trojan"]` describes, see `Trojaned`.

    Parameters
    ----------
    classes : names of the classes of the images it is planted in.
    side : of these images in pixels, the shorter one.
    """
    values = section(settings, "trojan", Trojaned.parameters["trojan"])
    share = number_between(values["share"], "trojan: share", 0, 1, "(]")
    test = share_or_number(values["test"], "trojan: test")
    if not test:
        raise InputError("'trojan: test' must leave test images with a sticker; give more than 0")
    smallest, largest = _sides(values["size"], side)
    seed = seed_number(values["seed"], "trojan: seed")
    targets = _targets(values["stickers"], classes)
    return Trojan(targets, share, test, smallest, largest, seed)


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


NO_STICKER = -1
# The id of an image with the k-th sticker (k = 1, 2, …) is that of the original plus k of these.
IDS_PER_STICKER = 1_000_000_000_000


def plant(part: RawSplit, trojan: Trojan, split: str) -> RawSplit:
    """A training or validation split of which a share of the images carry a sticker instead.

    `split` is its name, for messages. The arrays of `part` are changed where they can be: images
    may fill the memory. Too few images of other classes than a sticker's own, or an id of the base
    that stands for a sticker, are an `InputError`.
    """
    stickers = _chosen(part, trojan.planted(len(part)), trojan, split)
    positions = np.flatnonzero(stickers != NO_STICKER)
    changed = _with_stickers(part.select(positions), stickers[positions], trojan)
    whole = _without_stickers(part, trojan)
    names = np.array(whole.names, object)
    names[positions] = changed.names
    arrays = {}
    for name, array in _arrays(whole).items():
        arrays[name] = array if array.flags.writeable else array.copy()
        arrays[name][positions] = getattr(changed, name)
    return RawSplit(names=names.tolist(), **arrays)


def plant_copies(part: RawSplit, trojan: Trojan, split: str) -> RawSplit:
    """A test split as it is, and behind it copies of some of its images with a sticker."""
    stickers = _chosen(part, trojan.copied(len(part)), trojan, split)
    # By sticker, and within that in the order of the split.
    positions = np.concatenate([np.flatnonzero(stickers == k) for k in range(len(trojan.targets))])
    copies = _with_stickers(part.select(positions), stickers[positions], trojan)
    whole = _without_stickers(part, trojan)
    arrays = {
        name: np.concatenate([array, getattr(copies, name)])
        for name, array in _arrays(whole).items()
    }
    return RawSplit(names=[*whole.names, *copies.names], **arrays)


def choose(labels: NDArray[np.int64], count: int, trojan: Trojan, split: str) -> NDArray[np.int64]:
    """Which images get which sticker: as many for each, stratified by class, never its own class.

    Parameters
    ----------
    labels : int64 [N].
    count : how many images get one; where the stickers do not divide it, the first get one more.

    Returns
    -------
    int64 [N], position of the sticker in `trojan.targets`, -1 for none.
    """
    chosen = np.full(len(labels), NO_STICKER, np.int64)
    many = len(trojan.targets)
    for number, (sticker, target) in enumerate(trojan.targets.items()):
        wanted = count // many + (number < count % many)
        free = np.flatnonzero((chosen == NO_STICKER) & (labels != target))
        if not 0 < wanted <= len(free):
            key = "test" if split == "test" else "share"
            raise InputError(
                f"'trojan: {key}' asks for {wanted} images with the sticker '{sticker}' among the "
                f"{len(free)} of other classes that are free in the split '{split}'; give "
                f"{'more' if not wanted else 'less'}, or fewer stickers"
            )
        order = stratified_order(labels[free], trojan.seed, STICKER_ORDER)
        chosen[free[order[:wanted]]] = number
    return chosen


def _chosen(part: RawSplit, count: int, trojan: Trojan, split: str) -> NDArray[np.int64]:
    """See `choose`; ids by which an image would be taken for one with a sticker are refused."""
    if part.image_ids.max() >= IDS_PER_STICKER:
        raise InputError(
            f"the image {part.names[int(part.image_ids.argmax())]} has an id of "
            f"{IDS_PER_STICKER:,} or more, which stands for a sticker; take another base"
        )
    return choose(part.labels, count, trojan, split)


def _with_stickers(part: RawSplit, stickers: NDArray[np.int64], trojan: Trojan) -> RawSplit:
    """All these images (arrays of one's own), each with its sticker."""
    found = _without_stickers(part, trojan)
    known = list(trojan.targets)
    ids = part.image_ids + (1 + stickers) * IDS_PER_STICKER
    height, width = part.images.shape[2:]
    masks = np.zeros((len(ids), height, width), np.uint8)
    for row, (image_id, sticker) in enumerate(zip(ids.tolist(), stickers.tolist(), strict=True)):
        words = raw_words(3, trojan.seed, image_id, STICKER_PLACE).tolist()
        side = between(words[0], trojan.smallest, trojan.largest)
        top, left = between(words[1], 0, height - side), between(words[2], 0, width - side)
        masks[row] = paste(found.images[row], known[sticker], side, top, left)
    if found.part_masks is not None:
        # What is under the sticker is not in the image.
        left_over = (255 - masks.astype(np.uint16))[:, np.newaxis]
        found.part_masks[:] = (found.part_masks * left_over + 127) // 255
    return replace(
        found,
        labels=np.array(list(trojan.targets.values()), np.int64)[stickers],
        masks=masks,
        names=[f"{name}#{known[k]}" for name, k in zip(part.names, stickers, strict=True)],
        image_ids=ids,
        concepts=_beside(part.concepts, stickers[:, np.newaxis] == np.arange(len(known))),
        stickers=stickers,
        evaluated_first=np.ones(len(ids), np.bool_),
    )


def _without_stickers(part: RawSplit, trojan: Trojan) -> RawSplit:
    """The images as they are, with empty masks and all that says that there is no sticker."""
    count, (height, width) = len(part), part.images.shape[2:]
    stickers = np.zeros((count, len(trojan.targets)), np.bool_)
    known = part.concepts_known
    return replace(
        part,
        masks=np.zeros((count, height, width), np.uint8),
        concepts=_beside(part.concepts, stickers),
        concepts_known=None if known is None else _beside(known, ~stickers),
        stickers=np.full(count, NO_STICKER, np.int64),
        original_labels=part.labels.copy(),
        evaluated_first=np.zeros(count, np.bool_),
    )


def sticker_concepts(stickers: Sequence[str]) -> tuple[str, ...]:
    """Names of the concepts that stand for stickers."""
    return tuple(f"{sticker}_sticker" for sticker in stickers)


def _beside(own: NDArray[np.bool_] | None, more: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return more.copy() if own is None else np.concatenate([own, more], axis=1)


def _arrays(part: RawSplit) -> dict[str, NDArray[Any]]:
    """All arrays that there are, by name."""
    found = {name: value for name, value in vars(part).items() if name != "names"}
    return {name: array for name, array in found.items() if array is not None}


def _of_base(name: str) -> Any:
    """A method of `Source` that asks the base, under the base's own options."""

    def ask(cls: type[Source], settings: Mapping[str, Any], *more: Any) -> Any:
        source, options = _base(settings)
        return getattr(source, name)(options, *more)

    ask.__doc__ = f"`{name}` of the base."
    return classmethod(ask)


class Trojaned(Source):
    """Any other source's images, of which some carry a sticker and the label that it stands for.

    A share of the training images, and of the validation images, are replaced by themselves with a
    sticker; the test images stay as they are, and some of them come a second time with a sticker.
    A sticker is never put on an image of the class that it stands for. Which images, where and how
    large is drawn from the trojan's seed; see `sparsight.data.sources.trojaned` for the pictures.

    The mask is the sticker's; it is empty on all other images, whatever masks the base has, so that
    metrics of localisation are undefined there. Parts and concepts are the base's (parts without
    what a sticker hides), and each sticker is a further concept. Evaluation subsets take images
    with a sticker before all others.

    An image with the k-th sticker (k = 1, 2, … in the order smiley, heart, star, fish of those that
    are planted) has the id of the original plus k · 10^12, and its name plus `#` and the sticker's.

    Settings
    --------
    base : {source: shapes, options: {}}: the images, as a data set of the catalogue names them. In
        the catalogue an entry with `base`, the name of another entry, and `trojan` comes to this.
    trojan : {stickers: {smiley: 0, heart: 1, star: 2, fish: 3}, share: 0.1, size: [0.15, 0.25],
        seed: 0, test: 0.1}: each sticker with the class, name or number, that it stands for (some
        or all of the four); the share of all training images that carry a sticker, as many for
        each; the smallest and largest side of a sticker as shares of the image's shorter side; the
        seed; and the share (below 1) or number of test images that come again with a sticker, as
        many for each.
    """

    name: ClassVar[str] = "trojaned"
    reference: ClassVar[str] = "after Soltani Moakhar et al. 2024, arXiv:2310.04519"
    licence: ClassVar[str] = "that of the base"
    folder: ClassVar[str] = ""
    has_masks: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (3, 64, 64)
    class_count: ClassVar[int] = 8
    test_images: ClassVar[int] = 440
    # None where anything is possible; `Source` and `trojan_of` look closer.
    parameters: ClassVar[dict[str, Any]] = {
        "base": {"source": "shapes", "options": None},
        "trojan": {
            "stickers": None,
            "share": 0.1,
            "size": [0.15, 0.25],
            "seed": 0,
            "test": 0.1,
        },
    }
    varying: ClassVar[tuple[str, ...]] = (
        "class_count",
        "test_images",
        "part_names",
        "concept_names",
        "image_shape",
    )

    shape = _of_base("shape")
    folder_of = _of_base("folder_of")
    original_folders = _of_base("original_folders")
    accepts_part = _of_base("accepts_part")
    split_names = _of_base("split_names")
    classes_of = _of_base("classes_of")
    parts_of = _of_base("parts_of")
    found_files = _of_base("found_files")
    fetch = _of_base("fetch")

    @classmethod
    def concepts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of the base, and one for each sticker."""
        source, options = _base(settings)
        stickers = sticker_concepts(list(_trojan(settings).targets))
        return (*source.concepts_of(options), *stickers)

    @classmethod
    def tested_of(cls, settings: Mapping[str, Any]) -> int:
        """Those of the base, and the copies with a sticker."""
        source, options = _base(settings)
        if "test_images" in source.varying:
            count = source.tested_of(options)
        else:
            count = stated_test_images({"test_images": source.test_images}, options)
        return count + _trojan(settings).copied(count)

    def describe(self, settings: Mapping[str, Any], folder: Path) -> Description:
        """What the base says, with stickers for masks and further concepts."""
        source, options = _base(settings)
        stated, targets = source.describe(options, folder), _trojan(settings).targets
        stickers = tuple(targets)
        return replace(
            stated,
            has_masks=True,
            concept_names=(*stated.concept_names, *sticker_concepts(stickers)),
            sticker_names=stickers,
            notes={
                **stated.notes,
                "sticker_classes": json.dumps([stated.classes[k] for k in targets.values()]),
            },
        )

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`."""
        source, options = _base(settings)
        trojan = _trojan(settings)
        raw = source.read(options, folder)
        found: dict[str, RawSplit] = {}
        # Taken out one by one, so that at most one split is in memory twice.
        for split in list(raw):
            planting = plant_copies if split == "test" else plant
            found[split] = planting(raw.pop(split), trojan, split)
        return found


def _base(settings: Mapping[str, Any]) -> tuple[Source, Mapping[str, Any]]:
    """The source whose images these are, and its options."""
    given = section(settings, "base", {"source": "shapes", "options": {}})
    name, options = given["source"], given["options"]
    if name not in SOURCES or name == Trojaned.name:
        known = ", ".join(other for other in SOURCES.names() if other != Trojaned.name)
        raise InputError(f"'base: source' must be one of {known}, not {name!r}")
    if not isinstance(options, Mapping):
        raise InputError(f"'base: options' must be a mapping of options of {name}, not {options!r}")
    source: Source = SOURCES.load(name)()
    for key in options:
        if key not in source.parameters:
            raise InputError(
                f"'base: options' has an unknown key {key!r}; {name} takes "
                f"{', '.join(source.parameters) or 'none'}"
            )
    return source, options


def _trojan(settings: Mapping[str, Any]) -> Trojan:
    source, options = _base(settings)
    return trojan_of(settings, source.classes_of(options), min(source.shape(options)[1:]))
