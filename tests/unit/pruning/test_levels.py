"""What a level writes, and that a round that breaks an invariant writes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.io.checkpoints import Checkpoint, read_checkpoint, read_groups
from sparsight.io.errors import InputError, InvariantError
from sparsight.io.provenance import sha256_of
from sparsight.io.tables import read_table
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.pruning import rounds, selection
from sparsight.pruning.criteria import RandomOrder
from sparsight.pruning.masks import Step
from sparsight.pruning.observation import Observation
from sparsight.pruning.rounds import (
    Job,
    make_epoch_point,
    make_rewind_point,
    prune_level,
    train_dense,
)

Make = Callable[..., Job]
#: prunable weights of the network for four classes: 36 + 288 + 800
PRUNABLE = 1124


class Chain:
    """A start, a dense network and levels after it."""

    def __init__(self, make: Make, folder: Path) -> None:
        self.make, self.folder = make, folder
        self.start = folder / "start.safetensors"
        make_rewind_point(make(), self.start)
        train_dense(make(), self.start, folder / "dense")
        self.dense = folder / "dense" / "checkpoint.safetensors"

    def prune(
        self, pruner: str, level: int = 1, previous: Path | None = None, **changes: Any
    ) -> Checkpoint:
        """One level."""
        folder = self.folder / pruner / f"level{level:02d}"
        prune_level(self.make(pruner, level, **changes), self.start, previous or self.dense, folder)
        return read_checkpoint(folder / "checkpoint.safetensors")


@pytest.fixture(scope="module")
def chain(make_job: Make, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Made once."""
    return Chain(make_job, tmp_path_factory.mktemp("levels"))


def test_a_level_says_what_it_is(chain: Chain) -> None:
    checkpoint = chain.prune("half", 1, rate=0.5)
    folder = chain.folder / "half" / "level01"
    assert checkpoint.metadata == {
        "study": "test",
        "dataset": "quarters",
        "model": "cnn",
        "pruner": "half",
        "seed": "1",
        "level": "1",
        "architecture": "thesis_cnn",
        "class_count": "4",
        "options": "{}",
        "rewind": "pretrained",
        "epochs": "3",
        "density": "0.5",
    }
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert (evaluation["pruner"], evaluation["level"], evaluation["seed"]) == ("half", 1, 1)
    assert (evaluation["surviving"], evaluation["prunable"]) == (PRUNABLE // 2, PRUNABLE)
    everything = sum(weight.numel() for weight in checkpoint.weights.values())
    nonzero = sum(int((weight != 0).sum()) for weight in checkpoint.weights.values())
    assert everything == PRUNABLE + 4 + 8 + 4
    assert evaluation["density"]["prunable"] == 0.5
    assert evaluation["density"]["all_parameters"] == pytest.approx(nonzero / everything)
    for name, mask in checkpoint.masks.items():
        layer = evaluation["density"]["layers"][name.removesuffix(".weight")]
        assert layer == pytest.approx(int(mask.sum()) / mask.numel())
    assert set(evaluation["splits"]) == {"train", "test"}
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["seed"] == 1
    assert provenance["data_hash"] == "hash0"
    assert provenance["code_version"] == {"training": 1}
    assert provenance["settings"]["rate"] == 0.5
    assert provenance["seconds"] > 0
    written = ("checkpoint.safetensors", "evaluation.json", "predictions.parquet")
    assert provenance["files"] == {name: sha256_of(folder / name) for name in written}
    predictions = read_table(folder / "predictions.parquet")
    noisy = predictions.filter(predictions["condition"].to_numpy() == "noisy")
    right = (noisy["label"].to_numpy() == noisy["predicted"].to_numpy()).mean()
    assert right == pytest.approx(evaluation["splits"]["test"]["noisy"]["accuracy"])


def test_pruning_nothing_under_the_name_of_dense_is_dense(chain: Chain) -> None:
    # so that the retraining control differs from dense by its batches alone
    job = chain.make("dense", 0, rate=0)
    prune_level(job, chain.start, chain.dense, chain.folder / "again")
    again = read_checkpoint(chain.folder / "again" / "checkpoint.safetensors")
    dense = read_checkpoint(chain.dense)
    assert all(torch.equal(again.weights[key], dense.weights[key]) for key in dense.weights)
    control = chain.prune("retrain", rate=0)
    assert all(mask.all() for mask in control.masks.values())
    assert not torch.equal(control.weights["conv1.weight"], dense.weights["conv1.weight"])


def test_random_masks_are_nested_and_blind_to_weights_and_rewinding(chain: Chain) -> None:
    first = chain.prune("random", 1, criterion="random", rate=0.5)
    path = chain.folder / "random" / "level01" / "checkpoint.safetensors"
    second = chain.prune("random", 2, path, criterion="random", rate=0.5)
    assert (first.surviving, second.surviving) == (562, 281)
    assert not any((second.masks[n] & ~first.masks[n]).any() for n in first.masks)
    other = chain.prune("random_init", 1, criterion="random", rate=0.75, rewind="init")
    assert all(torch.equal(second.masks[n], other.masks[n]) for n in second.masks)


def test_random_scores_differ_between_layers_of_one_shape() -> None:
    same = {"a.weight": torch.zeros(30), "b.weight": torch.zeros(30)}
    scores = RandomOrder().scores(Observation(same, 1))
    assert not torch.equal(scores["a.weight"], scores["b.weight"])


def test_networks_of_two_seeds_start_apart(chain: Chain, tmp_path: Path) -> None:
    make_rewind_point(chain.make(seed=2, training=None), tmp_path / "start.safetensors")
    other = read_groups(tmp_path / "start.safetensors")["init"]
    assert not torch.equal(other["conv1.weight"], read_groups(chain.start)["init"]["conv1.weight"])


def test_every_training_has_a_stream_of_its_own(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams: list[Any] = []
    real = rounds.train

    def record(network: Any, data: Any, recipe: Any, stream: Any, **options: Any) -> None:
        streams.append(stream)
        real(network, data, recipe, stream, **options)

    monkeypatch.setattr(rounds, "train", record)
    make_rewind_point(chain.make(), tmp_path / "start.safetensors")
    make_epoch_point(chain.make(), chain.start, 1, tmp_path / "point.safetensors")
    train_dense(chain.make(), chain.start, tmp_path / "dense")
    chain.prune("streams", 1)
    found = [(stream.seed, stream.stage) for stream in streams]
    # the epoch point lies on dense's own way
    stages = ["pretraining", "dense/level00", "dense/level00", "streams/level01"]
    assert found == [(1, stage) for stage in stages]


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_number_that_falls_is_exact_in_real_rounds(chain: Chain, scope: str) -> None:
    path, before = chain.dense, read_checkpoint(chain.dense)
    for level in (1, 2):
        after = chain.prune(scope, level, path, scope=scope, rate=0.3)
        path = chain.folder / scope / f"level{level:02d}" / "checkpoint.safetensors"
        if scope == "global":
            assert after.surviving == before.surviving - before.surviving * 3 // 10
        for name, mask in after.masks.items():
            survivors = int(before.masks[name].sum())
            if scope == "layer":
                assert int(mask.sum()) == survivors - survivors * 3 // 10
            assert torch.equal(after.weights[name] != 0, mask)
        before = after


def test_negative_weights_and_biases_train_in_a_real_round(chain: Chain) -> None:
    found = chain.prune("negative", rate=0.5)
    point = read_groups(chain.start)["pretrained"]
    for name, mask in found.masks.items():
        negative = mask & (point[name] < 0)
        assert negative.any()
        assert (found.weights[name][negative] != point[name][negative]).any(), name
        bias = name.replace("weight", "bias")
        assert not torch.equal(found.weights[bias], point[bias])


def regrow(network: Any, *_: Any, **__: Any) -> None:
    """Training that forgets the masks."""
    with torch.no_grad():
        network.conv2.weight.add_(0.01)


def freeze_negatives(network: Any, *_: Any, **__: Any) -> None:
    """Training that never moves a negative weight."""
    with torch.no_grad():
        for layer in (network.conv1, network.conv2, network.classifier):
            layer.weight.copy_(torch.where(layer.weight > 0, layer.weight * 2, layer.weight))


def one_too_many(scores: Any, masks: Any, groups: Any) -> Any:
    """The next masks, with one weight more fallen."""
    after = real_masks(scores, masks, groups)
    flat = after["classifier.weight"].view(-1)
    flat[int(flat.nonzero()[0])] = False
    return after


def not_nested(scores: Any, masks: Any, groups: Any) -> Any:
    """Masks of the right number, taken from all weights again."""
    return real_masks(scores, {n: torch.ones_like(m) for n, m in masks.items()}, groups)


real_masks = selection.lowest_fall


@pytest.mark.parametrize(
    ("module", "name", "replacement", "sentence"),
    [
        (rounds, "train", regrow, "are not those of its mask"),
        (rounds, "train", freeze_negatives, "no negative weight has trained"),
        (selection, "lowest_fall", one_too_many, "225 weights of .* fell, not 224"),
        (selection, "lowest_fall", not_nested, "not nested"),
    ],
)
def test_a_broken_round_writes_nothing(
    chain: Chain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    replacement: Any,
    sentence: str,
) -> None:
    chain.prune("before", rate=0.5)
    previous = chain.folder / "before" / "level01" / "checkpoint.safetensors"
    monkeypatch.setattr(module, name, replacement)
    broken = chain.make("broken", 2, rate=0.4, criterion="random")
    with pytest.raises(InvariantError, match=sentence):
        prune_level(broken, chain.start, previous, tmp_path / "level02")
    assert not list(tmp_path.rglob("[!.]*.*"))


def test_a_start_that_keeps_trained_biases_is_noticed(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = ThesisCnn.load_state_dict

    def aliased(self: ThesisCnn, state: Any, *arguments: Any, **options: Any) -> Any:
        found = load(self, state, *arguments, **options)
        with torch.no_grad():
            self.conv2.bias.add_(1)
        return found

    monkeypatch.setattr(ThesisCnn, "load_state_dict", aliased)
    with pytest.raises(InvariantError, match=r"conv2\.bias does not start"):
        prune_level(chain.make("p", 1), chain.start, chain.dense, tmp_path / "level01")
    assert not list(tmp_path.rglob("*.*"))


def test_a_rewind_point_that_was_not_made_is_one_sentence(chain: Chain, tmp_path: Path) -> None:
    job = chain.make("p", 1, rewind="epoch:2")
    with pytest.raises(InputError, match=r"'epoch:2' is not in .*init, pretrained"):
        prune_level(job, chain.start, chain.dense, tmp_path / "level01")


def test_the_thesis_densities_round_by_round() -> None:
    # survivors by integer arithmetic: floor(n / 5) fall, or with the published mistake ceil + 1
    right = wrong = 2324
    kept, published = Step(rate=0.2), Step(rate=0.2, openlth_threshold=True)
    for _ in range(25):
        assert kept.falling(right, 2324) == right // 5
        right -= right // 5
        assert published.falling(wrong, 2324) == -(-wrong // 5) + 1
        wrong -= -(-wrong // 5) + 1
    assert (right, wrong) == (11, 2)


def test_densities_in_percent_are_exact() -> None:
    texts = [f"{percent // 100}.{percent % 100:02d}" for percent in range(101)]
    by_density = [Step(density=float(text)).falling(100, 100) for text in texts]
    assert by_density == list(reversed(range(101)))
    assert [Step(rate=float(text)).falling(100, 100) for text in texts] == list(range(101))
