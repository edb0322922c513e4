"""Networks from checkpoints."""

import json
from pathlib import Path

import pytest
import torch

from sparsight.io.checkpoints import Checkpoint, write_checkpoint
from sparsight.io.errors import InputError
from sparsight.models.base import build_network
from sparsight.models.networks import load_network, network_size
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


def test_the_thesis_network_by_hand():
    found = network_size("thesis_cnn", {}, 10, (1, 28, 28))
    # 3x3 windows of 1 and of 4 channels, and 200 inputs of 10 logits
    convolutions = 4 * 26 * 26 * 9 + 8 * 11 * 11 * 36
    assert found.multiply_adds == convolutions + 200 * 10
    # convolution, ReLU and pooling, twice; the flattened maps; the logits
    first, second = 4 * (26 * 26 * 2 + 13 * 13), 8 * (11 * 11 * 2 + 5 * 5)
    assert found.elements == first + second + 200 + 10
    assert found.parameters == 2346
    assert found.features == 8


def test_resnet18_has_the_published_size():
    found = network_size("resnet18", {}, 1000, (3, 224, 224))
    # 1.814 billion multiply-adds and 11.69 million parameters (torchvision's table)
    assert round(found.multiply_adds / 1e9, 2) == 1.81
    assert round(found.parameters / 1e6, 1) == 11.7
    assert found.features == 512
