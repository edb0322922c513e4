"""Original files from a list of mirrors, verified by checksum; and unpacking of archives.

A checksum is a SHA-256 in hexadecimal digits; where an archive publishes no other, `md5:` and the
digits of its MD5, which guards against damage but not against malice. So files come over HTTPS
alone, redirections included; plain HTTP is for a mirror on this machine, where nobody listens in.
"""

import contextlib
import errno
import gzip
import hashlib
import ipaddress
import logging
import lzma
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from sparsight.data.location import is_below
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import atomic_path

if TYPE_CHECKING:
    from requests import Response


_LOG = logging.getLogger(__name__)


def _digits(path: Path, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _kind(checksum: str) -> tuple[str, str, str]:
    """hashlib's name of the algorithm, its written name, and the digits."""
    if checksum.startswith("md5:"):
        return "md5", "MD5", checksum.removeprefix("md5:")
    return "sha256", "SHA-256", checksum


def verify_files(folder: Path, checksums: Mapping[str, str]) -> None:
    """Hold the files of a folder against their checksums.

    Parameters
    ----------
    folder : where they lie.
    checksums : file name to checksum, or to its first digits where no more is known.

    Raises
    ------
    InputError
        When a file is missing or cannot be read.
    CorruptFile
        When a file does not match; it is left as it is, for the user to look at.
    """
    for name, checksum in checksums.items():
        path = folder / name
        algorithm, written, wanted = _kind(checksum)
        try:
            found = _digits(path, algorithm)
        except FileNotFoundError as error:
            raise InputError(f"{path} does not exist; fetch the data set again") from error
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
        if not found.startswith(wanted):
            raise CorruptFile(
                f"{path} does not match its checksum ({written} {found[:12]}… instead of "
                f"{wanted[:12]}…); delete it and fetch the data set again"
            )


def fetch_files(
    folder: Path,
    checksums: Mapping[str, str],
    mirrors: Sequence[str],
    timeout: float = 30.0,
    numbers: Mapping[str, str] | None = None,
    remedy: str = "or name another mirror under 'mirrors'",
) -> None:
    """Make sure that verified files lie in `folder`; only what is missing is downloaded.

    Parameters
    ----------
    folder : where they shall lie; made when something is downloaded.
    checksums : file name to checksum, or to its first digits where no more is known.
    mirrors : addresses (https) of folders that hold these files; each file is tried at one after
        the other.
    timeout : seconds that a mirror may stay silent.
    numbers : file name to its number in a Dataverse, for mirrors that are one: their address ends
        in `/datafile/`, and files are asked for by number there.
    remedy : what else than putting the file there can be done when no mirror serves, for the error.

    Raises
    ------
    InputError
        When no mirror gives a file that matches its checksum; the sentence lists every mirror with
        its reason. Nothing half-written is left, and no folder that was not there before.
    CorruptFile
        When a file that lies there already does not match its checksum.
    """
    present = {name: checksum for name, checksum in checksums.items() if (folder / name).exists()}
    verify_files(folder, present)
    missing = {name: checksum for name, checksum in checksums.items() if name not in present}
    new_folder = not folder.exists()
    try:
        for name, checksum in missing.items():
            number = (numbers or {}).get(name)
            _fetch_file(folder / name, checksum, mirrors, timeout, number, remedy)
    except InputError:
        if new_folder:
            # Only when empty: files that arrived whole before the failure are kept.
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _fetch_file(
    path: Path,
    checksum: str,
    mirrors: Sequence[str],
    timeout: float,
    number: str | None,
    remedy: str,
) -> None:
    reasons = []
    for mirror in mirrors:
        base = mirror.rstrip("/")
        if not is_private(base):
            reasons.append(f"{mirror} (no https address)")
            continue
        is_dataverse = number is not None and base.endswith("/datafile")
        address = f"{base}/{number if is_dataverse else path.name}"
        reason = _try_mirror(path, checksum, address, timeout)
        if reason is None:
            return
        _LOG.warning("%s: %s", address, reason)
        reasons.append(f"{mirror} ({reason})")
    raise InputError(
        f"{path.name} could not be fetched from any mirror: {', '.join(reasons) or 'none is named'}"
        f"; put the file into {path.parent} yourself, {remedy}"
    )


def is_private(address: str) -> bool:
    """Whether nobody between can read or change what comes from an address.

    True for `https`, and for `http` from this machine itself (`localhost`, 127.0.0.0/8, ::1).
    """
    try:
        parts = urlsplit(address)
        if parts.scheme == "http" and parts.hostname:
            host = parts.hostname
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        # no address at all, or a name where only a number would do
        return False
    return parts.scheme == "https" and bool(parts.hostname)


def _refuse_open_ways(response: "Response", **_: Any) -> None:
    """Called with each answer before a redirection is followed."""
    target = response.headers.get("Location") if response.is_redirect else None
    if target is not None and not is_private(urljoin(response.url, target)):
        raise _ContentError("it leads to an address without https")


def _try_mirror(path: Path, checksum: str, address: str, timeout: float) -> str | None:
    """Download one file; None when it is in place, else why this mirror did not serve."""
    # Imported here: most jobs never download, and pooch with requests costs half a second.
    import pooch
    import requests

    # Without this header a server may pack the file once more, and requests would unpack it
    # down to something that no longer matches the checksum.
    download = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        timeout=timeout,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": _refuse_open_ways},
    )
    _LOG.info("fetching %s", address)
    try:
        with atomic_path(path) as temporary:
            download(address, str(temporary), None)
            algorithm, written, wanted = _kind(checksum)
            found = _digits(temporary, algorithm)
            if not found.startswith(wanted):
                raise _ContentError(f"wrong checksum, {written} {found[:12]}…")
    except _ContentError as error:
        return str(error)
    except requests.HTTPError as error:
        return "no such file" if error.response is None else f"HTTP {error.response.status_code}"
    except requests.Timeout:
        return f"no answer within {timeout:g} s"
    except requests.ConnectionError:
        return "no connection"
    except requests.RequestException as error:
        return type(error).__name__
    except OSError as error:
        # Not the mirror's fault: no space, or no right to write.
        raise InputError(
            f"{path} cannot be written ({error.strerror}); make room there or take another folder"
        ) from error
    return None


class _ContentError(Exception):
    """What came is not the file."""


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
