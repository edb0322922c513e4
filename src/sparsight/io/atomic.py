"""Files appear whole or not at all: temporary name, fsync, rename."""

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Names of temporary files: what goes before, the process, the suffix. It stays last: libraries
#: such as matplotlib choose the format by it.
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.\d+\.partial(?P<suffix>(?:\.[^.]+)?)")


def is_temporary(name: str) -> bool:
    """Whether a file of this name is being written, or was left by a job that was killed."""
    return _TEMPORARY.fullmatch(name) is not None


@contextmanager
def atomic_path(path: Path | str, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    Parameters
    ----------
    path : where the finished file shall be; parent folders are made.
    durable : flush to the disk before the rename. Without it the file still never appears half
        written to another process, but may be lost with the power.

    Raises
    ------
    Whatever the block raises; the temporary file is then removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    # What a killed job left behind; a path has one writer at a time (Snakemake's lock).
    # No glob: for `a.csv` it would also find what another job is writing as `a.b.csv`.
    for other in path.parent.iterdir():
        found = _TEMPORARY.fullmatch(other.name)
        if found and (found["stem"], found["suffix"]) == (path.stem, path.suffix):
            other.unlink(missing_ok=True)
    try:
        yield temporary
        if durable:
            _flush(temporary)
        temporary.replace(path)
        if durable:
            _flush(path.parent)
    except OSError as error:
        # a full disk does not say which file it was that did not fit
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, content: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write JSON atomically: sorted keys, two spaces, a final newline; NaN is refused."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")
