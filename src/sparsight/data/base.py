"""What every data source looks like, and what it gives."""

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.settings import (
    REQUIRED,
    SPLITS,
    image_shape,
    section,
    share_or_number,
    yes_or_no,
)
from sparsight.io.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

#: The smallest value of a mask, of 255, that binary masks count as the object: at least a half.
OBJECT = 128
#: of `RawSplit`, in the order in which the data hash takes them
ANNOTATIONS = ("part_masks", "concepts", "concepts_known", "stickers", "original_labels")


@dataclass(frozen=True)
class RawSplit:
    """One split of a data set, in memory.

    Attributes
    ----------
    images : uint8 [N, C, H, W], 0..255.
    labels : int64 [N], 0..class count - 1.
    names : where each image comes from, unique in the data set: original file or `part:index`.
    image_ids : int64 [N], not negative, unique in the data set. It is the image's place in the
        *original* data set, so that it (and the noise drawn from it) does not change with the
        split rule.
    masks : uint8 [N, H, W], how much a pixel belongs to the object, 0..255; None without masks.
    part_masks : uint8 [N, P, H, W], how much a pixel belongs to each named part, 0..255; parts may
        overlap, and a part that is not in an image is zero there. None without parts.
    concepts : bool [N, K], whether each named concept is in the image. None without concepts.
    concepts_known : bool [N, K], whether an image is an example of a concept at all, with or
        without it; where it is not, `concepts` is false and means nothing. None where all are.
    stickers : int64 [N], which planted sticker is on the image, -1 for none. None without stickers.
    original_labels : int64 [N], the labels before stickers changed them. None without stickers.
    evaluated_first : bool [N], the images that evaluation subsets take before all others. None
        where all are equal.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: list[str]
    image_ids: NDArray[np.int64]
    masks: NDArray[np.uint8] | None = None
    part_masks: NDArray[np.uint8] | None = None
    concepts: NDArray[np.bool_] | None = None
    concepts_known: NDArray[np.bool_] | None = None
    stickers: NDArray[np.int64] | None = None
    original_labels: NDArray[np.int64] | None = None
    evaluated_first: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, positions: NDArray[np.int64]) -> "RawSplit":
        """The images at `positions` (int64 [n]), in that order."""
        arrays: dict[str, Any] = {
            name: None if array is None else array[positions]
            for name, array in vars(self).items()
            if name != "names"
        }
        return RawSplit(names=[self.names[position] for position in positions], **arrays)

    def update_digest(self, digest: "hashlib._Hash") -> None:
        """Feed all arrays but the names, with their shapes, into a hashlib object."""
        for name in ("image_ids", "labels", "images", "masks", *ANNOTATIONS):
            array: NDArray[Any] | None = getattr(self, name)
            if array is None:
                # Published hashes are older than the annotations.
                if name == "masks":
                    digest.update(b"none")
                continue
            if name in ANNOTATIONS:
                digest.update(name.encode())
            digest.update(f"{array.dtype.name}{array.shape}".encode())
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(np.ascontiguousarray(little).data)


@dataclass(frozen=True)
class Description:
    """What the packed files say of a data set.

    Attributes
    ----------
    classes : names of the classes in the order of the labels.
    has_masks : whether there are masks.
    part_names, concept_names : in the order of `RawSplit.part_masks` and `RawSplit.concepts`;
        empty without them.
    sticker_names : of the stickers that `RawSplit.stickers` counts; empty without them.
    notes : what else belongs into the metadata of the packed files, such as a measured leak.
    """

    classes: list[str]
    has_masks: bool
    part_names: tuple[str, ...] = ()
    concept_names: tuple[str, ...] = ()
    sticker_names: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


def read_table(path: Path, columns: Sequence[str], more: bool = False) -> "pd.DataFrame":
    """These columns of a text table, as text; commas, semicolons or tabs separate them.

    With `more`, all further columns follow in the order of the table.

    An `InputError` when the table cannot be read or has no such column.
    """
    import pandas as pd  # late: most jobs read no such table

    try:
        with open(path, encoding="utf-8-sig") as file:
            separator = max(",;\t", key=file.readline().count)
        table = pd.read_csv(
            path, sep=separator, dtype=str, na_filter=False, index_col=False, encoding="utf-8-sig"
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}); put the original file there"
        ) from error
    for name in columns:
        if name not in table:
            # Such as the table of the ISIC 2018 challenge under the name of HAM10000's.
            others = ", ".join(str(column)[:20] for column in table.columns[:4])
            raise InputError(
                f"{path} has no column '{name}' (it has {others or 'none'}, and must have "
                f"{', '.join(columns)}); put the original file there"
            )
    rest = [name for name in table.columns if name not in columns] if more else []
    return table[[*columns, *rest]].fillna("")


class Source(ABC):
    """A data set's original files, and how to read them.

    All facts are literals: the workflow reads them from the source text without importing the
    module. Where the options decide one of them, its name stands in `varying`, the fact is that of
    the default options, and a method gives the answer (`classes_of`, `masks_of`, `parts_of`,
    `concepts_of`, `tested_of`). What only the original files know comes from `describe`.

    Attributes
    ----------
    name : as in the registry.
    version : raised when its numbers change, see `sparsight.study.versions`.
    reference : paper or DOI.
    licence : under which the images may be used.
    folder : the archive's own folder name below `data/`; empty for embedded data. See `folder_of`.
    downloadable : whether `fetch` downloads what is missing. Where it does not, it only looks at
        the files, and the workflow calls it when it plans.
    path_parameters : settings that are paths of the user's own files, see `OwnFiles`.
    other_folders : where else below `data/` other tools keep the same files, such as `MNIST/raw`;
        or a path, where a package of the system puts them.
    splits : all splits that the source can have, of `sparsight.data.settings.SPLITS`: `train` and
        `test`, and `validation` where there is one; see `split_names`.
    has_masks : whether each image has a mask of its object.
    image_shape : (C, H, W) under the default settings.
    side_parameter : the setting that is the side of the square images; empty where the side is
        fixed.
    class_count : number of classes.
    test_images : images of the test split under the default settings.
    original_images : images of the original files (0: not known), and how many of them are set
        aside for the test, whatever is taken of these (0: the settings say).
    parameters : settings of this source and their defaults.
    part_names : names of the parts in the order of `RawSplit.part_masks`; empty without parts.
    concept_names : names of the concepts in the order of `RawSplit.concepts`; empty without.
    varying : which of `class_count`, `has_masks`, `test_images`, `part_names`, `concept_names` and
        `image_shape` (beyond what `side_parameter` says) depend on the options.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    licence: ClassVar[str]
    folder: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ("train", "validation", "test")
    has_masks: ClassVar[bool]
    image_shape: ClassVar[tuple[int, int, int]]
    class_count: ClassVar[int]
    test_images: ClassVar[int]
    original_images: ClassVar[tuple[int, int]] = (0, 0)
    parameters: ClassVar[dict[str, Any]] = {}
    downloadable: ClassVar[bool] = True
    other_folders: ClassVar[tuple[str, ...]] = ()
    path_parameters: ClassVar[tuple[str, ...]] = ()
    side_parameter: ClassVar[str] = ""
    part_names: ClassVar[tuple[str, ...]] = ()
    concept_names: ClassVar[tuple[str, ...]] = ()
    varying: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def shape(cls, settings: Mapping[str, Any]) -> tuple[int, int, int]:
        """(C, H, W) of the images that `read` gives under these settings."""
        names = ("image_shape", "side_parameter", "parameters")
        return image_shape({name: getattr(cls, name) for name in names}, settings)

    @classmethod
    def folder_of(cls, settings: Mapping[str, Any]) -> str:
        """Name of the original files' folder under these settings, `folder` by default."""
        return cls.folder

    def original_folders(self, settings: Mapping[str, Any], folder: Path) -> list[Path]:
        """All folders with original files: `folder`, and what a source reads next to it."""
        return [folder]

    @classmethod
    def accepts_part(cls, settings: Mapping[str, Any]) -> bool:
        """Whether a folder with a part of the original files will do: the option `partial`."""
        return yes_or_no(settings, "partial")

    @classmethod
    def split_names(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The splits that `read` gives under these settings, in the order of `splits`.

        `validation` is left out where the option `split` has it and says 0.
        """
        defaults = cls.parameters.get("split", {})
        if "validation" not in defaults:
            return cls.splits
        wanted = section(settings, "split", defaults)["validation"]
        if share_or_number(wanted, "split: validation"):
            return cls.splits
        return tuple(name for name in cls.splits if name != "validation")

    @classmethod
    def class_names(cls) -> list[str]:
        """Names of the classes in the order of the labels."""
        return [str(label) for label in range(cls.class_count)]

    @classmethod
    def classes_of(cls, settings: Mapping[str, Any]) -> list[str]:
        """Names of the classes under these settings, `class_names()` by default."""
        return cls.class_names()

    @classmethod
    def masks_of(cls, settings: Mapping[str, Any]) -> bool:
        """Whether each image has a mask under these settings, `has_masks` by default."""
        return cls.has_masks

    @classmethod
    def parts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the parts under these settings, `part_names` by default."""
        return cls.part_names

    @classmethod
    def concepts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the concepts under these settings, `concept_names` by default."""
        return cls.concept_names

    @classmethod
    def has_concepts(cls, settings: Mapping[str, Any]) -> bool:
        """Whether there are concepts under these settings, whatever their names turn out to be."""
        return bool(cls.concepts_of(settings))

    @classmethod
    def tested_of(cls, settings: Mapping[str, Any]) -> int:
        """Images of the test split under these settings, as far as the options tell."""
        return cls.test_images

    def describe(self, settings: Mapping[str, Any], folder: Path) -> Description:
        """What `pack` writes of the data set; `folder` for what only the original files tell."""
        return Description(
            classes=self.classes_of(settings),
            has_masks=self.masks_of(settings),
            part_names=tuple(self.parts_of(settings)),
            concept_names=tuple(self.concepts_of(settings)),
        )

    def found_files(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What the manifest keeps of files that the settings name; nothing by default."""
        return {}

    @abstractmethod
    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """Make sure that the verified original files lie in `folder`.

        Files that lie there already are verified and kept. Embedded data need nothing.

        Raises
        ------
        InputError
            When a file cannot be had, or does not match its checksum.
        """

    @abstractmethod
    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """Read the splits named by `split_names(settings)` from `folder`.

        Raises
        ------
        InputError
            When a file is missing, corrupt or of another shape, or when a setting cannot be used.
        """

    def check(
        self,
        settings: Mapping[str, Any],
        raw: Mapping[str, RawSplit],
        description: Description | None = None,
    ) -> None:
        """Compare what `read` gave with this source's facts, before anything is written.

        Parameters
        ----------
        settings : as given to `read`.
        raw : what it gave.
        description : what `describe` gave; where it needs no files it may be left out.

        Raises
        ------
        InputError
            Naming the source, the split and what is wrong.
        """
        expected = self.split_names(settings)
        if not set(REQUIRED) <= set(expected) <= set(SPLITS):
            raise self._wrong(
                "data",
                f"may have the splits {', '.join(SPLITS)} and needs {' and '.join(REQUIRED)}, "
                f"but 'splits' names {', '.join(expected)}",
            )
        if set(raw) != set(expected):
            raise self._wrong("data", f"has the splits {sorted(raw)}, not {sorted(expected)}")
        stated = description or self.describe(settings, Path())
        for split, part in raw.items():
            self._check_split(split, part, self.shape(settings), stated)
        for what in ("masks", "part_masks"):
            self._check_scale(raw, what)
        ids = np.concatenate([part.image_ids for part in raw.values()])
        names = [name for part in raw.values() for name in part.names]
        distinct, counts = np.unique(ids, return_counts=True)
        if len(odd := distinct[(distinct < 0) | (counts > 1)]):
            images = ", ".join(names[place] for place in np.flatnonzero(ids == odd[0])[:2])
            raise self._wrong(
                "data", f"has an image id that is negative or occurs twice ({odd[0]}: {images})"
            )
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            raise self._wrong("data", f"has an image name that occurs twice ({twice})")

    def _check_split(
        self, split: str, part: RawSplit, shape: tuple[int, int, int], stated: Description
    ) -> None:
        count, (_, height, width) = len(part.labels), shape
        if count == 0:
            raise self._wrong(split, "has no images")
        parts, concepts = len(stated.part_names), len(stated.concept_names)
        planted = bool(stated.sticker_names)
        some_known = concepts > 0 and part.concepts_known is not None
        # Type, shape behind the number of images, and whether there is such an array.
        facts: dict[str, tuple[Any, tuple[int, ...], bool]] = {
            "images": (np.uint8, shape, True),
            "labels": (np.int64, (), True),
            "image_ids": (np.int64, (), True),
            "masks": (np.uint8, (height, width), stated.has_masks),
            "part_masks": (np.uint8, (parts, height, width), parts > 0),
            "concepts": (np.bool_, (concepts,), concepts > 0),
            "concepts_known": (np.bool_, (concepts,), some_known),
            "stickers": (np.int64, (), planted),
            "original_labels": (np.int64, (), planted),
        }
        for name, (dtype, rest, is_stated) in facts.items():
            array, what = getattr(part, name), name.replace("_", " ")
            if not is_stated:
                if array is not None:
                    raise self._wrong(split, f"has {what}, which its facts deny")
            elif array is None or array.dtype != dtype or array.shape != (count, *rest):
                found = None if array is None else f"{array.dtype} {list(array.shape)}"
                wanted = f"{np.dtype(dtype)} {[count, *rest]}"
                raise self._wrong(split, f"has {what} of {found}, not {wanted}")
        known, there = part.concepts_known, part.concepts
        if known is not None and there is not None and (there & ~known).any():
            raise self._wrong(split, "has a concept in an image of which it is not known")
        if len(part.names) != count:
            raise self._wrong(split, f"has {len(part.names)} names for {count} labels")
        # Where the options do not decide it, the literal fact is what others have relied on.
        classes = len(stated.classes) if "class_count" in self.varying else self.class_count
        if part.labels.min() < 0 or part.labels.max() >= classes:
            raise self._wrong(split, f"has a label outside 0..{classes - 1}")

    def _check_scale(self, raw: Mapping[str, RawSplit], what: str) -> None:
        """Refuse masks of 0 and 1: not one pixel of all images would count as the object."""
        largest, name = 0, ""
        for part in raw.values():
            array: NDArray[np.uint8] | None = getattr(part, what)
            if array is None:
                continue
            of_images = array.reshape(len(array), -1).max(axis=1)
            if of_images.max() > largest:
                largest, name = int(of_images.max()), part.names[int(of_images.argmax())]
        if 0 < largest < OBJECT:
            raise self._wrong(
                "data",
                f"has {what.replace('_', ' ')} whose largest value is {largest} ({name}), where "
                f"masks go from 0 to 255 and an object from {OBJECT} on",
            )

    def _wrong(self, split: str, what: str) -> InputError:
        return InputError(
            f"data source '{self.name}': {split} {what}; correct its `read` or its original files"
        )
