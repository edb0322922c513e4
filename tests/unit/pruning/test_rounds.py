"""The jobs of the chain, run for real on small packed data."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sparsight.data.packing import pack
from sparsight.data.sources.digits import Digits
from sparsight.io.checkpoints import Checkpoint, read_checkpoint, read_groups
from sparsight.io.tables import read_table
from sparsight.pruning.rounds import (
    Job,
    make_epoch_point,
    make_rewind_point,
    prune_level,
    start_job,
    train_dense,
)

EPOCHS = 3
RECIPE = {
    "epochs": EPOCHS,
    "batch_size": 64,
    "optimiser": {"name": "sgd", "learning_rate": 0.02, "momentum": 0.0, "weight_decay": 1e-4},
    "schedule": {"name": "multi_step", "milestones": [2], "factor": 0.1},
    "noise": True,
}
BASE = {
    "study": "test",
    "architecture": "thesis_cnn",
    "noise_maximum": 51,
    "threads": 1,
    "training": RECIPE,
    "retraining": RECIPE,
    "evaluation_batch_size": 500,
}
PRUNER = {
    "criterion": "magnitude",
    "scope": "global",
    "rate": 0.5,
    "density": None,
    "rewind": "pretrained",
    "published_bugs": [],
}


class Chain:
    """Starts jobs on packed digits and keeps their files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        options = {"split": {"test": 400, "validation": 0, "seed": 0}}
        pack(Digits(), options, folder, folder / "packed", "digits")
        self.start = folder / "start.safetensors"
        self.epoch_point = folder / "start_epoch2.safetensors"
        make_rewind_point(self.job(), self.start)
        make_epoch_point(self.job(), self.start, 2, self.epoch_point)
        train_dense(self.job(), self.start, self.level("dense", 0))

    def level(self, pruner: str, level: int) -> Path:
        """Folder of a level."""
        return self.folder / pruner / f"level{level:02d}"

    def job(self, pruner: str | None = None, level: int = 0, **changes: Any) -> Job:
        """A job with its settings."""
        wildcards = {"dataset": "digits", "model": "cnn", "seed": "1"}
        if pruner is not None:
            wildcards |= {"pruner": pruner, "level": f"{level:02d}"}
        splits = sorted((self.folder / "packed").glob("*.safetensors"))
        return start_job({**BASE, **PRUNER, **changes}, wildcards, {"training": 1}, splits, 0)

    def prune(
        self, pruner: str, level: int, start: Path | None = None, **changes: Any
    ) -> Checkpoint:
        """Run one level, from dense or from the level before; its checkpoint."""
        previous = self.level(pruner, level - 1) if level > 1 else self.level("dense", 0)
        folder = self.level(pruner, level)
        job = self.job(pruner, level, **changes)
        prune_level(job, start or self.start, previous / "checkpoint.safetensors", folder)
        return read_checkpoint(folder / "checkpoint.safetensors")

    def dense(self) -> Checkpoint:
        """The dense checkpoint."""
        return read_checkpoint(self.level("dense", 0) / "checkpoint.safetensors")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Start, epoch point and dense network, made once."""
    return Chain(tmp_path_factory.mktemp("chain"))


def test_start_holds_initialisation_and_pretrained_weights(chain: Chain) -> None:
    points = read_groups(chain.start)
    assert sorted(points) == ["init", "pretrained"]
    assert not torch.equal(points["init"]["conv1.weight"], points["pretrained"]["conv1.weight"])


def test_without_pretraining_the_start_is_the_initialisation(chain: Chain, tmp_path: Path) -> None:
    make_rewind_point(chain.job(training=None), tmp_path / "start.safetensors")
    points = read_groups(tmp_path / "start.safetensors")
    assert all(torch.equal(points["init"][k], points["pretrained"][k]) for k in points["init"])
    assert torch.equal(
        points["init"]["conv1.weight"], read_groups(chain.start)["init"]["conv1.weight"]
    )


def test_dense_has_all_weights_and_its_files(chain: Chain) -> None:
    folder = chain.level("dense", 0)
    assert chain.dense().density == 1
    assert chain.dense().metadata["pruner"] == "dense"
    assert sorted(p.name for p in folder.iterdir()) == [
        "checkpoint.safetensors",
        "evaluation.json",
        "predictions.parquet",
        "provenance.json",
    ]
    table = read_table(folder / "predictions.parquet")
    assert table.num_rows == 2 * 400
    assert set(table["condition"].to_pylist()) == {"clean", "noisy"}


def test_a_chain_is_nested_and_its_density_measured(chain: Chain) -> None:
    first, second = chain.prune("magnitude", 1), chain.prune("magnitude", 2)
    assert first.surviving == 2324 - 1162
    assert second.surviving == 1162 - 581
    assert second.density == 581 / 2324
    for name, mask in second.masks.items():
        assert not (mask & ~first.masks[name]).any()
        assert torch.equal(second.weights[name] != 0, mask)


def test_magnitude_keeps_the_largest_trained_weights(chain: Chain) -> None:
    found = chain.prune("largest", 1)
    weights = torch.cat([chain.dense().weights[n].abs().flatten() for n in found.masks])
    kept = torch.cat([mask.flatten() for mask in found.masks.values()])
    assert weights[kept].min() >= weights[~kept].max()


def test_retraining_control_prunes_nothing_and_sees_other_batches(chain: Chain) -> None:
    found = chain.prune("retrain", 1, rate=0)
    assert found.density == 1
    assert not torch.equal(found.weights["conv1.weight"], chain.dense().weights["conv1.weight"])


@pytest.mark.parametrize("rewind", ["init", "pretrained", "none", "epoch:2"])
def test_every_rewind_starts_where_it_says(
    chain: Chain, rewind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sparsight.pruning.rounds as rounds

    started: dict[str, Any] = {}

    def spy(network: Any, *arguments: Any, **options: Any) -> None:
        started.update(state={k: v.clone() for k, v in network.state_dict().items()}, **options)
        real(network, *arguments, **options)

    real = rounds.train
    monkeypatch.setattr(rounds, "train", spy)
    start = chain.epoch_point if rewind == "epoch:2" else chain.start
    name = f"rewind_{rewind.replace(':', '')}"
    found = chain.prune(name, 1, start=start, rewind=rewind)
    points = {**read_groups(chain.start), **read_groups(chain.epoch_point)}
    point = chain.dense().weights if rewind == "none" else points[rewind]
    for key, value in started["state"].items():
        expected = point[key] * found.masks[key] if key in found.masks else point[key]
        assert torch.equal(value, expected), key
    assert started["first_epoch"] == (2 if rewind == "epoch:2" else 0)
    assert found.metadata["rewind"] == rewind


def test_epoch_point_lies_on_the_way_of_the_dense_network(chain: Chain) -> None:
    # Same batches and noise as dense, and the rest of the schedule: without momentum, pruning
    # nothing from the point of epoch 2 under dense's own name gives dense again.
    job = chain.job("dense", 0, rate=0, rewind="epoch:2")
    folder = chain.folder / "again"
    previous = chain.level("dense", 0) / "checkpoint.safetensors"
    prune_level(job, chain.epoch_point, previous, folder)
    again = read_checkpoint(folder / "checkpoint.safetensors")
    for key, value in chain.dense().weights.items():
        assert torch.equal(value, again.weights[key]), key


def test_explicit_density_and_layer_scope(chain: Chain) -> None:
    found = chain.prune("dense_to_30", 1, rate=None, density=0.3, scope="layer")
    sizes = {name: (int(mask.sum()), mask.numel()) for name, mask in found.masks.items()}
    # never below the density asked for: ceil(0.3 n) in every layer
    assert sizes == {
        "conv1.weight": (11, 36),
        "conv2.weight": (87, 288),
        "classifier.weight": (600, 2000),
    }


def test_random_criterion_differs_from_magnitude(chain: Chain) -> None:
    found = chain.prune("random", 1, criterion="random")
    assert found.surviving == 1162
    assert not torch.equal(
        found.masks["classifier.weight"], chain.prune("m", 1).masks["classifier.weight"]
    )


def test_published_bug_removes_one_more(chain: Chain) -> None:
    found = chain.prune("openlth", 1, published_bugs=["openlth_threshold"])
    assert found.surviving == 2324 - 1163


def test_state_of_a_training_is_removed_at_its_end(chain: Chain) -> None:
    chain.prune("clean", 1)
    assert not list(chain.folder.rglob("*epoch_state*"))
