"""Data sets of photographs: decoded, brought to one square size, and put into splits."""

import contextlib
import math
import os
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import OBJECT, RawSplit, Source
from sparsight.data.draws import refuse_empty_classes
from sparsight.data.settings import one_of
from sparsight.io.errors import CorruptFile, InputError

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

RESIZES = ("aspect", "squash")
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """A photograph of `width` × `height` pixels, resized to `scaled`, of which `size` is cut.

    The same geometry holds for its pixels, boxes and points. `left` and `top` are what is cut off
    on these sides, in pixels of the resized photograph; `scaled` and `size` are (width, height).
    """

    width: int
    height: int
    scaled: tuple[int, int]
    left: int
    top: int
    size: tuple[int, int]

    @classmethod
    def of(cls, width: int, height: int, side: int, resize: str) -> "Frame":
        """`aspect`: the shorter side to `side`, then the middle; `squash`: both sides to `side`."""
        if resize == "squash":
            return cls(width, height, (side, side), 0, 0, (side, side))
        shorter = min(width, height)
        # torchvision cuts the longer side down and rounds the margin half to even.
        scaled = (side * width // shorter, side * height // shorter)
        left, top = (round((length - side) / 2) for length in scaled)
        return cls(width, height, scaled, left, top, (side, side))

    @classmethod
    def whole(cls, width: int, height: int) -> "Frame":
        """Nothing is resized or cut."""
        return cls(width, height, (width, height), 0, 0, (width, height))

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where the point (x, y) of the photograph lies in what is cut; it may lie outside."""
        across = x * self.scaled[0] / self.width - self.left
        down = y * self.scaled[1] / self.height - self.top
        return across, down

    def box(self, x: float, y: float, width: float, height: float) -> NDArray[np.uint8]:
        """How much of each pixel of the cut a box of the photograph covers, uint8, 0..255."""
        left, top = self.place(x, y)
        right, bottom = self.place(x + width, y + height)
        across, down = self.size
        cover = np.outer(_covered(top, bottom, down), _covered(left, right, across))
        return np.asarray(np.rint(255 * cover), np.uint8)

    def disc(self, x: float, y: float, radius: float) -> NDArray[np.uint8]:
        """A disc about a point of the photograph, `radius` in pixels of the cut; as `box`."""
        across, down = self.place(x, y)
        columns, rows = (np.arange(length) + 0.5 for length in self.size)
        distance = np.hypot(columns[np.newaxis] - across, rows[:, np.newaxis] - down)
        return np.asarray(np.rint(255 * np.clip(radius + 0.5 - distance, 0, 1)), np.uint8)


def _covered(start: float, stop: float, side: int) -> NDArray[np.float64]:
    """Share of each of `side` unit intervals that lies between `start` and `stop`."""
    edges = np.clip(np.arange(side + 1, dtype=np.float64), start, stop)
    return np.diff(edges)


class PictureSource(Source):
    """A data set of photographs in files.

    A subclass says which there are (`listing`) and gives concepts and masks, where it has them. The
    option `size` is the side of the packed images, `resize` says how photographs get it.
    """

    side_parameter: ClassVar[str] = "size"
    #: splits in which every class must have images
    complete_splits: ClassVar[tuple[str, ...]] = ("train", "test")

    @abstractmethod
    def listing(self, settings: Mapping[str, Any], folder: Path) -> "pd.DataFrame":
        """The photographs that are there: `path`, `name`, `image_id`, `class` and `split` of each.

        `class` is a Categorical of all classes in the order of the labels; `split` is empty where
        an image is in none. Further columns are for the methods below. What is missing or wrong is
        an `InputError`.
        """

    def known_concepts(
        self, settings: Mapping[str, Any], folder: Path, listing: "pd.DataFrame"
    ) -> dict[str, NDArray[np.bool_]]:
        """`concepts`, and maybe `concepts_known`, of a listing: bool [N, K]; empty without any."""
        return {}

    def masks(
        self, settings: Mapping[str, Any], folder: Path, chosen: "pd.DataFrame", side: int
    ) -> dict[str, Pixels]:
        """`masks` and `part_masks` of rows of the listing; empty without any."""
        return {}

    def pictures(self, settings: Mapping[str, Any], chosen: "pd.DataFrame", side: int) -> Pixels:
        """The images of rows of the listing, uint8 [N, C, H, W]."""
        return read_pictures(chosen["path"].tolist(), side, self.resize_of(settings))

    @classmethod
    def resize_of(cls, settings: Mapping[str, Any]) -> str:
        """`aspect`: the shorter side to `size`, then the middle; `squash`: both to `size`."""
        return one_of(settings, "resize", cls.parameters["resize"], RESIZES)

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`; only the photographs of the splits are decoded."""
        side = self.shape(settings)[1]
        listing = self.listing(settings, folder)
        classes = list(listing["class"].cat.categories)
        labels = np.array(listing["class"].cat.codes, np.int64)
        places = {
            split: np.flatnonzero(listing["split"] == split) for split in self.split_names(settings)
        }
        for split in self.complete_splits:
            refuse_empty_classes(self.name, split, labels[places[split]], classes)
        concepts = self.known_concepts(settings, folder, listing)
        raw = {}
        for split, rows in places.items():
            chosen = listing.iloc[rows]
            known: dict[str, Any] = {name: array[rows] for name, array in concepts.items()}
            known.update(self.masks(settings, folder, chosen, side))
            raw[split] = RawSplit(
                images=self.pictures(settings, chosen, side),
                labels=labels[rows],
                names=chosen["name"].tolist(),
                image_ids=np.array(chosen["image_id"], np.int64),
                **known,
            )
        return raw


# Decoding releases the interpreter's lock; more threads than this would only wait for the disk.
WORKERS = 2
LARGE_BYTES = 2**30
# What decodes bytes itself, within this process: Pillow would hand others to a program (EPS).
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# The photographs of CUB-200-2011 have at most 500×500 pixels, those of HAM10000 600×450, those of
# Derm7pt 1024×768; ImageNet's largest, of which full ImageNette holds some, take a few cameras'
# worth. 64 million are 192 MiB decoded, two of which are in memory.
MOST_PIXELS = 2**26
# Numbers of more than 8 bits, which Pillow would cut off at 255 on the way to RGB.
_DEEP_MODES = ("I", "F")


def read_pictures(paths: Sequence[Path], side: int, resize: str) -> NDArray[np.uint8]:
    """Decode photographs in the order of `paths`.

    Parameters
    ----------
    paths : files in one of `FORMATS`, whatever their names end in; greyscale becomes RGB.
    side : of the square results, in pixels.
    resize : `aspect`: the shorter side to `side`, then the middle; `squash`: both sides to `side`.
        Both are torchvision's `Resize` (and `CenterCrop`) on a Pillow image: bilinear, and
        antialiased where it shrinks.

    Returns
    -------
    uint8 [N, 3, side, side]; that and two decoded photographs are all that is in memory. From
    1 GiB on, the array lies in a temporary file (in `$TMPDIR`) and takes memory only as there is.
    The values depend on the JPEG decoder (by one or two of 255 between releases of libjpeg-turbo),
    so a data hash may differ between environments.
    """
    images = room_for((len(paths), 3, side, side))
    for_all(lambda row: read_picture(paths[row], side, resize), images)
    return images


def read_masks(
    paths: Sequence[Path], photographs: Sequence[Path], side: int, resize: str
) -> NDArray[np.uint8]:
    """Decode greyscale masks as `read_pictures` does photographs, uint8 [N, side, side].

    A mask may be larger or smaller than its photograph when it shows the same field. What is
    between 0 and 255 in it, or lies on a border that is resized, is a soft value. Errors are those
    of `decode_mask`.
    """
    masks = room_for((len(paths), side, side))

    def read_mask(row: int) -> Pixels:
        mask = decode_mask(paths[row], photographs[row])
        return np.asarray(resized(mask, paths[row], side, resize))

    for_all(read_mask, masks)
    return masks


def room_for(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An array to be filled, uint8: in memory, or in a temporary file where it is large.

    An `InputError` where there is no room for the file.
    """
    size = math.prod(shape)
    if size < LARGE_BYTES:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        try:
            # Reserved now: a disk that is full later would end the process without any message.
            # (macOS cannot reserve.)
            reserve = getattr(os, "posix_fallocate", lambda one, _, most: os.truncate(one, most))
            reserve(file.fileno(), 0, size)
        except OSError as error:
            raise InputError(
                f"{tempfile.gettempdir()} has no room for {size >> 20} MiB ({error.strerror}); "
                "make room there, or name another folder in $TMPDIR"
            ) from error
        # The file has no name, and lasts as long as the array.
        return np.memmap(file, np.uint8, "r+", shape=shape)


def for_all(work: Callable[[int], NDArray[Any]], rows: NDArray[Any]) -> None:
    """Fill each row with what `work` makes of its number, on two threads; an error ends it."""

    def fill(row: int) -> None:
        rows[row] = work(row)

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for _ in pool.map(fill, range(len(rows))):
                pass
        except BaseException:
            # The first bad file ends it, not the last.
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def read_picture(path: Path, side: int, resize: str) -> NDArray[np.uint8]:
    """Decode one photograph, uint8 [3, side, side]; see `read_pictures`."""
    return np.asarray(resized(decode(path, "RGB"), path, side, resize)).transpose(2, 0, 1)


def read_whole(path: Path, longest: int) -> NDArray[np.uint8]:
    """Decode one photograph whole, its longer side brought to `longest` pixels, uint8 [H, W, 3]."""
    from PIL.Image import Resampling

    whole = decode(path, "RGB")
    factor = longest / max(whole.size)
    size = (max(1, round(whole.width * factor)), max(1, round(whole.height * factor)))
    return np.asarray(whole.resize(size, Resampling.BILINEAR))


def read_whole_mask(path: Path, photograph: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode one mask whole, brought to `size` (width, height), uint8 [height, width]."""
    from PIL.Image import Resampling

    return np.asarray(decode_mask(path, photograph).resize(size, Resampling.BILINEAR))


def decode_mask(path: Path, photograph: Path) -> "Image":
    """The mask of a photograph in greyscale, 0..255, as Pillow has it.

    An `InputError` when the mask is not empty and none of its values is that of an object, as where
    it is saved with 1 instead of 255; or when its ratio of width to height is not the photograph's.
    """
    mask = decode(path, "L")
    size = picture_size(photograph)
    if not same_field(mask.size, size):
        raise InputError(
            f"{path} has {mask.width}×{mask.height} pixels and {photograph} {size[0]}×{size[1]}: "
            "one of the two is squashed or cut; put both original files there"
        )
    largest = int(np.asarray(mask).max())
    if 0 < largest < OBJECT:
        raise InputError(
            f"{path} has {largest} as its largest value, where masks go from 0 to 255 and an "
            f"object from {OBJECT} on; save it with 255 where the object is"
        )
    return mask


def same_field(mask: tuple[int, int], photograph: tuple[int, int]) -> bool:
    """Whether two images (width, height) can show the same field, each side rounded to a pixel."""
    small, large = (mask, photograph) if mask[0] < photograph[0] else (photograph, mask)
    across = small[0] - large[0] * small[1] / large[1]
    down = small[1] - large[1] * small[0] / large[0]
    # Either side may be the one that was rounded; a mask of few pixels is off by more on the other.
    return min(abs(across), abs(down)) <= 1


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image, from its header alone; `CorruptFile` where it is no image."""
    with opened_picture(path) as opened:
        return opened.size


def decode(path: Path, mode: str) -> "Image":
    """An image as Pillow has it, in `mode` (`RGB`, `L`).

    `CorruptFile` when it is no image, a damaged one, one of more than `MOST_PIXELS`, or one whose
    values have more than 8 bits.
    """
    with opened_picture(path) as opened:
        if opened.mode.startswith(_DEEP_MODES):
            raise unreadable(path, f"its values have more than 8 bits, mode {opened.mode}")
        return opened.convert(mode)


@contextlib.contextmanager
def opened_picture(path: Path) -> Iterator["Image"]:
    """An image file whose header has been read; whatever is wrong with it is a `CorruptFile`."""
    # Imported here: most jobs decode nothing.
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as opened:
            width, height = opened.size
            if not 0 < width * height <= MOST_PIXELS:
                raise unreadable(path, f"it has {width}×{height} pixels")
            yield opened
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; put the original file there") from error
    # A damaged file makes a decoder fail in any way.
    except Exception as error:
        raise unreadable(path, type(error).__name__) from error


def unreadable(path: Path, why: str) -> CorruptFile:
    """The error for an image that cannot be used."""
    return CorruptFile(
        f"{path} is not an image that can be read ({why}); replace it by the original file"
    )


def resized(whole: "Image", path: Path, side: int, resize: str) -> "Image":
    """A decoded image brought to `side` × `side` pixels; see `read_pictures`."""
    from PIL.Image import Resampling

    frame = Frame.of(*whole.size, side, resize)
    # One line of pixels is a small file, and becomes a huge image when the shorter side grows.
    if math.prod(frame.scaled) > MOST_PIXELS:
        raise unreadable(
            path, f"its {whole.width}×{whole.height} pixels become {frame.scaled} at {side} pixels"
        )
    scaled = whole.resize(frame.scaled, Resampling.BILINEAR)
    return scaled.crop((frame.left, frame.top, frame.left + side, frame.top + side))
