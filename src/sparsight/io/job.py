"""The frame of every job: its log, progress in it, and an error message instead of a traceback."""

import errno
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TypeVar

from sparsight.io.errors import InputError

#: no space on the disk, or none of the user's share of it
FULL = (errno.ENOSPC, errno.EDQUOT)
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def _exit(message: str) -> NoReturn:
    """Print an error message and leave with exit status 1.

    `sys.exit(message)` writes the text and its end of line apart, and jobs that fail at the same
    time share one console.
    """
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    sys.exit(1)


@contextmanager
def job(log: Path | str) -> Iterator[None]:
    """Log into `log` while the block runs; leave with exit status 1 and a message on bad input.

    A full disk has a message too. Other exceptions are logged with their traceback and raised.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter(LOG_FORMAT, "%Y-%m-%d %H:%M:%S"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    started = time.perf_counter()
    try:
        yield
        logging.info("done in %.1f s", time.perf_counter() - started)
    except InputError as error:
        logging.error("%s", error)
        _exit(str(error))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            message = f"no space is left on the disk for {error.filename}; make room and run again"
            logging.error(message)
            _exit(message)
        logging.exception("the job failed")
        raise
    finally:
        root.removeHandler(handler)
        # Somebody may take warnings over in the meantime, as pytest does.
        logging.captureWarnings(False)
        # where the log's own disk is full, that is not the news
        with suppress(OSError):
            handler.close()


logger = logging.getLogger(__name__)
Item = TypeVar("Item")
#: seconds between two lines
EVERY = 30.0


def log_progress(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The items, of which there are `total`; logs how many are done, every 30 seconds at most.

    `what` names the items in the plural ("batches explained"). A loop that takes less logs nothing.
    """
    begun = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= EVERY and done != total:
            last, spent = now, now - begun
            left = spent / done * (total - done)
            logger.info("%d of %d %s, %.0f s, left %.0f s", done, total, what, spent, left)
