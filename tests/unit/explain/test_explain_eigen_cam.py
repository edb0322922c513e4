"""Eigen-CAM: known decompositions, and the sign."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.cam import EigenCam


def eigen(activations: Tensor, **parameters: Any) -> Tensor:
    return EigenCam(**parameters).map_of(activations, torch.empty(0))


PATTERN = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 6.0]])


def rank_one(channels: list[float], pattern: Tensor = PATTERN) -> Tensor:
    return torch.tensor(channels)[None, :, None, None] * pattern


@pytest.mark.parametrize("copies", [1, 4])
def test_rank_one_by_hand(copies: int) -> None:
    # (1, 2, 2) has length 3; copied, there are more channels than positions.
    found = eigen(rank_one([1.0, 2.0, 2.0] * copies))
    torch.testing.assert_close(found[0], 3 * copies**0.5 * PATTERN)


@pytest.mark.parametrize("copies", [1, 4])
def test_centred_rank_one_by_hand(copies: int) -> None:
    # The mean of the pattern is 2.
    found = eigen(rank_one([1.0, 2.0, 2.0] * copies), centred=True)
    torch.testing.assert_close(found[0], 3 * copies**0.5 * (PATTERN - 2).clamp_min(0))


def test_the_map_agrees_with_the_mean_channel() -> None:
    # The first channel decides the vector, the sum of the two the sign.
    torch.testing.assert_close(
        eigen(rank_one([-3.0, 0.0, 4.0])), eigen(rank_one([3.0, 0.0, -4.0], -PATTERN))
    )
    # Mostly negative channels: their mean is below zero everywhere, and so is the map.
    assert not eigen(rank_one([-3.0, 0.0, 1.0])).any()
    # The mean channel rises where the pattern falls.
    found = eigen(rank_one([-4.0, 0.0, 3.0]), centred=True)
    torch.testing.assert_close(found[0], 5 * (2 - PATTERN).clamp_min(0))


def test_without_a_mean_the_largest_value_is_positive() -> None:
    for sign in (1.0, -1.0):
        found = eigen(rank_one([sign, -sign]))
        torch.testing.assert_close(found[0], 2**0.5 * PATTERN)


@pytest.mark.parametrize("shape", [(5, 3, 6, 7), (5, 40, 3, 4)])
@pytest.mark.parametrize("centred", [False, True])
def test_equals_the_singular_value_decomposition(shape: tuple[int, ...], centred: bool) -> None:
    activations = torch.randn(shape, generator=torch.Generator().manual_seed(1)).clamp_min(-0.5)
    rows = activations.flatten(2).transpose(1, 2)
    rows = rows - rows.mean(dim=1, keepdim=True) if centred else rows
    first = torch.linalg.svd(rows).Vh[:, 0]
    first = first * first.sum(dim=1, keepdim=True).sign()
    expected = torch.einsum("npc,nc->np", rows, first).clamp_min(0).view(5, *shape[2:])
    torch.testing.assert_close(eigen(activations, centred=centred), expected)


def test_a_permutation_of_channels_changes_nothing() -> None:
    activations = torch.rand(2, 8, 5, 5, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(eigen(activations.flip(1)), eigen(activations))


def test_flat_and_broken_activations() -> None:
    activations = torch.stack(
        [torch.full((4, 3, 3), 0.3), torch.zeros(4, 3, 3), torch.full((4, 3, 3), torch.nan)]
    )
    plain, centred = eigen(activations), eigen(activations, centred=True)
    # Four channels of 0.3 have the length 0.6.
    torch.testing.assert_close(plain[0], torch.full((3, 3), 0.6))
    assert not plain[1].any()
    assert not centred[:2].any()
    assert plain[2].isnan().all()
    assert centred[2].isnan().all()


def test_it_knows_no_class_and_is_no_control_all_the_same(
    network: nn.Module, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    """Its authors offer it as an explanation, so tables list it with the methods."""
    images, targets, ids = batch
    explainer = EigenCam(layer="conv2_relu")
    first = explainer.explain(ImageBatch(network, images, targets, ids, "x"))
    assert torch.equal(
        explainer.explain(ImageBatch(network, images, (targets + 1) % 10, ids, "x")), first
    )
    assert explainer.facts()["control"] is False
