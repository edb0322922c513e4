"""MNIST: 70,000 handwritten digits of 28×28 pixels, in the idx files of its authors.

The idx format (http://yann.lecun.com/exdb/mnist): two zero bytes, a type byte (8: unsigned byte),
the number of dimensions, each dimension as a big-endian 32-bit integer, then the values, last
dimension fastest.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import RawSplit, Source
from sparsight.data.download import fetch_files, verify_files
from sparsight.data.draws import SPLIT_ORDER, stratified_order
from sparsight.data.settings import mirror_list, section, seed_number
from sparsight.io.errors import CorruptFile, InputError

UNSIGNED_BYTE = 8
BLOCK_BYTES = 1 << 20


def read_idx(path: Path, dimensions: int, most: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, compressed by gzip where its name ends in `.gz`.

    Parameters
    ----------
    path : the file.
    dimensions : how many it must have: 3 for images [N, H, W], 1 for labels [N].
    most : values that it can hold by what is said of the data set. A few KiB of gzip can announce
        and unpack to any number.

    Returns
    -------
    uint8, shaped as the header says, writable.

    Raises
    ------
    InputError
        When the file is missing or cannot be opened.
    CorruptFile
        When it is truncated, longer than its header says or than it can be, not gzip, or of another
        type or number of dimensions.
    """
    try:
        with open(path, "rb") as raw:
            if path.suffix != ".gz":
                return _parse(path, raw, dimensions, most)
            with gzip.GzipFile(fileobj=raw) as stream:
                return _parse(path, stream, dimensions, most)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        # Before OSError, of which BadGzipFile is a kind.
        raise _corrupt(path, f"as gzip: {_lower(error)}") from error
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; fetch the data set again") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error


def _parse(
    path: Path, stream: IO[bytes] | gzip.GzipFile, dimensions: int, most: int
) -> NDArray[np.uint8]:
    header_size = 4 + 4 * dimensions
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise _corrupt(path, "it does not begin as an idx file")
    if magic[2] != UNSIGNED_BYTE:
        raise _corrupt(path, f"its values have type {magic[2]}, not 8 (unsigned byte)")
    if magic[3] != dimensions:
        raise _corrupt(path, f"it has {magic[3]} dimensions, not {dimensions}")
    header = stream.read(header_size - 4)
    if len(header) < header_size - 4:
        raise _corrupt(path, "it ends within its header")
    shape = struct.unpack(f">{dimensions}I", header)
    expected = math.prod(shape)
    if expected > most:
        raise _corrupt(
            path, f"its header announces {expected} values, more than the {most} it can have"
        )
    values = bytearray()
    # Block by block: a damaged header may announce any length, and a file may unpack to any.
    # Reading on to the end makes gzip compare its checksum.
    while block := stream.read(BLOCK_BYTES):
        values += block
        if len(values) > expected:
            raise _corrupt(path, f"it holds more than the {expected} values of its header")
    if len(values) < expected:
        raise _corrupt(path, f"it holds {len(values)} of the {expected} values of its header")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _corrupt(path: Path, why: str) -> CorruptFile:
    return CorruptFile(f"{path} is corrupt ({why}); delete it and fetch the data set again")


def _lower(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


class Mnist(Source):
    """MNIST; the split is the official one, of which a share of `train` may become `validation`.

    An image's id is its index in the official order: training images 0..59,999, test images
    from 60,000 on. Its mask is the image itself: the ink is the object, as in the study of Lukkien
    (equation 2.8), which compares heatmaps with the noiseless image.

    Files are also found as other tools keep them: unpacked, with a dot in their names
    (`train-images.idx3-ubyte`), and in torchvision's `MNIST/raw`.

    Settings
    --------
    mirrors : addresses of folders with the four files, tried in order.
    validation : `none`, or {share: 0.1, seed: 0}: a stratified, seeded share of the training set.
    """

    name: ClassVar[str] = "mnist"
    reference: ClassVar[str] = "LeCun, Bottou, Bengio, Haffner 1998, doi:10.1109/5.726791"
    licence: ClassVar[str] = "CC BY-SA 3.0, as usually stated"
    folder: ClassVar[str] = "mnist"
    other_folders: ClassVar[tuple[str, ...]] = ("MNIST/raw",)
    splits: ClassVar[tuple[str, ...]] = ("train", "validation", "test")
    has_masks: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    class_count: ClassVar[int] = 10
    test_images: ClassVar[int] = 10000
    original_images: ClassVar[tuple[int, int]] = (70_000, 10_000)
    # Images of the larger of both parts; a file that announces more is none of this data set.
    most_images: ClassVar[int] = 60_000
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
        if _validation(settings) is None:
            return ("train", "test")
        return cls.splits

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
        order = stratified_order(train.labels, seed, SPLIT_ORDER)
        count = round(share * len(train))
        if not 0 < count < len(train):
            raise InputError(
                f"'validation: share: {share}' sets aside {count} of {len(train)} training images; "
                "choose a share that leaves images on both sides, or 'none'"
            )
        return {
            "train": train.select(np.sort(order[count:])),
            "validation": train.select(np.sort(order[:count])),
            "test": test,
        }

    def _verified(self, folder: Path) -> dict[str, Path]:
        """Official name to file, for the files that are there, under whichever of their names."""
        found = {}
        for name in self.checksums:
            packed = (name, name.replace("-idx", ".idx"))
            checksums = dict.fromkeys(packed, self.checksums[name])
            checksums |= {one.removesuffix(".gz"): self.unpacked[name] for one in packed}
            there = next((one for one in checksums if (folder / one).is_file()), None)
            if there is not None:
                verify_files(folder, {there: checksums[there]})
                found[name] = folder / there
        return found

    def _read_part(self, files: Mapping[str, Path], part: str, first_id: int) -> RawSplit:
        images_path = files[f"{part}-images-idx3-ubyte.gz"]
        labels_path = files[f"{part}-labels-idx1-ubyte.gz"]
        channels, rows, columns = self.image_shape
        most = self.most_images
        images = read_idx(images_path, dimensions=3, most=most * rows * columns)[:, np.newaxis]
        labels = read_idx(labels_path, dimensions=1, most=most).astype(np.int64)
        again = "delete both and fetch the data set again"
        if images.shape[1:] != (channels, rows, columns):
            raise CorruptFile(
                f"{images_path} holds images of {images.shape[2]}×{images.shape[3]} pixels, not "
                f"{rows}×{columns}; delete it and fetch the data set again"
            )
        if len(images) != len(labels):
            raise CorruptFile(
                f"{labels_path} holds {len(labels)} labels for the {len(images)} images of "
                f"{images_path.name}; {again}"
            )
        if len(labels) == 0:
            raise CorruptFile(f"{images_path} and {labels_path.name} are empty; {again}")
        if labels.max() >= self.class_count:
            raise CorruptFile(
                f"{labels_path} holds the label {labels.max()}, outside 0..{self.class_count - 1}; "
                "delete it and fetch the data set again"
            )
        return RawSplit(
            images=images,
            labels=labels,
            names=[f"{part}:{index}" for index in range(len(labels))],
            image_ids=np.arange(first_id, first_id + len(labels), dtype=np.int64),
            masks=images[:, 0],
        )


def _validation(settings: Mapping[str, Any]) -> tuple[float, int] | None:
    if settings.get("validation", "none") in ("none", None):
        return None
    values = section(settings, "validation", {"share": 0.1, "seed": 0})
    share = values["share"]
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise InputError(f"'validation: share' must lie between 0 and 1, not {share!r}")
    return float(share), seed_number(values["seed"], "validation: seed")
