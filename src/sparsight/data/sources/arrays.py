"""Images of the user's own in one file of numpy, as MedMNIST ships them."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import RawSplit
from sparsight.data.draws import refuse_empty_classes
from sparsight.data.own_files import OwnFiles, joined
from sparsight.data.scans import FilesGone, Scan, state_of
from sparsight.data.settings import LARGEST_SIDE
from sparsight.io.errors import CorruptFile, InputError

#: what the file calls the splits
PREFIXES = {"train": "train", "validation": "val", "test": "test"}
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
#: shape and dtype of each array
Headers = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]


def read_headers(path: Path) -> Headers:
    """Shape and dtype of each array of an `.npz` file; none of them is read."""
    found: Headers = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
                found[name.removesuffix(".npy")] = (shape, dtype)
    except FileNotFoundError as error:
        raise InputError(f"'path' is {path}, which does not exist; name your .npz file") from error
    except (OSError, ValueError, LookupError, zipfile.BadZipFile, zlib.error) as error:
        raise CorruptFile(
            f"{path} is no .npz file that can be read ({type(error).__name__}); save it with "
            "numpy.savez"
        ) from error
    return found


class Arrays(OwnFiles):
    """Images of the user's own in one `.npz` file, as MedMNIST ships them.

    The file holds `train_images`, `train_labels`, `test_images`, `test_labels`, and maybe
    `val_images` and `val_labels`: images uint8 [N, H, W] or [N, H, W, C] of 1 or 3 channels, labels
    whole numbers [N] or [N, 1], from 0 on. `train_masks` and so on, of all splits or of none, are
    [N, H, W]: uint8 up to 255, or 0 and 1. Nothing is unpickled.

    An image's id is its place among all images, training images first, then those of validation.

    Settings
    --------
    path : the file. Relative to the working folder; `~` and `$VARIABLE` are replaced.
    classes : names of the classes in the order of the labels; without them, the numbers.
    scans : where is kept what a look at the file has told; the workflow names a folder.
    """

    name: ClassVar[str] = "arrays"
    reference: ClassVar[str] = "the user's own images; layout of Yang et al. 2023, MedMNIST v2"
    licence: ClassVar[str] = "that of the images"
    parameters: ClassVar[dict[str, Any]] = {"path": "required", "classes": None, "scans": ""}

    @classmethod
    def state(cls, settings: Mapping[str, Any]) -> str:
        """See `OwnFiles.state`: that of the file."""
        path = cls.path_of(settings)
        if not path.is_file():
            what = "is no file" if path.exists() else "does not exist"
            raise FilesGone(f"'path' is {path}, which {what}; name your .npz file")
        return state_of([path])

    @classmethod
    def scan(cls, settings: Mapping[str, Any]) -> Scan:
        """See `OwnFiles.scan`; labels are read, images are not."""
        path = cls.path_of(settings)
        headers = read_headers(path)
        prefixes = {
            split: prefix
            for split, prefix in PREFIXES.items()
            if split != "validation" or f"{prefix}_images" in headers
        }
        shape = _shape_of_images(path, headers, "train_images")
        has_masks = any(f"{prefix}_masks" in headers for prefix in prefixes.values())
        labels, images = {}, {}
        for split, prefix in prefixes.items():
            own = _shape_of_images(path, headers, f"{prefix}_images")
            if own != shape:
                raise InputError(
                    f"{path}: {prefix}_images has images of {list(own)} and train_images of "
                    f"{list(shape)} (channels, height, width); make them alike"
                )
            images[split] = headers[f"{prefix}_images"][0][0]
            labels[split] = _labels(path, headers, prefix, images[split])
            if has_masks:
                _check_masks(path, headers, prefix, (images[split], *shape[1:]))
        classes = cls._class_names(settings, path, max(int(one.max()) for one in labels.values()))
        refuse_empty_classes(str(path), "train", labels["train"], classes)
        return {
            "image_shape": list(shape),
            "classes": classes,
            "images": images,
            "has_masks": has_masks,
            "concepts": [],
        }

    @classmethod
    def _class_names(cls, settings: Mapping[str, Any], path: Path, largest: int) -> list[str]:
        wanted = settings.get("classes")
        if wanted is not None:
            if not isinstance(wanted, list | tuple) or len({*map(str, wanted)}) < len(wanted):
                raise InputError(f"'classes' must be a list of different names, not {wanted!r}")
            if len(wanted) <= largest:
                raise InputError(
                    f"'classes' names {len(wanted)} classes, and {path} has the label {largest}; "
                    "name all, the first for label 0"
                )
        names = [str(label) for label in range(largest + 1)] if wanted is None else wanted
        if len(names) < 2:
            raise InputError(f"{path} has one class only; a network tells at least two apart")
        return [str(name) for name in names]

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`; the file is read whole, in memory."""
        self.refuse_changes(settings)
        path, found, first = self.path_of(settings), self.found(settings), 0
        headers, raw = read_headers(path), {}
        for split, count in found["images"].items():
            prefix = PREFIXES[split]
            images = _read(path, f"{prefix}_images").reshape(count, *_height_first(found))
            raw[split] = RawSplit(
                images=np.ascontiguousarray(images.transpose(0, 3, 1, 2)),
                labels=_labels(path, headers, prefix, count),
                names=[f"{prefix}:{place}" for place in range(count)],
                image_ids=np.arange(first, first + count, dtype=np.int64),
                masks=_masks(_read(path, f"{prefix}_masks")) if found["has_masks"] else None,
            )
            first += count
        return raw


def _height_first(found: Scan) -> tuple[int, int, int]:
    channels, height, width = found["image_shape"]
    return height, width, channels


def _header(path: Path, headers: Headers, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if name not in headers:
        raise InputError(
            f"{path} has no array '{name}' (it has {joined(sorted(headers)) or 'none'}); add it"
        )
    return headers[name]


def _shape_of_images(path: Path, headers: Headers, name: str) -> tuple[int, int, int]:
    """(C, H, W) of the images of a split."""
    shape, dtype = _header(path, headers, name)
    # [N, H, W] has one channel.
    full = (*shape, 1) if len(shape) == 3 else shape
    if dtype != np.uint8 or len(full) != 4 or full[3] not in (1, 3):
        raise InputError(
            f"{path}: {name} is {dtype} {list(shape)}, and must be uint8 [N, H, W] or [N, H, W, C] "
            "with 1 or 3 channels; convert it"
        )
    if not full[0] or not 0 < min(full[1:3]) <= max(full[1:3]) <= LARGEST_SIDE:
        raise InputError(
            f"{path}: {name} is {list(shape)}; it must have images of 1 to {LARGEST_SIDE} pixels"
        )
    return full[3], full[1], full[2]


def _labels(path: Path, headers: Headers, prefix: str, count: int) -> NDArray[np.int64]:
    """The labels of a split, int64 [count]."""
    name = f"{prefix}_labels"
    shape, dtype = _header(path, headers, name)
    if dtype.kind not in "iu" or not shape or shape[1:] not in ((), (1,)):
        raise InputError(
            f"{path}: {name} is {dtype} {list(shape)}, and must be whole numbers [N] or [N, 1], "
            "one label for each image; convert it"
        )
    if shape[0] != count:
        raise InputError(
            f"{path}: {name} has {shape[0]} labels for {count} images; make them as many"
        )
    labels = _read(path, name).reshape(count)
    if labels.min() < 0 or labels.max() > np.iinfo(np.int64).max:
        raise InputError(f"{path}: {name} has the label {labels.min()}; labels start at 0")
    return labels.astype(np.int64)


def _check_masks(path: Path, headers: Headers, prefix: str, wanted: tuple[int, ...]) -> None:
    shape, dtype = _header(path, headers, f"{prefix}_masks")
    if dtype not in (np.uint8, np.bool_) or shape != wanted:
        raise InputError(
            f"{path}: {prefix}_masks is {dtype} {list(shape)}, and must be uint8 or bool "
            f"{list(wanted)}; convert it"
        )


def _masks(masks: NDArray[Any]) -> NDArray[np.uint8]:
    """Masks of 0 to 255; those of 0 and 1 are scaled."""
    scale = 255 if masks.max() == 1 else 1
    return masks.astype(np.uint8) * np.uint8(scale)


def _read(path: Path, name: str) -> NDArray[Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            array: NDArray[Any] = file[name]
            return array
    except (OSError, ValueError, LookupError, zipfile.BadZipFile, zlib.error) as error:
        raise CorruptFile(
            f"{path} is corrupt ({name}: {type(error).__name__}); save it again"
        ) from error
