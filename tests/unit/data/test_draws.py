"""The draws: exact values that must never change, uniformity, and stratification by its optimum."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsight.data.draws import (
    NOISE,
    SPLIT_ORDER,
    SUBSET_ORDER,
    image_noise,
    raw_words,
    refuse_empty_classes,
    stratified_order,
    stratified_splits,
)
from sparsight.io.errors import InputError

label_lists = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(
    lambda labels: np.array(labels, dtype=np.int64)
)
seeds = st.integers(0, 2**64 - 1)


def test_published_draws_do_not_change() -> None:
    # Written down when the first study was packed: a change makes every packed data set another.
    noise = image_noise(np.array([0, 60_000]), (1, 2, 3), maximum=51, seed=0)
    assert noise.reshape(2, 6).tolist() == [[37, 17, 7, 29, 39, 4], [9, 13, 4, 42, 22, 1]]
    labels = np.arange(12, dtype=np.int64) % 3
    assert stratified_order(labels, 0, SUBSET_ORDER).tolist() == [
        6,
        7,
        5,
        9,
        10,
        8,
        1,
        11,
        3,
        4,
        0,
        2,
    ]


def test_generator_against_its_definition() -> None:
    """Philox4x64-10 in plain integers (Salmon et al. 2011, section 3.3)."""
    low = 2**64 - 1
    seed, index, use = 2**63 + 12_345, 67, NOISE
    # numpy steps the counter before the first block.
    counter, key = [1, 0, 0, use], [seed, index]
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
        counter = [
            (second >> 64) ^ counter[1] ^ key[0],
            second & low,
            (first >> 64) ^ counter[3] ^ key[1],
            first & low,
        ]
        key = [(key[0] + 0x9E3779B97F4A7C15) & low, (key[1] + 0xBB67AE8584CAA73B) & low]
    assert raw_words(4, seed, index, use).tolist() == counter


def test_uses_seeds_and_images_share_no_numbers() -> None:
    keys = [(0, 0, NOISE), (0, 0, SUBSET_ORDER), (0, 0, SPLIT_ORDER), (0, 1, NOISE), (1, 0, NOISE)]
    keys += [(2**64 - 1, 0, NOISE), (2**64 - 2, 0, NOISE)]
    words = np.concatenate([raw_words(100, *key) for key in keys])
    assert len(np.unique(words)) == len(words)


@given(seed=seeds, order=st.permutations(range(6)), chosen=st.sets(st.integers(0, 5), min_size=1))
def test_noise_of_an_image_depends_on_its_id_alone(
    seed: int, order: list[int], chosen: set[int]
) -> None:
    ids = np.array([3, 10, 59_999, 60_000, 2**40, 0], dtype=np.int64)
    whole = image_noise(ids, (3, 5, 5), maximum=51, seed=seed)
    assert (image_noise(ids[order], (3, 5, 5), 51, seed) == whole[order]).all()
    some = sorted(chosen)
    assert (image_noise(ids[some], (3, 5, 5), 51, seed) == whole[some]).all()
    assert len(np.unique(whole.reshape(6, -1), axis=0)) == 6


@pytest.mark.parametrize("maximum", [0, 1, 51, 255])
def test_noise_is_uniform_up_to_its_maximum(maximum: int) -> None:
    noise = image_noise(np.arange(200), (1, 28, 28), maximum, seed=7)
    counts = np.bincount(noise.ravel(), minlength=maximum + 1)
    assert len(counts) == maximum + 1
    expected = noise.size / (maximum + 1)
    # Chi-square over `maximum` degrees of freedom: within six standard deviations of its mean.
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_square - maximum) <= 6 * np.sqrt(2 * maximum)


@given(labels=label_lists, seed=seeds)
def test_every_prefix_is_stratified_as_well_as_possible(labels: np.ndarray, seed: int) -> None:
    order = stratified_order(labels, seed, SUBSET_ORDER)
    assert sorted(order) == list(range(len(labels)))
    sizes = np.bincount(labels)
    classes = np.flatnonzero(sizes)
    counted = np.zeros_like(sizes)
    for label in labels[order]:
        counted[label] += 1
        for more, fewer in permutations(classes, 2):
            if counted[more] > 0 and counted[fewer] < sizes[fewer]:
                # To give one image of `more` for one of `fewer` never lowers Σ counted² / size.
                before = (2 * counted[more] - 1) * sizes[fewer]
                assert before <= (2 * counted[fewer] + 1) * sizes[more]


def test_equal_classes_take_turns() -> None:
    labels = np.repeat(np.arange(10), 7)
    order = stratified_order(labels, 5, SUBSET_ORDER)
    rounds = labels[order].reshape(7, 10)
    assert (np.sort(rounds, axis=1) == np.arange(10)).all()
    # Who goes first is drawn anew in every round.
    assert len(np.unique(rounds, axis=0)) > 1


def test_the_order_follows_the_seed() -> None:
    labels = np.repeat(np.arange(10), 50)
    first = stratified_order(labels, 0, SUBSET_ORDER)
    assert (first == stratified_order(labels, 0, SUBSET_ORDER)).all()
    overlaps = [
        len(np.intersect1d(first[:100], stratified_order(labels, seed, SUBSET_ORDER)[:100]))
        for seed in range(1, 31)
    ]
    # A hundred of 500: another seed shares twenty on average (hypergeometric, sd below 4).
    assert 17 < np.mean(overlaps) < 23


LABELS = np.repeat([0, 1, 2], [100, 60, 40]).astype(np.int64)


def test_shares_of_each_class() -> None:
    parts = stratified_splits(LABELS, 3, 0.2, 0.1)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [140, 20, 40]
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(200))
    assert np.bincount(LABELS[parts["test"]]).tolist() == [20, 12, 8]
    assert np.bincount(LABELS[parts["validation"]]).tolist() == [10, 6, 4]
    for positions in parts.values():
        assert (np.diff(positions) > 0).all()


def test_numbers_seeds_and_another_validation() -> None:
    parts = stratified_splits(LABELS, 3, 0.2, 0.1)
    numbers = stratified_splits(LABELS, 3, 40, 20)
    assert all((parts[name] == numbers[name]).all() for name in parts)
    assert (stratified_splits(LABELS, 3, 0.2, 0)["test"] == parts["test"]).all()
    assert (stratified_splits(LABELS, 4, 0.2, 0.1)["test"] != parts["test"]).any()


@pytest.mark.parametrize(
    ("test", "validation", "reason"),
    [
        (200, 0, "'split: test: 200' sets aside 200 of 200"),
        (0.001, 0, "'split: test: 0.001' sets aside 0 of 200"),
        (0.5, 100, "'split: validation: 100' sets aside 100 of 200"),
    ],
)
def test_nothing_left(test: float, validation: float, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        stratified_splits(LABELS, 0, test, validation)


def test_an_empty_class_is_named() -> None:
    refuse_empty_classes("birds", "test", LABELS, ["a", "b", "c"])
    with pytest.raises(InputError, match="birds: the class 'd' has no images in the split 'test'"):
        refuse_empty_classes("birds", "test", LABELS, ["a", "b", "c", "d"])
