"""Photographs, masks and part masks of birds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsight.data.cub_tables import Bird, lookup, read_boxes, read_parts
from sparsight.data.framing import Frame
from sparsight.data.pictures import picture_size, read_masks, room_for
from sparsight.io.errors import InputError

# In the order of the archive's `parts/parts.txt`.
PARTS = (
    "back",
    "beak",
    "belly",
    "breast",
    "crown",
    "forehead",
    "left eye",
    "left leg",
    "left wing",
    "nape",
    "right eye",
    "right leg",
    "right wing",
    "tail",
    "throat",
)
MOST_PART_BYTES = 2**32
Pixels = NDArray[np.uint8]


def picture_paths(folder: Path, birds: Sequence[Bird]) -> list[Path]:
    """Where the photographs lie."""
    return [folder / "images" / bird.name for bird in birds]


def segmentation_folder(folder: Path) -> Path:
    """Where the outlines are: in the archive's folder, or beside it, as its archive unpacks."""
    beside = folder.with_name("segmentations")
    inside = folder / "segmentations"
    return beside if beside.is_dir() and not inside.is_dir() else inside


def segmentation_masks(folder: Path, birds: Sequence[Bird], side: int, resize: str) -> Pixels:
    """Outlines of the birds, uint8 [N, side, side]: grey where the annotators disagree.

    Raises
    ------
    InputError
        When a file of `segmentations/` is missing, and as `sparsight.data.pictures.decode_mask`.
    """
    place = segmentation_folder(folder)
    paths = [(place / bird.name).with_suffix(".png") for bird in birds]
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"{path} does not exist; put the folder of segmentations.tgz there, or take "
                "'masks: boxes' or 'masks: none'"
            )
    return read_masks(paths, picture_paths(folder, birds), side, resize)


def box_masks(folder: Path, birds: Sequence[Bird], side: int, resize: str) -> Pixels:
    """Bounding boxes of the birds as masks, uint8 [N, side, side].

    Raises
    ------
    InputError
        When `bounding_boxes.txt` cannot be read, or a box is empty or leaves its photograph.
    """
    boxes, path = read_boxes(folder), folder / "bounding_boxes.txt"
    masks = room_for((len(birds), side, side))
    frames = _frames(folder, birds, side, resize)
    for row, (bird, frame) in enumerate(zip(birds, frames, strict=True)):
        x, y, width, height = lookup(boxes, bird.image_id, path)
        if min(width, height) <= 0:
            raise InputError(
                f"{path} has an empty box for {bird.name}; put the original file there"
            )
        _refuse_outside(bird, frame, path, (x, y), (x + width, y + height))
        masks[row] = frame.box(x, y, width, height)
    return masks


def disc_masks(
    folder: Path, birds: Sequence[Bird], side: int, resize: str, radius: float
) -> Pixels:
    """Discs of `radius` pixels about the visible parts' points, uint8 [N, 15, side, side].

    Raises
    ------
    InputError
        When `parts/part_locs.txt` cannot be read, or places a part outside of its photograph, or
        the masks would need too much memory.
    """
    shape = (len(birds), len(PARTS), side, side)
    if np.prod(shape, dtype=np.int64) > MOST_PART_BYTES:
        raise InputError(
            f"part masks of {len(birds)} images of {side} pixels need more than "
            f"{MOST_PART_BYTES >> 30} GiB; take a smaller 'size' or 'part_radius: 0'"
        )
    path = folder / "parts" / "part_locs.txt"
    points, masks = read_parts(folder, len(PARTS)), np.zeros(shape, np.uint8)
    frames = _frames(folder, birds, side, resize)
    for row, (bird, frame) in enumerate(zip(birds, frames, strict=True)):
        for part, (x, y) in lookup(points, bird.image_id, path).items():
            _refuse_outside(bird, frame, path, (x, y))
            masks[row, part] = frame.disc(x, y, radius)
    return masks


def _refuse_outside(bird: Bird, frame: Frame, table: Path, *points: tuple[float, float]) -> None:
    """An error where a table's coordinates are not those of the photograph that is there."""
    for x, y in points:
        # The archive counts pixels from 1 in some of its boxes, and from 0 in others.
        if not (-1 <= x <= frame.width + 1 and -1 <= y <= frame.height + 1):
            raise InputError(
                f"{table} places something at ({x:g}, {y:g}) in {bird.name}, which has "
                f"{frame.width}×{frame.height} pixels; put the original photograph there"
            )


def _frames(folder: Path, birds: Sequence[Bird], side: int, resize: str) -> list[Frame]:
    return [Frame.of(*picture_size(path), side, resize) for path in picture_paths(folder, birds)]
