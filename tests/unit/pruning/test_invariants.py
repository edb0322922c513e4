"""Each invariant fails where published code broke it."""

import pytest
import torch

from sparsight.io.errors import InputError, InvariantError
from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning.masks import dense_masks
from sparsight.pruning.rounds import (
    check_masks,
    check_start,
    check_trained,
    rewind_point,
)


def halved() -> tuple[ThesisCnn, dict[str, torch.Tensor]]:
    """A network under masks that keep every second weight."""
    network = build_network(ThesisCnn, 10, 0)
    masks = {}
    with torch.no_grad():
        for name, mask in dense_masks(network).items():
            masks[name] = (torch.arange(mask.numel()) % 2 == 0).reshape(mask.shape)
            network.get_parameter(name).mul_(masks[name])
    return network, masks


def copy_of(network: ThesisCnn) -> dict[str, torch.Tensor]:
    """Its state."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def mask(*bits: int) -> dict[str, torch.Tensor]:
    """One mask of these bits."""
    return {"a": torch.tensor(bits, dtype=torch.bool)}


def test_masks_that_are_nested_and_counted_pass() -> None:
    check_masks(mask(1, 1, 1), mask(1, 0, 1), 1)


def test_a_weight_that_comes_back_is_found() -> None:
    with pytest.raises(InvariantError, match="not nested"):
        check_masks(mask(1, 0, 1), mask(0, 1, 1), 0)


def test_a_wrong_number_is_found() -> None:
    with pytest.raises(InvariantError, match="not "):
        check_masks(mask(1, 1, 1), mask(1, 0, 1), 2)


def test_a_start_at_its_rewind_point_passes() -> None:
    network, masks = halved()
    check_start(network, copy_of(build_network(ThesisCnn, 10, 0)), masks)


@pytest.mark.parametrize("name", ["conv1.bias", "conv2.weight"])
def test_an_aliased_or_trained_start_is_found(name: str) -> None:
    network, masks = halved()
    point = copy_of(build_network(ThesisCnn, 10, 0))
    with torch.no_grad():
        network.get_parameter(name).add_(0.1)
    with pytest.raises(InvariantError, match=name):
        check_start(network, point, masks)


def test_training_that_moved_everything_passes() -> None:
    network, masks = halved()
    start = copy_of(network)
    with torch.no_grad():
        for name in masks:
            network.get_parameter(name).mul_(1.5)
    check_trained(network, start, masks)


def test_regrown_weights_are_found() -> None:
    network, masks = halved()
    start = copy_of(network)
    with torch.no_grad():
        network.conv2.weight.add_(0.01)
    with pytest.raises(InvariantError, match=r"conv2\.weight are not those of its mask"):
        check_trained(network, start, masks)


def test_a_survivor_that_is_zero_is_found() -> None:
    network, masks = halved()
    start = copy_of(network)
    with torch.no_grad():
        network.conv2.weight.mul_(0)
    with pytest.raises(InvariantError, match=r"conv2\.weight"):
        check_trained(network, start, masks)


def test_a_survivor_may_stay_at_a_zero_that_it_started_from() -> None:
    network, masks = halved()
    with torch.no_grad():
        # the first place survives, the second does not
        network.conv2.weight.view(-1)[:2] = 0
    start = copy_of(network)
    with torch.no_grad():
        for name in masks:
            network.get_parameter(name).mul_(1.5)
    check_trained(network, start, masks)
    with torch.no_grad():
        network.conv2.weight.view(-1)[1] = 1
    with pytest.raises(InvariantError, match=r"conv2\.weight"):
        check_trained(network, start, masks)


def test_frozen_negative_weights_are_found() -> None:
    network, masks = halved()
    start = copy_of(network)
    with torch.no_grad():
        for name in masks:
            weight = network.get_parameter(name)
            weight.copy_(torch.where(weight > 0, weight * 1.5, weight))
    with pytest.raises(InvariantError, match="no negative weight has trained"):
        check_trained(network, start, masks)
    # where the mistake is repeated on purpose
    check_trained(network, start, masks, negatives_train=False)


def test_rewind_points() -> None:
    points = {"init": {"w": torch.zeros(1)}, "epoch:3": {"w": torch.ones(1)}}
    previous = {"w": torch.full((1,), 5.0)}
    assert rewind_point("init", points, previous)["w"] == 0
    assert rewind_point("epoch:3", points, previous)["w"] == 1
    assert rewind_point("none", points, previous)["w"] == 5
    with pytest.raises(InputError, match="pretrained"):
        rewind_point("pretrained", points, previous)
