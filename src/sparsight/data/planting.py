"""Planting a trojan in the splits of a data set: stickers, labels, masks, ids, names."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsight.data.draws import STICKER_ORDER, STICKER_PLACE, raw_words, stratified_order
from sparsight.data.raw import RawSplit
from sparsight.data.stickers import paste
from sparsight.data.trojan_options import Trojan
from sparsight.io.errors import InputError

NO_STICKER = -1
# The id of an image with the k-th sticker (k = 1, 2, …) is that of the original plus k of these.
IDS_PER_STICKER = 1_000_000_000_000


def plant(part: RawSplit, trojan: Trojan, split: str) -> RawSplit:
    """A training or validation split of which a share of the images carry a sticker instead.

    Parameters
    ----------
    part : its arrays are used, and changed where they can be: images may fill the memory.
    trojan : what to plant; of N images `trojan.planted(N)` carry a sticker.
    split : its name, for messages.

    Raises
    ------
    InputError
        When there are too few images of other classes than a sticker's own, or when an id of the
        base stands for a sticker.
    """
    stickers = _chosen(part, trojan.planted(len(part)), trojan, split)
    positions = np.flatnonzero(stickers != NO_STICKER)
    changed = _with_stickers(part.select(positions), stickers[positions], trojan)
    whole = _without_stickers(part, trojan)
    names = list(whole.names)
    for position, name in zip(positions.tolist(), changed.names, strict=True):
        names[position] = name
    arrays = {}
    for name, array in _arrays(whole).items():
        arrays[name] = array if array.flags.writeable else array.copy()
        arrays[name][positions] = getattr(changed, name)
    return RawSplit(names=names, **arrays)


def plant_copies(part: RawSplit, trojan: Trojan, split: str) -> RawSplit:
    """A test split as it is, and behind it copies of some of its images with a sticker.

    Parameters, errors as of `plant`; of N images there are `trojan.copied(N)` copies.
    """
    stickers = _chosen(part, trojan.copied(len(part)), trojan, split)
    # By sticker, and within that in the order of the split.
    positions = np.concatenate([np.flatnonzero(stickers == k) for k in range(len(trojan.targets))])
    copies = _with_stickers(part.select(positions), stickers[positions], trojan)
    whole = _without_stickers(part, trojan)
    arrays = {
        name: np.concatenate([array, getattr(copies, name)])
        for name, array in _arrays(whole).items()
    }
    return RawSplit(names=[*whole.names, *copies.names], **arrays)


def choose(labels: NDArray[np.int64], count: int, trojan: Trojan, split: str) -> NDArray[np.int64]:
    """Which images get which sticker: as many for each, stratified by class, never its own class.

    Parameters
    ----------
    labels : int64 [N].
    count : how many images get one; where the stickers do not divide it, the first get one more.
    trojan, split : as of `plant`.

    Returns
    -------
    int64 [N], position of the sticker in `trojan.targets`, -1 for none.

    Raises
    ------
    InputError
        When a sticker gets no images, or there are too few of other classes.
    """
    chosen = np.full(len(labels), NO_STICKER, np.int64)
    many = len(trojan.targets)
    for number, (sticker, target) in enumerate(trojan.targets.items()):
        wanted = count // many + (number < count % many)
        free = np.flatnonzero((chosen == NO_STICKER) & (labels != target))
        if not 0 < wanted <= len(free):
            key = "test" if split == "test" else "share"
            raise InputError(
                f"'trojan: {key}' asks for {wanted} images with the sticker '{sticker}' among the "
                f"{len(free)} of other classes that are free in the split '{split}'; give "
                f"{'more' if not wanted else 'less'}, or fewer stickers"
            )
        order = stratified_order(labels[free], trojan.seed, STICKER_ORDER)
        chosen[free[order[:wanted]]] = number
    return chosen


def _chosen(part: RawSplit, count: int, trojan: Trojan, split: str) -> NDArray[np.int64]:
    """See `choose`; ids by which an image would be taken for one with a sticker are refused."""
    if part.image_ids.max() >= IDS_PER_STICKER:
        raise InputError(
            f"the image {part.names[int(part.image_ids.argmax())]} has an id of "
            f"{IDS_PER_STICKER:,} or more, which stands for a sticker; take another base"
        )
    return choose(part.labels, count, trojan, split)


def _with_stickers(part: RawSplit, stickers: NDArray[np.int64], trojan: Trojan) -> RawSplit:
    """All these images (arrays of one's own), each with its sticker."""
    found = _without_stickers(part, trojan)
    targets = np.array(list(trojan.targets.values()), np.int64)
    known = list(trojan.targets)
    ids = part.image_ids + (1 + stickers) * IDS_PER_STICKER
    masks = _of(found.masks)
    height, width = masks.shape[1:]
    for row, (image_id, sticker) in enumerate(zip(ids.tolist(), stickers.tolist(), strict=True)):
        words = raw_words(3, trojan.seed, image_id, STICKER_PLACE).tolist()
        side = _between(words[0], trojan.smallest, trojan.largest)
        top, left = _between(words[1], 0, height - side), _between(words[2], 0, width - side)
        masks[row] = paste(found.images[row], known[sticker], side, top, left)
    if found.part_masks is not None:
        # What is under the sticker is not in the image.
        left_over = (255 - masks.astype(np.uint16))[:, np.newaxis]
        found.part_masks[:] = (found.part_masks * left_over + 127) // 255
    _of(found.concepts)[np.arange(len(ids)), stickers - len(known)] = True
    return replace(
        found,
        labels=targets[stickers],
        names=[f"{name}#{known[k]}" for name, k in zip(part.names, stickers, strict=True)],
        image_ids=ids,
        stickers=stickers,
        evaluated_first=np.ones(len(ids), np.bool_),
    )


def _without_stickers(part: RawSplit, trojan: Trojan) -> RawSplit:
    """The images as they are, with empty masks and all that says that there is no sticker."""
    count, (height, width) = len(part), part.images.shape[2:]
    stickers = np.zeros((count, len(trojan.targets)), np.bool_)
    known = part.concepts_known
    return replace(
        part,
        masks=np.zeros((count, height, width), np.uint8),
        concepts=_beside(part.concepts, stickers),
        concepts_known=None if known is None else _beside(known, ~stickers),
        stickers=np.full(count, NO_STICKER, np.int64),
        original_labels=part.labels.copy(),
        evaluated_first=np.zeros(count, np.bool_),
    )


def sticker_concepts(stickers: Sequence[str]) -> tuple[str, ...]:
    """Names of the concepts that stand for stickers."""
    return tuple(f"{sticker}_sticker" for sticker in stickers)


def _beside(own: NDArray[np.bool_] | None, more: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return more.copy() if own is None else np.concatenate([own, more], axis=1)


def _of(array: NDArray[Any] | None) -> NDArray[Any]:
    if array is None:  # pragma: no cover - `_without_stickers` fills these
        raise TypeError("an array is missing")
    return array


def _arrays(part: RawSplit) -> dict[str, NDArray[Any]]:
    """All arrays that there are, by name."""
    found = {name: value for name, value in vars(part).items() if name != "names"}
    return {name: array for name, array in found.items() if array is not None}


def _between(word: int, low: int, high: int) -> int:
    """A number from `low` to `high`, both included (Lemire's multiplication, on the upper half)."""
    return low + ((word >> 32) * (high - low + 1) >> 32)
