"""Unpacking an archive of original files: only its own plain files, all of them or none."""

import contextlib
import logging
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from sparsight.io.errors import CorruptFile, InputError

_LOG = logging.getLogger(__name__)
# Archives are filled up to a multiple of 10 KiB, or of a little more.
PADDING = 2**20


def extract_folder(archive: Path, folder: Path, largest: int, most_files: int) -> None:
    """Unpack a gzipped tar archive whose files all lie in one folder.

    Parameters
    ----------
    archive : the archive, verified before: see `sparsight.data.download`.
    folder : where its folder of the same name goes. It appears when it is complete; nothing else
        is left behind. It may exist as an empty folder.
    largest : bytes that the files may have together.
    most_files : number of files and folders that it may hold.

    Raises
    ------
    CorruptFile
        When it is damaged; when it holds anything but plain files and folders below its folder; or
        when it is larger than it can be.
    InputError
        When there is no room for the files, or no right to write them.
    """
    staging = folder.with_name(f".{folder.name}.partial")
    # What a killed extraction left; a folder has one writer at a time (Snakemake's lock).
    shutil.rmtree(staging, ignore_errors=True)
    _LOG.info("unpacking %s", archive)
    try:
        staging.mkdir(parents=True)
        _extract(archive, staging, folder.name, largest, most_files)
        if not (staging / folder.name).is_dir():
            raise _corrupt(archive, f"it holds no folder {folder.name}")
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
        (staging / folder.name).replace(folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _corrupt(archive, f"it cannot be unpacked, {type(error).__name__}") from error
    except OSError as error:
        # gzip.BadGzipFile is an OSError without a number.
        if error.errno is None:
            raise _corrupt(archive, "it cannot be unpacked") from error
        raise InputError(
            f"{folder} cannot be written ({error.strerror}); make room there or take another folder"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extract(archive: Path, staging: Path, name: str, largest: int, most_files: int) -> None:
    total = 0
    with tarfile.open(archive, "r:gz") as tar:
        for count, member in enumerate(tar):
            place = PurePosixPath(member.name)
            if place.is_absolute() or ".." in place.parts or place.parts[:1] != (name,):
                raise _corrupt(archive, f"its member {member.name!r} lies outside {name}")
            if not (member.isreg() or member.isdir()):
                raise _corrupt(archive, f"its member {member.name!r} is no plain file")
            total += member.size
            if total > largest or count >= most_files:
                raise _corrupt(
                    archive, f"it holds more than {most_files} files or {largest // 2**20} MiB"
                )
            # The filter refuses once more what was refused above, and sets safe permissions.
            tar.extract(member, staging, filter="data")
        # Reading up to the end, a little padding, is what compares gzip's own checksum.
        assert tar.fileobj is not None
        if len(tar.fileobj.read(PADDING + 1)) > PADDING:
            raise _corrupt(archive, "it goes on after its end")


def _corrupt(archive: Path, why: str) -> CorruptFile:
    return CorruptFile(f"{archive} is not the archive that it should be ({why}); delete it")
