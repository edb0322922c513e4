"""What every data source looks like."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.shape import image_shape
from sparsight.io.errors import InputError


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
        overlap, and a part that an image lacks is zero there. None without parts.
    concepts : bool [N, K], whether each named concept is in the image. None without concepts.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: list[str]
    image_ids: NDArray[np.int64]
    masks: NDArray[np.uint8] | None = None
    part_masks: NDArray[np.uint8] | None = None
    concepts: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, positions: NDArray[np.int64]) -> "RawSplit":
        """The images at `positions` (int64 [n]), in that order."""
        return RawSplit(
            images=self.images[positions],
            labels=self.labels[positions],
            names=[self.names[position] for position in positions],
            image_ids=self.image_ids[positions],
            masks=None if self.masks is None else self.masks[positions],
            part_masks=None if self.part_masks is None else self.part_masks[positions],
            concepts=None if self.concepts is None else self.concepts[positions],
        )

    def update_digest(self, digest: "hashlib._Hash") -> None:
        """Feed all arrays but the names, with their shapes, into a hashlib object."""
        for array in (self.image_ids, self.labels, self.images, self.masks):
            if array is None:
                digest.update(b"none")
            else:
                _update(digest, array)
        # Only where there are any: published hashes are older than these annotations.
        for name, annotation in (("part_masks", self.part_masks), ("concepts", self.concepts)):
            if annotation is not None:
                digest.update(name.encode())
                _update(digest, annotation)


def _update(digest: "hashlib._Hash", array: NDArray[Any]) -> None:
    digest.update(f"{array.dtype.name}{array.shape}".encode())
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    digest.update(np.ascontiguousarray(little).data)


class Source(ABC):
    """A data set's original files, and how to read them.

    To add one: write a class with these facts and the two methods, and name it in
    `sparsight.data.registry`. All facts are literals, because the workflow reads them from the
    source text without importing the module.

    Attributes
    ----------
    name : as in the registry.
    reference : paper or DOI.
    licence : under which the images may be used.
    folder : the archive's own folder name below `data/`; empty for embedded data. See `folder_of`.
    splits : all splits that the source can have, see `split_names`.
    has_masks : whether each image has a mask of its object.
    image_shape : (C, H, W) under the default settings.
    side_parameter : the setting that is the side of the square images; empty where the side is
        fixed.
    class_count : number of classes.
    test_images : images of the test split under the default settings.
    parameters : settings of this source and their defaults.
    part_names : names of the parts in the order of `RawSplit.part_masks`; empty without parts.
    concept_names : names of the concepts in the order of `RawSplit.concepts`; empty without.
    """

    name: ClassVar[str]
    reference: ClassVar[str]
    licence: ClassVar[str]
    folder: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    has_masks: ClassVar[bool]
    image_shape: ClassVar[tuple[int, int, int]]
    class_count: ClassVar[int]
    test_images: ClassVar[int]
    parameters: ClassVar[dict[str, Any]] = {}
    side_parameter: ClassVar[str] = ""
    part_names: ClassVar[tuple[str, ...]] = ()
    concept_names: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def shape(cls, settings: Mapping[str, Any]) -> tuple[int, int, int]:
        """(C, H, W) of the images that `read` gives under these settings."""
        facts = {
            "image_shape": cls.image_shape,
            "side_parameter": cls.side_parameter,
            "parameters": cls.parameters,
        }
        return image_shape(facts, settings)

    @classmethod
    def folder_of(cls, settings: Mapping[str, Any]) -> str:
        """Name of the original files' folder under these settings, `folder` by default."""
        return cls.folder

    @classmethod
    def split_names(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The splits that `read` gives under these settings, in the order of `splits`."""
        return cls.splits

    @classmethod
    def class_names(cls) -> list[str]:
        """Names of the classes in the order of the labels."""
        return [str(label) for label in range(cls.class_count)]

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

    def check(self, settings: Mapping[str, Any], raw: Mapping[str, RawSplit]) -> None:
        """Hold what `read` gave against this source's facts, before anything is written.

        Raises
        ------
        InputError
            One sentence that names the source, the split and what is wrong.
        """
        expected = self.split_names(settings)
        if set(raw) != set(expected):
            raise self._wrong("data", f"has the splits {sorted(raw)}, not {sorted(expected)}")
        for split, part in raw.items():
            self._check_split(split, part, self.shape(settings))
        ids = np.concatenate([part.image_ids for part in raw.values()])
        if len(np.unique(ids)) != len(ids) or ids.min() < 0:
            raise self._wrong("data", "has an image id that is negative or occurs twice")
        names = [name for part in raw.values() for name in part.names]
        if len(set(names)) != len(names):
            raise self._wrong("data", "has an image name that occurs twice")

    def _check_split(self, split: str, part: RawSplit, shape: tuple[int, int, int]) -> None:
        count, (channels, height, width) = len(part.labels), shape
        if count == 0:
            raise self._wrong(split, "has no images")
        shapes: list[tuple[str, Any, Any, tuple[int, ...]]] = [
            ("images", part.images, np.uint8, (count, channels, height, width)),
            ("labels", part.labels, np.int64, (count,)),
            ("image ids", part.image_ids, np.int64, (count,)),
        ]
        parts, concepts = len(self.part_names), len(self.concept_names)
        optional: list[tuple[str, Any, Any, tuple[int, ...], bool]] = [
            ("masks", part.masks, np.uint8, (count, height, width), self.has_masks),
            ("part masks", part.part_masks, np.uint8, (count, parts, height, width), parts > 0),
            ("concepts", part.concepts, np.bool_, (count, concepts), concepts > 0),
        ]
        for what, array, dtype, wanted_shape, stated in optional:
            if stated:
                shapes.append((what, array, dtype, wanted_shape))
            elif array is not None:
                raise self._wrong(split, f"has {what}, which its facts deny")
        for what, array, dtype, wanted_shape in shapes:
            if array is None or array.dtype != dtype or array.shape != wanted_shape:
                found = None if array is None else f"{array.dtype} {list(array.shape)}"
                wanted = f"{np.dtype(dtype)} {list(wanted_shape)}"
                raise self._wrong(split, f"has {what} of {found}, not {wanted}")
        if len(part.names) != count:
            raise self._wrong(split, f"has {len(part.names)} names for {count} labels")
        if part.labels.min() < 0 or part.labels.max() >= self.class_count:
            raise self._wrong(split, f"has a label outside 0..{self.class_count - 1}")

    def _wrong(self, split: str, what: str) -> InputError:
        return InputError(
            f"data source '{self.name}': {split} {what}; correct its `read` or its original files"
        )
