"""Which epoch's network is kept, also after an interruption, and what is told of the others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sparsight.io.arrays import write_arrays
from sparsight.io.errors import InputError
from sparsight.training import loop
from sparsight.training.loop import Judge, Recipe, Stream, TrainingData, train

STREAM = Stream(1, "magnitude/level01")
CPU = torch.device("cpu")


class Fixed(Judge):
    """A judge whose verdicts are given, one for every epoch."""

    def __init__(self, verdicts: Sequence[float]) -> None:
        self.verdicts, self.asked = list(verdicts), 0

    def __call__(self, network: nn.Module) -> float:
        self.asked += 1
        return self.verdicts[self.asked - 1]


def judged(data: TrainingData, verdicts: Sequence[float], split: str = "validation") -> Any:
    """The data with a judge."""
    return TrainingData(data.images, data.labels, 51, {split: Fixed(verdicts)})


def network() -> nn.Module:
    """A linear network with statistics of its inputs: buffers are selected too."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 4))


def recipe(select: str, epochs: int = 5) -> Recipe:
    """A short recipe."""
    optimiser = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
    return Recipe(epochs, 32, optimiser, select=select)


def equal(a: Any, b: Any) -> bool:
    """Whether two states are equal bit for bit."""
    return all(torch.equal(a[key], b[key]) for key in a)


def after(data: TrainingData, epochs: int) -> dict[str, torch.Tensor]:
    """State after some epochs of the recipe (its rate is constant)."""
    found = network()
    train(found, data, recipe("last", epochs), STREAM, masks={})
    return found.state_dict()


@pytest.mark.parametrize(
    ("select", "split"), [("best_validation", "validation"), ("best_test", "test")]
)
def test_the_best_epoch_is_kept_and_the_last_is_told(
    data: TrainingData, select: str, split: str
) -> None:
    # the second and the fourth are equally good: the earlier is taken
    found = network()
    outcome = train(
        found, judged(data, [0.5, 0.8, 0.6, 0.8, 0.7], split), recipe(select), STREAM, masks={}
    )
    assert (outcome.rule, outcome.epoch) == (select, 2)
    assert equal(found.state_dict(), after(data, 2))
    assert outcome.last is not None
    assert equal(outcome.last, after(data, 5))
    assert [entry["epoch"] for entry in outcome.history] == [1, 2, 3, 4, 5]
    assert [entry[f"{split}_accuracy"] for entry in outcome.history] == [0.5, 0.8, 0.6, 0.8, 0.7]
    assert all({"rate", "loss", "accuracy"} < set(entry) for entry in outcome.history)
    assert not found.training


def test_the_last_epoch_may_be_the_best(data: TrainingData) -> None:
    found = network()
    given = judged(data, [0.5, 0.6, 0.7, 0.8, 0.9])
    outcome = train(found, given, recipe("best_validation"), STREAM, masks={})
    assert (outcome.epoch, outcome.last) == (5, None)
    assert equal(found.state_dict(), after(data, 5))


def test_last_is_last_however_good_the_others_were(data: TrainingData) -> None:
    found = network()
    outcome = train(found, judged(data, [0.9, 0, 0, 0, 0]), recipe("last"), STREAM, masks={})
    assert (outcome.rule, outcome.epoch, outcome.last) == ("last", 5, None)
    assert equal(found.state_dict(), after(data, 5))
    assert outcome.history[0]["validation_accuracy"] == 0.9


def test_judging_does_not_change_the_training(data: TrainingData, tmp_path: Path) -> None:
    found = network()
    real = TrainingData(data.images, data.labels, 51, {"validation": judge(data, tmp_path)})
    outcome = train(found, real, recipe("last"), STREAM, masks={})
    assert equal(found.state_dict(), after(data, 5))
    assert outcome.history[-1]["validation_accuracy"] > 0.9


@pytest.mark.parametrize("interrupted_after", [1, 3, 4])
def test_the_best_so_far_survives_an_interruption(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted_after: int
) -> None:
    verdicts = [0.5, 0.8, 0.6, 0.7, 0.8]
    options: dict[str, Any] = {"state_file": tmp_path / "state", "fingerprint": "work"}
    write = loop.write_state

    def killed(path: Path, state: dict[str, Any], fingerprint: str) -> None:
        write(path, state, fingerprint)
        if state["epoch"] == interrupted_after:
            raise KeyboardInterrupt

    plan = recipe("best_validation")
    monkeypatch.setattr(loop, "write_state", killed)
    with pytest.raises(KeyboardInterrupt):
        train(network(), judged(data, verdicts), plan, STREAM, masks={}, **options)
    monkeypatch.undo()
    resumed, unbroken = network(), network()
    rest = judged(data, verdicts[interrupted_after:])
    found = train(resumed, rest, plan, STREAM, masks={}, **options)
    expected = train(unbroken, judged(data, verdicts), plan, STREAM, masks={})
    assert (found.epoch, found.history) == (expected.epoch, expected.history) == (2, found.history)
    assert found.last is not None
    assert expected.last is not None
    assert equal(found.last, expected.last)
    assert equal(resumed.state_dict(), unbroken.state_dict())


def test_a_stop_before_the_end_selects_nothing(data: TrainingData) -> None:
    # the point `epoch:k` is the network after k epochs, whatever the recipe selects in the end
    found = network()
    given = judged(data, [0.9, 0.1, 0.1])
    outcome = train(found, given, recipe("best_validation"), STREAM, masks={}, last_epoch=3)
    assert (outcome.epoch, outcome.last) == (3, None)
    assert equal(found.state_dict(), after(data, 3))


def test_a_rule_without_its_split_is_one_sentence(data: TrainingData) -> None:
    with pytest.raises(InputError, match="needs images in the split 'test'"):
        train(network(), judged(data, [1]), recipe("best_test"), STREAM, masks={})


def judge(data: TrainingData, folder: Path) -> Judge:
    """A judge of the training images, with a noise that must not count."""
    count = len(data.labels)
    tensors = {
        "images": data.images,
        "labels": data.labels,
        "noise": torch.full_like(data.images, 255),
        "image_ids": torch.arange(count),
        "evaluation_rank": torch.arange(count),
    }
    facts = {"dataset": "d", "classes": '["a", "b", "c", "d"]', "has_masks": "false"}
    path = folder / "validation.safetensors"
    write_arrays(path, tensors, {**facts, "data_hash": "h", "split": "validation"})
    return Judge(path, 40, CPU)


def test_a_judge_counts_correct_clean_images(data: TrainingData, tmp_path: Path) -> None:
    ask = judge(data, tmp_path)
    always = nn.Sequential(nn.Flatten(), nn.Linear(784, 4))
    with torch.no_grad():
        always[1].weight.zero_()
        always[1].bias.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0]))
    assert ask(always) == 0.25
    brightest = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    assert ask(brightest.train()) == 1.0
    assert brightest.training
    assert ask(brightest.eval()) == 1.0
    assert not brightest.training
