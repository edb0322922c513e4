"""One writer at a time in a folder that several working folders share."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sparsight.io.errors import InputError

_LOG = logging.getLogger(__name__)


@contextmanager
def folder_lock(folder: Path) -> Iterator[bool]:
    """Hold the lock of `folder`, the file `.NAME.lock` beside it, while the block runs.

    Snakemake locks its own working folder only. The lock is one of the operating system's
    (`flock`): it is gone with the process, however that ends, and the file stays. On NFS it holds
    between machines where the server's locks are not switched off (`nolock`, `local_lock`).

    Yields
    ------
    Whether another process had the lock at first, and so may have done what is to be done.

    Raises
    ------
    InputError
        When the file cannot be made or locked.
    """
    path = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        waited = False
        try:
            lock.acquire(blocking=False)
        except Timeout:
            _LOG.info("%s is held by another process; waiting for it", path)
            waited = True
            lock.acquire()
    except OSError as error:
        raise InputError(
            f"{path} cannot be locked ({error.strerror}); make its folder writable, or take "
            "another 'data_folder'"
        ) from error
    try:
        yield waited
    finally:
        lock.release()
