"""Hessians: against the outputs of real layers, and against plain sums in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.spade import sample
from sparsight.spade.layers import (
    PrunedLayer,
    matrices,
    observed_inputs,
    pruned_layers,
    unfold_inputs,
)
from sparsight.spade.sample import (
    augmented_copies,
    bytes_of_image,
    bytes_of_weights,
    images_at_once,
    sample_hessians,
)

COUNT = 6


def recorded(network: nn.Module, images: Tensor, names: list[str]) -> dict[str, Tensor]:
    """Inputs of layers in one pass over all images."""
    found: dict[str, Tensor] = {}
    with (
        observed_inputs(network, names, lambda name, _, each: found.update({name: each.clone()})),
        torch.no_grad(),
    ):
        network.eval()(images)
    return found


@pytest.mark.parametrize("which", ["thesis", "residual", "depthwise"])
def test_the_quadratic_form_is_the_error_of_real_outputs(
    which: str, pictures: Any, request: pytest.FixtureRequest
) -> None:
    """Mean over positions of |W'x - Wx|² = ½ Σ d H dᵀ, for every layer and image."""
    network = request.getfixturevalue(which)
    images, ids = pictures(2, 1, 28) if which == "thesis" else pictures(2)
    layers = pruned_layers(network, images)
    found = sample_hessians(network, images, ids, layers, COUNT, "name", batch_size=4)
    assert list(found) == [layer.name for layer in layers]
    copies = augmented_copies(images, COUNT, ids, "name")
    for place in range(2):
        inputs = recorded(network, copies[place], list(found))
        for layer in layers:
            module = network.get_submodule(layer.name)
            hessian = found[layer.name][place]
            assert found[layer.name].dtype == torch.float64
            assert torch.equal(hessian, hessian.transpose(1, 2))
            assert hessian.shape == (layer.groups, layer.columns, layer.columns)
            dense = module.weight.detach().clone()
            changed = dense + torch.randn(dense.shape, generator=torch.Generator().manual_seed(1))
            with torch.no_grad():
                before = module.double()(inputs[layer.name].double())
                module.weight.copy_(changed)
                after = module(inputs[layer.name].double())
                module.float().weight.copy_(dense)
            positions = before.numel() / (layer.groups * layer.rows)
            error = float((after - before).square().sum()) / positions
            step = matrices(changed - dense, layer).double()
            form = float((step @ hessian * step).sum()) / 2
            assert form == pytest.approx(error, rel=1e-5), layer.name


def test_by_hand() -> None:
    """One grey pixel of value 1 before a linear layer: 2 x xᵀ with x = (1, 2)."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.Linear(2, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0], [2.0]]))
        network[1].bias.zero_()
    layer = PrunedLayer("2", 1, 2, 2, 1)
    found = sample_hessians(
        network, torch.ones(1, 1, 1, 1), torch.tensor([0]), [layer], 3, "name", augment={}
    )
    assert found["2"].tolist() == [[[[2.0, 4.0], [4.0, 8.0]]]]


def test_float32_products_lose_nothing_that_counts(residual: nn.Module, pictures: Any) -> None:
    images, ids = pictures(1)
    layers = pruned_layers(residual, images)
    found = sample_hessians(residual, images, ids, layers, 16, "name", batch_size=16)
    inputs = recorded(residual, augmented_copies(images, 16, ids, "name")[0], list(found))
    for layer in layers:
        columns = unfold_inputs(residual.get_submodule(layer.name), inputs[layer.name]).double()
        flat = columns.permute(1, 2, 0, 3).flatten(2)
        wanted = 2 / flat.shape[2] * flat @ flat.transpose(1, 2)
        scale = wanted.diagonal(dim1=1, dim2=2).mean()
        assert float((found[layer.name][0] - wanted).abs().max() / scale) < 1e-5, layer.name


def test_images_do_not_mix_and_batches_do_not_matter(
    depthwise: nn.Module, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, ids = pictures(3)
    layers = pruned_layers(depthwise, images)

    def run(rows: slice, size: int) -> dict[str, Tensor]:
        return sample_hessians(
            depthwise, images[rows], ids[rows], layers, COUNT, "name", batch_size=size
        )

    together = run(slice(0, 3), 13)
    alone = run(slice(1, 2), 13)
    pieces = run(slice(0, 3), 4)
    monkeypatch.setattr(sample, "_UNFOLDED", 1)
    unfolded_singly = run(slice(0, 3), 64)
    for name, wanted in together.items():
        assert torch.allclose(alone[name][0], wanted[1], rtol=1e-5, atol=1e-7)
        assert torch.allclose(pieces[name], wanted, rtol=1e-5, atol=1e-7)
        assert torch.allclose(unfolded_singly[name], wanted, rtol=1e-5, atol=1e-7)
        assert not torch.allclose(wanted[0], wanted[1], rtol=1e-3)


def test_the_network_sees_a_batch_at_a_time(thesis: nn.Module, pictures: Any) -> None:
    images, ids = pictures(2, 1, 28)
    layers = pruned_layers(thesis, images)
    sizes: list[int] = []
    thesis.conv1.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    sample_hessians(thesis, images, ids, layers, 10, "name", batch_size=4)
    assert sizes == [4, 4, 2] * 2


def test_the_network_is_left_as_it_was(residual: nn.Module, pictures: Any) -> None:
    images, ids = pictures(1)
    layers = pruned_layers(residual, images)
    residual.train()
    residual.layer1.eval()
    modes = [module.training for module in residual.modules()]
    state = {name: value.clone() for name, value in residual.state_dict().items()}
    found = sample_hessians(residual, images, ids, layers, 2, "name")
    assert [module.training for module in residual.modules()] == modes
    assert all(parameter.requires_grad for parameter in residual.parameters())
    assert not any(module._forward_pre_hooks for module in residual.modules())
    for name, value in residual.state_dict().items():
        assert torch.equal(value, state[name]), name
    # in training mode the statistics of a batch would have normalised instead
    again = sample_hessians(residual.eval(), images, ids, layers, 2, "name")
    assert all(torch.equal(found[name], again[name]) for name in found)


def test_a_layer_that_does_not_run(depthwise: nn.Module, pictures: Any) -> None:
    images, ids = pictures(1)
    layers = [PrunedLayer("unused", 1, 8, 8, 1)]
    with pytest.raises(InputError, match="layer 'unused' does not run"):
        sample_hessians(depthwise, images, ids, layers, 2, "name")


def test_how_many_images_fit() -> None:
    layers = [PrunedLayer("a", 2, 3, 10, 1), PrunedLayer("b", 1, 5, 20, 1)]
    weights = 4 * (60 + 100)
    both = 8 * (2 * 100 + 400)
    assert bytes_of_weights(layers) == weights
    # and 40 bytes for each weight of the larger one, to solve it
    weights += 40 * 100
    assert bytes_of_image(layers, hessians=False) == weights
    # and three times the larger Hessian
    assert bytes_of_image(layers) == weights + both + 3 * 8 * 400
    each = bytes_of_image(layers)
    assert images_at_once(layers, 3 * each) == 3
    assert images_at_once(layers, 3 * each - 1) == 2
    assert images_at_once(layers, each) == 1
    with pytest.raises(InputError, match=r"'memory_mb' is 0, .* takes 1 MB"):
        images_at_once(layers, each - 1)
