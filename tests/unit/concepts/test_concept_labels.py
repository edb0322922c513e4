"""Concepts that cannot be learnt are dropped, those that are one are merged."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sparsight.concepts.cav import concept_labels
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


def kinds() -> tuple[Tensor, Tensor, list[str]]:
    """Twelve images: four without a structure, five of its first kind, three of its second."""
    kind = torch.tensor([0] * 4 + [1] * 5 + [2] * 3)
    first, second = kind == 1, kind == 2
    everywhere = torch.ones(12, dtype=torch.bool)
    shown = torch.stack([first, second, first, first, everywhere, first | second], dim=1)
    # The third is known of the same images as the first, the fourth of all. The fifth has negative
    # examples in name only, and the last has none that is known.
    unknown = torch.stack([second, first, second, ~everywhere, kind == 0, kind == 0], dim=1)
    shown[:, 4] = kind != 0
    shown[3, 5], unknown[3, 5] = False, False
    return shown, ~unknown, ["first", "second", "as first", "not second", "some", "one"]


def test_only_images_of_which_a_concept_is_known_count(
    tmp_path: Path, write_bank: WriteBank
) -> None:
    shown, known, names = kinds()
    test_known = known.flip(0)[:5]
    bank = {
        "train": write_bank(tmp_path / "train.safetensors", shown, names, 0, known),
        "test": write_bank(
            tmp_path / "test.safetensors", shown.flip(0)[:5] & test_known, names, 0, test_known
        ),
    }
    found = concept_labels(bank)
    # Both kinds are false wherever both are known, and still are two concepts.
    assert found.names == ("first = as first", "second", "not second", "one")
    assert torch.equal(found.known["train"], known[:, [0, 1, 3, 5]])
    assert torch.equal(found.known["test"], test_known[:, [0, 1, 3, 5]])
    assert torch.equal(found.splits["train"], shown[:, [0, 1, 3, 5]])
    assert found.notes == (
        "1 concepts that do not vary over the training images were dropped: some",
        "concepts that the training images do not tell apart were merged into 1: first = as first",
        "3 concepts are not known of all 12 training images and learnt from the others (images "
        "left out): first = as first (3), second (5), one (3)",
    )
    # 5, 3, 5, 8 images show them and 4, 4, 7, 1 do not
    assert concept_labels(bank, 4).names == ("first = as first", "not second")
    with pytest.raises(InputError, match="none of the 6 concepts"):
        concept_labels(bank, 6)


def test_labels_that_are_not_known_mean_nothing(tmp_path: Path, write_bank: WriteBank) -> None:
    shown, known, names = kinds()
    found = [
        concept_labels({"train": write_bank(tmp_path / name, labels, names, 0, known)}, fewest=4)
        for name, labels in (("a", shown), ("b", shown | ~known), ("c", shown ^ ~known))
    ]
    # taken for positive examples, images of the first kind would keep "second"
    assert found[0].names == ("first = as first", "not second")
    for other in found[1:]:
        assert other.names == found[0].names
        assert other.notes == found[0].notes


def test_a_bank_that_knows_all_is_one_that_does_not_say(
    tmp_path: Path, write_bank: WriteBank
) -> None:
    path = write_bank(tmp_path / "train.safetensors", columns(), NAMES)
    silent = concept_labels({"train": path})
    assert silent.known["train"].all()
    everything = torch.ones_like(columns())
    stated = concept_labels(
        {"train": write_bank(tmp_path / "stated.safetensors", columns(), NAMES, 0, everything)}
    )
    assert stated.names == silent.names
    assert stated.notes == silent.notes
    assert torch.equal(stated.splits["train"], silent.splits["train"])
