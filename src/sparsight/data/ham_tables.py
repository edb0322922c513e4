"""The metadata of HAM10000, and where its images and masks lie."""

import csv
import re
from collections.abc import Iterable
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
# The two archives' folders, under the names that people give them.
_PART = re.compile(r"(?:ham[ _-]?10000[ _-]?)?(?:images[ _-]?)?part[ _-]?([12])", re.IGNORECASE)


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


def find_metadata(folder: Path) -> Path | None:
    """The metadata, under whichever of its names it is there."""
    paths = [folder / name for name in METADATA]
    return next((path for path in paths if path.is_file()), None)


def part_folders(folder: Path) -> dict[int, Path]:
    """The folders of the two archives of photographs, by number: `HAM10000_images_part_1`, `part1`.

    Raises
    ------
    InputError
        When one is there twice.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _PART.fullmatch(path.name)
        if match is None or not path.is_dir():
            continue
        other = found.setdefault(int(match[1]), path)
        if other != path:
            raise InputError(f"{path} and {other.name} are the same part; keep one of them")
    return found


def find_photographs(folder: Path) -> dict[str, Path]:
    """Image name to file: in the two archives' folders, or, without them, anywhere in `folder`.

    Raises
    ------
    InputError
        When a photograph is there twice.
    """
    places = list(part_folders(folder).values()) or [folder]
    return _by_name(
        path
        for place in places
        for path in place.rglob("ISIC_*")
        if path.suffix.lower() in (".jpg", ".jpeg")
    )


def find_masks(folder: Path) -> dict[str, Path]:
    """Mask name (`ISIC_0027419_segmentation`) to file: in the archive's folder, or anywhere.

    Raises
    ------
    InputError
        When a mask is there twice.
    """
    own = folder / MASK_FOLDER
    return _by_name((own if own.is_dir() else folder).rglob("ISIC_*_segmentation.png"))


def _by_name(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(paths):
        if found.setdefault(path.stem, path) != path:
            raise InputError(f"{path} is also in {found[path.stem].parent}; keep one of them")
    return found


def read_rows(path: Path) -> list[dict[str, str]]:
    """`lesion_id`, `image_id` and `dx` of each row; commas, semicolons or tabs separate them.

    Raises
    ------
    InputError
        When the table cannot be read, lacks one of these columns, has an image twice, an image name
        that is not ISIC's, a diagnosis that is none of the seven, or no rows.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            separator = max(",;\t", key=header.count)
            file.seek(0)
            table = csv.DictReader(file, delimiter=separator)
            missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
            if missing and "MEL" in (table.fieldnames or ()):
                raise InputError(
                    f"{path} is the table of the ISIC 2018 challenge, which does not say which "
                    "images show the same lesion; put HAM10000_metadata.csv there instead"
                )
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
    folder : with the metadata and the photographs, see `find_photographs`.
    count : how many there are in the whole data set.
    partial : whether a part is enough: those that are in the metadata and whose file is there.

    Raises
    ------
    InputError
        When photographs are missing, and as `read_rows`.
    """
    path = find_metadata(folder)
    if path is None:
        raise InputError(f"{folder} has no {METADATA[0]}; put the original metadata there")
    rows = read_rows(path)
    files = find_photographs(folder)
    found = [
        Photograph(row["image_id"], row["lesion_id"], row["dx"], files[row["image_id"]])
        for row in sorted(rows, key=lambda row: row["image_id"])
        if row["image_id"] in files
    ]
    if not partial and (len(rows) != count or len(found) != count):
        missing = next((row["image_id"] for row in rows if row["image_id"] not in files), None)
        raise InputError(
            f"{folder} has {len(found)} of {count} images"
            + (f" ({missing}.jpg is missing)" if missing else "")
            + "; put the missing ones there, or accept a part with 'partial: true'"
        )
    if not found:
        raise InputError(
            f"{folder} has no image of {path.name}; put the folders {' and '.join(IMAGE_FOLDERS)} "
            "there"
        )
    return found


def mask_paths(folder: Path, photographs: list[Photograph]) -> list[Path]:
    """The mask of each photograph.

    Raises
    ------
    InputError
        When one is missing.
    """
    found = find_masks(folder)
    paths = []
    for one in photographs:
        name = f"{one.name}_segmentation"
        if name not in found:
            raise InputError(
                f"{folder / MASK_FOLDER / name}.png does not exist; put the folder of "
                f"{MASK_FOLDER}.zip there, or take "
                "'masks: none' and 'concepts: none'"
            )
        paths.append(found[name])
    return paths
