"""Metrics that perturb images see a transformer as they see any network."""

import pytest
import torch

import sparsight
from tests.unit.explain.tiny_transformer import pointing

TARGETS = torch.tensor([1])


def bright_at(row: int, column: int, brightness: float) -> torch.Tensor:
    images = torch.full((1, 1, 8, 12), 0.2)
    images[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = brightness
    return images


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 1), (0, 2)])
def test_the_patch_that_is_attended_to_goes_first(row: int, column: int) -> None:
    network, images = pointing(), bright_at(row, column, 0.9)
    black = bright_at(row, column, 0.0)
    alone = torch.where(images > 0.5, images, 0)
    whole, without, only, nothing = (
        network(one)[0, 1] for one in (images, black, alone, torch.zeros_like(images))
    )
    assert without < 0.5 * whole
    assert only > 0.9 * whole
    maps = sparsight.explain(network, images, "attn_lrp", TARGETS)
    options = {"network": network, "steps": 6, "value": "logit", "baseline": "zero"}
    for metric, start, first in (
        ("deletion", whole, without),
        ("pixel_flipping", whole, without),
        ("insertion", nothing, only),
    ):
        curve = sparsight.score(maps, images, metric, TARGETS, **options)
        torch.testing.assert_close(curve[0, :2], torch.stack([start, first]))


def test_a_map_that_does_not_change_is_not_sensitive() -> None:
    network, images = pointing(), bright_at(0, 0, 0.9)
    maps = sparsight.explain(network, images, "attention_rollout", TARGETS)
    options = {"network": network, "method": "attention_rollout", "samples": 3}
    still = sparsight.score(maps, images, "max_sensitivity", TARGETS, radius=1e-6, **options)
    moved = sparsight.score(maps, images, "max_sensitivity", TARGETS, radius=0.5, **options)
    assert still.item() < 1e-3
    assert moved.item() > 10 * still.item()
