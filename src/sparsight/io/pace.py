"""A line in a job's log every so often, in loops that can take minutes."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
#: seconds between two lines
EVERY = 30.0


def followed(
    items: Iterable[Item],
    what: str,
    total: int | None = None,
    every: float = EVERY,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Item]:
    """The items, and how many are done logged at most once in `every` seconds.

    A loop that takes less logs nothing. Making an item counts as much as what is done with it.

    Parameters
    ----------
    what : the items in the plural ("batches explained").
    total : how many there are, for the time left; None where nobody knows.
    clock : seconds that do not go back.
    """
    begun = last = clock()
    for done, item in enumerate(items, start=1):
        yield item
        now = clock()
        if now - last < every or done == total:
            continue
        last = now
        spent = now - begun
        if total is None:
            logger.info("%d %s, %.0f s", done, what, spent)
        else:
            left = spent / done * (total - done)
            logger.info("%d of %d %s, %.0f s, left %.0f s", done, total, what, spent, left)
