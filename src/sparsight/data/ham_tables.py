"""The metadata of HAM10000, and where its images and masks lie."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from sparsight.io.errors import InputError

# In the order of the labels of the seven classes.
DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
IMAGE_FOLDERS = ("HAM10000_images_part_1", "HAM10000_images_part_2")
MASK_FOLDER = "HAM10000_segmentations_lesion_tschandl"
# As downloaded by hand, as in Dataverse's list, and as Dataverse converts it.
METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
_COLUMNS = ("lesion_id", "image_id", "dx")
_NAME = re.compile(r"ISIC_([0-9]{7})")


@dataclass(frozen=True)
class Photograph:
    """One row of the metadata.

    Attributes
    ----------
    name : such as `ISIC_0027419`.
    lesion : such as `HAM_0000118`; several photographs may show one lesion.
    diagnosis : one of `DIAGNOSES`.
    path : the photograph's file.
    """

    name: str
    lesion: str
    diagnosis: str
    path: Path

    @property
    def image_id(self) -> int:
        """The number in its name."""
        return int(self.name.removeprefix("ISIC_"))


def metadata_path(folder: Path) -> Path:
    """The metadata, under whichever of its names it is there.

    Raises
    ------
    InputError
        When it is not there.
    """
    found = [folder / name for name in METADATA if (folder / name).is_file()]
    if not found:
        raise InputError(
            f"{folder} has no {METADATA[0]}; put it there, or delete the folder and fetch the data "
            "set again"
        )
    return found[0]


def read_rows(path: Path) -> list[dict[str, str]]:
    """`lesion_id`, `image_id` and `dx` of each row, from a table separated by commas or tabs.

    Raises
    ------
    InputError
        When the table cannot be read, lacks one of these columns, has an image twice, an image name
        that is not ISIC's, a diagnosis that is none of the seven, or no rows.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            separator = "\t" if "\t" in file.readline() else ","
            file.seek(0)
            table = csv.DictReader(file, delimiter=separator)
            missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path} has no column '{missing[0]}'; put the original metadata there"
                )
            rows = [{name: row[name] or "" for name in _COLUMNS} for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}); put the original metadata there"
        ) from error
    seen: set[str] = set()
    for row in rows:
        name = row["image_id"]
        if not _NAME.fullmatch(name) or not row["lesion_id"] or row["dx"] not in DIAGNOSES:
            raise InputError(
                f"{path} has a row that cannot be used (image {name[:40]!r}, lesion "
                f"{row['lesion_id'][:40]!r}, dx {row['dx'][:40]!r}); put the original metadata "
                "there"
            )
        if name in seen:
            raise InputError(f"{path} has the image {name} twice; put the original metadata there")
        seen.add(name)
    if not rows:
        raise InputError(f"{path} has no rows; put the original metadata there")
    return rows


def read_photographs(folder: Path, count: int, partial: bool) -> list[Photograph]:
    """The photographs, sorted by name.

    Parameters
    ----------
    folder : with the metadata and both folders of images.
    count : how many there are in the whole data set.
    partial : whether a part is enough: those that are in the metadata and whose file is there.

    Raises
    ------
    InputError
        When photographs are missing, and as `read_rows`.
    """
    path = metadata_path(folder)
    rows = read_rows(path)
    files = {
        file.stem: file
        for name in IMAGE_FOLDERS
        if (folder / name).is_dir()
        for file in (folder / name).glob("ISIC_*.jpg")
    }
    found = [
        Photograph(row["image_id"], row["lesion_id"], row["dx"], files[row["image_id"]])
        for row in sorted(rows, key=lambda row: row["image_id"])
        if row["image_id"] in files
    ]
    if not partial and (len(rows) != count or len(found) != count):
        missing = next((row["image_id"] for row in rows if row["image_id"] not in files), None)
        raise InputError(
            f"{folder} has {len(found)} of {count} images"
            + (f" ({missing} is in neither folder)" if missing else "")
            + "; put the missing ones there, or accept a part with 'partial: true'"
        )
    if not found:
        raise InputError(f"{folder} has no image of {path.name} in {' or '.join(IMAGE_FOLDERS)}")
    return found


def mask_paths(folder: Path, photographs: list[Photograph]) -> list[Path]:
    """The mask of each photograph.

    Raises
    ------
    InputError
        When one is missing.
    """
    paths = [folder / MASK_FOLDER / f"{one.name}_segmentation.png" for one in photographs]
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"{path} does not exist; put the folder of {MASK_FOLDER}.zip there, or take "
                "'masks: none' and 'concepts: none'"
            )
    return paths
