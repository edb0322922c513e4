"""Training at image scale: memory formats, smoothing, augmentation, other optimisers, progress."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.training import loop
from sparsight.training.loop import Recipe, Stopwatch, Stream, TrainingData, train

STREAM = Stream(1, "magnitude/level01")
AUGMENT: dict[str, Any] = {
    "random_resized_crop": {"scale": [0.5, 1.0]},
    "flip": True,
    "colour_jitter": {"brightness": 0.2, "hue": 0.1},
}


@pytest.fixture
def pictures() -> TrainingData:
    """48 colour images of two classes, told apart by their hue."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % 2
    images = torch.randint(0, 128, (48, 3, 16, 16), dtype=torch.uint8, generator=draw)
    images[labels == 0, 0] += 127
    images[labels == 1, 2] += 127
    return TrainingData(images, labels, 51)


def recipe(**changes: Any) -> Recipe:
    """Ranger with a cosine schedule, three epochs."""
    facts: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 16,
        "optimiser": {"name": "ranger", "learning_rate": 0.005, "weight_decay": 1e-4},
        "schedule": {"name": "cosine"},
        "augment": AUGMENT,
        "channels_last": True,
    }
    return Recipe(**{**facts, **changes})


def small() -> Any:
    """A small residual network."""
    return build_network(ResNet18, 2, 0, {"width": 2, "stem": "strided"})


def trained(data: TrainingData, plan: Recipe, **options: Any) -> dict[str, torch.Tensor]:
    """State after training."""
    network = small()
    train(network, data, plan, STREAM, masks=options.pop("masks", {}), **options)
    state: dict[str, torch.Tensor] = network.state_dict()
    return state


def equal(a: Any, b: Any) -> bool:
    """Whether two states are equal bit for bit."""
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("optimiser", ["adamw", "ranger"])
def test_an_interrupted_training_gives_equal_numbers(
    pictures: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str
) -> None:
    plan = recipe(optimiser={"name": optimiser, "learning_rate": 0.005, "weight_decay": 1e-4})
    options: dict[str, Any] = {"state_file": tmp_path / "state", "fingerprint": "work"}
    write = loop.write_state

    def killed(path: Path, state: dict[str, Any], fingerprint: str) -> None:
        write(path, state, fingerprint)
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "write_state", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(pictures, plan, **options)
    monkeypatch.undo()
    assert equal(trained(pictures, plan, **options), trained(pictures, plan))


def test_the_memory_format_changes_speed_only(pictures: TrainingData) -> None:
    # one step of plain descent: later ones would magnify what rounding does
    plain = {"optimiser": {"name": "sgd", "learning_rate": 0.01}, "epochs": 1, "batch_size": 48}
    last, first = (trained(pictures, recipe(channels_last=on, **plain)) for on in (True, False))
    assert all(torch.allclose(last[key], first[key], atol=1e-5) for key in first)
    assert all(value.is_contiguous() for value in last.values())


def test_autocast_leaves_a_cpu_alone(pictures: TrainingData) -> None:
    assert equal(trained(pictures, recipe(autocast=True)), trained(pictures, recipe()))


def test_augmentation_has_numbers_of_its_own(pictures: TrainingData) -> None:
    augmented, plain = trained(pictures, recipe()), trained(pictures, recipe(augment={}))
    assert equal(augmented, trained(pictures, recipe()))
    assert not equal(augmented, plain)


def test_an_epoch_draws_its_own_augmentation_and_a_rewind_resumes_it(
    pictures: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    real = loop.augment

    def record(*arguments: Any) -> torch.Tensor:
        seen.append(real(*arguments))
        return seen[-1]

    monkeypatch.setattr(loop, "augment", record)
    trained(pictures, recipe())
    whole = list(seen)
    assert len({batch.numpy().tobytes() for batch in whole}) == 9
    seen.clear()
    trained(pictures, recipe(), first_epoch=2)
    assert all(map(torch.equal, seen, whole[6:]))


def test_masks_hold_under_lookahead(pictures: TrainingData) -> None:
    draw = torch.Generator().manual_seed(1)
    network = small()
    masks = {
        name: torch.rand(parameter.shape, generator=draw) < 0.5
        for name, parameter in network.named_parameters()
        if parameter.ndim > 1
    }
    state = trained(pictures, recipe(epochs=4), masks=masks)
    assert all(not state[name][~mask].any() for name, mask in masks.items())
    # an element that survives trains; it is zero by chance only
    assert all((state[name][mask] != 0).all() for name, mask in masks.items())


def test_label_smoothing_by_hand(pictures: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing(nn.Module):
        """Logits 1 and 0 for every image."""

        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Parameter(torch.tensor([1.0, 0.0]))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.logits.expand(len(images), 2)

    still = {"name": "sgd", "learning_rate": 1e-12}
    plan = recipe(epochs=1, optimiser=still, label_smoothing=0.2, channels_last=False)
    outcome = train(Nothing(), pictures, plan, STREAM, masks={})
    # half of the images are of either class, and the logarithm's arguments sum up symmetrically
    normaliser = torch.tensor([1.0, 0.0]).logsumexp(0).item()
    assert outcome.history[0]["loss"] == pytest.approx(normaliser - 0.5)
    only = TrainingData(pictures.images, torch.zeros_like(pictures.labels), 51)
    outcome = train(Nothing(), only, plan, STREAM, masks={})
    # 0.9 of the label on the first class and 0.1 on the second
    assert outcome.history[0]["loss"] == pytest.approx(normaliser - 0.9)


def test_the_log_tells_how_an_epoch_went(
    pictures: TrainingData, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        trained(pictures, recipe(epochs=2))
    lines = [record.getMessage() for record in caplog.records if "epoch" in record.getMessage()]
    assert len(lines) == 2
    assert lines[1].startswith("magnitude/level01 epoch 2/2 rate 0.0025 loss ")
    assert "images/s" in lines[1]
    assert "% making batches" in lines[1]


def test_a_stopwatch_tells_its_phases_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 4.0, 6.0, 7.0])
    monkeypatch.setattr("sparsight.training.loop.time.perf_counter", lambda: next(times))
    watch = Stopwatch(torch.device("cpu"))
    for _ in range(4):
        watch.mark()
    assert watch.seconds() == (1.0 + 2.0, 3.0 + 1.0)
