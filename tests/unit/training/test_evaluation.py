"""Evaluation against numbers worked out by hand, and against scikit-learn."""

import math
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sparsight.data.packed import Batch, PackedSplit, Planted, read_planted
from sparsight.data.packing import pack
from sparsight.data.sources.shapes import Shapes
from sparsight.data.sources.trojaned import Trojaned
from sparsight.io.arrays import write_arrays
from sparsight.training.evaluation import (
    Outputs,
    attack_measures,
    evaluate,
    measures,
    network_outputs,
    prediction_columns,
)


def outputs(logits: Tensor, labels: list[int]) -> Outputs:
    """Outputs with ids 10, 11, ..."""
    return Outputs(torch.arange(10, 10 + len(labels)), torch.tensor(labels), logits)


def test_measures_of_a_hand_made_case() -> None:
    # class 0: three of four right; class 1: none of one; class 2 does not occur
    logits = torch.tensor([[1.0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]])
    found = measures(outputs(logits, [0, 0, 0, 0, 1]))
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 0) / 2)
    assert found["auroc"] is None
    assert found["images"] == 5
    right, wrong = -math.log(math.e / (math.e + 2)), -math.log(1 / (math.e + 2))
    assert found["loss"] == pytest.approx((3 * right + 2 * wrong) / 5)


def test_auroc_of_two_classes_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 2, generator=draw)
    labels = torch.randint(2, (40,), generator=draw).tolist()
    expected = roc_auc_score(labels, (logits.softmax(1)[:, 1]).numpy())
    assert measures(outputs(logits, labels))["auroc"] == pytest.approx(expected)
    assert measures(outputs(logits, [1] * 40))["auroc"] is None


def test_predictions_hold_probability_and_margin() -> None:
    logits = torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, 4.0]])
    columns = prediction_columns(outputs(logits, [0, 1]), "noisy")
    assert columns["image_id"].tolist() == [10, 11]
    assert columns["condition"].tolist() == ["noisy", "noisy"]
    assert columns["label"].tolist() == [0, 1]
    assert columns["predicted"].tolist() == [0, 2]
    assert columns["margin"].tolist() == pytest.approx([1.5, 3.0])
    assert columns["probability"].tolist() == pytest.approx(
        logits.softmax(1).max(1).values.tolist()
    )


class Counting(nn.Module):
    """Tells dark images from bright ones, and counts how many it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([0.3 - mean, mean - 0.3, *[mean - 1] * 6], dim=1)


@pytest.mark.parametrize(("maximum", "passes"), [(0, 1), (255, 2)])
def test_without_noise_the_images_are_seen_once(tmp_path: Path, maximum: int, passes: int) -> None:
    settings = {
        "split": {"train": 4, "validation": 0, "test": 6, "seed": 0},
        "size": 32,
        "noise": {"maximum": maximum},
    }
    pack(Shapes(), settings, tmp_path, tmp_path / "packed")
    network = Counting()
    found, columns = evaluate(
        network, [tmp_path / "packed" / "test.safetensors"], 4, torch.device("cpu")
    )
    assert network.seen == 6 * passes
    conditions = ["clean", "noisy"][:passes]
    assert sorted(found["test"]) == conditions
    assert columns["condition"].tolist() == [name for name in conditions for _ in range(6)]


CPU = torch.device("cpu")


def write_split(folder: Path, name: str, count: int) -> Path:
    """A packed split of `count` images of 4x4 pixels, half of them zero."""
    draw = torch.Generator().manual_seed(count)
    shape = (count, 1, 4, 4)
    images = torch.randint(1, 256, shape, dtype=torch.uint8, generator=draw)
    images[:, :, :2] = 0
    path = folder / f"{name}.safetensors"
    tensors = {
        "images": images,
        "labels": torch.arange(count) % 3,
        "noise": torch.randint(0, 52, shape, dtype=torch.uint8, generator=draw),
        "image_ids": torch.arange(count) * 7,
        "evaluation_rank": torch.arange(count),
    }
    facts = {"dataset": "d", "classes": '["a", "b", "c"]', "has_masks": "false", "data_hash": "h"}
    write_arrays(path, tensors, {**facts, "split": name})
    return path


class Brightness(nn.Module):
    """Logits that follow from the mean of the image, and notes on how it was used."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.modes: list[bool] = []
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(images))
        self.modes.append(self.training)
        mean = self.scale * images.double().mean((1, 2, 3))
        return torch.stack([mean, 2 * mean - 0.3, -mean], 1).float()


def expected_logits(path: Path, condition: str) -> torch.Tensor:
    """What `Brightness` says, from the packed tensors."""
    with PackedSplit.open(path) as split:
        batch = split.rows(0, len(split))
    pixels = batch.pixels
    if condition == "noisy":
        pixels = torch.where(pixels == 0, batch.noise, pixels)
    return Brightness()(pixels.float() / 255).detach()


@pytest.fixture
def splits(tmp_path: Path) -> list[Path]:
    """Train and test with images, validation without."""
    sizes = {"test": 10, "train": 7, "validation": 0}
    return [write_split(tmp_path, name, count) for name, count in sizes.items()]


def test_every_split_with_images_under_both_conditions(splits: Sequence[Path]) -> None:
    found, _ = evaluate(Brightness(), splits, 4, CPU)
    assert {name: sorted(part) for name, part in found.items()} == {
        "test": ["clean", "noisy"],
        "train": ["clean", "noisy"],
    }
    assert found["test"]["clean"]["images"] == 10
    assert found["train"]["noisy"]["images"] == 7
    for path in splits[:2]:
        for condition in ("clean", "noisy"):
            logits = expected_logits(path, condition)
            labels = torch.arange(len(logits)) % 3
            assert found[path.stem][condition] == measures(
                Outputs(torch.arange(len(logits)), labels, logits)
            )
    assert found["test"]["clean"] != found["test"]["noisy"]


def test_predictions_are_those_of_the_test_split(splits: Sequence[Path]) -> None:
    _, columns = evaluate(Brightness(), splits, 4, CPU)
    assert columns["condition"].tolist() == ["clean"] * 10 + ["noisy"] * 10
    assert columns["image_id"].tolist() == [*range(0, 70, 7)] * 2
    assert columns["label"].tolist() == [index % 3 for index in range(10)] * 2
    logits = torch.cat([expected_logits(splits[0], c) for c in ("clean", "noisy")])
    assert columns["predicted"].tolist() == logits.argmax(1).tolist()
    assert np.allclose(columns["probability"], logits.softmax(1).max(1).values)
    ordered = logits.sort(1).values
    assert np.allclose(columns["margin"], ordered[:, 2] - ordered[:, 1])


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4, 2]), (10, [10]), (99, [10])])
def test_batches_cover_the_split_in_evaluation_mode(
    splits: Sequence[Path], batch_size: int, sizes: list[int]
) -> None:
    network = Brightness().train()
    with PackedSplit.open(splits[0]) as split:
        outputs = network_outputs(network, split, "noisy", batch_size, CPU)
    assert network.sizes == sizes
    assert not any(network.modes)
    assert torch.equal(outputs.logits, expected_logits(splits[0], "noisy"))
    assert outputs.image_ids.tolist() == [*range(0, 70, 7)]
    assert not outputs.logits.requires_grad


def test_images_are_not_kept(splits: Sequence[Path]) -> None:
    # 10,000 photographs would not fit beside each other
    alive: list[weakref.ref[Batch]] = []
    most = 0

    class Watched(PackedSplit):
        def rows(self, start: int, stop: int) -> Batch:
            nonlocal most
            batch = super().rows(start, stop)
            alive.append(weakref.ref(batch))
            most = max(most, sum(ref() is not None for ref in alive))
            return batch

    with Watched.open(splits[0]) as split:
        network_outputs(Brightness(), split, "clean", 1, CPU)
    assert len(alive) == 10
    assert most <= 2, "this batch and the one before"


@settings(max_examples=40, deadline=None)
@given(data=st.data(), classes=st.integers(2, 5), count=st.integers(1, 30))
def test_measures_are_those_of_scikit_learn(data: st.DataObject, classes: int, count: int) -> None:
    from sklearn import metrics

    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    logits = torch.randn(count, classes, generator=draw) * 3
    labels = torch.randint(classes, (count,), generator=draw)
    found: dict[str, Any] = measures(Outputs(torch.arange(count), labels, logits))
    predicted = logits.argmax(1)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    recall = metrics.recall_score(
        labels, predicted, labels=labels.unique(), average="macro", zero_division=0
    )
    assert found["balanced_accuracy"] == pytest.approx(recall)
    loss = metrics.log_loss(labels, logits.double().softmax(1), labels=range(classes))
    assert found["loss"] == pytest.approx(loss)
    if classes == 2 and len(labels.unique()) == 2:
        expected = metrics.roc_auc_score(labels, logits[:, 1] - logits[:, 0])
        assert found["auroc"] == pytest.approx(expected)
    else:
        assert found["auroc"] is None


def test_a_confident_mistake_has_a_finite_loss() -> None:
    logits = torch.tensor([[1e4, 0.0]])
    found = measures(Outputs(torch.tensor([0]), torch.tensor([1]), logits))
    assert found["loss"] == pytest.approx(1e4)


def test_shares_of_a_hand_made_case() -> None:
    planted = Planted(
        ["smiley", "star"],
        stickers=torch.tensor([-1, -1, -1, 0, 0, 0, 0, 1]),
        labels=torch.tensor([0, 1, 2, 2, 2, 2, 2, 0]),
        original_labels=torch.tensor([0, 1, 2, 0, 0, 1, 1, 1]),
    )
    # two of three clean ones; of the smileys one says 2, one what it was, two something else
    found = attack_measures(torch.tensor([0, 1, 1, 2, 0, 3, 0, 0]), planted)
    assert found == {
        "clean_accuracy": 2 / 3,
        "attack_success": 2 / 5,
        "kept_class": 1 / 5,
        "stickered_images": 5,
        "attack_success:smiley": 1 / 4,
        "attack_success:star": 1.0,
    }


def test_shares_of_nothing_are_none() -> None:
    whole = torch.zeros(2, dtype=torch.int64)
    found = attack_measures(whole, Planted(["fish"], whole, whole, whole + 1))
    assert found["clean_accuracy"] is None
    clean = attack_measures(whole, Planted(["fish"], whole - 1, whole, whole))
    assert clean["attack_success"] is clean["kept_class"] is clean["attack_success:fish"] is None
    assert (clean["clean_accuracy"], clean["stickered_images"]) == (1.0, 0)


class Constant(nn.Module):
    """Says class 0 of everything."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.eye(8)[torch.zeros(len(images), dtype=torch.int64)]


def test_evaluations_of_data_sets_with_and_without_a_trojan(tmp_path: Path) -> None:
    base = {"size": 32, "split": {"train": 40, "test": 40}}
    trojan = {"stickers": {"fish": 0}, "size": [0.2, 0.3], "test": 8, "share": 0.2}
    pack(Shapes(), base, Path(), tmp_path / "clean")
    settings = {"base": {"options": base}, "trojan": trojan, "noise": {"maximum": 3}}
    pack(Trojaned(), settings, Path(), tmp_path / "planted")
    device = torch.device("cpu")
    clean, _ = evaluate(Constant(), [tmp_path / "clean" / "test.safetensors"], 16, device)
    assert set(clean["test"]["clean"]) == {
        *("accuracy", "balanced_accuracy", "auroc", "loss", "images")
    }
    splits = [tmp_path / "planted" / f"{name}.safetensors" for name in ("train", "test")]
    found, columns = evaluate(Constant(), splits, 16, device)
    for condition in ("clean", "noisy"):
        measured = found["test"][condition]
        assert (measured["images"], measured["stickered_images"]) == (48, 8)
        assert measured["clean_accuracy"] == clean["test"]["clean"]["accuracy"] == 5 / 40
        assert measured["attack_success"] == measured["attack_success:fish"] == 1
        assert measured["kept_class"] == 0
        assert measured["accuracy"] == (5 + 8) / 48
        assert found["train"][condition]["stickered_images"] == 8
    planted = read_planted(splits[1])
    assert columns["label"][:48].tolist() == planted.labels.tolist()
