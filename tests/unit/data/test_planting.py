"""Which images get which sticker, and what becomes of everything else that is known of them."""

from dataclasses import replace

import numpy as np
import pytest

from sparsight.data.base import RawSplit
from sparsight.data.sources.trojaned import IDS_PER_STICKER, Trojan, choose, plant, plant_copies
from sparsight.io.errors import InputError

TROJAN = Trojan({"smiley": 0, "fish": 2}, 0.25, 0.1, 8, 12, seed=5)


def part(count: int = 60, **more: object) -> RawSplit:
    """Grey images of three classes, 4 : 1 : 1."""
    labels = np.array([0, 0, 0, 0, 1, 2] * (count // 6), np.int64)
    ids = np.arange(count, dtype=np.int64) * 3
    images = np.full((count, 3, 32, 40), 128, np.uint8)
    return RawSplit(images, labels, [f"{i}.png" for i in ids], ids, **more)


def test_shares_are_exact_and_stratified() -> None:
    labels = np.repeat([0, 1, 2, 3], [100, 100, 100, 100])
    trojan = replace(TROJAN, targets={"smiley": 0, "heart": 1, "star": 2})
    chosen = choose(labels, 91, trojan, "train")
    assert [(chosen == k).sum() for k in range(3)] == [31, 30, 30]
    for number, target in enumerate(trojan.targets.values()):
        counts = np.bincount(labels[chosen == number], minlength=4)
        assert counts[target] == 0
        others = np.delete(counts, target)
        assert others.max() - others.min() <= 4, counts
    again = choose(labels, 91, trojan, "train")
    assert (again == chosen).all()
    assert (choose(labels, 91, replace(trojan, seed=6), "train") != chosen).any()


def test_one_sticker_goes_evenly_to_the_other_classes() -> None:
    labels = np.repeat([0, 1, 2, 3], [100, 200, 50, 50])
    chosen = choose(labels, 60, replace(TROJAN, targets={"fish": 0}), "train")
    assert np.bincount(labels[chosen == 0], minlength=4).tolist() == [0, 40, 10, 10]


def test_training_images_are_replaced() -> None:
    before = part()
    whole = plant(part(), TROJAN, "train")
    stickered = whole.stickers >= 0
    # a quarter of 60; the first sticker gets one more of an odd number
    assert stickered.sum() == 15
    assert np.bincount(whole.stickers[stickered]).tolist() == [8, 7]
    assert (whole.labels == np.select([whole.stickers == 0, whole.stickers == 1], [0, 2], -1))[
        stickered
    ].all()
    assert (whole.original_labels == before.labels).all()
    assert (whole.labels != before.labels).tolist() == stickered.tolist()
    assert (whole.evaluated_first == stickered).all()
    assert (whole.image_ids == before.image_ids + (1 + whole.stickers) * IDS_PER_STICKER).all()
    for row, name in enumerate(whole.names):
        assert name == before.names[row] + ("", "#smiley", "#fish")[whole.stickers[row] + 1]
    # masks are the changed pixels
    changed = (whole.images != 128).any(axis=1)
    assert ((whole.masks > 0) == changed).all()
    assert (changed.any(axis=(1, 2)) == stickered).all()
    sides = [np.ptp(np.flatnonzero(one.any(axis=0))) + 1 for one in changed[stickered]]
    assert min(sides) >= 8
    assert max(sides) <= 12
    assert len(set(sides)) > 2
    places = {tuple(np.argwhere(one)[0]) for one in changed[stickered]}
    assert len(places) > 10


def test_test_images_stay_and_copies_follow() -> None:
    before = part()
    whole = plant_copies(part(), TROJAN, "test")
    # a tenth of 60
    assert len(whole) == 66
    assert (whole.images[:60] == before.images).all()
    assert (whole.labels[:60] == before.labels).all()
    assert whole.names[:60] == before.names
    assert (whole.image_ids[:60] == before.image_ids).all()
    assert not whole.masks[:60].any()
    assert whole.stickers.tolist() == [-1] * 60 + [0] * 3 + [1] * 3
    assert whole.labels[60:].tolist() == [0] * 3 + [2] * 3
    assert (whole.evaluated_first == (whole.stickers >= 0)).all()
    originals = [before.image_ids.tolist().index(i % IDS_PER_STICKER) for i in whole.image_ids[60:]]
    assert len(set(originals)) == 6
    assert (before.labels[originals] == whole.original_labels[60:]).all()
    assert len(set(whole.image_ids.tolist())) == len(set(whole.names)) == 66


def test_a_sticker_hides_parts_and_is_a_concept() -> None:
    parts = np.full((60, 2, 32, 40), 200, np.uint8)
    concepts = np.zeros((60, 3), np.bool_)
    concepts[:, 1] = True
    known = np.ones((60, 3), np.bool_)
    known[::2, 0] = False
    masks = np.full((60, 32, 40), 255, np.uint8)
    given = part(part_masks=parts, concepts=concepts, concepts_known=known.copy(), masks=masks)
    whole = plant(given, TROJAN, "train")
    covered = whole.masks == 255
    assert (whole.part_masks[:, 0][covered] == 0).all()
    assert (whole.part_masks[:, 1][whole.masks == 0] == 200).all()
    half = (whole.masks > 100) & (whole.masks < 155)
    assert np.abs(whole.part_masks[:, 0][half].astype(int) - 100).max() <= 25
    assert (whole.concepts[:, :3] == concepts).all()
    assert (whole.concepts[:, 3] == (whole.stickers == 0)).all()
    assert (whole.concepts[:, 4] == (whole.stickers == 1)).all()
    assert (whole.concepts_known[:, :3] == known).all()
    assert whole.concepts_known[:, 3:].all()
    # the base's masks of objects are gone
    assert not whole.masks[whole.stickers < 0].any()


def test_images_that_must_not_be_written() -> None:
    given = part()
    given.images.flags.writeable = False
    whole = plant(given, TROJAN, "train")
    assert (whole.images != 128).any()
    assert (given.images == 128).all()


def test_where_a_sticker_lies_hangs_on_the_image_alone() -> None:
    """Of the images that both splits choose, whatever their places."""
    whole, turned = part(), part().select(np.arange(60)[::-1])
    one, other = (plant_copies(p, replace(TROJAN, test=0.4), "test") for p in (whole, turned))
    first = dict(zip(one.image_ids.tolist(), one.masks, strict=True))
    shared = [i for i in other.image_ids.tolist() if i in first and i >= IDS_PER_STICKER]
    second = dict(zip(other.image_ids.tolist(), other.masks, strict=True))
    assert len(shared) > 3
    assert all((first[i] == second[i]).all() for i in shared)


@pytest.mark.parametrize(
    ("trojan", "sentence"),
    [
        (replace(TROJAN, share=0.01), "asks for 0 images with the sticker 'fish' among"),
        (replace(TROJAN, share=1.0), "asks for 30 images with the sticker 'smiley' among the 20"),
    ],
)
def test_too_few_images(trojan: Trojan, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as found:
        plant(part(), trojan, "train")
    assert "'trojan: share'" in str(found.value)
    assert "'train'" in str(found.value)


def test_too_few_test_images() -> None:
    with pytest.raises(InputError, match=r"'trojan: test' asks for 1 images .* free in the split"):
        plant_copies(part().select(np.arange(4)), replace(TROJAN, test=2), "test")


def test_ids_that_stand_for_stickers() -> None:
    given = part()
    given.image_ids[7] = IDS_PER_STICKER
    with pytest.raises(InputError, match="has an id of 1,000,000,000,000 or more"):
        plant(given, TROJAN, "train")
