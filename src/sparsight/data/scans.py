"""What only the user's own files tell (size, classes, splits): found once, and kept.

The workflow asks for it in every process before any job starts, and looks at the files only when
it plans: a scan lies next to the manifests, with the state of the files that it is of, and jobs
take it without a look where it is the one of their plan. Neither numpy nor torch is imported here.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sparsight.io.errors import InputError
from sparsight.io.files import write_json

#: The workflow keeps here which scans it compared with their files, for the jobs that it starts.
SCANNED_VARIABLE = "SPARSIGHT_SCANNED"
#: below the data folder
FOLDER = "fetched/scans"
Scan = dict[str, Any]


class FilesGone(InputError):
    """The user's own files are not there (any more)."""


# Of this process, by key.
_known: dict[str, Scan] = {}


def key_of(name: str, options: Mapping[str, Any]) -> str:
    """Name of a scan: another one for every source, version and option."""
    text = json.dumps([name, options], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def state_of(paths: Iterable[Path], *more: str) -> str:
    """SHA-256 of names, sizes and times of change of files, and of further texts.

    A file that is missing has neither size nor time.
    """
    found: list[Any] = [*more]
    for path in paths:
        try:
            state = path.stat()
        except (OSError, ValueError):
            found.append([str(path)])
        else:
            found.append([str(path), state.st_size, state.st_mtime_ns])
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def find_scan(
    key: str,
    folder: str,
    state: Callable[[], str],
    scan: Callable[[], Scan],
    look: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Scan:
    """What `scan` gives, and the `state` of the files then; kept from an earlier time where it can.

    Parameters
    ----------
    key : as `key_of` gives it.
    folder : where scans are kept; empty for nowhere.
    state : the files' state now, as `state_of` gives it. Where it raises `FilesGone`, what was
        kept holds: images that were packed need not stay.
    scan : looks at all files.
    look : compare with the files as they are now, whatever is known.
    """
    if not look and key in _known:
        return _known[key]
    kept = _known.get(key) or _read(folder, key)
    if look or kept is None or kept["state"] != planned_state(key, environ):
        try:
            now = state()
        except FilesGone:
            if kept is None or look:
                raise
            now = kept["state"]
        if kept is None or kept["state"] != now:
            kept = {**scan(), "state": now}
            keep_scan(key, folder, kept)
    _known[key] = kept
    return kept


def keep_scan(key: str, folder: str, scan: Scan) -> None:
    """Keep a scan for this process, and in the folder for others."""
    _known[key] = scan
    if folder:
        # Whoever cannot keep it looks again.
        with contextlib.suppress(OSError):
            write_json(Path(folder) / f"{key}.json", scan)


def _read(folder: str, key: str) -> Scan | None:
    if not folder:
        return None
    try:
        scan: Scan = json.loads((Path(folder) / f"{key}.json").read_text(encoding="utf-8"))
        return scan if isinstance(scan["state"], str) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def planned_state(key: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The state of the files when the run was planned; None outside of a run."""
    state: str | None = json.loads(environ.get(SCANNED_VARIABLE, "{}")).get(key)
    return state


def scans_text() -> str:
    """What the workflow writes into `SPARSIGHT_SCANNED`: the scans that it has looked at."""
    return json.dumps({key: scan["state"] for key, scan in _known.items()})
