"""What every training job is given, and what it builds from that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sparsight.data.packed import PackedSplit, load_training_split
from sparsight.io.checkpoints import Tensors
from sparsight.io.device import choose_device, set_determinism
from sparsight.io.provenance import content_hash, sha256_of
from sparsight.models.base import Architecture, build_network
from sparsight.models.registry import MODELS
from sparsight.training.loop import Judge, TrainingData, cpu_state
from sparsight.training.randomness import derived_seed

Settings = Mapping[str, Any]
Identity = Mapping[str, Any]
#: owner of level 00, shared by all pruners
DENSE = "dense"
#: images a forward pass where a job does not say
DEFAULT_BATCH_SIZE = 500


@dataclass(frozen=True)
class Job:
    """What every training job gets.

    Attributes
    ----------
    settings : configuration values of the job.
    identity : study, dataset, model, pruner, seed, level.
    version : versions of the stages and items that the job runs.
    splits : packed splits by name ("train", "test", ...).
    device : where it runs.
    """

    settings: Settings
    identity: Identity
    version: Mapping[str, Any]
    splits: Mapping[str, Path]
    device: torch.device

    @property
    def seed(self) -> int:
        """Seed of the network."""
        return int(self.identity["seed"])

    def fingerprint(self, *inputs: Path) -> str:
        """Identity of a training in progress: settings, versions, data and input files."""
        digests = [file_digest(path) for path in (*self.splits.values(), *inputs)]
        return content_hash([dict(self.settings), dict(self.identity), dict(self.version), digests])


def file_digest(path: Path) -> str:
    """Digest of a file; of ours, that of the header, which holds the digests of all its tensors."""
    if path.suffix != ".safetensors":
        return sha256_of(path)
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return content_hash(file.read(size).decode())


def start_job(
    settings: Settings,
    wildcards: Mapping[str, str],
    version: Mapping[str, Any],
    splits: Sequence[str | Path],
    gpu: int,
) -> Job:
    """Fix threads and determinism, choose the device, and name the packed splits.

    Parameters
    ----------
    settings : configuration values; `study` and `threads` among them.
    wildcards : dataset, model and seed; pruner and level of a level other than dense.
    version : versions of the stages and items that the job runs.
    splits : files `<split>.safetensors`.
    gpu : how many GPUs the job was granted.
    """
    set_determinism(settings["threads"])
    whole = {"study": settings["study"], "pruner": DENSE, "level": "0", **dict(wildcards.items())}
    identity = {key: int(v) if key in ("seed", "level") else v for key, v in whole.items()}
    return Job(settings, identity, version, splits_by_name(splits), choose_device(gpu))


def splits_by_name(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Files `<split>.safetensors` by the name of the split."""
    return {Path(path).stem: Path(path) for path in paths}


def new_network(job: Job, class_count: int) -> Architecture:
    """The freshly initialised network of the job's seed."""
    architecture = MODELS.load(job.settings["architecture"])
    seed, options = derived_seed(job.seed, "initialisation"), job.settings.get("options")
    network = build_network(architecture, class_count, seed, options)
    return network.to(job.device)


def training_data(job: Job) -> tuple[TrainingData, str, int]:
    """The training split on the device, the hash of its data set and the number of classes."""
    path = job.splits["train"]
    with PackedSplit.open(path) as split:
        data_hash, class_count = split.data_hash, len(split.classes)
    whole = load_training_split(path, job.device)
    noise_maximum = job.settings["noise_maximum"]
    data = TrainingData(whole.pixels, whole.labels, noise_maximum, judges_of(job))
    return data, data_hash, class_count


def judges_of(job: Job) -> dict[str, Judge]:
    """The splits on which networks are judged after every epoch of their training.

    Those are the validation split, where it holds images, and the test split where a recipe selects
    by it.
    """
    recipes = [job.settings.get(key) or {} for key in ("training", "retraining")]
    wanted = ["validation"]
    if any(recipe.get("select") == "best_test" for recipe in recipes):
        wanted.append("test")
    batch_size, found = job.settings.get("evaluation_batch_size", DEFAULT_BATCH_SIZE), {}
    for name in wanted:
        path = job.splits.get(name)
        if path is not None and count_images(path):
            found[name] = Judge(path, batch_size, job.device)
    return found


def count_images(path: Path) -> int:
    """Number of images of a packed split."""
    with PackedSplit.open(path) as split:
        return len(split)


def state_of(network: torch.nn.Module) -> Tensors:
    """A copy of parameters and buffers on the CPU."""
    return cpu_state(network)
