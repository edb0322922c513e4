"""Splits of photographs that show one lesion several times, and what leaks between them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparsight.data.draws import SPLIT_ORDER, stratified_order
from sparsight.data.settings import number_of
from sparsight.io.errors import InputError

Positions = NDArray[np.int64]


def lesion_splits(
    labels: NDArray[np.int64],
    lesions: Sequence[str],
    seed: int,
    test: float | int,
    validation: float | int,
) -> dict[str, Positions]:
    """Splits in which all photographs of a lesion are together.

    Of each class, lesions are drawn until the class's share of photographs is reached as nearly as
    whole lesions allow, first for the test, then for validation. So the splits are stratified, and
    the numbers are met to within a few photographs.

    Parameters
    ----------
    labels : int64 [N], by which the splits are stratified. A lesion has the label of its first
        photograph.
    lesions : the lesion of each photograph.
    seed : of the draw. Another `validation` keeps the test images.
    test, validation : shares of N (below 1) or numbers of photographs; 0 for none.

    Returns
    -------
    `train`, `validation` and `test`: int64 positions, ascending.

    Raises
    ------
    InputError
        When one of the sides is left without photographs.
    """
    _, first, member = np.unique(np.asarray(lesions), return_index=True, return_inverse=True)
    sizes = np.bincount(member)
    classes = labels[first]
    order = stratified_order(classes, seed, SPLIT_ORDER)
    shares = [number_of(wanted, len(labels)) / len(labels) for wanted in (test, validation)]
    side = np.zeros(len(first), np.int64)
    for label in np.unique(classes):
        drawn = order[classes[order] == label]
        # Photographs in the first k lesions of the class, k = 0, 1, …
        counted = np.concatenate([[0], np.cumsum(sizes[drawn])])
        stop = 0
        for place, share in enumerate(np.cumsum(shares)):
            start, stop = stop, int(np.argmin(np.abs(counted - share * counted[-1])))
            side[drawn[start:stop]] = place + 1
    parts = {
        name: np.flatnonzero(side[member] == place)
        for name, place in (("train", 0), ("validation", 2), ("test", 1))
    }
    for name, wanted in (("train", 1), ("validation", validation), ("test", test)):
        if wanted and not len(parts[name]):
            raise InputError(
                f"'split' leaves no images for '{name}'; choose shares or numbers that leave "
                "images on all sides"
            )
    return parts


def shared_lesions(lesions: Sequence[str], train: Positions, test: Positions) -> float:
    """The leak: share of test photographs whose lesion is also in the training split.

    Parameters
    ----------
    lesions : the lesion of each photograph.
    train, test : int64 positions into `lesions`.

    Returns
    -------
    0..1; NaN without test photographs.
    """
    names = np.asarray(lesions)
    if not len(test):
        return float("nan")
    return float(np.isin(names[test], names[train]).mean())
