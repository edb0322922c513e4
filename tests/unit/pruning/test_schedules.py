"""Masks that change while a network trains."""

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning.criteria import Magnitude, RandomOrder
from sparsight.pruning.masks import Step, dense_masks
from sparsight.pruning.schedules import Gradual, MaskSchedule, RigL, Set
from sparsight.pruning.selection import Rule
from sparsight.training.loop import Held, Recipe, Stream, TrainingData, train

RECIPE = Recipe(
    epochs=4,
    batch_size=10,
    optimiser={"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
)
#: 80 images in batches of 10
STEPS = 4 * 8


def data() -> TrainingData:
    """Random images in two classes that differ."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (80,), generator=draw)
    images = torch.randint(100, (80, 1, 28, 28), dtype=torch.uint8, generator=draw)
    images[labels == 1, :, :14] += 100
    return TrainingData(images, labels, 0)


class Watched:
    """Runs a schedule and notes the masks after every step."""

    def __init__(self, schedule: MaskSchedule) -> None:
        self.schedule, self.masks = schedule, list[dict[str, Tensor]]()

    def __call__(self, training: Held, step: int) -> None:
        self.schedule(training, step)
        assert training.steps == STEPS
        self.masks.append({name: mask.clone() for name, mask in training.masks.items()})
        for name, mask in training.masks.items():
            assert (training.parameters[name][~mask] == 0).all()


def prune(network: nn.Module, masks: dict[str, Tensor], density: float) -> dict[str, Tensor]:
    """By magnitude."""
    return Rule(Magnitude()).select(network, masks, Step(density=density), 0)[0]


def sparse(network: nn.Module, density: float) -> dict[str, Tensor]:
    """Random masks."""
    rule = Rule(RandomOrder(), "erk")
    return rule.select(network, dense_masks(network), Step(density=density), 0)[0]


def count(masks: dict[str, Tensor]) -> int:
    """Survivors."""
    return sum(int(mask.sum()) for mask in masks.values())


def test_gradual_pruning_follows_the_cubic_and_ends_at_its_density() -> None:
    network = build_network(ThesisCnn, 2, 0)
    watched, masks = Watched(Gradual(prune, 0.1, every=4, until=0.75)), dense_masks(network)
    outcome = train(network, data(), RECIPE, Stream(0, "x"), masks=masks, change_masks=watched)
    total = count(masks)
    for step, seen in enumerate(watched.masks, 1):
        progress = min(step // 4 * 4, 24) / 24
        density = 0.1 + 0.9 * (1 - progress) ** 3
        assert count(seen) == math.ceil(round(density * total, 6))
    assert count(outcome.masks) == math.ceil(0.1 * total)
    assert all(
        (first[name] | ~second[name]).all()
        for first, second in zip(watched.masks, watched.masks[1:], strict=False)
        for name in first
    )
    for name, mask in outcome.masks.items():
        assert torch.equal(network.get_parameter(name) != 0, mask)
    # the masks that were given are not those that changed
    assert count(masks) == total


@pytest.mark.parametrize("kind", [Set, RigL])
def test_dynamic_sparse_training_keeps_each_layers_number_at_every_step(
    kind: type[Set],
) -> None:
    network = build_network(ThesisCnn, 2, 0)
    masks = sparse(network, 0.2)
    watched = Watched(kind(0, every=4, until=0.75, drop=0.5))
    outcome = train(network, data(), RECIPE, Stream(0, "x"), masks=masks, change_masks=watched)
    for seen in watched.masks:
        assert {n: int(m.sum()) for n, m in seen.items()} == {
            n: int(m.sum()) for n, m in masks.items()
        }
    changed = [
        step + 2
        for step, (first, second) in enumerate(zip(watched.masks, watched.masks[1:], strict=False))
        if any(not torch.equal(first[name], second[name]) for name in first)
    ]
    # with the cosine at its end, the last change moves nothing
    assert set(changed) <= {4, 8, 12, 16, 20}
    assert changed
    assert any(not torch.equal(outcome.masks[name], mask) for name, mask in masks.items())


def held(weight: Tensor, gradient: Tensor, mask: Tensor) -> Held:
    """A training of one layer."""
    network = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    network.weight.data = weight * mask
    network.weight.grad = gradient
    optimiser = torch.optim.SGD(network.parameters(), lr=0, momentum=0.9)
    optimiser.state[network.weight] = {"momentum_buffer": torch.ones_like(weight)}
    return Held(network, {"weight": network.weight}, {"weight": mask}, optimiser, 100)


def test_rigl_drops_the_smallest_and_grows_the_largest_gradient_without_memory() -> None:
    weight = torch.tensor([[0.1, -2.0, 3.0, 0.2], [0.0, 0.0, 0.0, 0.0]])
    gradient = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.3, -0.9, 0.1, 0.5]])
    mask = torch.tensor([[True] * 4, [False] * 4])
    training = held(weight, gradient, mask.clone())
    # step 1 of 75: the cosine has hardly begun to fall, 2 of 4 weights are exchanged
    RigL(0, every=1, until=0.75, drop=0.501)(training, 1)
    expected = torch.tensor([[False, True, True, False], [False, True, False, True]])
    assert torch.equal(training.masks["weight"], expected)
    momentum = training.optimiser.state[training.parameters["weight"]]["momentum_buffer"]
    assert torch.equal(momentum != 0, mask & expected)
    assert torch.equal(training.parameters["weight"] != 0, mask & expected)


def test_set_grows_at_random_by_seed() -> None:
    weight, mask = torch.rand(4, 20) + 0.1, torch.zeros(4, 20, dtype=torch.bool)
    mask[0] = True

    def grown(seed: int) -> Tensor:
        training = held(weight, torch.zeros(4, 20), mask.clone())
        Set(seed, every=1, until=0.75, drop=0.6)(training, 1)
        return training.masks["weight"]

    assert torch.equal(grown(1), grown(1))
    assert not torch.equal(grown(1), grown(2))
    assert int(grown(1).sum()) == 20


@pytest.mark.parametrize("kind", ["gradual", "rigl"])
def test_an_interrupted_training_ends_as_an_unbroken_one(kind: str, tmp_path: Path) -> None:
    def schedule() -> MaskSchedule:
        if kind == "gradual":
            return Gradual(prune, 0.2, every=3, until=0.75)
        return RigL(0, every=3, until=0.75, drop=0.3)

    start = build_network(ThesisCnn, 2, 0)
    masks = dense_masks(start) if kind == "gradual" else sparse(start, 0.3)
    whole, broken = copy.deepcopy(start), copy.deepcopy(start)
    unbroken = train(whole, data(), RECIPE, Stream(0, "x"), masks=masks, change_masks=schedule())
    state_file = tmp_path / "state"

    class Stop(Exception):
        pass

    once = schedule()

    def until_the_third_epoch(training: Held, step: int) -> None:
        if step > 20:
            raise Stop
        once(training, step)

    options = {"masks": masks, "state_file": state_file, "fingerprint": "f"}
    with pytest.raises(Stop):
        train(
            broken,
            data(),
            RECIPE,
            Stream(0, "x"),
            change_masks=until_the_third_epoch,
            **options,  # type: ignore[arg-type]
        )
    again = copy.deepcopy(start)
    outcome = train(
        again,
        data(),
        RECIPE,
        Stream(0, "x"),
        change_masks=schedule(),
        **options,  # type: ignore[arg-type]
    )
    for name, mask in unbroken.masks.items():
        assert torch.equal(outcome.masks[name], mask)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
