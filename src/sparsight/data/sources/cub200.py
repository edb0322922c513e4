"""Caltech-UCSD Birds-200-2011: photographs of 200 species with attributes, boxes and parts.

The annotations of attributes are noisy, so both rules of the literature for concepts work by class:
every image of a class has the same concepts, and only attributes of at least ten classes are kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import Description
from sparsight.data.download import fetch_archive
from sparsight.data.draws import Positions, split_column, stratified_splits
from sparsight.data.location import can_be_file, has_files
from sparsight.data.pictures import (
    Frame,
    PictureSource,
    Pixels,
    picture_size,
    read_masks,
    room_for,
)
from sparsight.data.settings import (
    mirror_list,
    number_between,
    number_of,
    one_of,
    split_rule,
)
from sparsight.io.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

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
#: percentage of a class's annotations above which it has an attribute
MAJORITY = 50.0
FEWEST_CLASSES = 10
NOT_VISIBLE = 1
NUMBER, WORD, PIXELS = np.int64, object, np.float64


def read_table(path: Path, columns: Any, **options: Any) -> NDArray[Any]:
    """A table without a header whose columns are separated by blanks; `options` of `np.loadtxt`.

    `columns` is a dtype with a field for each column, or that of all. A table of other columns is
    an `InputError`.
    """
    try:
        with open(path, encoding="utf-8-sig") as lines:
            found: NDArray[Any] = np.loadtxt(lines, columns, comments=None, **options)
            return found
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); put the archive's own file there"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path} is not the table that it should be ({error}); put the original file there"
        ) from error


def keyed_table(path: Path, **columns: Any) -> "pd.DataFrame":
    """A table by its first column, an id; one that occurs twice is an `InputError`."""
    import pandas as pd

    rows = read_table(path, [("id", NUMBER), *columns.items()], ndmin=1)
    table = pd.DataFrame(rows).set_index("id").sort_index()
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise InputError(f"{path} has the id {twice} twice; put the original file there")
    return table


def lookup(table: "pd.DataFrame", ids: "pd.Series", path: Path) -> "pd.DataFrame":
    """The rows of a table with these ids; an error that names `path` where one is missing."""
    missing = ids[~ids.isin(table.index)]
    if len(missing):
        raise InputError(f"{path} has no id {missing.iloc[0]}; put the original file there")
    return table.loc[ids]


def read_classes(folder: Path, count: int, partial: bool) -> dict[int, str]:
    """Class id to name without its number (`Black footed Albatross`), in the order of the ids.

    Ids lie in 1..`count`, and unless `partial` there are as many.
    """
    path = folder / "classes.txt"
    names = keyed_table(path, name=WORD)["name"]
    for key in names.index:
        if not 1 <= key <= count:
            raise InputError(
                f"{path} has the class id {key}, outside 1..{count}; put the original file there"
            )
    if len(names) != count and not partial:
        raise InputError(
            f"{path} names {len(names)} of {count} classes; put the original file there, or accept "
            "a part with 'partial: true'"
        )
    for name in names[names.duplicated()]:
        raise InputError(f"{path} has the class {name} twice; put the original file there")
    words = names.str.partition(".")[2].str.replace("_", " ")
    return dict(zip(names.index.tolist(), words, strict=True))


def read_birds(folder: Path, count: int, partial: bool) -> "pd.DataFrame":
    """All photographs in the order of their ids: `image_id`, `name`, `path`, `class_id`, `trains`.

    There are `count` of them, unless a part is enough: those that are listed and whose file is
    there. `trains` says whether it is official training data. Tables that do not agree are an
    `InputError`.
    """
    listed, labels, training = (
        folder / f"{name}.txt" for name in ("images", "image_class_labels", "train_test_split")
    )
    birds = keyed_table(listed, name=WORD).reset_index(names="image_id")
    for key, name in zip(birds["image_id"], birds["name"], strict=True):
        if key < 1 or not can_be_file(name):
            raise InputError(
                f"{listed} has {name[:60]!r} with the id {key}; ids are from 1, and names are of "
                "files below images: put the original file there"
            )
    if (twice := birds["name"].duplicated()).any():
        name = birds["name"][twice].iloc[0]
        raise InputError(f"{listed} lists {name} twice; put the original file there")
    birds["path"] = [folder / "images" / name for name in birds["name"]]
    is_there = np.array([path.is_file() for path in birds["path"]], np.bool_)
    if not partial and (len(birds) != count or not is_there.all()):
        missing = birds["name"][~is_there].head(1)
        raise InputError(
            f"{folder} has {is_there.sum()} of {count} images"
            + "".join(f" (images/{name} is missing)" for name in missing)
            + "; add the missing ones, or accept a part with 'partial: true'"
        )
    if not is_there.any():
        raise InputError(f"{folder / 'images'} has none of the images that {listed} lists")
    birds = birds[is_there].reset_index(drop=True)
    for path, column in ((labels, "class_id"), (training, "trains")):
        table = keyed_table(path, **{column: NUMBER})
        birds[column] = lookup(table, birds["image_id"], path)[column].to_numpy()
    _refuse_other_than_0_and_1(birds["trains"], training)
    return birds.astype({"trains": bool})


def _refuse_other_than_0_and_1(column: "pd.Series", path: Path) -> None:
    if not column.isin((0, 1)).all():
        raise InputError(f"{path} has a value other than 0 and 1; put the original file there")


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
    names = keyed_table(path, name=WORD)["name"]
    if names.index.tolist() != list(range(1, count + 1)):
        raise InputError(f"{path} does not name {count} attributes; put the original file there")
    return names.tolist()


def class_majority(folder: Path, classes: int, attributes: int) -> NDArray[np.bool_]:
    """Which attributes more than half of a class's annotations see, bool [classes, attributes].

    `attributes/class_attribute_labels_continuous.txt` has a line of percentages for each class,
    whatever images are there. (Ghosh and Batmanghelich 2023, arXiv:2307.13698.)
    """
    path = folder / "attributes" / "class_attribute_labels_continuous.txt"
    values = read_table(path, np.float64, ndmin=2)
    # NaN is in no range.
    sound = ((values >= 0) & (values <= 100)).all()
    if values.shape != (classes, attributes) or not sound:
        raise InputError(
            f"{path} does not hold percentages of {classes} classes; put the original file there"
        )
    return np.asarray(values > MAJORITY)


def image_majority(
    folder: Path, voters: "pd.DataFrame", classes: int, attributes: int
) -> NDArray[np.bool_]:
    """Which attributes the majority of a class's training images has: bool [classes, attributes].

    As in the code of the paper: an image that is said to lack an attribute which is not visible in
    it does not vote, and where as many votes speak for an attribute as against it, none at all
    included, the class has it. Classes without voters have nothing. (Koh et al. 2020,
    arXiv:2007.04612, section 5.1, and its published code.)

    Parameters
    ----------
    folder : with `attributes/image_attribute_labels.txt`. Some of its lines have too many columns;
        the first four are used.
    voters : `image_id` and `class_id` of the images of the training split in use, all of which
        vote, and no others; one without a line is an `InputError`: votes that are not there would
        all be ties.
    classes, attributes : how many there are.
    """
    import pandas as pd

    path = folder / "attributes" / "image_attribute_labels.txt"
    columns = ("image_id", "attribute", "present", "certainty")
    rows = read_table(path, [(name, NUMBER) for name in columns], usecols=range(4), ndmin=1)
    table = pd.DataFrame(rows)
    wrong = table[~table["attribute"].between(1, attributes) | ~table["present"].isin((0, 1))]
    if len(wrong):
        image, attribute, present, _ = wrong.iloc[0]
        raise InputError(
            f"{path} says {present} of the attribute {attribute} of image {image}, which is not "
            "possible; put the original file there"
        )
    if missing := set(voters["image_id"]) - set(table["image_id"]):
        raise InputError(f"{path} has no id {min(missing)}; put the original file there")
    counted = table[(table["present"] == 1) | (table["certainty"] != NOT_VISIBLE)]
    counted = counted.merge(voters[["image_id", "class_id"]], on="image_id")
    votes = np.zeros((classes, attributes, 2), np.int64)
    np.add.at(votes, (counted["class_id"] - 1, counted["attribute"] - 1, counted["present"]), 1)
    has = votes[:, :, 1] >= votes[:, :, 0]
    has[np.setdiff1d(np.arange(classes), voters["class_id"] - 1)] = False
    return np.asarray(has)


def common_attributes(present: NDArray[np.bool_]) -> Positions:
    """Attributes that at least ten classes have: int64 positions, ascending."""
    return np.flatnonzero(present.sum(axis=0) >= FEWEST_CLASSES)


def segmentation_folder(folder: Path) -> Path:
    """Where the outlines are: in the archive's folder, or next to it, as its archive unpacks."""
    beside = folder.with_name("segmentations")
    inside = folder / "segmentations"
    return beside if beside.is_dir() and not inside.is_dir() else inside


def segmentation_masks(folder: Path, birds: "pd.DataFrame", side: int, resize: str) -> Pixels:
    """Outlines of the birds, uint8 [N, side, side]: grey where the annotators disagree."""
    place = segmentation_folder(folder)
    paths = [(place / name).with_suffix(".png") for name in birds["name"]]
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"{path} does not exist; put the folder of segmentations.tgz there, or take "
                "'masks: boxes' or 'masks: none'"
            )
    return read_masks(paths, birds["path"].tolist(), side, resize)


def box_masks(folder: Path, birds: "pd.DataFrame", side: int, resize: str) -> Pixels:
    """Bounding boxes of the birds as masks, uint8 [N, side, side]; none leaves its photograph."""
    path = folder / "bounding_boxes.txt"
    table = keyed_table(path, x=PIXELS, y=PIXELS, width=PIXELS, height=PIXELS)
    masks = room_for((len(birds), side, side))
    boxes = lookup(table, birds["image_id"], path).to_numpy()
    for row, (name, frame) in enumerate(_frames(birds, side, resize)):
        x, y, width, height = boxes[row].tolist()
        if min(width, height) <= 0:
            raise InputError(f"{path} has an empty box for {name}; put the original file there")
        _refuse_outside(name, frame, path, (x, y), (x + width, y + height))
        masks[row] = frame.box(x, y, width, height)
    return masks


def disc_masks(
    folder: Path, birds: "pd.DataFrame", side: int, resize: str, radius: float
) -> Pixels:
    """Discs of `radius` pixels about the visible parts' points, uint8 [N, 15, side, side].

    Masks that would need too much memory are an `InputError`.
    """
    import pandas as pd

    shape = (len(birds), len(PARTS), side, side)
    if np.prod(shape, dtype=np.int64) > MOST_PART_BYTES:
        raise InputError(
            f"part masks of {len(birds)} images of {side} pixels need more than "
            f"{MOST_PART_BYTES >> 30} GiB; take a smaller 'size' or 'part_radius: 0'"
        )
    path, masks = folder / "parts" / "part_locs.txt", np.zeros(shape, np.uint8)
    columns = {"id": NUMBER, "part": NUMBER, "x": PIXELS, "y": PIXELS, "visible": NUMBER}
    points = pd.DataFrame(read_table(path, list(columns.items()), ndmin=1)).set_index("id")
    for part in points["part"][~points["part"].between(1, len(PARTS))]:
        raise InputError(f"{path} names the part {part}, outside 1..{len(PARTS)}; replace it")
    _refuse_other_than_0_and_1(points["visible"], path)
    lookup(points, birds["image_id"], path)
    seen = dict(list(points[points["visible"] == 1].groupby("id")))
    for row, (name, frame) in enumerate(_frames(birds, side, resize)):
        here = seen.get(birds["image_id"].iloc[row], points[:0])
        for part, x, y in zip(here["part"], here["x"], here["y"], strict=True):
            _refuse_outside(name, frame, path, (x, y))
            masks[row, part - 1] = frame.disc(x, y, radius)
    return masks


def _refuse_outside(name: str, frame: Frame, table: Path, *points: tuple[float, float]) -> None:
    """An error where a table's coordinates are not those of the photograph that is there."""
    for x, y in points:
        # The archive counts pixels from 1 in some of its boxes, and from 0 in others.
        if not (-1 <= x <= frame.width + 1 and -1 <= y <= frame.height + 1):
            raise InputError(
                f"{table} places something at ({x:g}, {y:g}) in {name}, which has "
                f"{frame.width}×{frame.height} pixels; put the original photograph there"
            )


def _frames(birds: "pd.DataFrame", side: int, resize: str) -> Iterator[tuple[str, Frame]]:
    """Name of each photograph, and how it becomes a square."""
    for name, path in zip(birds["name"], birds["path"], strict=True):
        yield name, Frame.of(*picture_size(path), side, resize)


class Cub200(PictureSource):
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
    has_masks: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (3, 448, 448)
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
        wanted = self._mask_rule(settings) == "segmentations"
        return [folder, outlines] if wanted and folder not in outlines.parents else [folder]

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """See `Source.fetch`. A folder with files is checked for completeness and kept as it is.

        Otherwise the archive, and that of the segmentations where they are wanted, is fetched.
        """
        targets, outlines = {}, segmentation_folder(folder)
        if not has_files(folder):
            targets["CUB_200_2011.tgz"] = folder
        wanted = self._mask_rule(settings) == "segmentations" and not outlines.is_dir()
        if wanted and (targets or not self.accepts_part(settings)):
            targets["segmentations.tgz"] = outlines
        for name, target in targets.items():
            checksum, address = self.archives[name]
            own = settings.get("mirrors") is None
            mirrors = [address] if own else mirror_list(settings, [address])
            fetch_archive(
                name, folder.parent, target, checksum, mirrors, beside=("attributes.txt",)
            )
        read_birds(folder, self.counts["images"], self.accepts_part(settings))

    def describe(self, settings: Mapping[str, Any], folder: Path) -> Description:
        """See `Source.describe`; classes and concepts are known from the files."""
        listing = self.listing(settings, folder)
        names, _ = self._attributes(settings, folder, listing)
        classes = list(listing["class"].cat.categories)
        stated = super().describe(settings, folder)
        return replace(stated, classes=classes, concept_names=tuple(names))

    def listing(self, settings: Mapping[str, Any], folder: Path) -> "pd.DataFrame":
        """See `PictureSource.listing`; of a part, the classes are those that it has images of."""
        import pandas as pd

        partial = self.accepts_part(settings)
        birds = read_birds(folder, self.counts["images"], partial)
        names = read_classes(folder, self.counts["classes"], partial)
        for class_id in birds["class_id"][~birds["class_id"].isin(names)]:
            path = folder / "classes.txt"
            raise InputError(f"{path} has no id {class_id}; put the original file there")
        there = set(birds["class_id"]) if partial else set(names)
        classes = [name for class_id, name in names.items() if class_id in there]
        birds["class"] = pd.Categorical(birds["class_id"].map(names), classes)
        split, labels = self._split_rule(settings), np.array(birds["class"].cat.codes, np.int64)
        if split["rule"] == "random":
            places = stratified_splits(labels, split["seed"], split["test"], split["validation"])
        else:
            ours = np.flatnonzero(birds["trains"])
            drawn = stratified_splits(labels[ours], split["seed"], 0, split["validation"])
            places = {name: ours[chosen] for name, chosen in drawn.items()}
            places["test"] = np.flatnonzero(~birds["trains"])
        return birds.assign(split=split_column(places, len(birds)))

    def known_concepts(
        self, settings: Mapping[str, Any], folder: Path, listing: "pd.DataFrame"
    ) -> dict[str, NDArray[np.bool_]]:
        """See `PictureSource.known_concepts`: those of each image's class."""
        names, present = self._attributes(settings, folder, listing)
        return {"concepts": present[listing["class_id"] - 1]} if names else {}

    def _attributes(
        self, settings: Mapping[str, Any], folder: Path, listing: "pd.DataFrame"
    ) -> tuple[list[str], NDArray[np.bool_]]:
        """Names of the attributes that are kept, and bool [classes of the archive, attributes]."""
        rule, classes = self._concept_rule(settings), self.counts["classes"]
        if rule == "none":
            return [], np.zeros((classes, 0), np.bool_)
        names = attribute_names(folder, self.counts["attributes"])
        if rule == "class_majority":
            present = class_majority(folder, classes, len(names))
        else:
            voters = listing[listing["split"] == "train"]
            present = image_majority(folder, voters, classes, len(names))
        columns = common_attributes(present)
        if not len(columns):
            raise InputError(
                f"{folder}: no attribute belongs to enough classes under 'concepts: {rule}'; take "
                "another rule, or none"
            )
        return [names[column] for column in columns], present[:, columns]

    def masks(
        self, settings: Mapping[str, Any], folder: Path, chosen: "pd.DataFrame", side: int
    ) -> dict[str, Pixels]:
        """See `PictureSource.masks`."""
        resize, rule = self.resize_of(settings), self._mask_rule(settings)
        found = {}
        if rule != "none":
            draw = segmentation_masks if rule == "segmentations" else box_masks
            found["masks"] = draw(folder, chosen, side, resize)
        if radius := self._part_radius(settings):
            found["part_masks"] = disc_masks(folder, chosen, side, resize, radius * side)
        return found
