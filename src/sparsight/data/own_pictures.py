"""Pictures as people have them: turned, grey, with a palette, see-through, in CMYK or 16 bits.

The sources of published data sets do not use this module: their pixels are those of
`sparsight.data.pictures`, which are the same for an opaque, upright picture of 8 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import OBJECT
from sparsight.data.pictures import (
    for_all,
    opened_picture,
    resized,
    room_for,
    same_field,
    unreadable,
)
from sparsight.io.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

#: how the names of pictures end that this module decodes
_READ = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# Pictures too, which are listed as unreadable: nobody would miss them otherwise.
_NOT_READ = (
    *(".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".dcm", ".psd", ".svg"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf"),
)
ENDINGS = frozenset((*_READ, *_NOT_READ))
_ORIENTATION = 0x0112
# Values of this tag by which width and height are exchanged.
_ON_ITS_SIDE = range(5, 9)
_GREY_MODES = ("1", "L", "LA", "La")
_LARGEST = 65535
# Of the end of a JPEG file, where its end must be marked; some programs write more behind.
_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Seen:
    """What a look at a picture's file tells: its size as it is seen, upright, and whether grey."""

    width: int
    height: int
    grey: bool


def look_at(path: Path) -> Seen:
    """What a picture is, without decoding it where its file looks whole.

    An `InputError` when it is missing, and `CorruptFile` when it cannot be read. Damage in the
    middle of a JPEG file shows only when it is decoded.
    """
    with opened_picture(path) as opened:
        width, height = opened.size
        # Pillow's TIFF is upright already; asking a PNG that has no such data would decode it.
        if opened.format not in ("PNG", "TIFF") or "exif" in opened.info:
            turned = opened.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
            width, height = (height, width) if turned else (width, height)
        grey = opened.mode in _GREY_MODES or opened.mode.startswith("I")
        if opened.mode in ("P", "PA"):
            colours = np.array(opened.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
            grey = bool((colours == colours[:, :1]).all())
        if opened.mode == "F":
            raise unreadable(path, "its values are floating-point numbers")
        # Asking for the palette has decoded the picture.
        if opened.format == "PNG" and opened.mode not in ("P", "PA"):
            opened.verify()
        elif opened.format != "JPEG" or not _has_end(path):
            opened.load()
        return Seen(width, height, grey)


def _has_end(path: Path) -> bool:
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        return b"\xff\xd9" in file.read()


def decode_upright(path: Path, channels: int) -> "Image":
    """A picture as Pillow has it, in mode `L` (1 channel) or `RGB` (3), as a viewer shows it.

    It is turned as its EXIF data say, and what is see-through shows white. 16 bits become 8:
    v · 255 / 65535, rounded, whatever the brightest value is. Errors are those of `look_at`.
    """
    from PIL import ImageOps

    with opened_picture(path) as opened:
        return _in_8_bits(ImageOps.exif_transpose(opened), path).convert(
            "L" if channels == 1 else "RGB"
        )


def _in_8_bits(picture: "Image", path: Path) -> "Image":
    from PIL import Image

    if picture.mode == "F":
        raise unreadable(path, "its values are floating-point numbers")
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > _LARGEST:
            raise unreadable(path, f"its values are not within 0 and {_LARGEST}")
        return Image.fromarray(((values * 255 + _LARGEST // 2) // _LARGEST).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture


class Undecodable(InputError):
    """Pictures that cannot be decoded, though a look at their files showed nothing wrong.

    Attributes
    ----------
    positions : which of those that were to be decoded.
    """

    def __init__(self, message: str, positions: list[int]) -> None:
        super().__init__(message)
        self.positions = positions


def read_own_pictures(
    paths: Sequence[Path], shape: tuple[int, int, int], resize: str
) -> NDArray[np.uint8]:
    """Decode pictures in the order of `paths`, uint8 [N, C, H, W].

    Parameters
    ----------
    paths : the files.
    shape : (C, H, W) of each result.
    resize : `aspect` or `squash`, as of `sparsight.data.pictures.read_pictures`; `keep` where the
        pictures have this height and width.

    Raises
    ------
    Undecodable
        Naming the first ten that cannot be decoded, after all others were.
    """
    images = room_for((len(paths), *shape))
    wrong: dict[int, str] = {}

    def read_one(row: int) -> NDArray[np.uint8]:
        try:
            picture = decode_upright(paths[row], shape[0])
            pixels = np.asarray(_brought_to(picture, paths[row], shape, resize))
        except InputError as error:
            wrong[row] = str(error)
            return np.zeros(shape, np.uint8)
        return pixels.reshape(*shape[1:], shape[0]).transpose(2, 0, 1)

    for_all(read_one, images)
    if wrong:
        rows = sorted(wrong)
        names = ", ".join(str(paths[row]) for row in rows[:10])
        raise Undecodable(
            f"{len(rows)} of {len(paths)} pictures cannot be decoded ({names}; the first: "
            f"{wrong[rows[0]]})",
            rows,
        )
    return images


def _brought_to(picture: "Image", path: Path, shape: tuple[int, int, int], resize: str) -> "Image":
    _, height, width = shape
    if resize != "keep":
        return resized(picture, path, height, resize)
    if picture.size != (width, height):
        raise unreadable(path, f"it has {picture.width}×{picture.height} pixels, unlike the others")
    return picture


def read_own_masks(
    paths: Sequence[Path],
    photographs: Sequence[Path],
    shape: tuple[int, int, int],
    resize: str,
) -> NDArray[np.uint8]:
    """Decode masks as `read_own_pictures` does their photographs, uint8 [N, H, W].

    A mask is grey, 0 to 255, or has the values 0 and 1 only. It may be larger or smaller than its
    photograph when it shows the same field. `CorruptFile` where it does not, or where its largest
    value is between 2 and 127, which no object has.
    """
    from PIL import Image
    from PIL.Image import Resampling

    _, height, width = shape
    masks = room_for((len(paths), height, width))

    def read_one(row: int) -> NDArray[np.uint8]:
        mask, seen = _decode_mask(paths[row]), look_at(photographs[row])
        check_mask_size(paths[row], mask.size, photographs[row], seen)
        largest = int(np.asarray(mask).max())
        if largest == 1:
            mask = Image.fromarray(np.asarray(mask) * np.uint8(255))
        elif 0 < largest < OBJECT:
            raise unreadable(
                paths[row],
                f"as a mask its largest value is {largest}, where masks have 0 and 1, or 0 to 255",
            )
        if resize != "keep":
            return np.asarray(resized(mask, paths[row], height, resize))
        return np.asarray(mask.resize((width, height), Resampling.BILINEAR))

    for_all(read_one, masks)
    return masks


def _decode_mask(path: Path) -> "Image":
    """As `decode_upright`, but 16 bits that hold no more than 8 are taken as they are."""
    from PIL import Image

    with opened_picture(path) as opened:
        if opened.mode.startswith("I"):
            values = np.asarray(opened)
            if values.min() >= 0 and values.max() <= 255:
                return Image.fromarray(values.astype(np.uint8))
    return decode_upright(path, 1)


def check_mask_size(path: Path, size: tuple[int, int], photograph: Path, seen: Seen) -> None:
    """An error where a mask of `size` (width, height) cannot show what its photograph does."""
    if not same_field(size, (seen.width, seen.height)):
        raise InputError(
            f"the mask {path} has {size[0]}×{size[1]} pixels and {photograph} "
            f"{seen.width}×{seen.height}: one of the two is squashed, turned or cut; correct it"
        )
