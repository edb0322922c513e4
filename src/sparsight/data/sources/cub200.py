"""Caltech-UCSD Birds-200-2011: photographs of 200 species with attributes, boxes and parts.

The annotations of attributes are noisy, so both rules of the literature for concepts work by class:
every image of a class has the same concepts, and only attributes of at least ten classes are kept.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import Description, RawSplit, Source
from sparsight.data.download import extract_folder, fetch_archive
from sparsight.data.draws import refuse_empty_classes, stratified_splits
from sparsight.data.location import can_be_file
from sparsight.data.pictures import (
    Frame,
    checked_resize,
    picture_size,
    read_masks,
    read_pictures,
    room_for,
)
from sparsight.data.settings import (
    mirror_list,
    number_between,
    number_of,
    one_of,
    split_rule,
    yes_or_no,
)
from sparsight.io.errors import InputError

Kinds = Sequence[Callable[[str], Any]]
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True)
class Bird:
    """One photograph: path below `images/`, ids from 1, whether it is official training data."""

    image_id: int
    name: str
    class_id: int
    is_training: bool


def id_number(text: str) -> int:
    """A number that can be an id; `ValueError` where it is none, or does not fit into 64 bits."""
    number = int(text)
    if not 0 <= number <= _LARGEST_ID:
        raise ValueError
    return number


def flag(text: str) -> bool:
    """1 or 0; `ValueError` where it is something else."""
    if text not in ("0", "1"):
        raise ValueError
    return text == "1"


def coordinate(text: str) -> float:
    """A finite number of pixels; `ValueError` where it is none."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def relative_name(text: str) -> str:
    """A name of a file below the archive's own folder; `ValueError` where it leads elsewhere."""
    if not can_be_file(text):
        raise ValueError
    return text


def table_rows(path: Path, kinds: Kinds, more: bool = False) -> Iterator[tuple[Any, ...]]:
    """The columns of each line of a table that is separated by blanks.

    `kinds` make a value of each column's text, such as `int`; with `more`, further columns are left
    out. A line of other columns is an `InputError`.
    """
    try:
        with open(path, encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                words = line.split()
                if not words:
                    continue
                try:
                    if len(words) < len(kinds) or (len(words) > len(kinds) and not more):
                        raise ValueError
                    yield tuple(kind(word) for kind, word in zip(kinds, words, strict=False))
                except ValueError as error:
                    raise InputError(
                        f"{path}, line {number}: {line.strip()[:60]!r} is not what it should be "
                        f"({len(kinds)} columns); put the original file there"
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise InputError(
            f"{path} cannot be read ({reason}); put the archive's own file there"
        ) from error


def keyed_rows(path: Path, kinds: Kinds) -> dict[int, Any]:
    """A table by its first column, an id: a value, or a tuple where there are several columns.

    An id that occurs twice is an `InputError`.
    """
    found: dict[int, Any] = {}
    for key, *values in table_rows(path, kinds):
        if key in found:
            raise InputError(f"{path} has the id {key} twice; put the original file there")
        found[key] = values[0] if len(values) == 1 else tuple(values)
    return found


def lookup(table: Mapping[int, Any], key: int, path: Path) -> Any:
    """`table[key]`; an error that names `path` where there is none."""
    if key not in table:
        raise InputError(f"{path} has no id {key}; put the original file there")
    return table[key]


def read_classes(folder: Path, count: int, partial: bool) -> dict[int, str]:
    """Class id to name without its number (`Black footed Albatross`), in the order of the ids.

    Ids lie in 1..`count`, and unless `partial` there are as many.
    """
    path = folder / "classes.txt"
    names = keyed_rows(path, (int, str))
    for key in names:
        if not 1 <= key <= count:
            raise InputError(
                f"{path} has the class id {key}, outside 1..{count}; put the original file there"
            )
    if len(names) != count and not partial:
        raise InputError(
            f"{path} names {len(names)} of {count} classes; put the original file there, or accept "
            "a part with 'partial: true'"
        )
    return {key: names[key].partition(".")[2].replace("_", " ") for key in sorted(names)}


def read_birds(folder: Path, count: int, partial: bool) -> list[Bird]:
    """All photographs, in the order of their ids.

    There are `count` of them, unless a part is enough: those that are listed and whose file is
    there. Tables that do not agree are an `InputError`.
    """
    listed, labels, training = (folder / f"{name}.txt" for name in _TABLES)
    names = keyed_rows(listed, (id_number, relative_name))
    classes = keyed_rows(labels, (id_number, int))
    trained = keyed_rows(training, (id_number, flag))
    places: dict[str, int] = {}
    for image_id, name in names.items():
        if name in places:
            raise InputError(f"{listed} lists {name} twice; put the original file there")
        places[name] = image_id
    there = [key for key in sorted(names) if (folder / "images" / names[key]).is_file()]
    if not partial and (len(names) != count or len(there) != count):
        missing = next((names[key] for key in sorted(names) if key not in set(there)), None)
        raise InputError(
            f"{folder} has {len(there)} of {count} images"
            + (f" (images/{missing} is missing)" if missing else "")
            + "; add the missing ones, or accept a part with 'partial: true'"
        )
    if not there:
        raise InputError(f"{folder / 'images'} has none of the images that {listed} lists")
    return [
        Bird(key, names[key], lookup(classes, key, labels), lookup(trained, key, training))
        for key in there
    ]


_TABLES = ("images", "image_class_labels", "train_test_split")


def read_boxes(folder: Path) -> dict[int, tuple[float, float, float, float]]:
    """Bounding box of each image id: x, y, width and height in pixels of the photograph."""
    return keyed_rows(folder / "bounding_boxes.txt", (id_number, *[coordinate] * 4))


def read_parts(folder: Path, count: int) -> dict[int, dict[int, tuple[float, float]]]:
    """Where the visible parts of each image id are: part number from 0 to (x, y) in pixels."""
    path = folder / "parts" / "part_locs.txt"
    found: dict[int, dict[int, tuple[float, float]]] = {}
    kinds = (id_number, int, coordinate, coordinate, flag)
    for image_id, part, x, y, visible in table_rows(path, kinds):
        if not 1 <= part <= count:
            raise InputError(f"{path} names the part {part}, outside 1..{count}; replace it")
        here = found.setdefault(image_id, {})
        if visible:
            here[part - 1] = (x, y)
    return found


MAJORITY = 50.0
FEWEST_CLASSES = 10
NOT_VISIBLE = 1
Present = NDArray[np.bool_]


def attribute_names(folder: Path, count: int) -> list[str]:
    """Names such as `has_bill_shape::dagger`, in the order of their ids.

    The archive has `attributes.txt` next to its folder; it is looked for in the folder, in
    `attributes/` and next to it, and has `count` names.
    """
    places = (folder, folder / "attributes", folder.parent)
    path = next((p / "attributes.txt" for p in places if (p / "attributes.txt").is_file()), None)
    if path is None:
        raise InputError(
            f"attributes.txt is neither in {folder} nor next to it; put the archive's file there"
        )
    names = keyed_rows(path, (int, str))
    if sorted(names) != list(range(1, count + 1)):
        raise InputError(f"{path} does not name {count} attributes; put the original file there")
    return [names[key] for key in sorted(names)]


def class_majority(folder: Path, classes: int, attributes: int) -> Present:
    """Which attributes more than half of a class's annotations see, bool [classes, attributes].

    `attributes/class_attribute_labels_continuous.txt` has a line of percentages for each class,
    whatever images are there. (Ghosh and Batmanghelich 2023, arXiv:2307.13698.)
    """
    path = folder / "attributes" / "class_attribute_labels_continuous.txt"
    rows = list(table_rows(path, (float,) * attributes))
    values = np.array(rows, np.float64).reshape(len(rows), attributes)
    # Written so that a value that is no number is refused too.
    sound = bool(((values >= 0) & (values <= 100)).all())
    if len(rows) != classes or not sound:
        raise InputError(
            f"{path} does not hold percentages of {classes} classes; put the original file there"
        )
    return np.asarray(values > MAJORITY)


def image_majority(folder: Path, voters: Sequence[Bird], classes: int, attributes: int) -> Present:
    """Which attributes the majority of a class's training images has: bool [classes, attributes].

    As in the code of the paper: an image that is said to lack an attribute which is not visible in
    it does not vote, and where as many votes speak for an attribute as against it, none at all
    included, the class has it. Classes without voters have nothing. (Koh et al. 2020,
    arXiv:2007.04612, section 5.1, and its published code.)

    Parameters
    ----------
    folder : with `attributes/image_attribute_labels.txt`. Some of its lines have too many columns;
        the first four are used.
    voters : the images of the training split in use, all of which vote, and no others; one without
        a line is an `InputError`: votes that are not there would all be ties.
    classes, attributes : how many there are.
    """
    path = folder / "attributes" / "image_attribute_labels.txt"
    class_of = {bird.image_id: bird.class_id - 1 for bird in voters}
    votes, seen = np.zeros((classes, attributes, 2), np.int64), set()
    for image_id, attribute, present, certainty in table_rows(path, (int,) * 4, more=True):
        if not (1 <= attribute <= attributes and present in (0, 1)):
            raise InputError(
                f"{path} says {present} of the attribute {attribute} of image {image_id}, which is "
                "not possible; put the original file there"
            )
        seen.add(image_id)
        label = class_of.get(image_id)
        if label is not None and (present or certainty != NOT_VISIBLE):
            votes[label, attribute - 1, present] += 1
    if missing := class_of.keys() - seen:
        raise InputError(f"{path} has no id {min(missing)}; put the original file there")
    has = votes[:, :, 1] >= votes[:, :, 0]
    has[np.setdiff1d(np.arange(classes), list(class_of.values()))] = False
    return np.asarray(has)


def common_attributes(present: Present) -> NDArray[np.int64]:
    """Attributes that at least ten classes have: int64 positions, ascending."""
    return np.flatnonzero(present.sum(axis=0) >= FEWEST_CLASSES)


# In the order of the archive's `parts/parts.txt`.
PARTS = (
    "back",
    "beak",
    "belly",
    "breast",
    "crown",
    "forehead",
    "left eye",
    "left leg",
    "left wing",
    "nape",
    "right eye",
    "right leg",
    "right wing",
    "tail",
    "throat",
)
MOST_PART_BYTES = 2**32
Pixels = NDArray[np.uint8]


def picture_paths(folder: Path, birds: Sequence[Bird]) -> list[Path]:
    """Where the photographs lie."""
    return [folder / "images" / bird.name for bird in birds]


def segmentation_folder(folder: Path) -> Path:
    """Where the outlines are: in the archive's folder, or next to it, as its archive unpacks."""
    beside = folder.with_name("segmentations")
    inside = folder / "segmentations"
    return beside if beside.is_dir() and not inside.is_dir() else inside


def segmentation_masks(folder: Path, birds: Sequence[Bird], side: int, resize: str) -> Pixels:
    """Outlines of the birds, uint8 [N, side, side]: grey where the annotators disagree."""
    place = segmentation_folder(folder)
    paths = [(place / bird.name).with_suffix(".png") for bird in birds]
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"{path} does not exist; put the folder of segmentations.tgz there, or take "
                "'masks: boxes' or 'masks: none'"
            )
    return read_masks(paths, picture_paths(folder, birds), side, resize)


def box_masks(folder: Path, birds: Sequence[Bird], side: int, resize: str) -> Pixels:
    """Bounding boxes of the birds as masks, uint8 [N, side, side]; none leaves its photograph."""
    boxes, path = read_boxes(folder), folder / "bounding_boxes.txt"
    masks = room_for((len(birds), side, side))
    frames = _frames(folder, birds, side, resize)
    for row, (bird, frame) in enumerate(zip(birds, frames, strict=True)):
        x, y, width, height = lookup(boxes, bird.image_id, path)
        if min(width, height) <= 0:
            raise InputError(
                f"{path} has an empty box for {bird.name}; put the original file there"
            )
        _refuse_outside(bird, frame, path, (x, y), (x + width, y + height))
        masks[row] = frame.box(x, y, width, height)
    return masks


def disc_masks(
    folder: Path, birds: Sequence[Bird], side: int, resize: str, radius: float
) -> Pixels:
    """Discs of `radius` pixels about the visible parts' points, uint8 [N, 15, side, side].

    Masks that would need too much memory are an `InputError`.
    """
    shape = (len(birds), len(PARTS), side, side)
    if np.prod(shape, dtype=np.int64) > MOST_PART_BYTES:
        raise InputError(
            f"part masks of {len(birds)} images of {side} pixels need more than "
            f"{MOST_PART_BYTES >> 30} GiB; take a smaller 'size' or 'part_radius: 0'"
        )
    path = folder / "parts" / "part_locs.txt"
    points, masks = read_parts(folder, len(PARTS)), np.zeros(shape, np.uint8)
    frames = _frames(folder, birds, side, resize)
    for row, (bird, frame) in enumerate(zip(birds, frames, strict=True)):
        for part, (x, y) in lookup(points, bird.image_id, path).items():
            _refuse_outside(bird, frame, path, (x, y))
            masks[row, part] = frame.disc(x, y, radius)
    return masks


def _refuse_outside(bird: Bird, frame: Frame, table: Path, *points: tuple[float, float]) -> None:
    """An error where a table's coordinates are not those of the photograph that is there."""
    for x, y in points:
        # The archive counts pixels from 1 in some of its boxes, and from 0 in others.
        if not (-1 <= x <= frame.width + 1 and -1 <= y <= frame.height + 1):
            raise InputError(
                f"{table} places something at ({x:g}, {y:g}) in {bird.name}, which has "
                f"{frame.width}×{frame.height} pixels; put the original photograph there"
            )


def _frames(folder: Path, birds: Sequence[Bird], side: int, resize: str) -> list[Frame]:
    return [Frame.of(*picture_size(path), side, resize) for path in picture_paths(folder, birds)]


class Cub200(Source):
    """11,788 photographs of 200 species of birds, in the original archive's layout.

    An image's id is its number in `images.txt`. Greyscale photographs become RGB. The concepts are
    attributes of the class: they do not vary within a class.

    Settings
    --------
    size : side of the packed images in pixels.
    resize : `aspect`: the shorter side to `size`, then the middle; or `squash`: both to `size`.
    split : {rule: official, validation: 0.0, test: 0.1, seed: 0}. `official`: the archive's 5,994
        training and 5,794 test images; `validation` is a share or number of the training images.
        `random`: `test` and `validation`, shares or numbers, are drawn from all images, as in
        arXiv:2307.13698 (9,422, 1,183 and 1,183 images). Both are stratified and seeded; a
        `validation` of 0 makes no such split.
    masks : `segmentations` (five people's outlines, so with grey values), `boxes` (the bounding box
        as a mask) or `none`.
    concepts : `class_majority`: attributes that more than half of a class's annotations see, of at
        least ten classes (108 of 312); `image_majority`: those that the majority of its images in
        the training split has (Koh et al. 2020, 112 of the official split); or `none`.
    part_radius : radius of the discs about the 15 parts' points that make the part masks, as a
        share of `size`. The archive has points only, so 0, no parts, is the default.
    partial : accept a folder with a part of the original images, whose classes are then all the
        classes; the concepts are still chosen among all 200 where the archive's class table says
        them.
    mirrors : addresses of folders with the archives, tried in order; Caltech's by default.
    """

    name: ClassVar[str] = "cub200"
    reference: ClassVar[str] = "Wah et al. 2011, doi:10.22002/D1.20098"
    licence: ClassVar[str] = "non-commercial research and education; images belong to their owners"
    folder: ClassVar[str] = "CUB_200_2011"
    splits: ClassVar[tuple[str, ...]] = ("train", "validation", "test")
    has_masks: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (3, 448, 448)
    side_parameter: ClassVar[str] = "size"
    class_count: ClassVar[int] = 200
    test_images: ClassVar[int] = 5794
    original_images: ClassVar[tuple[int, int]] = (11_788, 0)
    parameters: ClassVar[dict[str, Any]] = {
        "size": 448,
        "resize": "aspect",
        "split": {"rule": "official", "validation": 0.0, "test": 0.1, "seed": 0},
        "masks": "segmentations",
        "concepts": "class_majority",
        "part_radius": 0.0,
        "partial": False,
        "mirrors": None,
    }
    varying: ClassVar[tuple[str, ...]] = (
        "class_count",
        "has_masks",
        "test_images",
        "part_names",
        "concept_names",
    )
    # Of the whole archive.
    counts: ClassVar[dict[str, int]] = {"images": 11_788, "classes": 200, "attributes": 312}
    # SHA-256, and the folder that holds it. Their MD5, as Caltech gives them, are
    # 97eceeb196236b17998738112f37df78 and 4d47ba1228eae64f2fa547c47bc65255.
    archives: ClassVar[dict[str, tuple[str, str]]] = {
        "CUB_200_2011.tgz": (
            "0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
            "https://data.caltech.edu/records/65de6-vp158/files/",
        ),
        "segmentations.tgz": (
            "dc77f6cffea0cbe2e41d4201115c8f29a6320ecb04fffd2444f51b8066e4b84f",
            "https://data.caltech.edu/records/w9d68-gec53/files/",
        ),
    }

    @classmethod
    def split_names(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """`train` and `test`, and `validation` between them when some are set aside."""
        return cls.splits if cls._split_rule(settings)["validation"] else ("train", "test")

    @classmethod
    def _split_rule(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """`split` with its defaults; its `test` is 0 where the official test set is meant."""
        found = split_rule(settings, cls.parameters["split"], ("official", "random"))
        if found["rule"] == "random":
            return found
        if "test" in settings.get("split", {}):
            raise InputError("'split: test' has no meaning for 'rule: official'; leave it out")
        return {**found, "test": 0}

    @classmethod
    def _mask_rule(cls, settings: Mapping[str, Any]) -> str:
        return one_of(settings, "masks", "segmentations", ("segmentations", "boxes", "none"))

    @classmethod
    def _concept_rule(cls, settings: Mapping[str, Any]) -> str:
        known = ("class_majority", "image_majority", "none")
        return one_of(settings, "concepts", "class_majority", known)

    @classmethod
    def _part_radius(cls, settings: Mapping[str, Any]) -> float:
        """A share of the side; 0 for no parts."""
        return number_between(settings.get("part_radius", 0.0), "part_radius", 0, 0.5)

    @classmethod
    def masks_of(cls, settings: Mapping[str, Any]) -> bool:
        """Whether `masks` names some."""
        return cls._mask_rule(settings) != "none"

    @classmethod
    def parts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The 15 parts, when they have a radius."""
        return PARTS if cls._part_radius(settings) else ()

    @classmethod
    def has_concepts(cls, settings: Mapping[str, Any]) -> bool:
        """Whether `concepts` names a rule; the attribute files tell which concepts it keeps."""
        return cls._concept_rule(settings) != "none"

    @classmethod
    def tested_of(cls, settings: Mapping[str, Any]) -> int:
        """Images of the test split in the whole archive."""
        split = cls._split_rule(settings)
        return number_of(split["test"], cls.counts["images"]) or cls.test_images

    def original_folders(self, settings: Mapping[str, Any], folder: Path) -> list[Path]:
        """The archive's folder, and that of the segmentations where it lies next to it."""
        outlines = segmentation_folder(folder)
        beside = self._mask_rule(settings) == "segmentations" and not outlines.is_relative_to(
            folder
        )
        return [folder, outlines] if beside else [folder]

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """See `Source.fetch`. A folder with files is checked for completeness and kept as it is.

        Otherwise the archive, and that of the segmentations where they are wanted, is fetched.
        """
        partial, names = yes_or_no(settings, "partial"), {}
        if not folder.is_dir() or not any(folder.iterdir()):
            names["CUB_200_2011.tgz"] = folder
        elif partial:
            self._birds(settings, folder)
            return
        outlines = segmentation_folder(folder)
        if self._mask_rule(settings) == "segmentations" and not outlines.is_dir():
            names["segmentations.tgz"] = outlines
        for name, target in names.items():
            checksum, address = self.archives[name]
            own = settings.get("mirrors") is None
            mirrors = [address] if own else mirror_list(settings, [address])
            unpack = functools.partial(extract_folder, folder=target, beside=("attributes.txt",))
            fetch_archive(name, folder.parent, checksum, mirrors, unpack)
        self._birds(settings, folder)

    def describe(self, settings: Mapping[str, Any], folder: Path) -> Description:
        """See `Source.describe`; classes and concepts are known from the files."""
        birds = self._birds(settings, folder)
        classes = self._classes(settings, folder, birds)
        places = _places(self._split_rule(settings), birds, _labels(folder, birds, classes))
        voters = [birds[place] for place in places["train"]]
        names, _ = self._concepts(settings, folder, voters)
        stated = super().describe(settings, folder)
        return replace(stated, classes=list(classes.values()), concept_names=names)

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`."""
        birds = self._birds(settings, folder)
        classes = self._classes(settings, folder, birds)
        labels = _labels(folder, birds, classes)
        places = _places(self._split_rule(settings), birds, labels)
        voters = [birds[place] for place in places["train"]]
        names, present = self._concepts(settings, folder, voters)
        for split in ("train", "test"):
            refuse_empty_classes(self.name, split, labels[places[split]], list(classes.values()))
        raw = {}
        for split in self.split_names(settings):
            chosen = [birds[place] for place in places[split]]
            rows = np.array([bird.class_id - 1 for bird in chosen], np.int64)
            raw[split] = RawSplit(
                labels=labels[places[split]],
                names=[bird.name for bird in chosen],
                image_ids=np.array([bird.image_id for bird in chosen], np.int64),
                concepts=present[rows] if names else None,
                **self._pixels(settings, folder, chosen),
            )
        return raw

    def _pixels(
        self, settings: Mapping[str, Any], folder: Path, birds: Sequence[Bird]
    ) -> dict[str, Any]:
        """`images`, and `masks` and `part_masks` where they are wanted."""
        side = self.shape(settings)[1]
        resize = checked_resize(settings.get("resize", self.parameters["resize"]))
        masks, radius = self._mask_rule(settings), self._part_radius(settings)
        found: dict[str, Any] = {
            "images": read_pictures(picture_paths(folder, birds), side, resize)
        }
        if masks == "segmentations":
            found["masks"] = segmentation_masks(folder, birds, side, resize)
        elif masks == "boxes":
            found["masks"] = box_masks(folder, birds, side, resize)
        if radius:
            found["part_masks"] = disc_masks(folder, birds, side, resize, radius * side)
        return found

    def _birds(self, settings: Mapping[str, Any], folder: Path) -> list[Bird]:
        return read_birds(folder, self.counts["images"], yes_or_no(settings, "partial"))

    def _classes(
        self, settings: Mapping[str, Any], folder: Path, birds: Sequence[Bird]
    ) -> dict[int, str]:
        """Class id to name, in the order of the labels: of a part, only what it has images of."""
        partial = yes_or_no(settings, "partial")
        names = read_classes(folder, self.counts["classes"], partial)
        there = {bird.class_id for bird in birds}
        return {key: name for key, name in names.items() if key in there or not partial}

    def _concepts(
        self, settings: Mapping[str, Any], folder: Path, voters: Sequence[Bird]
    ) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
        """Names of the concepts that are kept, and bool [classes of the archive, concepts].

        `voters` are the images of the training split.
        """
        rule, classes = self._concept_rule(settings), self.counts["classes"]
        if rule == "none":
            return (), np.zeros((classes, 0), np.bool_)
        names = attribute_names(folder, self.counts["attributes"])
        if rule == "class_majority":
            present = class_majority(folder, classes, len(names))
        else:
            present = image_majority(folder, voters, classes, len(names))
        columns = common_attributes(present)
        if not len(columns):
            raise InputError(
                f"{folder}: no attribute belongs to enough classes under 'concepts: {rule}'; take "
                "another rule, or none"
            )
        return tuple(names[column] for column in columns), present[:, columns]


def _labels(folder: Path, birds: Sequence[Bird], classes: Mapping[int, str]) -> NDArray[np.int64]:
    """Label of each image, int64 [N]: its class's place among `classes`."""
    numbers = {class_id: label for label, class_id in enumerate(classes)}
    path = folder / "classes.txt"
    return np.array([lookup(numbers, bird.class_id, path) for bird in birds], np.int64)


def _places(
    split: Mapping[str, Any], birds: Sequence[Bird], labels: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """Positions of each split's images."""
    if split["rule"] == "random":
        return stratified_splits(labels, split["seed"], split["test"], split["validation"])
    is_training = np.array([bird.is_training for bird in birds])
    ours = np.flatnonzero(is_training)
    drawn = stratified_splits(labels[ours], split["seed"], 0, split["validation"])
    places = {name: ours[chosen] for name, chosen in drawn.items()}
    return {**places, "test": np.flatnonzero(~is_training)}
