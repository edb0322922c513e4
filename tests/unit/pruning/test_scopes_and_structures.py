"""How the survivors are shared out among layers, and groups of N out of M."""

import logging
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.pruning.masks import SCOPES, Step, groups_of, next_masks
from sparsight.pruning.structures import n_of_m_masks

SHAPES = {"first": (8, 3, 3, 3), "middle": (16, 8, 3, 3), "wide": (32, 16, 1, 1), "last": (10, 32)}


def ones() -> dict[str, Tensor]:
    """Dense masks of four layers."""
    return {name: torch.ones(shape, dtype=torch.bool) for name, shape in SHAPES.items()}


def drawn(seed: int) -> dict[str, Tensor]:
    """Random scores of the layers."""
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.rand(shape, generator=draw) for name, shape in SHAPES.items()}


def kept(masks: dict[str, Tensor]) -> dict[str, int]:
    """Survivors by layer."""
    return {name: int(mask.sum()) for name, mask in masks.items()}


@settings(max_examples=40, deadline=None)
@given(
    scope=st.sampled_from(SCOPES),
    density=st.sampled_from([0.9, 0.5, 0.3]),
    seed=st.integers(0, 100),
)
def test_masks_are_nested_and_counts_exact(scope: str, density: float, seed: int) -> None:
    first = next_masks(drawn(seed), ones(), Step(density=density), scope)
    second = next_masks(drawn(seed + 1), first, Step(density=density / 2), scope)
    total = sum(mask.numel() for mask in first.values())
    for masks, wanted in ((first, density), (second, density / 2)):
        if scope in ("layer", "output"):
            for mask in masks.values():
                rows = mask.flatten(1) if scope == "output" else mask.reshape(1, -1)
                assert set(rows.sum(1).tolist()) == {math.ceil(round(wanted * rows.shape[1], 9))}
        else:
            assert sum(kept(masks).values()) == math.ceil(round(wanted * total, 9))
    assert not any((second[name] & ~first[name]).any() for name in first)


def test_erk_gives_each_layer_the_share_of_its_dimensions() -> None:
    masks = next_masks(drawn(0), ones(), Step(density=0.1), "erk")
    # 20 % of the weights: no layer is full, so that all survivors are in proportion to the sums
    sums = {name: sum(shape) for name, shape in SHAPES.items()}
    total = sum(kept(masks).values())
    for name, count in kept(masks).items():
        assert abs(count - total * sums[name] / sum(sums.values())) <= 1


def test_erk_fills_small_layers_before_it_exceeds_them() -> None:
    masks = next_masks(drawn(0), ones(), Step(density=0.6), "erk")
    assert masks["wide"].all()
    assert masks["last"].all()
    # the others share what is left, 1,320 - 832, as 17 to 30
    assert kept(masks)["first"] + kept(masks)["middle"] == 488
    assert abs(kept(masks)["first"] - 488 * 17 / 47) <= 1


def test_uniform_plus_keeps_the_first_layer_and_a_fifth_of_the_last() -> None:
    masks = next_masks(drawn(0), ones(), Step(density=0.25), "uniform_plus")
    assert masks["first"].all()
    shares = [float(masks[name].float().mean()) for name in ("middle", "wide")]
    assert shares[0] == pytest.approx(shares[1], abs=0.002)
    assert float(masks["last"].float().mean()) >= 0.2
    total = sum(mask.numel() for mask in masks.values())
    sparse = next_masks(drawn(0), ones(), Step(density=0.18), "uniform_plus")
    assert kept(sparse)["last"] == 64
    assert sum(kept(sparse).values()) == math.ceil(0.18 * total)


def test_uniform_plus_refuses_a_density_below_what_it_leaves_dense() -> None:
    with pytest.raises(InputError, match="uniform_plus"):
        groups_of(ones(), Step(density=0.1), "uniform_plus")


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(InputError, match="scope"):
        groups_of(ones(), Step(density=0.5), "layers")


@pytest.mark.parametrize(("density", "count"), [(0.5, 2), (0.25, 1)])
def test_n_of_four_along_the_input_channels(density: float, count: int) -> None:
    masks = n_of_m_masks(drawn(0), ones(), Step(density=density), 4)
    # three input channels are no group of four
    assert masks["first"].all()
    for name in ("middle", "wide", "last"):
        grouped = masks[name].unflatten(1, (-1, 4))
        assert (grouped.sum(2) == count).all()
        scores = drawn(0)[name].unflatten(1, (-1, 4))
        stays = scores.masked_fill(~grouped, 2).amin(2)
        falls = scores.masked_fill(grouped, -1).amax(2)
        assert (stays > falls).all()


def test_one_of_four_is_a_subset_of_two_of_four() -> None:
    half = n_of_m_masks(drawn(0), ones(), Step(density=0.5), 4)
    quarter = n_of_m_masks(drawn(1), half, Step(density=0.25), 4)
    assert all((half[name] | ~quarter[name]).all() for name in half)
    assert (quarter["middle"].unflatten(1, (-1, 4)).sum(2) == 1).all()


def test_a_density_between_two_groups_is_taken_to_the_nearest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        masks = n_of_m_masks(drawn(0), ones(), Step(density=0.3), 4)
    assert (masks["middle"].unflatten(1, (-1, 4)).sum(2) == 1).all()
    assert "0.3" in caplog.text


def test_no_layer_with_whole_groups_is_refused() -> None:
    only = {"first": ones()["first"]}
    with pytest.raises(InputError, match="structure"):
        n_of_m_masks(drawn(0), only, Step(density=0.5), 4)
