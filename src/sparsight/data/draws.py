"""Random draws of the data room: reproducible on any machine, with any numpy, in any order.

Everything comes from the raw 64-bit output of Philox4x64-10, a counter-based generator (Salmon et
al. 2011, doi:10.1145/2063384.2063405). numpy promises that this raw output never changes, which it
does not promise for `Generator.integers` and `Generator.permutation`; a published subset or noise
pattern must survive an upgrade. The key is (seed, index), the counter's top word names the use, so
that equal seeds for different uses, and different images, never share a number.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsight.data.settings import number_of
from sparsight.io.errors import InputError

# Top word of the counter, one per use. Never renumber: published draws depend on them.
NOISE = 1
SUBSET_ORDER = 2
SPLIT_ORDER = 3
SCENE = 4
GRAIN = 5
CUE_ORDER = 6
STICKER_ORDER = 7
STICKER_PLACE = 8


def raw_words(count: int, seed: int, index: int, use: int) -> NDArray[np.uint64]:
    """`count` uniform 64-bit words that belong to (`seed`, `index`, `use`)."""
    # Explicit uint64: a plain list would be read as float64 above 2^63 and lose low bits.
    generator = np.random.Philox(
        counter=np.array([0, 0, 0, use], dtype=np.uint64),
        key=np.array([seed, index], dtype=np.uint64),
    )
    return np.asarray(generator.random_raw(count), dtype=np.uint64)


def between(word: int, low: int, high: int) -> int:
    """A number from `low` to `high`, both included (Lemire's multiplication, on the upper half)."""
    return low + ((word >> 32) * (high - low + 1) >> 32)


def image_noise(
    image_ids: NDArray[np.int64], shape: Sequence[int], maximum: int, seed: int
) -> NDArray[np.uint8]:
    """Noise of each image, a function of (`seed`, image id) and of nothing else.

    Two 32-bit halves of a word give two values by multiplication, value = half * (maximum + 1) >>
    32; the bias of that is below 2^-24 (Lemire 2019, doi:10.1145/3230636).

    Parameters
    ----------
    image_ids : int64 [N], not negative.
    shape : (C, H, W) of one image.
    maximum : largest value, 0..255; 51 is 0.2 on the scale of 0..1.

    Returns
    -------
    uint8 [N, C, H, W], uniform over 0..`maximum` (inclusive).
    """
    pixels = int(np.prod(shape, dtype=np.int64))
    words = np.empty((len(image_ids), -(-pixels // 2)), dtype="<u8")
    for row, image_id in enumerate(image_ids):
        words[row] = raw_words(words.shape[1], seed, int(image_id), NOISE)
    halves = words.view("<u4")[:, :pixels].astype(np.uint64)
    values = (halves * np.uint64(maximum + 1)) >> np.uint64(32)
    return values.astype(np.uint8).reshape(len(image_ids), *shape)


def stratified_order(labels: NDArray[np.int64], seed: int, use: int) -> NDArray[np.int64]:
    """Seeded order of images in which every prefix is stratified by class as well as can be.

    The classes take turns in proportion to their sizes: the k-th image (k = 0, 1, …) of a class of
    n images stands at (2k + 1) / 2n, which makes every prefix the Sainte-Laguë (Webster)
    apportionment of its length over the classes. No other choice of that many images has a smaller
    Σ counted² / n over the classes. Which image of a class comes when, and which class goes first
    among equals, is drawn from the seed.

    Returns
    -------
    int64 [N], positions into `labels`: the first n of them are the stratified choice of n.
    """
    shuffled = np.argsort(raw_words(len(labels), seed, 0, use), kind="stable")
    turn = np.empty(len(labels), dtype=np.float64)
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        turn[members] = (2 * np.arange(len(members)) + 1) / (2 * len(members))
    # Ties (classes of equal size) keep the shuffled order, since the sort is stable. Equal
    # fractions are equal floats: IEEE division is correctly rounded.
    return shuffled[np.argsort(turn[shuffled], kind="stable")].astype(np.int64)


Positions = NDArray[np.int64]


def stratified_splits(
    labels: NDArray[np.int64],
    seed: int,
    test: float | int,
    validation: float | int,
    prefix: str = "split: ",
) -> dict[str, Positions]:
    """Draw test images, then validation images from what is left; the rest is for training.

    Parameters
    ----------
    labels : int64 [N], by which the splits are stratified.
    seed : of the draw. Another `validation` keeps the test images.
    test, validation : shares of N (below 1) or numbers of images; 0 for none.
    prefix : of these two keys in the settings, for the error message.

    Returns
    -------
    `train`, `validation` and `test`: int64 positions into `labels`, ascending.
    """
    order = stratified_order(labels, seed, SPLIT_ORDER)
    tested, chosen = number_of(test, len(labels)), number_of(validation, len(labels))
    for key, wanted, count in (("test", test, tested), ("validation", validation, chosen)):
        if (wanted and not count) or count >= len(labels) - (tested if key != "test" else 0):
            raise InputError(
                f"'{prefix}{key}: {wanted}' sets aside {count} of {len(labels)} images; choose a "
                "share or number that leaves images on both sides"
            )
    parts = {
        "train": order[tested + chosen :],
        "validation": order[tested : tested + chosen],
        "test": order[:tested],
    }
    return {name: np.sort(positions) for name, positions in parts.items()}


def grouped_splits(
    labels: NDArray[np.int64],
    groups: Sequence[str],
    seed: int,
    test: float | int,
    validation: float | int,
) -> dict[str, Positions]:
    """Splits in which all images of a group are together: int64 positions, ascending.

    A group is what must not be learnt and tested at once: a patient, a lesion, a burst. Of each
    class, groups are drawn until the class's share of images is reached as nearly as whole groups
    allow, first for the test, then for validation. So the splits are stratified, and the numbers
    are met to within a few images.

    Parameters
    ----------
    labels : int64 [N], by which the splits are stratified. A group has the label of its first
        image.
    groups : the group of each image.
    seed : of the draw. Another `validation` keeps the test images.
    test, validation : shares of N (below 1) or numbers of images; 0 for none.
    """
    _, first, member = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    sizes = np.bincount(member)
    classes = labels[first]
    order = stratified_order(classes, seed, SPLIT_ORDER)
    shares = [number_of(wanted, len(labels)) / len(labels) for wanted in (test, validation)]
    side = np.zeros(len(first), np.int64)
    for label in np.unique(classes):
        drawn = order[classes[order] == label]
        # Images in the first k groups of the class, k = 0, 1, …
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


def shared_groups(groups: Sequence[str], train: Positions, test: Positions) -> float:
    """The leak: share of test images whose group is also in the training split, 0..1.

    `train` and `test` are positions into `groups`; without test images it is NaN.
    """
    names = np.asarray(groups)
    return float(np.isin(names[test], names[train]).mean()) if len(test) else float("nan")


def split_column(places: Mapping[str, Positions], count: int) -> NDArray[np.str_]:
    """The split of each of `count` images, of which `places` has the positions; empty for none."""
    column = np.full(count, "", "U10")
    for split, positions in places.items():
        column[positions] = split
    return column


def refuse_empty_classes(
    source: str, split: str, labels: NDArray[np.int64], classes: Sequence[str]
) -> None:
    """Refuse a split in which a class has no images."""
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        missing = classes[int(np.argmin(counts))]
        raise InputError(
            f"{source}: the class '{missing}' has no images in the split '{split}'; add images of "
            "it, or choose another split"
        )
