"""The idx format of MNIST and its relatives, read strictly.

Format (http://yann.lecun.com/exdb/mnist): two zero bytes, a type byte (8: unsigned byte), the
number of dimensions, each dimension as a big-endian 32-bit integer, then the values, last
dimension fastest.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

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
