"""Original files from a list of mirrors, verified by checksum; and unpacking of archives.

A checksum is a SHA-256 in hexadecimal digits; where an archive publishes no other, `md5:` and the
digits of its MD5, which guards against damage but not against malice. So files come over HTTPS
alone, redirections included; plain HTTP is for a mirror on this machine. Archives are unpacked only
after they were verified: no archive but the one that was named when the checksum was written down.
"""

import contextlib
import hashlib
import ipaddress
import logging
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from sparsight.data.location import find_archive
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import atomic_path

if TYPE_CHECKING:
    from requests import Response


_LOG = logging.getLogger(__name__)
#: seconds that a mirror may stay silent
TIMEOUT = 30.0


def _mismatch(path: Path, checksum: str) -> str:
    """How a file differs from its checksum, or from the first digits of it; empty where not."""
    kind, _, wanted = checksum.rpartition(":")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, kind or "sha256").hexdigest()
    if found.startswith(wanted):
        return ""
    return f"{'MD5' if kind else 'SHA-256'} {found[:12]}… instead of {wanted[:12]}…"


def verify_files(folder: Path, checksums: Mapping[str, str]) -> None:
    """Compare the files of a folder with their checksums, or with the first digits of these.

    Raises
    ------
    InputError
        When a file is missing or cannot be read.
    CorruptFile
        When a file does not match; it is left as it is, for the user to look at.
    """
    for name, checksum in checksums.items():
        path = folder / name
        try:
            difference = _mismatch(path, checksum)
        except FileNotFoundError as error:
            raise InputError(f"{path} does not exist; fetch the data set again") from error
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
        if difference:
            raise CorruptFile(
                f"{path} does not match its checksum ({difference}); delete it and fetch the data "
                "set again"
            )


def fetch_files(
    folder: Path,
    checksums: Mapping[str, str],
    mirrors: Sequence[str],
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
    numbers : file name to its number in a Dataverse, for mirrors that are one: their address ends
        in `/datafile/`, and files are asked for by number there.
    remedy : what else than putting the file there can be done when no mirror serves, for the error.

    Raises
    ------
    InputError
        When no mirror gives a file that matches its checksum, with the reason for each mirror.
        Nothing half-written is left, and no folder that was not there before.
    CorruptFile
        When a file that lies there already does not match its checksum.
    """
    verify_files(folder, {name: one for name, one in checksums.items() if (folder / name).exists()})
    new_folder = not folder.exists()
    try:
        for name, checksum in checksums.items():
            if not (folder / name).exists():
                number = (numbers or {}).get(name)
                _fetch_file(folder / name, checksum, mirrors, number, remedy)
    except InputError:
        if new_folder:
            # Only when empty: files that arrived whole before the failure are kept.
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _fetch_file(
    path: Path, checksum: str, mirrors: Sequence[str], number: str | None, remedy: str
) -> None:
    reasons = []
    for mirror in mirrors:
        base = mirror.rstrip("/")
        is_dataverse = number is not None and base.endswith("/datafile")
        address = f"{base}/{number if is_dataverse else path.name}"
        reason = _try_address(path, checksum, address) if is_private(base) else "no https address"
        if not reason:
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


def _try_address(path: Path, checksum: str, address: str) -> str:
    """Download one file; empty when it is in place, else why this address did not serve."""
    # Imported here: most jobs never download, and pooch with requests costs half a second.
    import pooch
    import requests

    # Without this header a server may pack the file again, and requests would unpack it
    # down to something that no longer matches the checksum.
    download = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        timeout=TIMEOUT,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": _refuse_open_ways},
    )
    _LOG.info("fetching %s", address)
    try:
        with atomic_path(path) as temporary:
            download(address, str(temporary), None)
            if difference := _mismatch(temporary, checksum):
                raise _ContentError(f"wrong checksum, {difference}")
    except _ContentError as error:
        return str(error)
    except requests.RequestException as error:
        if error.response is not None:
            return f"HTTP {error.response.status_code}"
        unreachable = isinstance(error, requests.ConnectionError)
        return "no connection" if unreachable else type(error).__name__
    except OSError as error:
        # Not the mirror's fault: no space, or no right to write.
        raise InputError(
            f"{path} cannot be written ({error.strerror}); make room there or take another folder"
        ) from error
    return ""


class _ContentError(Exception):
    """What came is not the file."""


def fetch_archive(
    name: str,
    place: Path,
    folder: Path,
    checksum: str,
    mirrors: Sequence[str],
    number: str | None = None,
    **options: Any,
) -> None:
    """Fetch and verify an archive, unpack it into `folder`, and delete it unless it was there.

    An archive in the folder `place` or in `$SPARSIGHT_DATA` is used; `number` is that of the file
    in a Dataverse. A zip archive goes through `extract_flat`, another one through `extract_folder`,
    with `options`.
    """
    archive = find_archive(name, place)
    was_there = archive.exists()
    numbers = {} if number is None else {name: number}
    fetch_files(archive.parent, {name: checksum}, mirrors, numbers=numbers)
    extract = extract_flat if archive.suffix == ".zip" else extract_folder
    extract(archive, folder, **options)
    if not was_there:
        archive.unlink()


def extract_folder(archive: Path, folder: Path, beside: Sequence[str] = ()) -> None:
    """Unpack a verified, gzipped tar archive whose files lie in one folder.

    `folder`, where its folder of the same name goes, appears when it is complete; it may exist as
    an empty one. Files named in `beside` lie outside of it there, and are moved into it. Damage is
    a `CorruptFile`, a full disk an `InputError`.
    """
    with _staging(archive, folder) as staging:
        with tarfile.open(archive, "r:gz") as tar:
            # What macOS adds for each file is left out; the filter refuses what leads outside.
            wanted = (one for one in tar if not PurePosixPath(one.name).name.startswith("._"))
            tar.extractall(staging, wanted, filter="data")
        if not (staging / folder.name).is_dir():
            raise _corrupt(archive, f"it holds no folder {folder.name}")
        for name in beside:
            with contextlib.suppress(FileNotFoundError):
                (staging / name).replace(staging / folder.name / name)
        _put(staging / folder.name, folder)


def extract_flat(archive: Path, folder: Path, suffix: str) -> None:
    """Unpack the files of one kind in a verified zip archive into one folder, whatever their own.

    `folder` appears when it is complete. Files that do not end in `suffix` are left out, and so is
    what macOS adds. Damage, no such file or one name twice are a `CorruptFile`, a full disk an
    `InputError`.
    """
    with _staging(archive, folder) as staging, zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            place = PurePosixPath(member.filename)
            hidden = place.name.startswith(".") or "__MACOSX" in place.parts
            if member.is_dir() or hidden or place.suffix != suffix:
                continue
            if (staging / place.name).exists():
                raise _corrupt(archive, f"it holds {place.name!a} twice")
            with members.open(member) as source, open(staging / place.name, "wb") as target:
                shutil.copyfileobj(source, target)
        if not any(staging.iterdir()):
            raise _corrupt(archive, f"it holds no {suffix} files")
        _put(staging, folder)


@contextlib.contextmanager
def _staging(archive: Path, folder: Path) -> Iterator[Path]:
    """A folder next to `folder` to unpack into, removed at the end; damage is a `CorruptFile`.

    A folder has one writer at a time (`sparsight.data.packing.folder_lock`), so what lies there was
    left by a process that was killed.
    """
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    _LOG.info("unpacking %s", archive)
    try:
        staging.mkdir(parents=True)
        yield staging
    except InputError:
        raise
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, ValueError) as error:
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


def _put(complete: Path, folder: Path) -> None:
    """Give a complete folder its name, which an empty one may have."""
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()
    complete.replace(folder)


def _corrupt(archive: Path, why: str) -> CorruptFile:
    return CorruptFile(f"{archive} is not the archive that it should be ({why}); delete it")
