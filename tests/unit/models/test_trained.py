"""Networks from checkpoints."""

import json
from pathlib import Path

import pytest
import torch

from sparsight.io.checkpoints import Checkpoint, write_checkpoint
from sparsight.io.errors import InputError
from sparsight.models.base import build_network
from sparsight.models.networks import load_network
from sparsight.models.resnet import ResNet18
from sparsight.models.thesis_cnn import ThesisCnn

FACTS = {"architecture": "thesis_cnn", "class_count": "7"}


def test_a_network_comes_back_ready_to_be_asked(tmp_path: Path) -> None:
    network = build_network(ThesisCnn, 7, 3).eval()
    masks = {"conv1.weight": torch.ones_like(network.conv1.weight, dtype=torch.bool)}
    write_checkpoint(tmp_path / "x.safetensors", Checkpoint(network.state_dict(), masks, FACTS))
    found = load_network(tmp_path / "x.safetensors", torch.device("cpu"))
    assert isinstance(found, ThesisCnn)
    assert found.class_count == 7
    assert not found.training
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(found(images), network(images))


def test_a_network_comes_back_with_its_options(tmp_path: Path) -> None:
    options = {"width": 2, "stem": "small", "normalisation": "none"}
    network = build_network(ResNet18, 5, 3, options).eval()
    facts = {"architecture": "resnet18", "class_count": "5", "options": json.dumps(options)}
    write_checkpoint(
        tmp_path / "x.safetensors",
        Checkpoint(network.state_dict(), {"fc.weight": torch.ones(5, 16, dtype=torch.bool)}, facts),
    )
    found = load_network(tmp_path / "x.safetensors", torch.device("cpu"))
    assert found.options == options
    images = torch.rand(3, 3, 20, 20)
    assert torch.equal(found(images), network(images))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    state = build_network(ThesisCnn, 7, 3).state_dict()
    del state["conv1.bias"]
    masks = {"conv1.weight": torch.ones(1, dtype=torch.bool)}
    write_checkpoint(tmp_path / "x.safetensors", Checkpoint(state, masks, FACTS))
    with pytest.raises(
        InputError, match=r"x\.safetensors is no checkpoint .*conv1\.bias"
    ) as caught:
        load_network(tmp_path / "x.safetensors", torch.device("cpu"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"architecture": "unheard_of", "class_count": "7"},
        {"architecture": "thesis_cnn", "class_count": "many"},
        {"architecture": "thesis_cnn", "class_count": "7", "options": "{"},
        {"architecture": "thesis_cnn", "class_count": "7", "options": '{"width": 2}'},
    ],
)
def test_metadata_of_something_else_are_refused(tmp_path: Path, facts: dict[str, str]) -> None:
    state = build_network(ThesisCnn, 7, 3).state_dict()
    masks = {"conv1.weight": torch.ones(1, dtype=torch.bool)}
    write_checkpoint(tmp_path / "x.safetensors", Checkpoint(state, masks, facts))
    with pytest.raises(InputError, match=r"x\.safetensors is no checkpoint of a network"):
        load_network(tmp_path / "x.safetensors", torch.device("cpu"))


def test_a_missing_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_network(tmp_path / "x.safetensors", torch.device("cpu"))
