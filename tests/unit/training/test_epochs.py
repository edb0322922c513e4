"""What an epoch draws, what is kept after it, and what a network that draws itself resumes with."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

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
CPU = torch.device("cpu")


def recipe(epochs: int = 3, noise: bool = True, **optimiser: float) -> Recipe:
    """A short recipe at a constant rate."""
    facts = {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.0, **optimiser}
    return Recipe(epochs, 36, {"name": "sgd", **facts}, {"name": "constant"}, noise)


class Dropped(nn.Module):
    """A linear network that drops inputs: it draws from the global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(784, 4)
        torch.nn.init.zeros_(self.classifier.weight)
        torch.nn.init.zeros_(self.classifier.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(self.dropout(images.flatten(1)))
        return logits


class Seen:
    """Records the batches that training makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clean: list[torch.Tensor] = []
        self.given: list[torch.Tensor] = []
        real = batch_images

        def record(images: torch.Tensor, maximum: int, draw: Any) -> torch.Tensor:
            self.clean.append(images)
            self.given.append(real(images, maximum, draw))
            return self.given[-1]

        monkeypatch.setattr(loop, "batch_images", record)


def test_an_epoch_takes_every_image_once_in_its_own_order(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.images[:, 0, 0, 0] = torch.arange(96, dtype=torch.uint8)
    seen = Seen(monkeypatch)
    train(Dropped(), data, recipe(2, noise=False), STREAM, masks={})
    assert [len(batch) for batch in seen.clean] == [36, 36, 24] * 2
    orders = [
        [int(image[0, 0, 0]) for batch in seen.clean[part] for image in batch]
        for part in (slice(0, 3), slice(3, 6))
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(96))
    assert orders[0] != orders[1]


def test_noise_is_drawn_anew_for_every_batch_and_epoch(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.images.zero_()
    seen = Seen(monkeypatch)
    train(Dropped(), data, recipe(2), STREAM, masks={})
    patterns = {image.numpy().tobytes() for batch in seen.given for image in batch}
    assert len(patterns) == 2 * 96
    assert not data.images.any(), "the images themselves must stay clean"


def test_order_and_noise_of_an_epoch_do_not_depend_on_each_other(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_noise = Seen(monkeypatch)
    train(Dropped(), data, recipe(1), STREAM, masks={})
    monkeypatch.undo()
    without = Seen(monkeypatch)
    train(Dropped(), data, recipe(1, noise=False), STREAM, masks={})
    assert all(map(torch.equal, with_noise.clean, without.clean))
    bright = with_noise.clean[0] > 0
    assert torch.equal(with_noise.given[0][bright], without.given[0][bright])
    assert not torch.equal(with_noise.given[0], without.given[0])


@pytest.mark.parametrize("maximum", [0, 1, 51, 255])
def test_noise_stays_within_its_maximum(maximum: int) -> None:
    images = torch.zeros(40, 1, 28, 28, dtype=torch.uint8)
    noisy = batch_images(images, maximum, generator(CPU, 1))
    drawn = (noisy * 255).round().int()
    assert drawn.unique().tolist() == list(range(maximum + 1))
    assert noisy.dtype == torch.float32
    # uniform: within five standard errors of the mean
    error = maximum / (12 * drawn.numel()) ** 0.5
    assert abs(drawn.double().mean().item() - maximum / 2) <= 5 * error


def test_seeds_of_all_streams_differ() -> None:
    parts = [
        (seed, stage, epoch, purpose)
        for seed in (333, 334)
        for stage in ("pretraining", "dense/level00", "magnitude/level01", "magnitude/level10")
        for epoch in (0, 1, 11)
        for purpose in ("order", "noise", "layers")
    ]
    seeds = {derived_seed(*part) for part in parts}
    assert len(seeds) == len(parts)
    assert 2**60 < max(seeds) < 2**63, "all 63 bits are used"


def test_order_and_noise_of_every_epoch_have_streams_of_their_own(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams: list[tuple[str | int, ...]] = []
    real = generator

    def record(device: torch.device, *parts: str | int) -> torch.Generator:
        streams.append(parts)
        return real(device, *parts)

    monkeypatch.setattr(loop, "generator", record)
    train(Dropped(), data, recipe(2), STREAM, masks={})
    assert len(streams) == len(set(streams)) == 4
    assert all(parts[:2] == (1, "magnitude/level01") for parts in streams)


def test_layers_are_in_training_mode_while_training(data: TrainingData) -> None:
    networks = Dropped(), Dropped().eval()
    for network in networks:
        train(network, data, recipe(1), STREAM, masks={})
        assert not network.training
    assert torch.equal(networks[0].classifier.weight, networks[1].classifier.weight)


def test_a_network_that_draws_resumes_as_if_never_interrupted(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = Dropped()
    train(unbroken, data, recipe(), STREAM, masks={})
    torch.rand(7)  # another process has another global generator

    def killed(*arguments: Any) -> Any:
        if arguments[4] == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    real = loop._train_epoch
    options: dict[str, Any] = {"state_file": tmp_path / "state", "fingerprint": "work"}
    monkeypatch.setattr(loop, "_train_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(Dropped(), data, recipe(), STREAM, masks={}, **options)
    monkeypatch.undo()
    resumed = Dropped()
    train(resumed, data, recipe(), STREAM, masks={}, **options)
    assert torch.equal(resumed.classifier.weight, unbroken.classifier.weight)


def test_a_damaged_state_starts_again(data: TrainingData, tmp_path: Path) -> None:
    unbroken = Dropped()
    train(unbroken, data, recipe(), STREAM, masks={})
    state_file = tmp_path / "state"
    options: dict[str, Any] = {"state_file": state_file, "fingerprint": "work"}
    train(Dropped(), data, recipe(), STREAM, masks={}, last_epoch=2, **options)
    raw = bytearray(state_file.read_bytes())
    raw[-1] ^= 1
    state_file.write_bytes(raw)
    again = Dropped()
    train(again, data, recipe(), STREAM, masks={}, **options)
    assert torch.equal(again.classifier.weight, unbroken.classifier.weight)


def test_a_state_is_kept_after_every_epoch_but_the_last(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(loop, "write_state", lambda path, state, work: kept.append(state["epoch"]))
    train(Dropped(), data, recipe(4), STREAM, masks={}, state_file=tmp_path / "s", fingerprint="w")
    assert kept == [1, 2, 3]


def test_a_constant_schedule_and_the_optimiser_that_was_asked_for() -> None:
    plan = recipe(learning_rate=0.3, momentum=0.7, weight_decay=0.2)
    optimiser = plan.build_optimiser([nn.Parameter(torch.zeros(1))])
    schedule = plan.build_schedule(optimiser, 2)
    (group,) = optimiser.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.3, 0.7, 0.2)
    optimiser.step()
    schedule.step()
    assert group["lr"] == 0.3


def test_one_step_is_stochastic_gradient_descent_by_hand(data: TrainingData) -> None:
    # one batch of all images, noiseless, without dropout: w - rate * (gradient + decay * w)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 4))
    start = {name: value.clone() for name, value in network.state_dict().items()}
    plan = Recipe(
        1,
        96,
        {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        {"name": "constant"},
        False,
    )
    mask = torch.rand(4, 784, generator=torch.Generator().manual_seed(0)) < 0.5
    train(network, data, plan, STREAM, masks={"1.weight": mask})
    pixels = data.images.flatten(1).double() / 255
    logits = pixels @ start["1.weight"].double().T + start["1.bias"].double()
    error = (logits.softmax(1) - nn.functional.one_hot(data.labels, 4)) / 96
    weight = start["1.weight"] - 0.1 * (error.T @ pixels + 0.01 * start["1.weight"])
    bias = start["1.bias"] - 0.1 * (error.sum(0) + 0.01 * start["1.bias"])
    found = network.state_dict()
    assert torch.allclose(found["1.weight"].double(), weight * mask, atol=1e-6)
    assert torch.allclose(found["1.bias"].double(), bias, atol=1e-6)
    assert not found["1.weight"][~mask].any()


def test_an_epoch_s_line_tells_density_seconds_and_time_left(
    data: TrainingData, caplog: pytest.LogCaptureFixture
) -> None:
    network = Dropped()
    mask = torch.zeros_like(network.classifier.weight, dtype=torch.bool)
    mask[0] = True  # one of four rows
    for masks in ({"classifier.weight": mask}, {}):
        with caplog.at_level(logging.INFO):
            train(network, data, recipe(2), STREAM, masks=masks)
    masked, last, unmasked, _ = (record.getMessage() for record in caplog.records)
    assert re.match(
        r"magnitude/level01 epoch 1/2 rate 0\.05 loss \d\.\d+ accuracy \d\.\d+ density 0\.25000, "
        r"\d+\.\d s, left \d+ s, ",
        masked,
    )
    assert ", left 0 s, " in last
    # without a mask there is nothing to measure
    assert "density" not in unmasked
