"""Where the original files of a data set lie on this machine, and whether they have changed.

The workflow imports this module before any job starts: it imports neither numpy nor torch.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sparsight.io.errors import InputError
from sparsight.io.files import expand_path

DATA_VARIABLE = "SPARSIGHT_DATA"
# What file systems take, and several times what the names of any data set here have.
LONGEST_NAME = 255


def is_below(name: str) -> bool:
    """Whether a path that a file gives stays below the folder that it is meant for."""
    place = PurePosixPath(name)
    return not place.is_absolute() and ".." not in place.parts and "\0" not in name


def can_be_file(name: str) -> bool:
    """Whether a path that a table gives can be that of a file below the table's folder."""
    return name.strip("/.") != "" and len(os.fsencode(name)) <= LONGEST_NAME and is_below(name)


def has_files(folder: Path) -> bool:
    """Whether there is such a folder with something in it."""
    return folder.is_dir() and any(folder.iterdir())


def find_folder(
    folder_name: str,
    data_dir: Path | str = "data",
    environ: Mapping[str, str] = os.environ,
    other_names: Sequence[str] = (),
) -> Path | None:
    """The folder with the original files, or None where there is none yet.

    Parameters
    ----------
    folder_name : name of the archive's own folder (`mnist`, `CUB_200_2011`).
    data_dir : the workflow's data folder, which goes first; `$SPARSIGHT_DATA` goes second.
    other_names : where other tools put the same files (`MNIST/raw`); they are looked for after
        `folder_name` in each of the two places.

    Returns
    -------
    The first that is a folder with something in it. Where it holds one folder only, of its own
    name, which is how many programs unpack an archive, that folder.
    """
    for place in places(data_dir, environ):
        for name in (folder_name, *other_names):
            candidate = place / name
            if has_files(candidate):
                return _unwrapped(candidate)
    return None


def find_archive(name: str, beside: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The archive `name` in the folder `beside`, or in `$SPARSIGHT_DATA` when only that has it.

    Where neither has it, the path in `beside`, where a download goes.
    """
    candidates = [place / name for place in places(beside, environ)]
    return next((path for path in candidates if path.is_file()), candidates[0])


def places(first: Path | str, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The folders in which data are looked for: `first`, and `$SPARSIGHT_DATA` where it is set."""
    shared = shared_folder(environ)
    return [Path(first)] if shared is None else [Path(first), shared]


def shared_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """`$SPARSIGHT_DATA` with `~` and variables replaced; None where it is not set."""
    given = environ.get(DATA_VARIABLE)
    if not given:
        return None
    return Path(expand_path(given, f"the environment variable {DATA_VARIABLE}", environ))


def check_shared_folder(environ: Mapping[str, str] = os.environ) -> None:
    """Refuse a `$SPARSIGHT_DATA` that is no folder, before any job starts.

    Jobs do not ask: one that runs in a container may need nothing of what is not mounted there.
    """
    shared = shared_folder(environ)
    if shared is not None and not shared.is_dir():
        what = "a file" if shared.exists() else "a folder that does not exist"
        raise InputError(
            f"the environment variable {DATA_VARIABLE} names {shared}, {what}; point it at "
            "the folder with the original data, or unset it"
        )


def _unwrapped(folder: Path) -> Path:
    inner = folder / folder.name
    there = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    return inner if [path for path in there if path.is_dir()] == [inner] else folder


def raw_folder(
    folder_name: str,
    data_dir: Path | str = "data",
    environ: Mapping[str, str] = os.environ,
    other_names: Sequence[str] = (),
) -> Path:
    """`find_folder`, or where a download shall go: `data_dir/folder_name`."""
    found = find_folder(folder_name, data_dir, environ, other_names)
    return found or Path(data_dir) / folder_name


#: folder to `count`, `sha256` and `newest`, see `folder_state`
States = dict[str, dict[str, Any]]


def folder_state(folder: Path) -> dict[str, Any]:
    """Which files lie in a folder and below it; what links lead to counts too.

    Returns
    -------
    `count`; `sha256` over their paths below `folder` and their sizes in bytes; and `newest`, the
    latest time of a change in nanoseconds since 1970, 0 without files. Contents are not read: that
    is enough to notice a repaired file, and costs a tenth of a second for ImageNette.
    """
    found, newest = [], 0
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(place, name)
            if path.is_file():
                state = path.stat()
                found.append([path.relative_to(folder).as_posix(), state.st_size])
                newest = max(newest, state.st_mtime_ns)
    digest = hashlib.sha256(json.dumps(sorted(found)).encode())
    return {"count": len(found), "sha256": digest.hexdigest(), "newest": newest}


def folder_states(folders: Iterable[Path]) -> States:
    """`folder_state` of each folder that exists, by its path."""
    return {str(folder): folder_state(folder) for folder in folders if folder.is_dir()}


def same_names(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two states have the same names and sizes, whenever the files were written."""
    return all(first.get(key) == second.get(key) for key in ("count", "sha256"))


def changed_since(manifest: Path | str) -> list[str]:
    """The folders of which files have changed since `fetch_dataset` wrote the manifest.

    A folder that is gone has not changed: what was packed from it stays. A manifest that cannot be
    read is not this function's business: the job that reads it says so.
    """
    try:
        states = json.loads(Path(manifest).read_text(encoding="utf-8"))["files"]
        return [
            folder
            for folder, state in states.items()
            if Path(folder).is_dir() and folder_state(Path(folder)) != state
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
