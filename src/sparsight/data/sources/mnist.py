"""MNIST: 70,000 handwritten digits of 28×28 pixels, in the idx files of its authors.

The idx format (http://yann.lecun.com/exdb/mnist): two zero bytes, a type byte (8: unsigned byte),
the number of dimensions, each dimension as a big-endian 32-bit integer, then the values, last
dimension fastest.
"""

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import RawSplit, Source
from sparsight.data.download import fetch_files, verify_files
from sparsight.data.draws import stratified_splits
from sparsight.data.settings import mirror_list, number_between, section, seed_number
from sparsight.io.errors import CorruptFile, InputError

UNSIGNED_BYTE = 8


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, compressed by gzip where its name ends in `.gz`.

    Parameters
    ----------
    path : the file.
    dimensions : how many it must have: 3 for images [N, H, W], 1 for labels [N].

    Returns
    -------
    uint8, shaped as the header says, writable.

    Raises
    ------
    InputError
        When the file is missing or cannot be opened.
    CorruptFile
        When it is no such file, or not as long as its header says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            content = bytearray(file.read())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        # Before OSError, of which BadGzipFile is a kind.
        raise _corrupt(path, f"as gzip: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    start = 4 + 4 * dimensions
    if len(content) < start or content[:4] != bytes([0, 0, UNSIGNED_BYTE, dimensions]):
        raise _corrupt(path, f"it is no idx file of bytes with {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = math.prod(shape)
    if len(content) - start != expected:
        raise _corrupt(path, f"it holds {len(content) - start} of the {expected} values it names")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _corrupt(path: Path, why: str) -> CorruptFile:
    return CorruptFile(f"{path} is corrupt ({why}); delete it and fetch the data set again")


class Mnist(Source):
    """MNIST; the split is the official one, of which a share of `train` may become `validation`.

    An image's id is its index in the official order: training images 0..59,999, test images
    from 60,000 on. Its mask is the image itself: the ink is the object, as in the study of Lukkien
    (equation 2.8), which compares heatmaps with the noiseless image.

    Files are also found as other tools keep them: unpacked, compressed anew, with a dot in their
    names (`train-images.idx3-ubyte`), and in torchvision's `MNIST/raw`.

    Settings
    --------
    mirrors : addresses of folders with the four files, tried in order.
    validation : `none`, or {share: 0.1, seed: 0}: a stratified, seeded share of the training set.
    """

    name: ClassVar[str] = "mnist"
    reference: ClassVar[str] = "LeCun et al. 1998, doi:10.1109/5.726791"
    licence: ClassVar[str] = "CC BY-SA 3.0, as usually stated"
    folder: ClassVar[str] = "mnist"
    other_folders: ClassVar[tuple[str, ...]] = ("MNIST/raw",)
    has_masks: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    class_count: ClassVar[int] = 10
    test_images: ClassVar[int] = 10000
    original_images: ClassVar[tuple[int, int]] = (70_000, 10_000)
    parameters: ClassVar[dict[str, Any]] = {
        "mirrors": [
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        "validation": "none",
    }
    # SHA-256 of the files as their authors published them.
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        "train-labels-idx1-ubyte.gz": (
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    }
    # SHA-256 of the same files unpacked.
    unpacked: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte.gz": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    }

    @classmethod
    def split_names(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """`train` and `test`, and `validation` between them when a share is set aside."""
        return cls.splits if _validation(settings) else ("train", "test")

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """See `Source.fetch`."""
        there = self._verified(folder)
        missing = {name: digits for name, digits in self.checksums.items() if name not in there}
        fetch_files(folder, missing, mirror_list(settings, self.parameters["mirrors"]))

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`; the files are verified again, since time may have passed."""
        validation = _validation(settings)
        files = self._verified(folder)
        for name in self.checksums:
            if name not in files:
                raise InputError(f"{folder / name} does not exist; fetch the data set again")
        train = self._read_part(files, "train", first_id=0)
        test = self._read_part(files, "t10k", first_id=len(train))
        if validation is None:
            return {"train": train, "test": test}
        share, seed = validation
        places = stratified_splits(train.labels, seed, 0, share, prefix="")
        drawn = {name: train.select(places[name]) for name in ("train", "validation")}
        return {**drawn, "test": test}

    def _verified(self, folder: Path) -> dict[str, Path]:
        """Official name to file, for the files that are there, under whichever of their names."""
        found = {}
        for name in self.checksums:
            packed = (name, name.replace("-idx", ".idx"))
            checksums = dict.fromkeys(packed, self.checksums[name])
            checksums |= {one.removesuffix(".gz"): self.unpacked[name] for one in packed}
            there = next((one for one in checksums if (folder / one).is_file()), None)
            if there is not None:
                try:
                    verify_files(folder, {there: checksums[there]})
                except CorruptFile:
                    if not _unpacks_to(folder / there, self.unpacked[name]):
                        raise
                found[name] = folder / there
        return found

    def _read_part(self, files: Mapping[str, Path], part: str, first_id: int) -> RawSplit:
        images_path = files[f"{part}-images-idx3-ubyte.gz"]
        labels_path = files[f"{part}-labels-idx1-ubyte.gz"]
        images = read_idx(images_path, dimensions=3)[:, np.newaxis]
        labels = read_idx(labels_path, dimensions=1).astype(np.int64)
        if len(images) != len(labels) or not len(labels):
            raise _corrupt(labels_path, f"{len(labels)} labels for {len(images)} images")
        return RawSplit(
            images=images,
            labels=labels,
            names=[f"{part}:{index}" for index in range(len(labels))],
            image_ids=np.arange(first_id, first_id + len(labels), dtype=np.int64),
            masks=images[:, 0],
        )


def _unpacks_to(path: Path, checksum: str) -> bool:
    """Whether a gzip file holds the official content, compressed by somebody else (as Debian does).

    `checksum` is the SHA-256 of the content.
    """
    try:
        with gzip.open(path) as file:
            return hashlib.sha256(file.read()).hexdigest() == checksum
    except (OSError, EOFError, zlib.error):
        return False


def _validation(settings: Mapping[str, Any]) -> tuple[float, int] | None:
    if settings.get("validation", "none") in ("none", None):
        return None
    values = section(settings, "validation", {"share": 0.1, "seed": 0})
    share = number_between(values["share"], "validation: share", 0, 1, "()")
    return share, seed_number(values["seed"], "validation: seed")
