"""Evaluation of packed splits: which images, under which condition, and in how much memory."""

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsight.data.batch import Batch
from sparsight.data.packed import PackedSplit
from sparsight.io.arrays import write_arrays
from sparsight.training.evaluation import Outputs, evaluate, measures, network_outputs

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
