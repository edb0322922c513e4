"""conversion.json of a chain, from checkpoints on the disk."""

import json
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from sparsight.io.checkpoints import Checkpoint, write_checkpoint
from sparsight.io.errors import InvariantError
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning import conversion
from sparsight.pruning.conversion import measure_conversion, measure_network

IDENTITY = {
    "study": "test",
    "dataset": "quarters",
    "model": "cnn",
    "seed": "3",
    "pruner": "magnitude",
}
SETTINGS = {**IDENTITY, "threads": 1, "batch_size": 30, "repeats": 3}


def write_level(folder: Path, level: int, left: int, **changes: str) -> Path:
    """A network with four classes of which the first `left` weights of each layer are left."""
    torch.manual_seed(level)
    network = ThesisCnn(4)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("weight"):
                parameter.view(-1)[left:] = 0
    facts = {
        **IDENTITY,
        "pruner": "magnitude" if level else "dense",
        "level": str(level),
        "architecture": "thesis_cnn",
        "class_count": "4",
        **changes,
    }
    masks = {n: p != 0 for n, p in network.named_parameters() if n.endswith("weight")}
    path = folder / f"{facts['pruner']}{level}.safetensors"
    write_checkpoint(path, Checkpoint(network.state_dict(), masks, facts))
    return path


def test_a_chain_is_measured_level_by_level(tmp_path, quarters):
    checkpoints = [write_level(tmp_path, level, left) for level, left in enumerate((800, 9, 0))]
    output = tmp_path / "conversion.json"
    measure_conversion(
        SETTINGS, checkpoints=checkpoints, packed_test=quarters["test"], output=output
    )
    content = json.loads(output.read_text())
    assert {key: content[key] for key in IDENTITY} == {**IDENTITY, "seed": 3}
    assert [entry["level"] for entry in content["levels"]] == [0, 1, 2]
    # nine weights: one channel of conv1 to one of conv2 to a fifth of its 25 features
    assert [entry["channels_left"] for entry in content["levels"]] == [12, 2, 0]
    assert [entry["channels"] for entry in content["levels"]] == [12, 12, 12]
    dense, sparse, constant = content["levels"]
    assert dense["multiply_adds"] == dense["multiply_adds_converted"] == 24336 + 34848 + 800
    assert sparse["multiply_adds"] == dense["multiply_adds"]
    assert sparse["multiply_adds_converted"] == 676 * 9 + 121 * 9 + 25 * 4
    assert sparse["multiply_adds_nonzero"] == 676 * 9 + 121 * 9 + 9
    assert constant["multiply_adds_converted"] == constant["multiply_adds_nonzero"] == 0
    assert sparse["per_layer"]["conv2"] == {
        "channels": 8,
        "channels_left": 1,
        "multiply_adds": 34848,
        "multiply_adds_converted": 1089,
        "multiply_adds_nonzero": 1089,
    }
    for entry in content["levels"]:
        assert entry["reason"] is None
        assert entry["largest_difference"] < 1e-5
        assert entry["milliseconds"] > 0
    assert constant["milliseconds_converted"] < constant["milliseconds"]


def test_what_cannot_be_converted_has_a_reason_and_no_numbers():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    entry = measure_network(network, torch.rand(2, 1, 8, 8), 1)
    assert "BatchNorm2d" in entry.pop("reason")
    assert set(entry) >= {"channels", "per_layer", "milliseconds", "largest_difference"}
    assert set(entry.values()) == {None}


def test_a_conversion_that_computes_something_else_is_a_defect(monkeypatch):
    right = conversion.convert

    def wrong(network, images):
        converted, report = right(network, images)
        converted.classifier.bias.data += 0.01
        return converted, report

    monkeypatch.setattr(conversion, "convert", wrong)
    with pytest.raises(InvariantError, match=r"differ by 0\.0"):
        measure_network(ThesisCnn(4).eval(), torch.rand(2, 1, 28, 28), 1)


def test_each_way_runs_equally_often_in_turn():
    calls: list[str] = []
    medians = conversion.alternating_medians(
        lambda: calls.append("a"), lambda: calls.append("b"), 5
    )
    assert calls.count("a") == calls.count("b") == 5 + conversion.WARM_UP
    assert calls[:4] == ["b", "a", "a", "b"]
    assert all(0 <= value < 100 for value in medians)


def test_waiting_for_a_core_does_not_count():
    waiting, working = conversion.alternating_medians(
        lambda: time.sleep(0.02), lambda: sum(range(300_000)), 3
    )
    assert waiting < 5
    assert working > waiting
