"""Weights of few bits: known answers, and whole rounds."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from sparsight.io.checkpoints import read_checkpoint
from sparsight.io.errors import InvariantError
from sparsight.pruning import rounds
from sparsight.pruning.quantisation import check_quantised, measured_bits, quantise, quantised
from sparsight.pruning.rounds import Job
from tests.unit.pruning.test_levels import Chain

NONE = {"epochs": 0}


@pytest.fixture(scope="module")
def chain(make_job: Callable[..., Job], tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Made once."""
    return Chain(make_job, tmp_path_factory.mktemp("bits"))


def drawn(*shape: int) -> torch.Tensor:
    """Normal weights."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        # scales 1 and 4: to the nearest of -1, 0, 1 times them
        (2, [[1.0, 0.0, 0.0, -1.0], [0.0, 4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
        # thirds of them
        (3, [[1.0, 1 / 3, 0.0, -2 / 3], [4 / 3, 4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
    ],
)
def test_each_channel_is_rounded_to_its_own_scale(bits: int, expected: list[list[float]]) -> None:
    weight = torch.tensor([[1.0, 0.4, 0.1, -0.6], [1.2, 4.0, 0.6, -0.5], [0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(quantised(weight, bits), torch.tensor(expected))


@pytest.mark.parametrize("bits", range(2, 17))
def test_bits_are_read_off_the_weights(bits: int) -> None:
    weights = {"a": quantised(drawn(5, 400, 3), bits), "b": quantised(drawn(7, 300), bits)}
    assert measured_bits(weights) == bits
    for weight in weights.values():
        assert torch.equal(quantised(weight, bits), weight)
        assert max(len(channel.unique()) for channel in weight) <= 2**bits - 1


def test_one_unrounded_weight_has_all_bits() -> None:
    weight = quantised(drawn(5, 400), 4)
    assert measured_bits({"a": weight}) == 4
    weight[2, 7] = weight[2].abs().max() * 0.3001
    assert measured_bits({"a": weight, "b": quantised(drawn(2, 9), 2)}) == 32


def test_no_weight_moves_by_more_than_half_a_step() -> None:
    weight = drawn(6, 3, 5, 5)
    for bits in (2, 5, 8):
        step = weight.abs().flatten(1).amax(1) / (2 ** (bits - 1) - 1)
        moved = (quantised(weight, bits) - weight).abs().flatten(1).amax(1)
        assert (moved <= step / 2 * (1 + 1e-5)).all()


def test_a_network_is_only_rounded(chain: Chain) -> None:
    for level, bits in enumerate((8, 2), start=1):
        changes: dict[str, Any] = {"rewind": "none", "retraining": NONE, "bits": bits}
        changes |= {"rate": None, "scope": "global"}
        job = chain.make("rounded", level, **changes)
        settings = {key: value for key, value in job.settings.items() if key != "criterion"}
        folder = chain.folder / "rounded" / f"level{level:02d}"
        rounds.prune_level(replace(job, settings=settings), chain.start, chain.dense, folder)
        found, dense = (
            read_checkpoint(p) for p in (folder / "checkpoint.safetensors", chain.dense)
        )
        assert found.density == 1.0
        assert found.bits == bits
        assert dense.bits == 32
        for name, value in found.weights.items():
            expected = quantised(dense.weights[name], bits) if name in found.masks else None
            assert torch.equal(value, dense.weights[name] if expected is None else expected)
        evaluation = json.loads((folder / "evaluation.json").read_text())
        assert evaluation["bits"] == bits
        nonzero = sum(int((found.weights[name] != 0).sum()) for name in found.masks)
        assert evaluation["density"]["nonzero"] == nonzero / found.prunable
        # most weights of two bits are nearer to zero than to the largest
        assert bits == 8 or evaluation["density"]["nonzero"] < 0.6
    dense_evaluation = json.loads((chain.folder / "dense" / "evaluation.json").read_text())
    assert dense_evaluation["bits"] == 32


def test_a_pruned_level_is_rounded_after_training(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: dict[str, torch.Tensor] = {}
    real = rounds.check_trained

    def record(network: Any, *args: Any, **options: Any) -> None:
        real(network, *args, **options)
        trained.update({n: v.detach().clone() for n, v in network.state_dict().items()})

    monkeypatch.setattr(rounds, "check_trained", record)
    found = chain.prune("both", rate=0.5, bits=3)
    assert (found.density, found.bits) == (0.5, 3)
    rounded_away = 0
    for name, value in found.weights.items():
        mask = found.masks.get(name)
        if mask is None:
            assert torch.equal(value, trained[name])
            continue
        assert torch.equal(value, quantised(trained[name], 3))
        assert (value[~mask] == 0).all()
        rounded_away += int((value[mask] == 0).sum())
    # survivors may be rounded to zero, and keep their mask
    assert rounded_away > 0
    again = chain.folder / "both" / "level01" / "checkpoint.safetensors"
    after = chain.prune("both", 2, again, rate=0.5, bits=4)
    assert (after.density, after.bits) == (0.25, 4)


def move_bias(network: Any, names: Any, bits: int) -> None:
    """A rounding that changes a bias too."""
    quantise(network, names, bits)
    with torch.no_grad():
        network.conv1.bias.add_(1)


def leave(*_: Any) -> None:
    """A rounding that rounds nothing."""


def raise_pruned(network: Any, names: Any, bits: int) -> None:
    """A rounding that moves what has fallen."""
    with torch.no_grad():
        for name in names:
            network.get_parameter(name).fill_(1)


@pytest.mark.parametrize(
    ("rounding", "sentence"),
    [
        (move_bias, "conv1.bias, which is not prunable"),
        (leave, "a channel of .* holds .* values, more than the 3 of 2 bits"),
        (raise_pruned, "a pruned weight of .* from zero"),
    ],
)
def test_a_rounding_that_breaks_an_invariant_writes_nothing(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, rounding: Any, sentence: str
) -> None:
    monkeypatch.setattr(rounds, "quantise", rounding)
    with pytest.raises(InvariantError, match=sentence):
        chain.prune("broken", rate=0.5, bits=2)
    assert not (chain.folder / "broken" / "level01" / "checkpoint.safetensors").exists()


def test_a_state_is_held_to_its_bits() -> None:
    layer = torch.nn.Linear(40, 3)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    mask = {"weight": torch.ones(3, 40, dtype=torch.bool)}
    with torch.no_grad():
        layer.weight.copy_(quantised(layer.weight, 4))
    check_quantised(layer, before, mask, 4)
    with pytest.raises(InvariantError, match="more than the 7 of 3 bits"):
        check_quantised(layer, before, mask, 3)
