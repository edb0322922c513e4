"""Derm7pt: dermatoscopic photographs with the seven-point checklist; never downloaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import read_table
from sparsight.data.location import can_be_file
from sparsight.data.pictures import PictureSource
from sparsight.io.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

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


class Derm7pt(PictureSource):
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
    downloadable: ClassVar[bool] = False
    has_masks: ClassVar[bool] = False
    complete_splits: ClassVar[tuple[str, ...]] = ("train", "validation", "test")
    image_shape: ClassVar[tuple[int, int, int]] = (3, 299, 299)
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

    def _rows(self, folder: Path) -> "pd.DataFrame":
        path = folder / "meta" / "meta.csv"
        rows = read_meta(path)
        if len(rows) != self.count:
            raise InputError(
                f"{path} has {len(rows)} of {self.count} rows; put the original file there"
            )
        return rows

    def listing(self, settings: Mapping[str, Any], folder: Path) -> "pd.DataFrame":
        """See `PictureSource.listing`; in the order of the official splits."""
        import pandas as pd

        rows = self._rows(folder)
        split = read_splits(folder, len(rows))
        found = rows.loc[split.index].assign(split=split, name=rows["derm"], image_id=split.index)
        found["path"] = [folder / "images" / name for name in found["name"]]
        for path in found["path"]:
            if not path.is_file():
                raise InputError(
                    f"{path} does not exist; put all images of release_v0 into {folder / 'images'}"
                )
        labels = found["diagnosis"].map(is_malignant).astype(int)
        found["class"] = pd.Categorical.from_codes(labels, pd.Index(self.class_names()))
        return found

    def known_concepts(
        self, settings: Mapping[str, Any], folder: Path, listing: "pd.DataFrame"
    ) -> dict[str, NDArray[np.bool_]]:
        """See `PictureSource.known_concepts`."""
        coded = published_coding(listing)
        return {"concepts": coded == 1, "concepts_known": coded != -1}


def is_malignant(diagnosis: str) -> bool:
    """Melanoma of every kind, and basal cell carcinoma."""
    return diagnosis.startswith("melanoma") or diagnosis == "basal cell carcinoma"


def published_coding(rows: "pd.DataFrame") -> NDArray[np.int8]:
    """The concepts as arXiv:2307.13698 (and Yuksekgonul et al. 2023, arXiv:2205.15480) code them.

    Returns
    -------
    int8 [N, 8], in the order of `Derm7pt.concept_names`: 1 a positive example, 0 a negative one, -1
    neither, since the other kind of the same structure is there.
    """
    coded = [rows[column].map(words).to_numpy(np.int8) for column, words in CODING.values()]
    return np.stack(coded, axis=1)


def read_meta(path: Path) -> "pd.DataFrame":
    """The rows of `meta.csv`; their images and words are checked."""
    rows = read_table(path, _COLUMNS)
    for line, image in enumerate(rows["derm"], start=2):
        if not can_be_file(image):
            raise InputError(
                f"{path}, line {line}: {image[:60]!r} is no image below the folder images; put the "
                "original file there"
            )
    for image in rows["derm"][rows["derm"].duplicated()]:
        raise InputError(f"{path} names the image {image[:60]} twice; replace the file")
    for column, words in CODING.values():
        wrong = rows[column][~rows[column].isin(words)]
        if len(wrong):
            raise InputError(
                f"{path}, line {wrong.index[0] + 2}: {column} is {wrong.iloc[0][:60]!r}, not one "
                f"of {', '.join(words)}; put the original file there"
            )
    return rows


def read_splits(folder: Path, count: int) -> "pd.Series":
    """The official split of each of `count` rows of `meta.csv`, in the order of its files."""
    import pandas as pd

    splits: dict[int, str] = {}
    known = {str(row): row for row in range(count)}
    for split, word in _INDEXES.items():
        path = folder / "meta" / f"{word}_indexes.csv"
        texts = read_table(path, ("indexes",))["indexes"]
        if texts.empty or not texts.isin(known).all():
            raise InputError(
                f"{path} does not list rows 0 to {count - 1} of meta.csv; put the original file "
                "there"
            )
        for row in texts.map(known):
            if row in splits:
                raise InputError(
                    f"{path} lists row {row}, which is listed before; put the original file there"
                )
            splits[row] = split
    return pd.Series(splits)
