"""Magnitude masks are those of torch.nn.utils.prune."""

import pytest
import torch
from torch.nn.utils import prune

from sparsight.models.base import build_network, prunable_parameters
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning.criteria import Magnitude
from sparsight.pruning.masks import Step, dense_masks, next_masks
from sparsight.pruning.observation import Observation


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("rate", [0.2, 0.5, 0.93])
def test_masks_over_three_rounds(scope: str, rate: float) -> None:
    network, reference = build_network(ThesisCnn, 10, 3), build_network(ThesisCnn, 10, 3)
    scores = Magnitude().scores(Observation(prunable_parameters(network), 0))
    masks = dense_masks(network)
    modules = [(reference.get_submodule(name.removesuffix(".weight")), "weight") for name in masks]
    for _ in range(3):
        step = Step(rate=rate)
        # torch takes a number of weights; ours is floor(rate * survivors)
        counts = [step.falling(int(masks[n].sum()), masks[n].numel()) for n in masks]
        if scope == "global":
            survivors = sum(int(mask.sum()) for mask in masks.values())
            method = prune.L1Unstructured
            prune.global_unstructured(modules, method, amount=step.falling(survivors, 2324))
        else:
            for (module, name), count in zip(modules, counts, strict=True):
                if count:
                    prune.l1_unstructured(module, name, amount=count)
        masks = next_masks(scores, masks, step, scope)
        for (module, _), (name, mask) in zip(modules, masks.items(), strict=True):
            expected = getattr(module, "weight_mask", torch.ones_like(module.weight)).bool()
            assert torch.equal(mask, expected), name
