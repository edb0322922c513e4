"""Each switch of `published_bugs` produces the artefact that its text describes."""

import json
import logging
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from sparsight.io.checkpoints import read_checkpoint, read_groups
from sparsight.io.errors import InputError
from sparsight.models.base import Architecture
from sparsight.models.registry import MODELS
from sparsight.pruning import rounds
from sparsight.pruning.masks import dense_masks
from sparsight.pruning.registry import PUBLISHED_BUGS
from sparsight.pruning.rounds import (
    continued_recipe,
    freeze_negative_weights,
    masks_of_regrown,
    with_aliased_biases,
)
from tests.unit.pruning.test_levels import Chain, Make


class Normed(Architecture):
    """A convolution, batch norm, and a linear layer."""

    name: ClassVar[str] = "normed"
    input_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    layers: ClassVar[dict[str, tuple[int, int]]] = {"conv": (9, 9)}
    explain_layer: ClassVar[str] = "conv"

    def __init__(self, class_count: int = 4) -> None:
        super().__init__(class_count)
        self.conv = nn.Conv2d(1, 8, 3, stride=3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(8 * 81, class_count)
        # scales of different sizes, so that it is known which fall first
        nn.init.uniform_(self.norm.weight, 0.0, 0.2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.relu(self.norm(self.conv(images)))
        logits: torch.Tensor = self.classifier(hidden.flatten(1))
        return logits


@pytest.fixture
def chain(make_job: Make, tmp_path: Path) -> Chain:
    return Chain(make_job, tmp_path)


@pytest.fixture
def normed_chain(make_job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    monkeypatch.setitem(MODELS.entries, "normed", f"{__name__}:Normed")

    def make(*arguments: Any, **changes: Any) -> Any:
        return make_job(*arguments, architecture="normed", **changes)

    return Chain(make, tmp_path)


def evaluation_of(chain: Chain, pruner: str, level: int) -> dict[str, Any]:
    path = chain.folder / pruner / f"level{level:02d}" / "evaluation.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def two_rounds(chain: Chain, name: str, **changes: Any) -> list[Any]:
    first = chain.prune(name, 1, **changes)
    path = chain.folder / name / "level01" / "checkpoint.safetensors"
    return [first, chain.prune(name, 2, path, **changes)]


def test_every_switch_has_a_text_that_names_its_study() -> None:
    for what in PUBLISHED_BUGS.values():
        assert re.search(r"arXiv \d{4}\.\d{5}|thesis", what)


def test_no_mask_in_training_regrows_weights_and_prunes_ever_fewer(chain: Chain) -> None:
    plain = two_rounds(chain, "plain")
    free = two_rounds(chain, "free", published_bugs=["no_mask_in_training"])
    total = sum(mask.numel() for mask in plain[0].masks.values())
    # The first round is the same: nothing has grown back yet.
    assert free[0].density == pytest.approx(0.8, abs=1 / total * 5)
    assert plain[0].density == pytest.approx(0.8, abs=1 / total * 5)
    # Pruned weights are there again ...
    for name, mask in free[0].masks.items():
        assert (free[0].weights[name][~mask] != 0).any(), name
        assert not (plain[0].weights[name][~plain[0].masks[name]] != 0).any(), name
    density = evaluation_of(chain, "free", 1)["density"]
    # (weights into units that no image reaches have no gradient and stay at zero)
    assert density["nonzero"] > 0.9 > 0.81 > density["prunable"]
    assert evaluation_of(chain, "plain", 1)["density"]["nonzero"] == pytest.approx(plain[0].density)
    # ... and so the second round's fifth is partly made of them: fewer survivors fall.
    assert plain[1].density == pytest.approx(0.64, abs=0.001)
    assert 0.65 < free[1].density < 0.8
    for name in free[0].masks:
        assert not (free[1].masks[name] & ~free[0].masks[name]).any()


def test_the_threshold_of_regrown_weights_by_hand() -> None:
    weights = {"w": torch.tensor([1.0, -2.0, 3.0, 4.0, 0.0]), "v": torch.tensor([-10.0, 20.0])}
    masks = {"w": torch.tensor([True, True, True, False, True]), "v": torch.tensor([True, True])}
    # 4.0 has grown back under a cleared mask: it moves the threshold and stays cleared.
    # Percentile 50 of 1, 2, 3, 4 is 2.5; of 10, 20 it is 15.
    found = masks_of_regrown(weights, masks, 0.5, "layer")
    assert found["w"].tolist() == [False, False, True, False, False]
    assert found["v"].tolist() == [False, True]
    # Percentile 50 of 1, 2, 3, 4, 10, 20 is 3.5.
    found = masks_of_regrown(weights, masks, 0.5, "global")
    assert found["w"].tolist() == [False, False, False, False, False]
    assert found["v"].tolist() == [True, True]


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.35])
def test_the_threshold_is_numpys_percentile(rate: float) -> None:
    weights = {"w": torch.randn(997, generator=torch.Generator().manual_seed(0))}
    masks = {"w": torch.ones(997, dtype=torch.bool)}
    threshold = np.percentile(weights["w"].abs().double().numpy(), 100 * rate)
    expected = weights["w"].abs().double().numpy() >= threshold
    assert masks_of_regrown(weights, masks, rate, "global")["w"].tolist() == expected.tolist()


def test_stale_schedule_keeps_the_initial_rate(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    def rates(**changes: Any) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "sparsight"):
            chain.prune("some", 1, **changes)
        return re.findall(r"epoch \d/3 rate (\S+)", caplog.text)

    # three epochs, a milestone after the second
    assert rates() == ["0.05", "0.05", "0.005"]
    assert rates(published_bugs=["stale_schedule"]) == ["0.05", "0.05", "0.05"]


def test_norm_layers_pruned_makes_channels_constant(normed_chain: Chain) -> None:
    plain = normed_chain.prune("plain", 1, rate=0.5, scope="layer")
    assert "norm.weight" not in plain.masks
    pruned = normed_chain.prune(
        "pruned", 1, rate=0.5, scope="layer", published_bugs=["norm_layers_pruned"]
    )
    cleared = ~pruned.masks["norm.weight"]
    assert cleared.sum() == 4
    assert pruned.weights["norm.weight"][cleared].eq(0).all()
    network = Normed()
    network.load_state_dict(pruned.weights)
    outputs = network.eval().norm(network.conv(torch.rand(3, 1, 28, 28)))
    spread = outputs.transpose(0, 1).flatten(1).std(dim=1)
    assert spread[cleared].max() == 0
    assert spread[~cleared].min() > 0
    # counted among the prunable weights, and remembered by the next round
    second = normed_chain.prune(
        "pruned",
        2,
        normed_chain.folder / "pruned" / "level01" / "checkpoint.safetensors",
        rate=0.5,
        scope="layer",
        published_bugs=["norm_layers_pruned"],
    )
    assert second.masks["norm.weight"].sum() == 2
    assert not (second.masks["norm.weight"] & cleared).any()
    assert evaluation_of(normed_chain, "pruned", 1)["density"]["layers"]["norm"] == 0.5


def test_normalisation_layers_are_prunable_only_on_request() -> None:
    network = Normed()
    assert sorted(dense_masks(network)) == ["classifier.weight", "conv.weight"]
    assert sorted(dense_masks(network, norm_layers=True)) == [
        "classifier.weight",
        "conv.weight",
        "norm.weight",
    ]


@pytest.mark.parametrize(("bugs", "aliased"), [([], False), (["aliased_biases"], True)])
def test_aliased_biases_are_not_rewound_from_the_second_round_on(
    normed_chain: Chain, monkeypatch: pytest.MonkeyPatch, bugs: list[str], aliased: bool
) -> None:
    first = normed_chain.prune("some", 1, published_bugs=bugs)
    # Without training, a level's checkpoint is the start of its round.
    monkeypatch.setattr(rounds, "train", lambda *_, **__: None)
    normed_chain.prune("untrained", 1, published_bugs=bugs)
    point = read_groups(normed_chain.start)["pretrained"]
    start = read_checkpoint(normed_chain.folder / "untrained" / "level01/checkpoint.safetensors")
    for name in ("norm.bias", "classifier.bias"):
        assert torch.equal(start.weights[name], point[name])
    path = normed_chain.folder / "some" / "level01" / "checkpoint.safetensors"
    second = normed_chain.prune("some", 2, path, published_bugs=bugs)
    for name in ("norm.bias", "classifier.bias"):
        source = first.weights if aliased else point
        assert torch.equal(second.weights[name], source[name]), name
        assert not torch.equal(first.weights[name], point[name])
    for name, mask in second.masks.items():
        assert torch.equal(second.weights[name], point[name] * mask), name


def test_aliased_biases_by_hand() -> None:
    point = {"a.weight": torch.tensor(1.0), "a.bias": torch.tensor(2.0)}
    trained = {"a.weight": torch.tensor(3.0), "a.bias": torch.tensor(4.0)}
    assert with_aliased_biases(point, trained, 1) == point
    assert with_aliased_biases(point, trained, 2) == {"a.weight": 1.0, "a.bias": 4.0}


def without_decay(decay: float = 0.0) -> dict[str, Any]:
    """A recipe like that of the other tests, with another weight decay."""
    optimiser = {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9, "weight_decay": decay}
    return {"epochs": 3, "batch_size": 16, "optimiser": optimiser}


def test_negative_weights_frozen_keep_their_start_while_positive_ones_train(
    normed_chain: Chain,
) -> None:
    plain = normed_chain.prune("plain", 1, retraining=without_decay())
    frozen = normed_chain.prune(
        "frozen", 1, retraining=without_decay(), published_bugs=["negative_weights_frozen"]
    )
    point = read_groups(normed_chain.start)["pretrained"]
    for name, mask in frozen.masks.items():
        start = point[name] * mask
        negative = mask & (start < 0)
        assert negative.sum() > 20
        assert torch.equal(frozen.weights[name][negative], start[negative]), name
        assert (plain.weights[name][negative] != start[negative]).float().mean() > 0.5
        positive = mask & (start > 0)
        assert (frozen.weights[name][positive] != start[positive]).float().mean() > 0.5
        assert torch.equal(frozen.weights[name] != 0, mask)
    # biases, negative or not, train
    biases = ("norm.bias", "classifier.bias")
    assert all((frozen.weights[name] != point[name]).all() for name in biases)
    assert (point["norm.bias"] < 0).any()


def test_weight_decay_still_shrinks_frozen_weights(normed_chain: Chain) -> None:
    frozen = normed_chain.prune(
        "decayed", 1, retraining=without_decay(0.01), published_bugs=["negative_weights_frozen"]
    )
    point = read_groups(normed_chain.start)["pretrained"]["conv.weight"]
    negative = frozen.masks["conv.weight"] & (point < 0)
    ratios = (frozen.weights["conv.weight"] / point)[negative]
    # 12 steps without a gradient: the same share for all of them
    assert ratios.max() - ratios.min() < 1e-5
    momentum, share, rate = 0.0, 1.0, 0.02
    for _ in range(12):
        momentum = 0.9 * momentum + 0.01 * share
        share -= rate * momentum
    assert ratios.mean().item() == pytest.approx(share, abs=1e-6)


def test_frozen_gradients_by_hand() -> None:
    network = Normed()
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    with torch.no_grad():
        network.norm.weight[:3] = torch.tensor([-0.5, 0.0, 1e-3])
        network.norm.bias[0] = -1.0
    freeze_negative_weights(network)
    assert network.norm.weight.grad is not None
    assert network.norm.weight.grad[:3].tolist() == [0, 0, 1]
    assert network.norm.bias.grad is not None
    assert network.norm.bias.grad.tolist() == [1] * 8
    kept = network.classifier.weight.grad
    assert kept is not None
    assert torch.equal(kept == 1, network.classifier.weight > 6e-7)


def test_a_schedule_that_is_never_restarted_falls_from_round_to_round(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    def rates(level: int) -> list[float]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "sparsight"):
            chain.prune(
                "some",
                level,
                retraining={
                    **without_decay(),
                    "schedule": {"name": "step", "every": 4, "factor": 0.1},
                },
                published_bugs=["schedule_never_restarted"],
            )
        return [float(rate) for rate in re.findall(r"epoch \d/3 rate (\S+)", caplog.text)]

    # three epochs a round: 0 to 2 are the dense network's, the rate falls after 4 and after 8
    assert rates(1) == pytest.approx([0.02, 0.002, 0.002])
    assert rates(2) == pytest.approx([0.002, 0.002, 0.0002])


def test_continuations_by_hand() -> None:
    recipe = {
        "epochs": 10,
        "optimiser": {"name": "sgd", "learning_rate": 1.0},
        "schedule": {"name": "multi_step", "milestones": [5, 12], "factor": 0.5},
    }
    found = continued_recipe(recipe, 1)
    assert found["optimiser"] == {"name": "sgd", "learning_rate": 0.5}
    assert found["schedule"] == {"name": "multi_step", "milestones": [2], "factor": 0.5}
    assert continued_recipe(recipe, 2)["optimiser"]["learning_rate"] == 0.25
    assert continued_recipe(recipe, 0) == recipe
    assert continued_recipe({**recipe, "schedule": {"name": "constant"}}, 3)["optimiser"] == {
        "name": "sgd",
        "learning_rate": 1.0,
    }
    with pytest.raises(InputError, match="no continuation of the schedule 'cosine'"):
        continued_recipe({**recipe, "schedule": {"name": "cosine"}}, 1)


def test_all_mistakes_of_one_study_together_prune_far_less_than_they_say(
    normed_chain: Chain,
) -> None:
    # arXiv 2509.21387 shows rounds 1, 2, 12 and 29 at 20% each as 20, 30, 50 and 70% sparsity;
    # pruning a fifth of the survivors each time gives 20, 36, 93.1 and 99.8%.
    bugs = ["no_mask_in_training", "stale_schedule", "norm_layers_pruned", "aliased_biases"]
    found, path = [], normed_chain.dense
    for level in range(1, 13):
        found.append(
            normed_chain.prune(
                "all", level, path, scope="layer", rewind="init", published_bugs=bugs
            )
        )
        path = normed_chain.folder / "all" / f"level{level:02d}" / "checkpoint.safetensors"
    densities = [checkpoint.density for checkpoint in found]
    assert densities[0] == pytest.approx(0.8, abs=0.01)
    assert densities == sorted(densities, reverse=True)
    # true pruning leaves 6.9% after twelve rounds
    assert densities[-1] > 3 * 0.8**12
    assert found[-1].masks["norm.weight"].sum() < 8
    init = read_groups(normed_chain.start)["init"]["classifier.bias"]
    assert not torch.equal(found[-1].weights["classifier.bias"], init)
    # and the network that is evaluated is denser still
    assert evaluation_of(normed_chain, "all", 12)["density"]["nonzero"] > densities[-1] + 0.2
