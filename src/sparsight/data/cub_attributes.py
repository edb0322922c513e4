"""Concepts of birds: which attributes a class has, and which of them are kept.

The annotations are noisy, so both ways of the literature work by class: every image of a class has
the same concepts, and only attributes of at least ten classes are kept.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsight.data.cub_tables import Bird, keyed_rows, table_rows
from sparsight.io.errors import InputError

MAJORITY = 50.0
FEWEST_CLASSES = 10
NOT_VISIBLE = 1
Present = NDArray[np.bool_]


def attribute_names(folder: Path, count: int) -> list[str]:
    """Names such as `has_bill_shape::dagger`, in the order of their ids.

    The archive has `attributes.txt` beside its folder; it is looked for in the folder,
    in `attributes/` and beside.

    Raises
    ------
    InputError
        When it is nowhere, or has not `count` names.
    """
    places = (folder, folder / "attributes", folder.parent)
    path = next((p / "attributes.txt" for p in places if (p / "attributes.txt").is_file()), None)
    if path is None:
        raise InputError(
            f"attributes.txt is neither in {folder} nor beside it; put the archive's own file there"
        )
    names = keyed_rows(path, (int, str))
    if sorted(names) != list(range(1, count + 1)):
        raise InputError(f"{path} does not name {count} attributes; put the original file there")
    return [names[key] for key in sorted(names)]


def class_majority(folder: Path, classes: int, attributes: int) -> Present:
    """Which attributes more than half of a class's annotations see.

    Parameters
    ----------
    folder : the archive's folder; `attributes/class_attribute_labels_continuous.txt` has a line of
        percentages for each class, whatever images are there.
    classes, attributes : how many there are.

    Returns
    -------
    bool [classes, attributes].

    Raises
    ------
    InputError
        When the file cannot be read or has another shape.

    References
    ----------
    Ghosh and Batmanghelich 2023, arXiv:2307.13698.
    """
    path = folder / "attributes" / "class_attribute_labels_continuous.txt"
    rows = list(table_rows(path, (float,) * attributes))
    values = np.array(rows, np.float64).reshape(len(rows), attributes)
    # Written so that a value that is no number is refused too.
    sound = bool(((values >= 0) & (values <= 100)).all())
    if len(rows) != classes or not sound:
        raise InputError(
            f"{path} does not hold percentages of {classes} classes; put the original file there"
        )
    return np.asarray(values > MAJORITY)


def image_majority(folder: Path, voters: Sequence[Bird], classes: int, attributes: int) -> Present:
    """Which attributes the majority of a class's training images has.

    As in the code of the paper: an image that is said to lack an attribute which is not visible in
    it does not vote, and where as many votes speak for an attribute as against it, none at all
    included, the class has it. Classes without voters have nothing.

    Parameters
    ----------
    folder : the archive's folder, with `attributes/image_attribute_labels.txt`. Some of its lines
        have too many columns; the first four are used.
    voters : the images of the training split in use, all of which vote; images of the other splits
        must not be among them.
    classes, attributes : how many there are.

    Returns
    -------
    bool [classes, attributes].

    Raises
    ------
    InputError
        When the file cannot be read, names an unknown attribute, or lacks a voter: votes that are
        not there would all be ties.

    References
    ----------
    Koh et al. 2020, arXiv:2007.04612, section 5.1, and its published code.
    """
    path = folder / "attributes" / "image_attribute_labels.txt"
    class_of = {bird.image_id: bird.class_id - 1 for bird in voters}
    votes, seen = np.zeros((classes, attributes, 2), np.int64), set()
    for image_id, attribute, present, certainty in table_rows(path, (int,) * 4, more=True):
        if not (1 <= attribute <= attributes and present in (0, 1)):
            raise InputError(
                f"{path} says {present} of the attribute {attribute} of image {image_id}, which is "
                "not possible; put the original file there"
            )
        seen.add(image_id)
        label = class_of.get(image_id)
        if label is not None and (present or certainty != NOT_VISIBLE):
            votes[label, attribute - 1, present] += 1
    if missing := class_of.keys() - seen:
        raise InputError(f"{path} lacks the id {min(missing)}; put the original file there")
    has = votes[:, :, 1] >= votes[:, :, 0]
    has[np.setdiff1d(np.arange(classes), list(class_of.values()))] = False
    return np.asarray(has)


def kept(present: Present) -> NDArray[np.int64]:
    """Attributes that at least ten classes have: int64 positions, ascending."""
    return np.flatnonzero(present.sum(axis=0) >= FEWEST_CLASSES)
