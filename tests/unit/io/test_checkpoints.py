"""Checkpoints: weights, masks, and a density that comes from the masks."""

from pathlib import Path

import pytest
import torch

from sparsight.io.arrays import read_metadata
from sparsight.io.checkpoints import (
    Checkpoint,
    read_checkpoint,
    read_groups,
    write_checkpoint,
    write_groups,
)
from sparsight.io.errors import CorruptFile, InputError


def checkpoint(metadata: dict[str, str] | None = None) -> Checkpoint:
    """Eight prunable weights of which three survive, and a bias."""
    masks = {
        "a.weight": torch.tensor([[True, False], [False, False]]),
        "b.weight": torch.tensor([True, True, False, False]),
    }
    weights = {name: mask.float() for name, mask in masks.items()} | {"a.bias": torch.ones(2)}
    return Checkpoint(weights, masks, metadata or {})


def test_density_is_that_of_the_masks() -> None:
    assert checkpoint().surviving == 3
    assert checkpoint().density == 3 / 8


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "x.safetensors", checkpoint({"level": "07"}))
    found = read_checkpoint(tmp_path / "x.safetensors")
    for part in ("weights", "masks"):
        expected = getattr(checkpoint(), part)
        assert getattr(found, part).keys() == expected.keys()
        assert all(torch.equal(getattr(found, part)[key], expected[key]) for key in expected)
    assert found.masks["a.weight"].dtype == torch.bool
    assert found.metadata == {"level": "07", "density": "0.375"}


def test_a_density_that_is_only_claimed_is_not_written(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "x.safetensors", checkpoint({"density": "0.2"}))
    assert float(read_metadata(tmp_path / "x.safetensors")["density"]) == 3 / 8


def test_groups_come_back_whatever_is_in_their_names(tmp_path: Path) -> None:
    groups = {
        "init": {"layer.weight": torch.zeros(2)},
        "epoch:2": {"layer.weight": torch.ones(2), "odd/key": torch.arange(3)},
    }
    write_groups(tmp_path / "x.safetensors", groups, {"class_count": "10"})
    found = read_groups(tmp_path / "x.safetensors")
    assert found.keys() == groups.keys()
    for group, members in groups.items():
        assert found[group].keys() == members.keys()
        assert all(torch.equal(found[group][key], members[key]) for key in members)
    assert read_metadata(tmp_path / "x.safetensors") == {"class_count": "10"}


def test_a_file_without_weights_is_no_checkpoint(tmp_path: Path) -> None:
    write_groups(tmp_path / "x.safetensors", {"masks": {"a": torch.ones(2, dtype=torch.bool)}})
    with pytest.raises(InputError, match=r"x\.safetensors is no checkpoint"):
        read_checkpoint(tmp_path / "x.safetensors")


def test_missing_and_corrupt_checkpoints_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.safetensors does not exist"):
        read_checkpoint(tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"0" * 100)
    with pytest.raises(CorruptFile, match=r"x\.safetensors is corrupt"):
        read_checkpoint(tmp_path / "x.safetensors")
