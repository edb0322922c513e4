"""Success of a trojan, counted by hand."""

from pathlib import Path

import torch
from torch import Tensor, nn

from sparsight.data.packed import Planted, read_planted
from sparsight.data.packing import pack
from sparsight.data.sources.shapes import Shapes
from sparsight.data.sources.trojaned import Trojaned
from sparsight.training.evaluation import attack_measures, evaluate


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
