"""Evaluation against numbers worked out by hand, and against scikit-learn."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sparsight.data.packing import pack
from sparsight.data.sources.shapes import Shapes
from sparsight.training.evaluation import Outputs, evaluate, measures, prediction_columns


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
