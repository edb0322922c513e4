"""Networks to be randomised, and explainers that look at them."""

import pytest
import torch
from torch import nn

from sparsight.explain.base import build_explainers
from sparsight.metrics.base import BatchExplainer
from sparsight.metrics.preparation import prepare

SIDE = 8


@pytest.fixture
def network():
    """Two convolutions with batch norm that has seen data, and a linear layer; four classes."""
    torch.manual_seed(2)
    layers = [
        *(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 4)),
    ]
    network = nn.Sequential(*layers)
    for norm in (network[1], network[4]):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    network.train()
    for _ in range(3):
        network(torch.rand(8, 3, SIDE, SIDE))
    return network.eval().requires_grad_(False)


@pytest.fixture
def batch():
    """Five colour images of 8x8 and their targets."""
    generator = torch.Generator().manual_seed(5)
    return torch.rand((5, 3, SIDE, SIDE), generator=generator), torch.tensor([0, 1, 2, 3, 1])


@pytest.fixture
def explaining():
    """Makes a `BatchExplainer` of an explainer by name, for the images of `rows`."""

    def make(method, rows, normalisation="none", **parameters):
        entries = {"it": {"method": method, "parameters": parameters}}
        explainer = build_explainers(entries)["it"]

        def treated(raw):
            size = (raw.shape[1], raw.shape[2])
            return prepare(raw, size, "none", "signed", normalisation)

        return BatchExplainer(explainer, 100 + torch.as_tensor(rows), "it", treated)

    return make
