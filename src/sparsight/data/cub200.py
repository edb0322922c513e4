"""Caltech-UCSD Birds-200-2011: photographs of 200 species with attributes, boxes and parts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.archive import extract_folder
from sparsight.data.base import Description, RawSplit, Source
from sparsight.data.cub_attributes import attribute_names, class_majority, image_majority, kept
from sparsight.data.cub_options import concept_rule, mask_rule, part_radius, split_rule
from sparsight.data.cub_pixels import (
    PARTS,
    box_masks,
    disc_masks,
    picture_paths,
    segmentation_folder,
    segmentation_masks,
)
from sparsight.data.cub_tables import Bird, lookup, read_birds, read_classes
from sparsight.data.download import fetch_files
from sparsight.data.framing import checked_resize
from sparsight.data.location import find_archive
from sparsight.data.pictures import read_pictures
from sparsight.data.settings import mirror_list, number_of, yes_or_no
from sparsight.data.stratified import refuse_empty_classes, stratified_splits
from sparsight.io.errors import InputError

MOST_FILES = 40_000


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
    # SHA-256, bytes, and the folder that holds it. Their MD5, as Caltech gives them, are
    # 97eceeb196236b17998738112f37df78 and 4d47ba1228eae64f2fa547c47bc65255.
    archives: ClassVar[dict[str, tuple[str, int, str]]] = {
        "CUB_200_2011.tgz": (
            "0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
            1_150_585_339,
            "https://data.caltech.edu/records/65de6-vp158/files/",
        ),
        "segmentations.tgz": (
            "dc77f6cffea0cbe2e41d4201115c8f29a6320ecb04fffd2444f51b8066e4b84f",
            39_272_883,
            "https://data.caltech.edu/records/w9d68-gec53/files/",
        ),
    }

    @classmethod
    def split_names(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """`train` and `test`, and `validation` between them when some are set aside."""
        return cls.splits if split_rule(settings)["validation"] else ("train", "test")

    @classmethod
    def masks_of(cls, settings: Mapping[str, Any]) -> bool:
        """Whether `masks` names some."""
        return mask_rule(settings) != "none"

    @classmethod
    def parts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The 15 parts, when they have a radius."""
        return PARTS if part_radius(settings) else ()

    @classmethod
    def has_concepts(cls, settings: Mapping[str, Any]) -> bool:
        """Whether `concepts` names a rule; the attribute files tell which concepts it keeps."""
        return concept_rule(settings) != "none"

    @classmethod
    def tested_of(cls, settings: Mapping[str, Any]) -> int:
        """Images of the test split in the whole archive."""
        split = split_rule(settings)
        return number_of(split["test"], cls.counts["images"]) or cls.test_images

    def original_folders(self, settings: Mapping[str, Any], folder: Path) -> list[Path]:
        """The archive's folder, and that of the segmentations where it lies beside it."""
        outlines = segmentation_folder(folder)
        beside = mask_rule(settings) == "segmentations" and not outlines.is_relative_to(folder)
        return [folder, outlines] if beside else [folder]

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """See `Source.fetch`. A folder with files is checked for completeness and kept as it is.

        Otherwise the archive, and that of the segmentations where they are wanted, is fetched into
        the folder beside, verified, unpacked and, unless it was there before, or in
        `$SPARSIGHT_DATA`, deleted.
        """
        partial, names = yes_or_no(settings, "partial"), {}
        if not folder.is_dir() or not any(folder.iterdir()):
            names["CUB_200_2011.tgz"] = folder
        elif partial:
            self._birds(settings, folder)
            return
        outlines = segmentation_folder(folder)
        if mask_rule(settings) == "segmentations" and not outlines.is_dir():
            names["segmentations.tgz"] = outlines
        for name, target in names.items():
            self._fetch(settings, find_archive(name, folder.parent), target)
        self._birds(settings, folder)

    def _fetch(self, settings: Mapping[str, Any], archive: Path, target: Path) -> None:
        checksum, size, address = self.archives[archive.name]
        given = archive.exists()
        own = settings.get("mirrors") is None
        mirrors = [address] if own else mirror_list(settings, [address])
        fetch_files(archive.parent, {archive.name: checksum}, mirrors)
        extract_folder(archive, target, 4 * size, MOST_FILES, beside=("attributes.txt",))
        if not given:
            archive.unlink()

    def describe(self, settings: Mapping[str, Any], folder: Path) -> Description:
        """See `Source.describe`; classes and concepts are known from the files."""
        birds = self._birds(settings, folder)
        classes = self._classes(settings, folder, birds)
        places = _places(split_rule(settings), birds, _labels(folder, birds, classes))
        voters = [birds[place] for place in places["train"]]
        return Description(
            classes=list(classes.values()),
            has_masks=self.masks_of(settings),
            part_names=self.parts_of(settings),
            concept_names=self._concepts(settings, folder, voters)[0],
        )

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`."""
        birds = self._birds(settings, folder)
        classes = self._classes(settings, folder, birds)
        labels = _labels(folder, birds, classes)
        places = _places(split_rule(settings), birds, labels)
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
                **_pixels(settings, folder, chosen),
            )
        return raw

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
        rule, classes = concept_rule(settings), self.counts["classes"]
        if rule == "none":
            return (), np.zeros((classes, 0), np.bool_)
        names = attribute_names(folder, self.counts["attributes"])
        if rule == "class_majority":
            present = class_majority(folder, classes, len(names))
        else:
            present = image_majority(folder, voters, classes, len(names))
        columns = kept(present)
        if not len(columns):
            raise InputError(
                f"{folder}: no attribute belongs to enough classes under 'concepts: {rule}'; take "
                "another rule, or none"
            )
        return tuple(names[column] for column in columns), present[:, columns]


def _pixels(settings: Mapping[str, Any], folder: Path, birds: Sequence[Bird]) -> dict[str, Any]:
    """`images`, and `masks` and `part_masks` where they are wanted."""
    side = Cub200.shape(settings)[1]
    resize = checked_resize(settings.get("resize", Cub200.parameters["resize"]))
    masks, radius = mask_rule(settings), part_radius(settings)
    found: dict[str, Any] = {"images": read_pictures(picture_paths(folder, birds), side, resize)}
    if masks == "segmentations":
        found["masks"] = segmentation_masks(folder, birds, side, resize)
    elif masks == "boxes":
        found["masks"] = box_masks(folder, birds, side, resize)
    if radius:
        found["part_masks"] = disc_masks(folder, birds, side, resize, radius * side)
    return found


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
