"""Methods that hook modules or rules onto them work on every registered architecture."""

from typing import Any

import pytest
import torch

from sparsight.explain.base import Explainer, ImageBatch
from sparsight.explain.registry import EXPLAINERS
from sparsight.models.base import Architecture, build_network
from sparsight.models.registry import MODELS

SIDE = {"inception_v3": 75}
METHODS: dict[str, dict[str, Any]] = {
    "guided_backprop": {},
    "deep_lift": {},
    "full_grad": {},
    "lrp": {"composite": "epsilon_plus"},
}


def network_of(name: str) -> Architecture:
    options = {"width": 2} if "width" in MODELS.facts(name)["option_defaults"] else {}
    return build_network(MODELS.load(name), 5, 1, options).eval().requires_grad_(False)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["inception_v3", "resnet50"])
def test_maps_depend_on_the_class(name: str, method: str) -> None:
    network, side = network_of(name), SIDE.get(name, 32)
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    explainer: Explainer = EXPLAINERS.load(method)(**METHODS[method])
    found = [
        explainer.explain(
            ImageBatch(network, images, torch.tensor([label, label]), torch.arange(2), "x")
        )
        for label in (0, 3)
    ]
    for maps in found:
        assert maps.shape[0] == 2
        assert maps.isfinite().all()
    assert not torch.equal(*found)
