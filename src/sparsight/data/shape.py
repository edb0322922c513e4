"""The shape of a data set's images, from its source's facts and its options alone.

Light on purpose: the workflow asks before any job starts, when importing numpy or torch would
cost seconds.
"""

from collections.abc import Mapping
from typing import Any

from sparsight.data.settings import whole_number

LARGEST_SIDE = 4096


def image_shape(facts: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[int, int, int]:
    """(C, H, W) of the images that a source gives under these options.

    Parameters
    ----------
    facts : the literal facts of a source (see `sparsight.data.base.Source`): `image_shape`; and,
        when its images are square with a side that is an option, `side_parameter`, the name of
        that option, with its default in `parameters`.
    options : the data set's own options; others are ignored.

    Raises
    ------
    InputError
        When the side is not a whole number from 1 to 4096.
    """
    channels, height, width = facts["image_shape"]
    name = facts.get("side_parameter", "")
    if not name:
        return int(channels), int(height), int(width)
    side = whole_number(options.get(name, facts["parameters"][name]), name, 1, LARGEST_SIDE)
    return int(channels), side, side
