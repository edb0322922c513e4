"""Concepts that cannot be learnt are dropped, those that are one are merged."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sparsight.concepts.labelled.concept_labels import concept_labels
from sparsight.io.errors import InputError

WriteBank = Callable[..., Path]
NAMES = ["never", "a", "always", "same as a", "opposite of a", "rare", "b"]


def columns() -> Tensor:
    """Ten images: `a` is in five, `rare` in one, `b` in four of them."""
    a = torch.arange(10) % 2 == 0
    rare = torch.arange(10) == 3
    b = torch.arange(10) < 4
    nothing = torch.zeros(10, dtype=torch.bool)
    return torch.stack([nothing, a, ~nothing, a, ~a, rare, b], dim=1)


def test_constant_concepts_are_dropped_and_equal_ones_merged(
    tmp_path: Path, write_bank: WriteBank
) -> None:
    test = ~columns()[:6]
    bank = {
        "train": write_bank(tmp_path / "train.safetensors", columns(), NAMES),
        "validation": write_bank(tmp_path / "validation.safetensors", columns()[:0], NAMES),
        "test": write_bank(tmp_path / "test.safetensors", test, NAMES),
    }
    found = concept_labels(bank)
    assert found.names == ("a = same as a", "opposite of a", "rare", "b")
    assert list(found.splits) == ["train", "test"]
    assert torch.equal(found.splits["train"], columns()[:, [1, 4, 5, 6]])
    assert torch.equal(found.splits["test"], test[:, [1, 4, 5, 6]])
    assert found.notes == (
        "2 concepts that do not vary over the training images were dropped: never, always",
        "concepts that the training images do not tell apart were merged into 1: a = same as a",
    )


def test_concepts_with_few_images_on_either_side_are_dropped(
    tmp_path: Path, write_bank: WriteBank
) -> None:
    seldom = torch.arange(10) < 2
    labels = torch.stack([seldom, ~seldom, torch.arange(10) < 3], dim=1)
    path = write_bank(tmp_path / "train.safetensors", labels, ["seldom", "mostly", "third"])
    found = concept_labels({"train": path}, fewest=3)
    assert found.names == ("third",)
    assert found.notes == (
        "2 concepts that have fewer than 3 training images on one side were dropped: seldom, "
        "mostly",
    )
    # exactly as many as are asked for are enough
    assert concept_labels({"train": path}, fewest=2).names == ("seldom", "mostly", "third")


def test_a_bank_that_teaches_nothing_is_refused(tmp_path: Path, write_bank: WriteBank) -> None:
    constant = write_bank(tmp_path / "train.safetensors", columns()[:, :1], NAMES[:1])
    with pytest.raises(InputError, match="none of the 1 concepts"):
        concept_labels({"train": constant})
    with pytest.raises(InputError, match="no training images"):
        concept_labels({"test": constant})
    without = write_bank(tmp_path / "plain.safetensors", None, [], 3)
    with pytest.raises(InputError, match="has no concepts"):
        concept_labels({"train": without})
