"""Stratified splits: disjoint, complete, in proportion, and stable."""

import numpy as np
import pytest

from sparsight.data.draws import refuse_empty_classes, stratified_splits
from sparsight.io.errors import InputError

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
