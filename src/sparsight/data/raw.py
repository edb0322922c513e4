"""What a source gives: its splits in memory, and what they are."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The smallest value of a mask, of 255, that binary masks count as the object: at least a half.
OBJECT = 128


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
        optional = (
            *("masks", "part_masks", "concepts", "concepts_known"),
            *("stickers", "original_labels", "evaluated_first"),
        )
        arrays: dict[str, Any] = {name: getattr(self, name) for name in optional}
        return RawSplit(
            images=self.images[positions],
            labels=self.labels[positions],
            names=[self.names[position] for position in positions],
            image_ids=self.image_ids[positions],
            **{n: None if array is None else array[positions] for n, array in arrays.items()},
        )

    def update_digest(self, digest: "hashlib._Hash") -> None:
        """Feed all arrays but the names, with their shapes, into a hashlib object."""
        for array in (self.image_ids, self.labels, self.images, self.masks):
            if array is None:
                digest.update(b"none")
            else:
                _update(digest, array)
        # Only where there are any: published hashes are older than these annotations.
        for name in ("part_masks", "concepts", "concepts_known", "stickers", "original_labels"):
            annotation: NDArray[Any] | None = getattr(self, name)
            if annotation is not None:
                digest.update(name.encode())
                _update(digest, annotation)


def _update(digest: "hashlib._Hash", array: NDArray[Any]) -> None:
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
