"""The thesis's network has the size and the layers that it claims."""

import torch

from sparsight.models.base import build_network, prunable_parameters
from sparsight.models.thesis_cnn import ThesisCnn


def test_parameter_counts_are_those_of_the_thesis() -> None:
    network = ThesisCnn(10)
    assert sum(p.numel() for p in network.parameters()) == 2346
    assert sum(p.numel() for p in prunable_parameters(network).values()) == 2324


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    build_network(ThesisCnn, 10, 7)
    assert torch.equal(torch.rand(3), expected)
