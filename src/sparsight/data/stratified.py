"""Stratified splits of images that have no official ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparsight.data.draws import SPLIT_ORDER, stratified_order
from sparsight.data.settings import number_of
from sparsight.io.errors import InputError

Positions = NDArray[np.int64]


def stratified_splits(
    labels: NDArray[np.int64], seed: int, test: float | int, validation: float | int
) -> dict[str, Positions]:
    """Draw test images, then validation images from what is left; the rest is for training.

    Parameters
    ----------
    labels : int64 [N], by which the splits are stratified.
    seed : of the draw. Another `validation` keeps the test images.
    test, validation : shares of N (below 1) or numbers of images; 0 for none.

    Returns
    -------
    `train`, `validation` and `test`: int64 positions into `labels`, ascending.

    Raises
    ------
    InputError
        When a share or number leaves no images on one of the sides.
    """
    order = stratified_order(labels, seed, SPLIT_ORDER)
    tested, chosen = number_of(test, len(labels)), number_of(validation, len(labels))
    for key, wanted, count in (("test", test, tested), ("validation", validation, chosen)):
        if (wanted and not count) or count >= len(labels) - (tested if key != "test" else 0):
            raise InputError(
                f"'split: {key}: {wanted}' sets aside {count} of {len(labels)} images; choose a "
                "share or number that leaves images on both sides"
            )
    parts = {
        "train": order[tested + chosen :],
        "validation": order[tested : tested + chosen],
        "test": order[:tested],
    }
    return {name: np.sort(positions) for name, positions in parts.items()}


def refuse_empty_classes(
    source: str, split: str, labels: NDArray[np.int64], classes: Sequence[str]
) -> None:
    """Refuse a split in which a class has no images.

    Raises
    ------
    InputError
        One sentence that names the source, the split and the class.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        missing = classes[int(np.argmin(counts))]
        raise InputError(
            f"{source}: the class '{missing}' has no images in the split '{split}'; add images of "
            "it, or choose another split"
        )
