"""Every explainer that a network supports also runs on copies that are pruned for an image."""

from typing import Any

import pytest
import torch

from sparsight.explain.base import Explainer, ImageBatch, explain_batch
from sparsight.explain.registry import EXPLAINERS
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.spade.copies import OnPrunedCopies, pruned_copies
from sparsight.spade.layers import layer_sparsities, pruned_layers
from sparsight.spade.solvers import ObsFast

SETTINGS: dict[str, Any] = {"augmentations": 4, "batch_size": 4}
#: what an explainer cannot do without; few draws, since only that they run counts
GIVEN: dict[str, dict[str, Any]] = {
    "lime": {"n_samples": 40},
    "kernel_shap": {"n_samples": 40},
}
LOOKING = sorted(
    name
    for name in EXPLAINERS.entries
    if EXPLAINERS.facts(name).get("needs_network", True)
    and not EXPLAINERS.facts(name).get("needs_attention")
    and "resnet18" not in EXPLAINERS.facts(name).get("excluded_models", ())
)


@pytest.fixture(scope="module")
def network() -> ResNet18:
    torch.manual_seed(0)
    found = build_network(ResNet18, 5, 3, {"width": 4}).eval().requires_grad_(False)
    assert isinstance(found, ResNet18)
    return found


def explained(network: ResNet18, name: str, sparsity: float) -> tuple[Any, Any, Any]:
    """Maps on copies, on the network, and on the copies one by one."""
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ids, targets = torch.tensor([7, 3]), torch.tensor([2, 0])
    explainer: Explainer = EXPLAINERS.load(name)(**GIVEN.get(name, {}))
    sparsities = layer_sparsities(pruned_layers(network, images), {"constant": sparsity})
    solver = ObsFast()
    on_copies = OnPrunedCopies("fast", solver, sparsities, SETTINGS)
    maps = on_copies({"fast__own": explainer}, ImageBatch(network, images, targets, ids), "clean")
    alone = [
        explain_batch({"own": explainer}, ImageBatch(copied, images[[i]], targets[[i]], ids[[i]]))[
            "own"
        ]
        for i, copied in pruned_copies(network, images, ids, solver, sparsities, SETTINGS, "fast")
    ]
    on_network = [
        explain_batch({"own": explainer}, ImageBatch(network, images[[i]], targets[[i]], ids[[i]]))[
            "own"
        ]
        for i in range(2)
    ]
    return maps["fast__own"], torch.cat(on_network), torch.cat(alone)


@pytest.mark.parametrize("name", LOOKING)
def test_copies_are_explained_and_unpruned_ones_like_the_network(
    network: ResNet18, name: str
) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    maps, on_network, alone = explained(network, name, 0.0)
    assert torch.equal(maps, on_network)
    maps, on_network, alone = explained(network, name, 0.6)
    assert maps.isfinite().all()
    assert torch.equal(maps, alone)
    assert not torch.equal(maps, on_network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
