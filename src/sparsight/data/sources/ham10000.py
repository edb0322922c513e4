"""HAM10000: dermatoscopic photographs of pigmented skin lesions, with lesion masks.

Nobody annotated its concepts: they are derived from photograph and mask, after the ABCD rule of
dermoscopy (asymmetry, border, colour, differential structure or diameter; Nachbar et al. 1994,
doi:10.1016/S0190-9622(94)70061-3) as far as numbers can. Their names begin with `derived_`. Each is
measured on the whole photograph at one size, whatever the size of the packed images, and becomes
true or false at a threshold that comes from the training images alone.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import OBJECT, Description, read_table
from sparsight.data.download import fetch_archive, fetch_files
from sparsight.data.draws import (
    grouped_splits,
    shared_groups,
    split_column,
    stratified_splits,
)
from sparsight.data.location import has_files
from sparsight.data.pictures import (
    PictureSource,
    Pixels,
    for_all,
    read_masks,
    read_whole,
    read_whole_mask,
)
from sparsight.data.settings import mirror_list, number_between, number_of, one_of, split_rule
from sparsight.io.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# In the order of the labels of the seven classes.
DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
IMAGE_FOLDERS = ("HAM10000_images_part_1", "HAM10000_images_part_2")
MASK_FOLDER = "HAM10000_segmentations_lesion_tschandl"
# As downloaded by hand, as in Dataverse's list, and as Dataverse converts it.
METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
_COLUMNS = ("lesion_id", "image_id", "dx")
_NAME = r"ISIC_[0-9]{7}"
# The two archives' folders, under the names that people give them.
_PART = re.compile(r"(?:ham[ _-]?10000[ _-]?)?(?:images[ _-]?)?part[ _-]?([12])", re.IGNORECASE)


def find_metadata(folder: Path) -> Path | None:
    """The metadata, under whichever of its names it is there."""
    paths = [folder / name for name in METADATA]
    return next((path for path in paths if path.is_file()), None)


def part_folders(folder: Path) -> dict[int, Path]:
    """The folders of the two archives of photographs, by number: `HAM10000_images_part_1`, `part1`.

    One that is there twice is an `InputError`.
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
    """Image name to file: in the two archives' folders, or, without them, anywhere in `folder`."""
    places = list(part_folders(folder).values()) or [folder]
    return _by_name(
        path
        for place in places
        for path in place.rglob("ISIC_*")
        if path.suffix.lower() in (".jpg", ".jpeg")
    )


def find_masks(folder: Path) -> dict[str, Path]:
    """Mask name (`ISIC_0027419_segmentation`) to file: in the archive's folder, or anywhere."""
    own = folder / MASK_FOLDER
    return _by_name((own if own.is_dir() else folder).rglob("ISIC_*_segmentation.png"))


def _by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Name without its ending to file; one that is there twice is an `InputError`."""
    found: dict[str, Path] = {}
    for path in sorted(paths):
        if found.setdefault(path.stem, path) != path:
            raise InputError(f"{path} is also in {found[path.stem].parent}; keep one of them")
    return found


def read_rows(path: Path) -> "pd.DataFrame":
    """`lesion_id`, `image_id` and `dx` of each row of the metadata; each is checked."""
    rows = read_table(path, _COLUMNS)
    if rows.empty:
        raise InputError(f"{path} has no rows; put the original metadata there")
    sound = rows["image_id"].str.fullmatch(_NAME) & (rows["lesion_id"] != "")
    wrong = rows[~(sound & rows["dx"].isin(DIAGNOSES))]
    if len(wrong):
        values = ", ".join(f"{name} {text[:40]!r}" for name, text in wrong.iloc[0].items())
        raise InputError(
            f"{path} has a row that cannot be used ({values}); put the original metadata there"
        )
    for name in rows["image_id"][rows["image_id"].duplicated()]:
        raise InputError(f"{path} has the image {name} twice; put the original metadata there")
    return rows


def read_photographs(folder: Path, count: int, partial: bool) -> "pd.DataFrame":
    """The rows of the metadata whose photographs are there, with their `path`, sorted by name.

    There are `count` of them, unless a part is enough. Several photographs may show one lesion.
    """
    path = find_metadata(folder)
    if path is None:
        raise InputError(f"{folder} has no {METADATA[0]}; put the original metadata there")
    rows, files = read_rows(path), find_photographs(folder)
    is_there = rows["image_id"].isin(files)
    if not partial and (len(rows) != count or not is_there.all()):
        raise InputError(
            f"{folder} has {is_there.sum()} of {count} images"
            + "".join(f" ({name}.jpg is missing)" for name in rows["image_id"][~is_there].head(1))
            + "; put the missing ones there, or accept a part with 'partial: true'"
        )
    if not is_there.any():
        raise InputError(
            f"{folder} has no image of {path.name}; put the folders {' and '.join(IMAGE_FOLDERS)} "
            "there"
        )
    found = rows[is_there].sort_values("image_id", ignore_index=True)
    return found.assign(path=found["image_id"].map(files))


def mask_paths(folder: Path, names: Iterable[str]) -> list[Path]:
    """The mask of each photograph; one that is missing is an `InputError`."""
    found, wanted = find_masks(folder), [f"{name}_segmentation" for name in names]
    for name in wanted:
        if name not in found:
            raise InputError(
                f"{folder / MASK_FOLDER / name}.png does not exist; put the folder of "
                f"{MASK_FOLDER}.zip there, or take 'masks: none' and 'concepts: none'"
            )
    return [found[name] for name in wanted]


BINARY = ("benign", "malignant")
CONCEPTS = (
    "derived_asymmetry",
    "derived_irregular_border",
    "derived_colour_variance",
    "derived_large_diameter",
    "derived_blue_white",
)
# Longer side of the photograph on which is measured, in pixels.
MEASURED_SIDE = 256
Mask = NDArray[np.bool_]


def measure(photograph: Pixels, mask: Mask) -> NDArray[np.float64]:
    """The five numbers of one lesion, in the order of `CONCEPTS`, float64 [5].

    `photograph` is uint8 [H, W, 3], `mask` bool [H, W]. NaN stands where nothing can be measured:
    all of an empty mask, and the last where no skin is around the lesion.
    """
    if not mask.any():
        return np.full(len(CONCEPTS), np.nan)
    shape = asymmetry(mask), border_irregularity(mask)
    rest = colour_variance(photograph, mask), relative_diameter(mask)
    return np.array([*shape, *rest, blue_white_share(photograph, mask)])


def asymmetry(mask: Mask) -> float:
    """Share of the lesion that lies outside its mirror image, the mean over both principal axes.

    `mask` (bool [H, W]) is not empty; 0 means that both axes are axes of symmetry. (Stoecker et al.
    1992, doi:10.1016/0895-6111(92)90073-I.)
    """
    rows, columns = np.nonzero(mask)
    points = np.stack([columns, rows]).astype(np.float64)
    centre = points.mean(axis=1, keepdims=True)
    offsets = points - centre
    _, axes = np.linalg.eigh(offsets @ offsets.T)
    outside = []
    for axis in axes.T:
        mirrored = 2 * np.outer(axis, axis @ offsets) - offsets + centre
        # Half a pixel is added before rounding down: `rint` would send halves to even places.
        across, down = np.floor(mirrored + 0.5 + 1e-9).astype(np.int64)
        inside = (across >= 0) & (across < mask.shape[1]) & (down >= 0) & (down < mask.shape[0])
        inside[inside] = mask[down[inside], across[inside]]
        outside.append(1 - inside.mean())
    return float(np.mean(outside))


def border_irregularity(mask: Mask) -> float:
    """Perimeter² / (4π · area): 1 for a disc, more for every other outline.

    The perimeter is estimated by Crofton's formula in four directions, so a disc of pixels has
    about 1. What lies beyond the photograph counts as skin. `mask` is not empty.
    """
    # Imported here: most jobs measure nothing.
    from skimage import measure as outlines

    crofton: Any = outlines.perimeter_crofton
    perimeter = float(crofton(np.pad(mask, 1), directions=4))
    return perimeter**2 / (4 * np.pi * float(mask.sum()))


def colour_variance(photograph: Pixels, mask: Mask) -> float:
    """Mean over the three channels of their variance within the lesion, on a scale of 0 to 1."""
    inside = photograph[mask].astype(np.float64) / 255
    return float(inside.var(axis=0).mean())


def relative_diameter(mask: Mask) -> float:
    """Diameter of the disc with the lesion's area, as a share of the photograph's shorter side.

    The photographs have no scale, so there are no millimetres.
    """
    return float(np.sqrt(4 * mask.sum() / np.pi) / min(mask.shape))


def blue_white_share(photograph: Pixels, mask: Mask) -> float:
    """Share of the lesion that is blue-whitish; NaN where no skin is around it.

    A pixel is, when B / (R + G + B) ≥ 0.3 and -194 ≤ R - R(skin) < -51 (of 255), where R(skin) is
    the mean of the red channel around the lesion. (Celebi et al. 2008,
    doi:10.1016/j.compmedimag.2008.08.003.)
    """
    if mask.all():
        return float("nan")
    skin = photograph[~mask][:, 0].astype(np.float64).mean()
    inside = photograph[mask].astype(np.float64)
    # Black has no blue share: it gets 0.
    blue = inside[:, 2] / np.maximum(inside.sum(axis=1), 1)
    red = inside[:, 0] - skin
    return float(((blue >= 0.3) & (red >= -194) & (red < -51)).mean())


def measure_files(photographs: Sequence[Path], masks: Sequence[Path]) -> NDArray[np.float64]:
    """`measure` for each pair of files, float64 [N, 5]; errors as of `decode_mask`."""
    values = np.empty((len(photographs), len(CONCEPTS)))

    def measure_one(row: int) -> NDArray[np.float64]:
        photograph = read_whole(photographs[row], MEASURED_SIDE)
        height, width = photograph.shape[:2]
        mask = read_whole_mask(masks[row], photographs[row], (width, height))
        return measure(photograph, mask >= OBJECT)

    for_all(measure_one, values)
    return values


def thresholds(values: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """The quantile (0..1) of each measure over the training images that have it, float64 [5].

    `values` is float64 [N, 5] of the training images; NaN where none of them has the measure.
    """
    finite = [column[np.isfinite(column)] for column in values.T]
    return np.array([np.quantile(one, quantile) if len(one) else np.nan for one in finite])


_LOG = logging.getLogger(__name__)
LEAK = "test_images_of_trained_lesions"


class Ham10000(PictureSource):
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
        and mask (`sparsight.data.sources.ham10000`); or `none`.
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
    has_masks: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (3, 299, 299)
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
    # Of the files of doi:10.7910/DVN/DBW86T: MD5 (the archive gives no other checksum), and number
    # there. Of the table, Dataverse's checksum is that of the original, not of the copy with tabs
    # that it gives unless asked for the original.
    files: ClassVar[dict[str, tuple[str, str]]] = {
        "HAM10000_metadata.csv": (
            "md5:8f85fb1aa29d80a2797247e434deb79d",
            "4338392?format=original",
        ),
        "HAM10000_images_part_1.zip": ("md5:4639bfa73ab251610530a97c898e6e46", "3172585"),
        "HAM10000_images_part_2.zip": ("md5:da43d6cc50f6613013be07e8986b384b", "3172584"),
        "HAM10000_segmentations_lesion_tschandl.zip": (
            "md5:6e8d252e09cfdb0189199f15985a5b84",
            "3838943",
        ),
    }

    @classmethod
    def _split_rule(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return split_rule(settings, cls.parameters["split"], ("lesion", "image"))

    @classmethod
    def class_names(cls) -> list[str]:
        """The seven diagnoses, such as `mel`."""
        return list(DIAGNOSES)

    @classmethod
    def classes_of(cls, settings: Mapping[str, Any]) -> list[str]:
        """The seven diagnoses, or benign and malignant."""
        return list(BINARY if cls._is_binary(settings) else DIAGNOSES)

    @classmethod
    def _is_binary(cls, settings: Mapping[str, Any]) -> bool:
        return one_of(settings, "classes", "seven", ("seven", "binary")) == "binary"

    @classmethod
    def _label_of(cls, settings: Mapping[str, Any]) -> dict[str, int]:
        """Diagnosis to label, under `classes` and `malignant`."""
        if not cls._is_binary(settings):
            return {diagnosis: label for label, diagnosis in enumerate(DIAGNOSES)}
        chosen = settings.get("malignant", cls.parameters["malignant"])
        sound = isinstance(chosen, list | tuple) and all(one in DIAGNOSES for one in chosen)
        if not sound or not 0 < len(set(chosen)) < len(DIAGNOSES):
            known = ", ".join(DIAGNOSES)
            raise InputError(f"'malignant' must list some of {known}, not {chosen!r}")
        return {diagnosis: int(diagnosis in chosen) for diagnosis in DIAGNOSES}

    @classmethod
    def masks_of(cls, settings: Mapping[str, Any]) -> bool:
        """Whether `masks` names some."""
        return one_of(settings, "masks", "lesions", ("lesions", "none")) != "none"

    @classmethod
    def concepts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The derived concepts, when they are wanted."""
        return CONCEPTS if one_of(settings, "concepts", "none", ("abcd", "none")) == "abcd" else ()

    @classmethod
    def tested_of(cls, settings: Mapping[str, Any]) -> int:
        """Images of the test split of the whole data set; of whole lesions, to within a few."""
        return number_of(cls._split_rule(settings)["test"], cls.count)

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """See `Source.fetch`. What lies there is kept, and checked for completeness.

        What is missing is fetched, masks where masks or concepts are wanted. A folder with files
        that is said to be a part is left as it is.
        """
        is_part = self.accepts_part(settings)
        if not (is_part and has_files(folder)):
            for name in self._missing(settings, folder):
                self._fetch(settings, folder, name)
        read_photographs(folder, self.count, is_part)

    def _missing(self, settings: Mapping[str, Any], folder: Path) -> list[str]:
        """The original files of which the folder has nothing, however they were unpacked."""
        table, *parts, masks = self.files
        missing = [] if find_metadata(folder) else [table]
        there = part_folders(folder)
        if there or not find_photographs(folder):
            missing += [part for number, part in enumerate(parts, 1) if number not in there]
        wanted = self.masks_of(settings) or self.has_concepts(settings)
        return [*missing, masks] if wanted and not find_masks(folder) else missing

    def _fetch(self, settings: Mapping[str, Any], folder: Path, name: str) -> None:
        checksum, number = self.files[name]
        mirrors = mirror_list(settings, self.parameters["mirrors"])
        if not name.endswith(".zip"):
            fetch_files(folder, {name: checksum}, mirrors, numbers={name: number})
            return
        suffix = ".png" if "segmentations" in name else ".jpg"
        target = folder / name.removesuffix(".zip")
        fetch_archive(name, folder, target, checksum, mirrors, number, suffix=suffix)

    def describe(self, settings: Mapping[str, Any], folder: Path) -> Description:
        """See `Source.describe`; the leak between the splits is among the notes."""
        listing = self.listing(settings, folder)
        train, test = (np.flatnonzero(listing["split"] == split) for split in ("train", "test"))
        leak = shared_groups(listing["lesion_id"].tolist(), train, test)
        _LOG.info("%.1f%% of the test images show a lesion that is also in train", 100 * leak)
        return replace(super().describe(settings, folder), notes={LEAK: f"{leak:.4f}"})

    def listing(self, settings: Mapping[str, Any], folder: Path) -> "pd.DataFrame":
        """See `PictureSource.listing`; stratified by diagnosis whatever the classes."""
        import pandas as pd

        split = self._split_rule(settings)
        found = read_photographs(folder, self.count, self.accepts_part(settings))
        diagnoses = found["dx"].map(DIAGNOSES.index).to_numpy(np.int64)
        wanted = split["seed"], split["test"], split["validation"]
        if split["rule"] == "image":
            places = stratified_splits(diagnoses, *wanted)
        else:
            places = grouped_splits(diagnoses, found["lesion_id"].tolist(), *wanted)
        labels, classes = (
            found["dx"].map(self._label_of(settings)),
            pd.Index(self.classes_of(settings)),
        )
        return found.assign(
            name=found["image_id"],
            image_id=found["image_id"].str.removeprefix("ISIC_").astype(np.int64),
            split=split_column(places, len(found)),
            **{"class": pd.Categorical.from_codes(labels, classes)},
        )

    def masks(
        self, settings: Mapping[str, Any], folder: Path, chosen: "pd.DataFrame", side: int
    ) -> dict[str, Pixels]:
        """See `PictureSource.masks`."""
        if not self.masks_of(settings):
            return {}
        paths = mask_paths(folder, chosen["name"])
        resize = self.resize_of(settings)
        return {"masks": read_masks(paths, chosen["path"].tolist(), side, resize)}

    def known_concepts(
        self, settings: Mapping[str, Any], folder: Path, listing: "pd.DataFrame"
    ) -> dict[str, NDArray[np.bool_]]:
        """The derived concepts of all photographs, with thresholds of the training split."""
        if not self.has_concepts(settings):
            return {}
        given = settings.get("concept_quantile", self.parameters["concept_quantile"])
        quantile = number_between(given, "concept_quantile", 0, 1, "()")
        values = measure_files(listing["path"].tolist(), mask_paths(folder, listing["name"]))
        limits = thresholds(values[listing["split"] == "train"], quantile)
        for name, limit in zip(CONCEPTS, limits, strict=True):
            _LOG.info("%s: above %.4f, quantile %g of the training images", name, limit, quantile)
        # False where there is no measure.
        return {"concepts": np.asarray(values > limits)}
