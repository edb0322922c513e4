"""Pruned copies: what they are, and that the network is not touched."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError, InvariantError
from sparsight.spade.copies import pruned_copies, solved_weights
from sparsight.spade.layers import PrunedLayer, layer_sparsities, pruned_layers, zeros_asked
from sparsight.spade.sample import MEGABYTE, bytes_of_image

SETTINGS: dict[str, Any] = {"augmentations": 5, "batch_size": 4}


def all_at(network: nn.Module, images: Tensor, sparsity: float) -> dict[str, float]:
    return layer_sparsities(pruned_layers(network, images), {"constant": sparsity})


def states(
    network: nn.Module, images: Tensor, ids: Tensor, solver: Any, sparsity: Any, **more: Any
) -> list[dict[str, Tensor]]:
    """The state of each image's copy."""
    values = sparsity if isinstance(sparsity, dict) else all_at(network, images, sparsity)
    copies = pruned_copies(network, images, ids, solver, values, {**SETTINGS, **more}, "name")
    found = []
    for place, (index, copied) in enumerate(copies):
        assert index == place
        assert copied is not network
        found.append({name: value.clone() for name, value in copied.state_dict().items()})
    return found


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("which", ["residual", "depthwise"])
def test_zeros_are_exactly_those_asked_for(
    which: str, diagonal: Any, pictures: Any, request: pytest.FixtureRequest
) -> None:
    network = request.getfixturevalue(which)
    images, ids = pictures(2)
    layers = pruned_layers(network, images)
    dense = network.state_dict()
    for state in states(network, images, ids, diagonal, 0.77):
        for layer in layers:
            weight = state.pop(f"{layer.name}.weight")
            assert int((weight == 0).sum()) == zeros_asked(0.77, layer.weights)
            # what is left of it is the network's: the solver here changes nothing
            assert torch.equal(weight, dense[f"{layer.name}.weight"] * (weight != 0))
        assert equal(state, dense)


def test_each_image_has_its_own_copy_whatever_the_batch(
    residual: nn.Module, diagonal: Any, pictures: Any
) -> None:
    images, ids = pictures(3)
    together = states(residual, images, ids, diagonal, 0.8)
    assert not equal(together[0], together[1])
    turned = states(residual, images.flip(0), ids.flip(0), diagonal, 0.8)
    alone = states(residual, images[1:2], ids[1:2], diagonal, 0.8)
    assert equal(turned[2], together[0])
    assert equal(alone[0], together[1])


def test_what_is_done_to_a_copy_does_not_reach_the_next(
    residual: nn.Module, diagonal: Any, pictures: Any
) -> None:
    images, ids = pictures(2)
    wanted = states(residual, images, ids, diagonal, 0.8)[1]
    values = all_at(residual, images, 0.8)
    copies = pruned_copies(residual, images, ids, diagonal, values, SETTINGS, "name")
    _, first = next(copies)
    with torch.no_grad():
        for value in first.state_dict().values():
            value.zero_()
    first.train()
    _, second = next(copies)
    assert equal(second.state_dict(), wanted)
    assert not second.training


def test_the_memory_decides_how_many_images_are_solved_at_once(
    residual: nn.Module, diagonal: Any, pictures: Any
) -> None:
    images, ids = pictures(3)
    wanted = states(residual, images, ids, diagonal, 0.8)
    assert diagonal.calls[0][0][0] == 3
    layers = pruned_layers(residual, images)
    megabytes = -(-bytes_of_image(layers) // MEGABYTE)
    diagonal.calls.clear()
    found = states(residual, images, ids, diagonal, 0.8, memory_mb=megabytes)
    # later images have Hessians of the network, not of the copy before
    assert {shape[0] for shape, _, _ in diagonal.calls} == {1}
    assert all(equal(one, other) for one, other in zip(found, wanted, strict=True))
    with pytest.raises(InputError, match=f"'memory_mb' is {megabytes - 1}"):
        states(residual, images, ids, diagonal, 0.8, memory_mb=megabytes - 1)


def test_randomness_belongs_to_image_name_and_layer(
    depthwise: nn.Module, chance: Any, pictures: Any
) -> None:
    images, ids = pictures(2)
    found = states(depthwise, images, ids, chance, 0.5)
    assert equal(states(depthwise, images[1:], ids[1:], chance, 0.5)[0], found[1])
    assert not equal(found[0], found[1])
    values = all_at(depthwise, images, 0.5)
    ((_, other),) = pruned_copies(depthwise, images[:1], ids[:1], chance, values, SETTINGS, "b")
    assert not equal(dict(other.state_dict()), found[0])
    # groups of the depthwise convolution have draws of their own
    gone = (found[0]["depthwise.weight"] == 0).flatten(1)
    assert not all(torch.equal(gone[0], each) for each in gone[1:])


def test_what_a_solver_is_given(depthwise: nn.Module, magnitude: Any, pictures: Any) -> None:
    images, ids = pictures(2)
    states(depthwise, images, ids, magnitude, {"grouped": 0.6, "tokens": 0.5, "last": 0.0})
    # 0.6 of 72 is 43: 11, 11, 11, 10 in four groups, for each of two images
    assert magnitude.calls == [
        ((8, 2, 9), [11, 11, 11, 10] * 2, 3),
        ((2, 5, 6), [15, 15], 1),
    ]


def test_sparsity_zero_is_the_network(residual: nn.Module, diagonal: Any, pictures: Any) -> None:
    images, ids = pictures(2)
    residual.eval()
    copies = pruned_copies(residual, images, ids, diagonal, all_at(residual, images, 0), {}, "name")
    for place, copied in copies:
        assert equal(dict(copied.state_dict()), residual.state_dict())
        with torch.no_grad():
            assert torch.equal(copied(images), residual(images))
        assert not copied.training
        assert place < 2
    assert diagonal.calls == []


def snapshot(network: nn.Module) -> Callable[[], bool]:
    """Tells whether the network is still what it is now, to the bit."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    tensors = dict(network.named_parameters())
    gradients = {name: value.grad for name, value in tensors.items()}
    copies = {name: value.clone() for name, value in gradients.items() if value is not None}
    flags = [module.training for module in network.modules()]
    wants = [value.requires_grad for value in tensors.values()]
    hooks = [len(module._forward_pre_hooks) for module in network.modules()]

    def same() -> bool:
        now = dict(network.named_parameters())
        return (
            equal(state, dict(network.state_dict()))
            and all(now[name] is value for name, value in tensors.items())
            and all(now[name].grad is value for name, value in gradients.items())
            and all(torch.equal(now[name].grad, value) for name, value in copies.items())
            and flags == [module.training for module in network.modules()]
            and wants == [value.requires_grad for value in now.values()]
            and hooks == [len(module._forward_pre_hooks) for module in network.modules()]
        )

    return same


def used(network: nn.Module, images: Tensor) -> nn.Module:
    """A network in the midst of things: gradients, mixed modes, a frozen weight, a hook."""
    network.train()(images).sum().backward()
    network.layer2.eval()
    network.fc.weight.requires_grad_(False)
    network.layer1.register_forward_pre_hook(lambda module, inputs: None)
    return network


def test_the_network_is_not_touched(residual: nn.Module, diagonal: Any, pictures: Any) -> None:
    images, ids = pictures(2)
    network, values = used(residual, images), all_at(residual, images, 0.9)
    same = snapshot(network)
    for _, copied in pruned_copies(network, images, ids, diagonal, values, SETTINGS, "name"):
        assert same()
        assert all(parameter.grad is None for parameter in copied.parameters())
        assert not any(parameter.requires_grad for parameter in copied.parameters())
        # nor by what a user does to the copy, which starts afresh
        with torch.no_grad():
            for parameter in copied.parameters():
                parameter.zero_()
        copied.train()
    assert same()


def test_the_network_is_not_touched_by_failures(
    residual: nn.Module, diagonal: Any, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, ids = pictures(2)
    network, values = used(residual, images), all_at(residual, images, 0.9)
    same = snapshot(network)

    def fails(weights: Tensor, hessians: Tensor, *_: Any) -> Tensor:
        return torch.linalg.cholesky(-hessians)

    monkeypatch.setattr(diagonal, "solve", fails)
    copies = pruned_copies(network, images, ids, diagonal, values, SETTINGS, "name")
    with pytest.raises(
        InputError, match=r"solver 'diagonal_here' fails on layer 'layer1.0.conv1': linalg"
    ):
        next(copies)
    assert same()
    monkeypatch.undo()
    copies = pruned_copies(network, images, ids, diagonal, values, SETTINGS, "name")
    next(copies)
    with pytest.raises(KeyError):
        copies.throw(KeyError())  # type: ignore[attr-defined]
    assert same()


def test_a_users_failure_in_the_midst(residual: nn.Module, diagonal: Any, pictures: Any) -> None:
    """A hook that raises while inputs are recorded leaves no hook of ours behind."""
    images, ids = pictures(1)
    values = all_at(residual, images, 0.9)
    calls: list[int] = []

    def stop(module: nn.Module, inputs: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("stop")

    residual.fc.register_forward_pre_hook(stop)
    same = snapshot(residual)
    with pytest.raises(RuntimeError, match="stop"):
        next(pruned_copies(residual, images, ids, diagonal, values, SETTINGS, "name"))
    assert same()


def test_zeros_of_an_earlier_pruning_stay_and_count(
    residual: nn.Module, diagonal: Any, pictures: Any
) -> None:
    images, ids = pictures(2)
    draw = torch.Generator().manual_seed(0)
    layers = pruned_layers(residual, images)
    masks = {}
    with torch.no_grad():
        for layer in layers:
            weight = residual.get_parameter(f"{layer.name}.weight")
            masks[layer.name] = torch.rand(weight.shape, generator=draw) < 0.6
            weight.mul_(masks[layer.name])
    for state in states(residual, images, ids, diagonal, 0.75):
        for layer in layers:
            weight = state[f"{layer.name}.weight"]
            assert not weight[~masks[layer.name]].any()
            assert int((weight == 0).sum()) == zeros_asked(0.75, layer.weights)
    # sparser already than asked for: nothing happens
    diagonal.calls.clear()
    for state in states(residual, images, ids, diagonal, 0.1):
        assert equal(state, residual.state_dict())
    assert diagonal.calls == []


def solved(solver: Any, weight: Tensor, sparsity: float = 0.5) -> Tensor:
    layer = PrunedLayer("here", 1, *weight.shape, 1)
    return solved_weights(weight, layer, sparsity, solver, None, [3, 4], "name")


def test_a_solver_cannot_revive_what_was_pruned(
    magnitude: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    revived = torch.tensor([[[9.0, 0.0, 0.0, 3.0]]]).repeat(2, 1, 1)
    monkeypatch.setattr(magnitude, "solve", lambda *_: revived)
    assert solved(magnitude, weight).tolist() == [[[0.0, 0.0, 0.0, 3.0]]] * 2


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (torch.ones(2, 1, 3), InputError, r"layer 'here': its result has the shape \(2, 1, 3\)"),
        (torch.full((2, 1, 4), torch.nan), InputError, "layer 'here': its result is not finite"),
        (torch.ones(2, 1, 4), InvariantError, "fewer zeros in layer 'here' than asked for"),
    ],
)
def test_results_that_cannot_be_used(
    result: Tensor,
    error: type[Exception],
    message: str,
    magnitude: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(magnitude, "solve", lambda *_: result)
    with pytest.raises(error, match=message):
        solved(magnitude, torch.ones(1, 4))


@pytest.mark.parametrize(
    ("sparsities", "settings", "message"),
    [
        ({"conv3": 0.5}, {}, "'conv3' is no pruned layer.*did you mean 'conv2'"),
        ({"conv1": 0.5}, {}, "'conv1' is no pruned layer"),
        ({"conv2": 1.0}, {}, "'conv2' is 1.0"),
        ({"conv2": 0.5}, {"augmentation": 3}, "unknown parameter 'augmentation'"),
        ({"conv2": 0.5}, {"memory_mb": 0}, "'memory_mb' is 0"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(
    sparsities: dict[str, float],
    settings: dict[str, Any],
    message: str,
    thesis: nn.Module,
    diagonal: Any,
    pictures: Any,
) -> None:
    images, ids = pictures(1, 1, 28)
    with pytest.raises(InputError, match=message):
        pruned_copies(thesis, images, ids, diagonal, sparsities, settings, "name")


def test_ids_and_columns_are_checked_at_once(
    thesis: nn.Module, diagonal: Any, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, ids = pictures(2, 1, 28)
    values = {"conv2": 0.5, "classifier": 0.5}
    with pytest.raises(InputError, match="2 images but 1 image ids"):
        pruned_copies(thesis, images, ids[:1], diagonal, values, {}, "name")
    monkeypatch.setattr(type(diagonal), "largest_columns", 199)
    with pytest.raises(InputError, match="accepts 199 columns, but layer 'classifier' has 200"):
        pruned_copies(thesis, images, ids, diagonal, values, {}, "name")
    # a parameter goes before the fact
    diagonal.settings["largest_columns"] = 200
    assert list(pruned_copies(thesis, images[:0], ids[:0], diagonal, values, {}, "name")) == []
