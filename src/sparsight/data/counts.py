"""How many test images a source has, from its facts and its options alone. Light: see `shape`."""

from collections.abc import Mapping
from typing import Any


def stated_test_images(facts: Mapping[str, Any], options: Mapping[str, Any]) -> int:
    """Images of the test split of a source whose `varying` does not hold `test_images`.

    Parameters
    ----------
    facts : the literal facts of the source; `test_images` is used.
    options : a source whose test split has no fixed size takes it as `split: test` or as
        `test_images`.
    """
    given = options.get("split", {}).get("test") or options.get("test_images")
    # A word, `all`, and what is no number at all: the source itself refuses that.
    return given if isinstance(given, int) else int(facts["test_images"])
