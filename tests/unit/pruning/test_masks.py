"""How many weights fall, and which."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsight.models.base import build_network, prunable_parameters
from sparsight.models.inception import InceptionV3
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning.criteria import Magnitude, RandomOrder
from sparsight.pruning.masks import Step, dense_masks, densities, next_masks
from sparsight.pruning.observation import Observation

NAMES = ("a", "b")


def ones(*sizes: int) -> dict[str, torch.Tensor]:
    """All-ones masks of these sizes."""
    return {
        name: torch.ones(size, dtype=torch.bool) for name, size in zip(NAMES, sizes, strict=True)
    }


def test_only_convolutions_and_linear_layers_are_prunable() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    assert sorted(prunable_parameters(network)) == ["0.weight", "3.weight"]


@pytest.mark.parametrize(
    ("step", "survivors", "total", "falling"),
    [
        (Step(rate=0.2), 2324, 2324, 464),
        (Step(rate=0.2), 5, 10, 1),
        (Step(rate=0.2), 4, 10, 0),
        (Step(rate=0), 10, 10, 0),
        # decimal numbers are taken exactly: as binary floats these would be 28 and 6
        (Step(rate=0.29), 100, 100, 29),
        (Step(rate=0.7), 10, 10, 7),
        (Step(density=0.29), 100, 100, 71),
        (Step(density=0.5), 40, 100, 0),
        (Step(density=0.25), 10, 10, 7),
        (Step(rate=0.2, openlth_threshold=True), 2324, 2324, 466),
        (Step(rate=0.2, openlth_threshold=True), 1, 10, 1),
        (Step(rate=0, openlth_threshold=True), 10, 10, 0),
    ],
)
def test_how_many_fall(step: Step, survivors: int, total: int, falling: int) -> None:
    assert step.falling(survivors, total) == falling


@pytest.mark.parametrize(("threshold", "left"), [(False, 11), (True, 2)])
def test_the_thesis_ends_where_its_densities_say(threshold: bool, left: int) -> None:
    scores = {"a": torch.rand(2324, generator=torch.Generator().manual_seed(0))}
    masks = {"a": torch.ones(2324, dtype=torch.bool)}
    for _ in range(25):
        masks = next_masks(scores, masks, Step(rate=0.2, openlth_threshold=threshold), "global")
    assert int(masks["a"].sum()) == left


def test_openlth_threshold_keeps_what_openlth_keeps() -> None:
    # its code: threshold = sorted(|w|)[ceil(rate * n)]; keep |w| > threshold
    weights = torch.randn(97, generator=torch.Generator().manual_seed(0))
    threshold = weights.abs().sort().values[20]
    masks = {"a": torch.ones(97, dtype=torch.bool)}
    found = next_masks(
        {"a": weights.abs()}, masks, Step(rate=0.2, openlth_threshold=True), "global"
    )
    assert torch.equal(found["a"], weights.abs() > threshold)


def test_global_scope_compares_layers_and_layer_scope_does_not() -> None:
    scores = {"a": torch.tensor([1.0, 2, 3, 4]), "b": torch.tensor([10.0, 20, 30, 40])}
    whole = next_masks(scores, ones(4, 4), Step(rate=0.5), "global")
    assert whole["a"].tolist() == [False] * 4
    assert whole["b"].tolist() == [True] * 4
    each = next_masks(scores, ones(4, 4), Step(rate=0.5), "layer")
    assert each["a"].tolist() == each["b"].tolist() == [False, False, True, True]


def test_ties_fall_in_order_and_in_the_exact_number() -> None:
    found = next_masks(
        {"a": torch.ones(10), "b": torch.ones(10)}, ones(10, 10), Step(rate=0.3), "global"
    )
    assert found["a"].tolist() == [False] * 6 + [True] * 4
    assert found["b"].all()


def test_a_layer_too_small_for_the_step_keeps_its_weights_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scores = {"a": torch.arange(4.0), "b": torch.arange(10.0)}
    with caplog.at_level(logging.INFO):
        found = next_masks(scores, ones(4, 10), Step(rate=0.2), "layer")
    assert found["a"].all()
    assert int(found["b"].sum()) == 8
    assert "a keeps its 4 weights" in caplog.text


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    rate=st.sampled_from([0.1, 0.2, 0.33, 0.5, 0.9]),
    scope=st.sampled_from(["global", "layer"]),
    threshold=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_masks_are_nested_and_counts_exact(
    sizes: tuple[int, int], rate: float, scope: str, threshold: bool, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    masks, step = ones(*sizes), Step(rate=rate, openlth_threshold=threshold)
    for _ in range(4):
        # few distinct values: many ties
        scores = {
            n: torch.randint(3, (m.numel(),), generator=draw).float() for n, m in masks.items()
        }
        after = next_masks(scores, masks, step, scope)
        groups = [[n] for n in NAMES] if scope == "layer" else [list(NAMES)]
        for names in groups:
            before = sum(int(masks[n].sum()) for n in names)
            left = sum(int(after[n].sum()) for n in names)
            assert before - left == step.falling(before, sum(masks[n].numel() for n in names))
        assert not any((after[n] & ~masks[n]).any() for n in NAMES)
        # what falls has no higher score than what stays
        for names in groups:
            fell = torch.cat([scores[n][masks[n] & ~after[n]] for n in names])
            stay = torch.cat([scores[n][after[n]] for n in names])
            assert not len(fell) or not len(stay) or fell.max() <= stay.min()
        masks = after


def test_random_order_is_one_per_seed_whatever_the_weights() -> None:
    first = RandomOrder().scores(Observation({"a": torch.zeros(50)}, 1))["a"]
    assert torch.equal(first, RandomOrder().scores(Observation({"a": torch.ones(50)}, 1))["a"])
    assert not torch.equal(first, RandomOrder().scores(Observation({"a": torch.zeros(50)}, 2))["a"])


def test_random_masks_are_nested_in_a_chain_and_in_one_shot() -> None:
    scores = RandomOrder().scores(Observation({"a": torch.zeros(100)}, 1))
    dense = {"a": torch.ones(100, dtype=torch.bool)}
    chain = next_masks(scores, dense, Step(density=0.5), "global")
    chain = next_masks(scores, chain, Step(density=0.2), "global")
    assert torch.equal(chain["a"], next_masks(scores, dense, Step(density=0.2), "global")["a"])


def test_magnitude_scores_are_absolute_values() -> None:
    assert Magnitude().scores(Observation({"a": torch.tensor([-2.0, 1.0])}, 0))["a"].tolist() == [
        2.0,
        1.0,
    ]


def test_densities_are_measured_from_the_masks() -> None:
    network = ThesisCnn(10)
    masks = dense_masks(network)
    masks["conv1.weight"][:2] = False
    found = densities(network, masks)
    assert found["prunable"] == pytest.approx((2324 - 18) / 2324)
    assert found["all_parameters"] == pytest.approx((2346 - 18) / 2346)
    assert found["layers"] == {"conv1": 0.5, "conv2": 1.0, "classifier": 1.0}


def test_what_only_trains_is_neither_pruned_nor_counted() -> None:
    network = build_network(InceptionV3, 5, 0, {"width": 2})
    auxiliary = sum(parameter.numel() for parameter in network.AuxLogits.parameters())
    everything = sum(parameter.numel() for parameter in network.parameters())
    for norm_layers in (False, True):
        masks = dense_masks(network, norm_layers)
        assert not [name for name in masks if name.startswith("AuxLogits")]
        # every other weight is there
        others = {key for key, value in network.named_parameters() if value.dim() > 1}
        assert {key for key in others if not key.startswith("AuxLogits.")} <= masks.keys()
    masks = dense_masks(network)
    masks["fc.weight"][:] = False
    prunable = sum(mask.numel() for mask in masks.values())
    found = densities(network, masks)
    fallen = masks["fc.weight"].numel()
    assert found["prunable"] == pytest.approx(1 - fallen / prunable)
    assert found["all_parameters"] == pytest.approx(1 - fallen / (everything - auxiliary))
    assert "AuxLogits.fc" not in found["layers"]


def test_a_name_that_begins_alike_is_another_module() -> None:
    network = nn.ModuleDict({"aux": nn.Linear(2, 3), "auxiliary": nn.Linear(2, 3)})
    network.training_only = ("aux",)
    assert list(prunable_parameters(network)) == ["auxiliary.weight"]
