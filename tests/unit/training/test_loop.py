"""Training: noise, random streams, schedules, masks, and going on after an interruption."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.io.errors import InputError
from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning.masks import dense_masks
from sparsight.training import loop
from sparsight.training.loop import (
    Recipe,
    Stream,
    TrainingData,
    batch_images,
    derived_seed,
    generator,
    train,
)

STREAM = Stream(1, "magnitude/level01")


def recipe(epochs: int = 5, momentum: float = 0.9, **changes: Any) -> Recipe:
    """A short recipe with a rate that falls after epochs 2 and 4."""
    facts: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": 32,
        "optimiser": {
            "name": "sgd",
            "learning_rate": 0.05,
            "momentum": momentum,
            "weight_decay": 1e-4,
        },
        "schedule": {"name": "multi_step", "milestones": [2, 4], "factor": 0.1},
        "noise": True,
    }
    return Recipe(**{**facts, **changes})


def trained(data: TrainingData, plan: Recipe, stream: Stream = STREAM, **options: Any) -> Any:
    """State of a network after training."""
    network = build_network(ThesisCnn, 4, 0)
    masks = options.pop("masks", dense_masks(network))
    train(network, data, plan, stream, masks=masks, **options)
    return network.state_dict()


def equal(a: Any, b: Any) -> bool:
    """Whether two states are equal bit for bit."""
    return all(torch.equal(a[key], b[key]) for key in a)


def test_noise_falls_on_zero_pixels_only_and_takes_every_value() -> None:
    images = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    images[:, :, :14] = 3  # below the noise: it must not be replaced
    noisy = batch_images(images, 51, generator(torch.device("cpu"), 0))
    assert torch.equal(noisy[:, :, :14], torch.full_like(noisy[:, :, :14], 3 / 255))
    drawn = (noisy[:, :, 14:] * 255).round().int().unique()
    assert drawn.tolist() == list(range(52))


def test_without_noise_images_are_only_scaled() -> None:
    images = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    assert torch.allclose(batch_images(images, 51, None), torch.tensor([[[[0, 0.2, 1.0]]]]))


def test_derived_seeds_tell_their_parts_apart() -> None:
    seeds = {derived_seed(1, "a", 0), derived_seed(1, "a", 1), derived_seed(2, "a", 0)}
    assert len({*seeds, derived_seed("1a", 0), derived_seed(1, "a0")}) == 5
    assert derived_seed(1, "a", 0) == derived_seed(1, "a", 0) < 2**63


def test_training_is_repeatable_and_another_stage_sees_other_batches(data: TrainingData) -> None:
    plain = recipe(2, noise=False)
    first = trained(data, plain)
    torch.rand(100)
    assert equal(first, trained(data, plain))
    # the order of the images alone differs
    assert not equal(first, trained(data, plain, Stream(1, "retrain/level01")))
    assert not equal(first, trained(data, recipe(2))), "the noise changed nothing"


def test_training_learns(data: TrainingData) -> None:
    network = build_network(ThesisCnn, 4, 0)
    train(network, data, recipe(6), STREAM, masks={})
    with torch.no_grad():
        found = network(data.images.float() / 255).argmax(1)
    assert (found == data.labels).float().mean() > 0.9
    assert not network.training


@pytest.mark.parametrize("interrupted_after", [1, 2, 4])
def test_a_resumed_training_equals_an_unbroken_one(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted_after: int
) -> None:
    state_file = tmp_path / "state.safetensors"
    write = loop.write_state

    def killed(path: Path, state: dict[str, Any], fingerprint: str) -> None:
        write(path, state, fingerprint)
        if state["epoch"] == interrupted_after:
            raise KeyboardInterrupt

    options = {"state_file": state_file, "fingerprint": "work"}
    monkeypatch.setattr(loop, "write_state", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(data, recipe(), **options)
    monkeypatch.undo()
    epochs = []
    whole = loop._train_epoch
    monkeypatch.setattr(loop, "_train_epoch", lambda *a: (epochs.append(a[4]), whole(*a))[1])
    resumed = trained(data, recipe(), **options)
    assert epochs == list(range(interrupted_after, 5)), "it did not go on where it was"
    monkeypatch.undo()
    assert equal(resumed, trained(data, recipe()))


def test_the_state_of_other_work_is_not_used(data: TrainingData, tmp_path: Path) -> None:
    state_file = tmp_path / "state.safetensors"
    trained(data, recipe(2), Stream(9, "other"), state_file=state_file, fingerprint="other")
    assert state_file.exists()
    found = trained(data, recipe(), state_file=state_file, fingerprint="mine")
    assert equal(found, trained(data, recipe()))


def test_two_parts_of_a_training_equal_the_whole_without_momentum(data: TrainingData) -> None:
    # A rewind point of epoch k starts a fresh optimiser: with momentum the two differ.
    plan = recipe(momentum=0.0)
    network = build_network(ThesisCnn, 4, 0)
    masks = dense_masks(network)
    train(network, data, plan, STREAM, masks=masks, last_epoch=3)
    train(network, data, plan, STREAM, masks=masks, first_epoch=3)
    assert equal(network.state_dict(), trained(data, plan))


def test_rates_follow_the_schedule_also_from_a_later_epoch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    for first in range(5):
        optimiser = recipe().build_optimiser([parameter])
        schedule = recipe().build_schedule(optimiser, first)
        rates = []
        for _ in range(first, 5):
            rates.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            schedule.step()
        assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.0005][first:])
        assert not optimiser.state


def test_pruned_weights_stay_zero_and_negative_ones_train(data: TrainingData) -> None:
    network = build_network(ThesisCnn, 4, 0)
    masks = {
        name: torch.rand(mask.shape, generator=torch.Generator().manual_seed(1)) < 0.5
        for name, mask in dense_masks(network).items()
    }
    with torch.no_grad():
        for name, mask in masks.items():
            network.get_parameter(name).mul_(mask)
    before = {name: network.get_parameter(name).clone() for name in masks}
    train(network, data, recipe(2), STREAM, masks=masks)
    for name, mask in masks.items():
        after = network.get_parameter(name)
        assert torch.equal(after != 0, mask)
        negative = before[name] < 0
        assert (after[negative] != before[name][negative]).any()


def test_a_diverging_loss_is_one_sentence(data: TrainingData) -> None:
    wild = {"name": "sgd", "learning_rate": 1e30, "momentum": 0.9, "weight_decay": 0.0}
    with pytest.raises(InputError, match="lower the recipe's learning_rate"):
        trained(data, recipe(optimiser=wild))


class TwoHeads(ThesisCnn):
    """Has a second classifier on the same features."""

    auxiliary_weight = 0.4

    def __init__(self, class_count: int) -> None:
        super().__init__(class_count)
        self.second = torch.nn.Linear(200, class_count)

    def training_logits(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        maps = self.feature_maps(images)
        return self.class_logits(maps), self.second(maps.flatten(1))


def test_an_auxiliary_head_adds_its_share_of_the_loss(data: TrainingData) -> None:
    network = build_network(TwoHeads, 4, 0)
    with torch.no_grad():
        images = batch_images(data.images, 0, None)
        logits, auxiliary = network.training_logits(images)
        assert auxiliary is not None
        losses = [
            float(torch.nn.functional.cross_entropy(one, data.labels))
            for one in (logits, auxiliary)
        ]
    second = network.second.weight.clone()
    # one batch: the loss of the epoch is that of the start
    plan = recipe(1, noise=False, batch_size=96)
    outcome = train(network, data, plan, STREAM, masks={})
    assert outcome.history[0]["loss"] == pytest.approx(losses[0] + 0.4 * losses[1])
    assert not torch.equal(network.second.weight, second)


def test_gradients_can_be_changed_before_the_step(data: TrainingData) -> None:
    def only_first(network: torch.nn.Module) -> None:
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None
            if not name.startswith("conv1"):
                parameter.grad.zero_()

    start = build_network(ThesisCnn, 4, 0).state_dict()
    plan = recipe(2, optimiser={"name": "sgd", "learning_rate": 0.05})
    state = trained(data, plan, after_backward=only_first)
    changed = {name for name in start if not torch.equal(start[name], state[name])}
    assert changed == {"conv1.weight", "conv1.bias"}
