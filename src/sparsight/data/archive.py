"""Unpacking an archive of original files: only its own plain files, all of them or none."""

import contextlib
import errno
import gzip
import logging
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from sparsight.data.location import is_below
from sparsight.io.errors import CorruptFile, InputError

_LOG = logging.getLogger(__name__)
# Archives are filled up to a multiple of 10 KiB, or of a little more.
PADDING = 2**20
# tarfile reads extended headers (long names) whole, and nothing else in pieces of more than 16 KiB.
LARGEST_HEADER = 2**20
# What a member's name can make the system say: it is too long, or passes through a file.
_NAMES_AT_FAULT = frozenset(
    {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EILSEQ}
)
# What tarfile and zipfile raise on headers that nobody writes: times and places that are no
# numbers, names that are not text, compression without a known method.
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError, RuntimeError)


def extract_folder(
    archive: Path, folder: Path, largest: int, most_files: int, beside: Collection[str] = ()
) -> None:
    """Unpack a gzipped tar archive whose files all lie in one folder.

    Parameters
    ----------
    archive : the archive, verified before: see `sparsight.data.download`.
    folder : where its folder of the same name goes. It appears when it is complete; nothing else
        is left behind. It may exist as an empty folder.
    largest : bytes that the files may have together.
    most_files : number of files and folders that it may hold.
    beside : names of files that it may hold outside its folder; they are moved into it.

    Raises
    ------
    CorruptFile
        When it is damaged; when it holds anything but plain files and folders below its folder; or
        when it is larger than it can be.
    InputError
        When there is no room for the files, or no right to write them.
    """
    with _staged(archive, folder, tarfile.TarError) as staging:
        _extract(archive, staging, (folder.name, *beside), largest, most_files)
        if not (staging / folder.name).is_dir():
            raise _corrupt(archive, f"it holds no folder {folder.name}")
        for name in beside:
            with contextlib.suppress(FileNotFoundError):
                (staging / name).replace(staging / folder.name / name)
        _placed(staging / folder.name, folder)


@contextlib.contextmanager
def _staged(archive: Path, folder: Path, damage: type[Exception]) -> Iterator[Path]:
    """A folder beside `folder` to unpack into, gone at the end whatever happens; errors in words.

    `damage` is what the archive's kind raises where it is damaged.
    """
    staging = folder.with_name(f".{folder.name}.partial")
    # What a killed extraction left; a folder has one writer at a time (Snakemake's lock).
    shutil.rmtree(staging, ignore_errors=True)
    _LOG.info("unpacking %s", archive)
    try:
        staging.mkdir(parents=True)
        yield staging
    except InputError:
        raise
    except (damage, *_DAMAGE) as error:
        raise _corrupt(archive, f"it cannot be unpacked, {type(error).__name__}") from error
    except OSError as error:
        # gzip.BadGzipFile is an OSError without a number.
        if error.errno is None:
            raise _corrupt(archive, "it cannot be unpacked") from error
        if error.errno in _NAMES_AT_FAULT and staging.is_dir():
            raise _corrupt(archive, f"a member's name cannot be, {error.strerror}") from error
        raise InputError(
            f"{folder} cannot be written ({error.strerror}); make room there or take another folder"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _placed(complete: Path, folder: Path) -> None:
    """Give a complete folder its name, which an empty one may have."""
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()
    complete.replace(folder)


class _Bounded(gzip.GzipFile):
    """A gzipped file that refuses to be read in larger pieces than a header can have.

    A few KiB unpack to any number of zeros, and tarfile reads extended headers at once.
    """

    def read(self, size: int | None = -1) -> bytes:
        """As that of `gzip.GzipFile`."""
        if size is None or not 0 <= size <= LARGEST_HEADER + 1:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _extract(
    archive: Path, staging: Path, names: Sequence[str], largest: int, most_files: int
) -> None:
    total = 0
    with _Bounded(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for count, member in enumerate(tar):
            # Before anything is left out: what is not written takes time all the same.
            total += member.size
            if total > largest or count >= most_files:
                raise _corrupt(
                    archive, f"it holds more than {most_files} files or {largest // 2**20} MiB"
                )
            place = PurePosixPath(member.name)
            if place.name.startswith("._") or place == PurePosixPath("."):
                # What macOS adds for each file, and the archive's own root.
                continue
            if not is_below(member.name) or place.parts[0] not in names:
                raise _corrupt(archive, f"its member {_named(member.name)} lies outside {names[0]}")
            if not (member.isreg() or member.isdir()):
                raise _corrupt(archive, f"its member {_named(member.name)} is no plain file")
            # The filter refuses once more what was refused above, and sets safe permissions.
            tar.extract(member, staging, filter="data")
        # Reading up to the end, a little padding, is what compares gzip's own checksum.
        if len(stream.read(PADDING + 1)) > PADDING:
            raise _corrupt(archive, "it goes on after its end")


def _named(member: str) -> str:
    """A member's name as it stands in a sentence: escaped where it is no plain text, and short."""
    return ascii(member if len(member) <= 80 else f"{member[:80]}…")


def extract_flat(archive: Path, folder: Path, suffix: str, largest: int, most_files: int) -> None:
    """Unpack the files of one kind in a zip archive into one folder, whatever their folders there.

    Parameters
    ----------
    archive : the archive, verified before: see `sparsight.data.download`.
    folder : where the files go. It appears when it is complete; nothing else is left behind.
    suffix : of the files that are wanted, with its dot. Others are left out, and so is what macOS
        adds (`__MACOSX`, names that begin with a dot).
    largest : bytes that the files may have together.
    most_files : number of members that the archive may have.

    Raises
    ------
    CorruptFile
        When it is damaged, holds no such file or one name twice, or is larger than it can be.
    InputError
        When there is no room for the files, or no right to write them.
    """
    # RuntimeError, among other damage: a member that is encrypted.
    with _staged(archive, folder, zipfile.BadZipFile) as staging:
        _extract_zip(archive, staging, suffix, largest, most_files)
        _placed(staging, folder)


def _extract_zip(archive: Path, staging: Path, suffix: str, largest: int, most_files: int) -> None:
    total, names = 0, set()
    with zipfile.ZipFile(archive) as members:
        for count, member in enumerate(members.infolist()):
            place = PurePosixPath(member.filename)
            total += member.file_size
            if total > largest or count >= most_files:
                raise _corrupt(
                    archive, f"it holds more than {most_files} files or {largest // 2**20} MiB"
                )
            hidden = place.name.startswith(".") or "__MACOSX" in place.parts
            if member.is_dir() or hidden or place.suffix != suffix:
                continue
            if place.name in names:
                raise _corrupt(archive, f"it holds {_named(place.name)} twice")
            names.add(place.name)
            # Only the last part of the name is used, and only content is written: no member can
            # reach outside, and a link becomes a file. Reading compares zip's own checksum, and
            # stops at the size that was counted above.
            with members.open(member) as source, open(staging / place.name, "wb") as target:
                shutil.copyfileobj(source, target)
    if not names:
        raise _corrupt(archive, f"it holds no {suffix} files")


def _corrupt(archive: Path, why: str) -> CorruptFile:
    return CorruptFile(f"{archive} is not the archive that it should be ({why}); delete it")
