"""HAM10000: dermatoscopic photographs of pigmented skin lesions, with lesion masks."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.archive import extract_flat
from sparsight.data.base import Description, RawSplit, Source
from sparsight.data.download import fetch_files
from sparsight.data.framing import checked_resize
from sparsight.data.ham_options import (
    class_names,
    class_rule,
    concept_quantile,
    has_concepts,
    has_masks,
    split_rule,
)
from sparsight.data.ham_splits import lesion_splits, shared_lesions
from sparsight.data.ham_tables import (
    DIAGNOSES,
    Photograph,
    find_masks,
    find_metadata,
    find_photographs,
    mask_paths,
    part_folders,
    read_photographs,
)
from sparsight.data.lesion_concepts import CONCEPTS, exceeding, measure_files, thresholds
from sparsight.data.location import find_archive
from sparsight.data.pictures import read_masks, read_pictures
from sparsight.data.settings import mirror_list, number_of, yes_or_no
from sparsight.data.stratified import refuse_empty_classes, stratified_splits

_LOG = logging.getLogger(__name__)
MOST_FILES = 25_000
# How many times its size an archive's files may take together: JPEG files hardly shrink, and masks
# of few lines are already packed as PNG files.
LARGEST = {".jpg": 2, ".png": 20}
LEAK = "test_images_of_trained_lesions"


class Ham10000(Source):
    """10,015 photographs of 7,470 lesions of seven diagnoses (version 4 of the Dataverse archive).

    An image's id is the number in its name (27419 for `ISIC_0027419`). The share of test images
    whose lesion is also in the training split is logged, and written into the packed files'
    metadata as `test_images_of_trained_lesions`.

    Settings
    --------
    size : side of the packed images in pixels.
    resize : `aspect`: the shorter side to `size`, then the middle; or `squash`: both to `size`.
    classes : `seven` (akiec, bcc, bkl, df, mel, nv, vasc) or `binary` (benign, malignant).
    malignant : the diagnoses that are malignant in `binary`: [mel, bcc], as in arXiv:2307.13698;
        clinically [mel, bcc, akiec].
    split : {rule: lesion, test: 0.2, validation: 0.0, seed: 0}: shares or numbers of images,
        stratified by diagnosis and seeded; a `validation` of 0 makes no such split. `lesion` keeps
        all images of a lesion together. `image`, as in arXiv:2307.13698, does not: it leaks.
    masks : `lesions` or `none`.
    concepts : `abcd`: asymmetry, border, colour, diameter and blue-white, derived from photograph
        and mask (`sparsight.data.lesion_concepts`); or `none`.
    concept_quantile : a derived concept is there when its measure exceeds this quantile of the
        training images; 0.5 is the median.
    partial : accept a folder with a part of the original images.
    mirrors : addresses of folders with the archives, tried in order. One that ends in `/datafile/`
        is a Dataverse, which is asked for files by their number there.
    """

    name: ClassVar[str] = "ham10000"
    reference: ClassVar[str] = "Tschandl et al. 2018, doi:10.1038/sdata.2018.161"
    licence: ClassVar[str] = "CC BY-NC 4.0"
    folder: ClassVar[str] = "HAM10000"
    splits: ClassVar[tuple[str, ...]] = ("train", "validation", "test")
    has_masks: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (3, 299, 299)
    side_parameter: ClassVar[str] = "size"
    class_count: ClassVar[int] = 7
    test_images: ClassVar[int] = 2003
    original_images: ClassVar[tuple[int, int]] = (10_015, 0)
    parameters: ClassVar[dict[str, Any]] = {
        "size": 299,
        "resize": "aspect",
        "classes": "seven",
        "malignant": ["mel", "bcc"],
        "split": {"rule": "lesion", "test": 0.2, "validation": 0.0, "seed": 0},
        "masks": "lesions",
        "concepts": "none",
        "concept_quantile": 0.5,
        "partial": False,
        "mirrors": ["https://dataverse.harvard.edu/api/access/datafile/"],
    }
    varying: ClassVar[tuple[str, ...]] = (
        "class_count",
        "has_masks",
        "test_images",
        "concept_names",
    )
    # Of the whole data set.
    count: ClassVar[int] = 10_015
    # Of the files of doi:10.7910/DVN/DBW86T: MD5 (the archive gives no other checksum), number
    # there, and bytes. Of the table, Dataverse's checksum is that of the original, not of the copy
    # with tabs that it gives unless asked for the original.
    files: ClassVar[dict[str, tuple[str, str, int]]] = {
        "HAM10000_metadata.csv": (
            "md5:8f85fb1aa29d80a2797247e434deb79d",
            "4338392?format=original",
            690_218,
        ),
        "HAM10000_images_part_1.zip": (
            "md5:4639bfa73ab251610530a97c898e6e46",
            "3172585",
            1_366_522_108,
        ),
        "HAM10000_images_part_2.zip": (
            "md5:da43d6cc50f6613013be07e8986b384b",
            "3172584",
            1_403_566_547,
        ),
        "HAM10000_segmentations_lesion_tschandl.zip": (
            "md5:6e8d252e09cfdb0189199f15985a5b84",
            "3838943",
            10_808_743,
        ),
    }

    @classmethod
    def split_names(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """`train` and `test`, and `validation` between them when some are set aside."""
        return cls.splits if split_rule(settings)["validation"] else ("train", "test")

    @classmethod
    def class_names(cls) -> list[str]:
        """The seven diagnoses, such as `mel`."""
        return list(DIAGNOSES)

    @classmethod
    def classes_of(cls, settings: Mapping[str, Any]) -> list[str]:
        """The seven diagnoses, or benign and malignant."""
        return class_names(settings)

    @classmethod
    def masks_of(cls, settings: Mapping[str, Any]) -> bool:
        """Whether `masks` names some."""
        return has_masks(settings)

    @classmethod
    def concepts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The derived concepts, when they are wanted."""
        return CONCEPTS if has_concepts(settings) else ()

    @classmethod
    def tested_of(cls, settings: Mapping[str, Any]) -> int:
        """Images of the test split of the whole data set; of whole lesions, to within a few."""
        return number_of(split_rule(settings)["test"], cls.count)

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """See `Source.fetch`. What lies there is kept, and checked for completeness.

        What is missing is fetched, verified, unpacked and, unless it was there before, or in
        `$SPARSIGHT_DATA`, deleted. A folder with files that is said to be a part is left as it is.
        Masks are fetched where masks or concepts are wanted.
        """
        partial = yes_or_no(settings, "partial")
        if not (partial and folder.is_dir() and any(folder.iterdir())):
            for name in self._missing(settings, folder):
                self._fetch(settings, folder, name)
        read_photographs(folder, self.count, partial)

    def _missing(self, settings: Mapping[str, Any], folder: Path) -> list[str]:
        """The original files of which the folder has nothing, however they were unpacked."""
        table, *parts, masks = self.files
        missing = [] if find_metadata(folder) else [table]
        there = part_folders(folder)
        if there or not find_photographs(folder):
            missing += [part for number, part in enumerate(parts, 1) if number not in there]
        if (has_masks(settings) or has_concepts(settings)) and not find_masks(folder):
            missing.append(masks)
        return missing

    def _fetch(self, settings: Mapping[str, Any], folder: Path, name: str) -> None:
        checksum, number, size = self.files[name]
        is_archive = name.endswith(".zip")
        path = find_archive(name, folder) if is_archive else folder / name
        given = path.exists()
        mirrors = mirror_list(settings, self.parameters["mirrors"])
        fetch_files(path.parent, {name: checksum}, mirrors, numbers={name: number})
        if is_archive:
            suffix = ".png" if "segmentations" in name else ".jpg"
            largest = LARGEST[suffix] * size
            extract_flat(path, folder / path.stem, suffix, largest, MOST_FILES)
            if not given:
                path.unlink()

    def describe(self, settings: Mapping[str, Any], folder: Path) -> Description:
        """See `Source.describe`; the leak between the splits is among the notes."""
        photographs = self._photographs(settings, folder)
        leak = _leak(photographs, _places(settings, photographs))
        return Description(
            classes=self.classes_of(settings),
            has_masks=self.masks_of(settings),
            concept_names=self.concepts_of(settings),
            notes={LEAK: f"{leak:.4f}"},
        )

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`."""
        photographs = self._photographs(settings, folder)
        places = _places(settings, photographs)
        leak = _leak(photographs, places)
        _LOG.info("%.1f%% of the test images show a lesion that is also in train", 100 * leak)
        label_of = class_rule(settings)
        labels = np.array([label_of[one.diagnosis] for one in photographs], np.int64)
        for split in ("train", "test"):
            refuse_empty_classes(self.name, split, labels[places[split]], self.classes_of(settings))
        concepts = _concepts(settings, folder, photographs, places["train"])
        return {
            split: self._split(settings, folder, photographs, labels, concepts, places[split])
            for split in self.split_names(settings)
        }

    def _photographs(self, settings: Mapping[str, Any], folder: Path) -> list[Photograph]:
        return read_photographs(folder, self.count, yes_or_no(settings, "partial"))

    def _split(
        self,
        settings: Mapping[str, Any],
        folder: Path,
        photographs: list[Photograph],
        labels: NDArray[np.int64],
        concepts: NDArray[np.bool_] | None,
        places: NDArray[np.int64],
    ) -> RawSplit:
        resize = checked_resize(settings.get("resize", self.parameters["resize"]))
        side, chosen = self.shape(settings)[1], [photographs[place] for place in places]
        paths, masks = [one.path for one in chosen], None
        if has_masks(settings):
            masks = read_masks(mask_paths(folder, chosen), paths, side, resize)
        return RawSplit(
            images=read_pictures(paths, side, resize),
            labels=labels[places],
            names=[one.name for one in chosen],
            image_ids=np.array([one.image_id for one in chosen], np.int64),
            masks=masks,
            concepts=None if concepts is None else concepts[places],
        )


def _places(
    settings: Mapping[str, Any], photographs: list[Photograph]
) -> dict[str, NDArray[np.int64]]:
    """Positions of each split's photographs, stratified by diagnosis whatever the classes are."""
    split = split_rule(settings)
    labels = np.array([DIAGNOSES.index(one.diagnosis) for one in photographs], np.int64)
    wanted = split["seed"], split["test"], split["validation"]
    if split["rule"] == "image":
        return stratified_splits(labels, *wanted)
    return lesion_splits(labels, [one.lesion for one in photographs], *wanted)


def _leak(photographs: list[Photograph], places: Mapping[str, NDArray[np.int64]]) -> float:
    lesions = [one.lesion for one in photographs]
    return shared_lesions(lesions, places["train"], places["test"])


def _concepts(
    settings: Mapping[str, Any],
    folder: Path,
    photographs: list[Photograph],
    train: NDArray[np.int64],
) -> NDArray[np.bool_] | None:
    """The derived concepts of all photographs, with thresholds of the training split."""
    if not has_concepts(settings):
        return None
    quantile = concept_quantile(settings)
    paths = [one.path for one in photographs]
    values = measure_files(paths, mask_paths(folder, photographs))
    limits = thresholds(values[train], quantile)
    for name, limit in zip(CONCEPTS, limits, strict=True):
        _LOG.info("%s: above %.4f, quantile %g of the training images", name, limit, quantile)
    return exceeding(values, limits)
