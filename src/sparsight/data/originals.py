"""Which original files there were when a data set was fetched, and whether they have changed.

Their contents are not read: names, sizes and times are enough to notice a file that was repaired
under its own name, and cost a tenth of a second for the 13,395 files of ImageNette.

Light on purpose: the workflow asks before any job starts, when importing numpy would cost time.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

#: folder to `count`, `sha256` and `newest`, see `folder_state`
States = dict[str, dict[str, Any]]


def folder_state(folder: Path) -> dict[str, Any]:
    """Which files lie in a folder and below it; what links lead to counts too.

    Returns
    -------
    `count`; `sha256` over their paths below `folder` and their sizes in bytes, which does not
    depend on the order in which they lie there; and `newest`, the latest time of a change in
    nanoseconds since 1970, 0 without files.
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
