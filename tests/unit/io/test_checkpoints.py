"""Checkpoints: weights, masks, and a density that comes from the masks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from sparsight.io.arrays import read_metadata, write_arrays
from sparsight.io.checkpoints import (
    Checkpoint,
    read_checkpoint,
    read_groups,
    read_state,
    write_checkpoint,
    write_groups,
    write_state,
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


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.text() | st.integers()
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


def identical(a: Any, b: Any) -> bool:
    """Equal in type and value, at any depth."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        # the order of the keys too: optimisers rely on it
        return list(a) == list(b) and all(
            type(k) is type(j) and identical(a[k], b[j]) for k, j in zip(a, b, strict=True)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    return bool(a == b)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(state=st.dictionaries(KEYS, NESTED, max_size=4))
def test_any_nested_state_comes_back(tmp_path: Path, state: dict[Any, Any]) -> None:
    write_state(tmp_path / "x.safetensors", state, "work")
    assert identical(read_state(tmp_path / "x.safetensors", "work"), state)


def test_tensors_at_any_depth_come_back(tmp_path: Path) -> None:
    state = {
        "network": {"w": torch.randn(3, 2), "count": torch.tensor(4)},
        "optimiser": {0: {"momentum": torch.randn(2)}, "betas": (0.9, torch.tensor([True]))},
        "list": [torch.zeros(0), [torch.arange(3), None]],
    }
    write_state(tmp_path / "x.safetensors", state, "work")
    assert identical(read_state(tmp_path / "x.safetensors", "work"), state)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_optimisers_go_on_as_if_never_interrupted(tmp_path: Path, kind: str) -> None:
    def build() -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = nn.Linear(3, 2)
        if kind == "sgd":
            return network, torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
        return network, torch.optim.Adam(network.parameters(), 0.1)

    def step(network: nn.Linear, optimiser: torch.optim.Optimizer, number: int) -> None:
        optimiser.zero_grad()
        network(torch.full((1, 3), float(number))).square().sum().backward()
        optimiser.step()

    network, optimiser = build()
    for number in range(3):
        step(network, optimiser, number)
    state = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
    write_state(tmp_path / "x.safetensors", state, "work")
    found = read_state(tmp_path / "x.safetensors", "work")
    assert found is not None
    assert identical(found["optimiser"], optimiser.state_dict())
    again, resumed = build()
    again.load_state_dict(found["network"])
    resumed.load_state_dict(found["optimiser"])
    for number in range(3, 6):
        step(network, optimiser, number)
        step(again, resumed, number)
    assert torch.equal(network.weight, again.weight)


def test_no_state_and_the_state_of_other_work_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    assert read_state(path, "work") is None
    write_state(path, {"epoch": 3}, "work")
    assert read_state(path, "other work") is None
    assert read_state(path, "work") == {"epoch": 3}


def test_a_damaged_state_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_state(path, {"epoch": 3, "w": torch.ones(8)}, "work")
    raw = path.read_bytes()
    for place in range(0, len(raw), 5):
        damaged = bytearray(raw)
        damaged[place] ^= 32
        path.write_bytes(damaged)
        assert read_state(path, "work") is None
    for length in range(0, len(raw), 7):
        path.write_bytes(raw[:length])
        assert read_state(path, "work") is None


def test_another_file_is_no_state(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.safetensors", {"w": torch.ones(8)})
    assert read_state(tmp_path / "x.safetensors", "work") is None


def test_what_a_state_cannot_hold_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_state(path, {"epoch": 3}, "work")
    with pytest.raises(TypeError):
        write_state(path, {"epoch": object()}, "work")
    assert read_state(path, "work") == {"epoch": 3}
