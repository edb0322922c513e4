"""Derm7pt: dermatoscopic photographs with the seven-point checklist; never downloaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import RawSplit, Source, read_columns
from sparsight.data.draws import refuse_empty_classes
from sparsight.data.location import can_be_file
from sparsight.data.pictures import checked_resize, read_pictures
from sparsight.io.errors import InputError

Row = dict[str, str]
# Column, and what its words say of the concepts: 1 there, 0 not there, -1 the other kind is there.
CODING: dict[str, tuple[str, dict[str, int]]] = {
    "BWV": ("blue_whitish_veil", {"absent": 0, "present": 1}),
    "RegularDG": ("dots_and_globules", {"absent": 0, "regular": 1, "irregular": -1}),
    "IrregularDG": ("dots_and_globules", {"absent": 0, "regular": -1, "irregular": 1}),
    "RegressionStructures": (
        "regression_structures",
        {"absent": 0, "blue areas": 1, "white areas": 1, "combinations": 1},
    ),
    "RegularStreaks": ("streaks", {"absent": 0, "regular": 1, "irregular": -1}),
    "IrregularStreaks": ("streaks", {"absent": 0, "regular": -1, "irregular": 1}),
    "TypicalPigmentNetwork": ("pigment_network", {"absent": 0, "typical": 1, "atypical": -1}),
    "AtypicalPigmentNetwork": ("pigment_network", {"absent": 0, "typical": -1, "atypical": 1}),
}
_COLUMNS = ("diagnosis", "derm", *dict.fromkeys(column for column, _ in CODING.values()))
_INDEXES = {"train": "train", "validation": "valid", "test": "test"}
_LONGEST_INDEX = 9


class Derm7pt(Source):
    """1,011 dermatoscopic photographs with eight concepts, benign or malignant.

    The images may not be redistributed, so they are not downloaded: ask for them at
    https://derm.cs.sfu.ca and put the folders `images` and `meta` of `release_v0` into
    `data/derm7pt`. The splits are the official ones (413, 203 and 395). An image's id is its row in
    `meta/meta.csv`, from 0. Melanoma of every kind and basal cell carcinoma are malignant.

    A concept is true where the checklist says so, as in arXiv:2307.13698. As there, an image with
    the other kind (irregular instead of regular streaks) is no negative example either: its
    concept is not known (`RawSplit.concepts_known`). See `published_coding`.

    Settings
    --------
    size : side of the packed images in pixels.
    resize : `aspect`: the shorter side to `size`, then the middle; or `squash`: both to `size`.
    """

    name: ClassVar[str] = "derm7pt"
    reference: ClassVar[str] = "Kawahara et al. 2018, doi:10.1109/JBHI.2018.2824327"
    licence: ClassVar[str] = "academic research only; the images may not be redistributed"
    folder: ClassVar[str] = "derm7pt"
    splits: ClassVar[tuple[str, ...]] = ("train", "validation", "test")
    downloadable: ClassVar[bool] = False
    has_masks: ClassVar[bool] = False
    image_shape: ClassVar[tuple[int, int, int]] = (3, 299, 299)
    side_parameter: ClassVar[str] = "size"
    class_count: ClassVar[int] = 2
    test_images: ClassVar[int] = 395
    original_images: ClassVar[tuple[int, int]] = (1_011, 0)
    parameters: ClassVar[dict[str, Any]] = {"size": 299, "resize": "aspect"}
    concept_names: ClassVar[tuple[str, ...]] = (
        "BWV",
        "RegularDG",
        "IrregularDG",
        "RegressionStructures",
        "RegularStreaks",
        "IrregularStreaks",
        "TypicalPigmentNetwork",
        "AtypicalPigmentNetwork",
    )
    # Of the whole data set.
    count: ClassVar[int] = 1011

    @classmethod
    def class_names(cls) -> list[str]:
        """Benign and malignant."""
        return ["benign", "malignant"]

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """See `Source.fetch`: the files are looked for, and an error says where to ask."""
        if not (folder / "meta" / "meta.csv").is_file() or not (folder / "images").is_dir():
            raise InputError(
                f"{folder} has no folders images and meta of derm7pt, which may not be downloaded "
                "automatically; ask for release_v0 at https://derm.cs.sfu.ca and put them there"
            )
        self._rows(folder)

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`."""
        resize = checked_resize(settings.get("resize", self.parameters["resize"]))
        rows, side, raw = self._rows(folder), self.shape(settings)[1], {}
        for split, positions in _positions(folder, len(rows)).items():
            chosen = [rows[position] for position in positions]
            labels = np.array([is_malignant(row["diagnosis"]) for row in chosen], np.int64)
            refuse_empty_classes(self.name, split, labels, self.class_names())
            paths = [folder / "images" / row["derm"] for row in chosen]
            for path in paths:
                if not path.is_file():
                    raise InputError(
                        f"{path} does not exist; put all images of release_v0 into "
                        f"{folder / 'images'}"
                    )
            coded = published_coding(chosen)
            raw[split] = RawSplit(
                images=read_pictures(paths, side, resize),
                labels=labels,
                names=[row["derm"] for row in chosen],
                image_ids=positions,
                concepts=coded == 1,
                concepts_known=coded != -1,
            )
        return raw

    def _rows(self, folder: Path) -> list[Row]:
        path = folder / "meta" / "meta.csv"
        rows = read_meta(path)
        if len(rows) != self.count:
            raise InputError(
                f"{path} has {len(rows)} of {self.count} rows; put the original file there"
            )
        return rows


def is_malignant(diagnosis: str) -> bool:
    """Melanoma of every kind, and basal cell carcinoma."""
    return diagnosis.startswith("melanoma") or diagnosis == "basal cell carcinoma"


def published_coding(rows: Sequence[Row]) -> NDArray[np.int8]:
    """The concepts as arXiv:2307.13698 (and Yuksekgonul et al. 2023, arXiv:2205.15480) code them.

    Returns
    -------
    int8 [N, 8], in the order of `Derm7pt.concept_names`: 1 a positive example, 0 a negative one, -1
    neither, since the other kind of the same structure is there.
    """
    coded = [[words[row[column]] for column, words in CODING.values()] for row in rows]
    return np.array(coded, np.int8).reshape(len(rows), len(CODING))


def read_meta(path: Path) -> list[Row]:
    """The rows of `meta.csv`; their images and words are checked."""
    rows = read_columns(path, _COLUMNS)
    seen: set[str] = set()
    for number, row in enumerate(rows, 2):
        image = row["derm"]
        if not can_be_file(image):
            raise InputError(
                f"{path}, line {number}: {image[:60]!r} is no image below the folder images; put "
                "the original file there"
            )
        if image in seen:
            raise InputError(f"{path} names the image {image[:60]} twice; replace the file")
        seen.add(image)
        for column, words in CODING.values():
            if row[column] not in words:
                raise InputError(
                    f"{path}, line {number}: {column} is {row[column][:60]!r}, not one of "
                    f"{', '.join(words)}; put the original file there"
                )
    return rows


def _positions(folder: Path, count: int) -> dict[str, NDArray[np.int64]]:
    """Rows of each official split."""
    found: dict[str, NDArray[np.int64]] = {}
    seen: set[int] = set()
    for split, word in _INDEXES.items():
        path = folder / "meta" / f"{word}_indexes.csv"
        texts = [row["indexes"] for row in read_columns(path, ("indexes",))]
        if not texts or not all(_is_row(text, count) for text in texts):
            raise InputError(
                f"{path} does not list rows 0 to {count - 1} of meta.csv; put the original file "
                "there"
            )
        rows = [int(text) for text in texts]
        twice = next((row for row in rows if row in seen or rows.count(row) > 1), None)
        if twice is not None:
            raise InputError(
                f"{path} lists row {twice}, which is listed before; put the original file there"
            )
        seen.update(rows)
        found[split] = np.array(rows, np.int64)
    return found


def _is_row(text: str, count: int) -> bool:
    # Python refuses to read numbers of thousands of digits.
    return len(text) <= _LONGEST_INDEX and text.isdecimal() and int(text) < count
