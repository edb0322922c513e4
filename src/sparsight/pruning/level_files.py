"""The files of one level."""

import json
import time
from pathlib import Path
from typing import Any

from sparsight.io.checkpoints import Checkpoint, Tensors, write_checkpoint
from sparsight.io.device import device_name
from sparsight.io.files import write_json
from sparsight.io.provenance import provenance, sha256_of
from sparsight.io.tables import write_table
from sparsight.models.base import Architecture
from sparsight.pruning.masks import densities
from sparsight.pruning.training_job import Job, state_of
from sparsight.training.evaluation import evaluate
from sparsight.training.loop import Outcome


def write_level(
    job: Job,
    network: Architecture,
    masks: Tensors,
    folder: Path,
    data_hash: str,
    started: float,
    outcome: Outcome | None = None,
) -> None:
    """Evaluate a trained network and write checkpoint, predictions, evaluation and provenance.

    Parameters
    ----------
    started : `time.perf_counter()` at the start of the round.
    outcome : of the training, which selected the network; goes into the evaluation.
    """
    found, columns = _evaluated(job, network)
    identity = {key: str(value) for key, value in job.identity.items()}
    metadata = {
        **identity,
        "architecture": job.settings["architecture"],
        "class_count": str(network.class_count),
        "options": json.dumps(dict(network.options), sort_keys=True),
        "rewind": str(job.settings.get("rewind", "pretrained")),
        "epochs": str(job.settings["retraining"]["epochs"]),
    }
    checkpoint = Checkpoint(state_of(network), masks, metadata)
    content = {
        **{key: job.identity[key] for key in sorted(job.identity)},
        "splits": found,
        "density": densities(network, masks),
        "surviving": checkpoint.surviving,
        "prunable": sum(mask.numel() for mask in masks.values()),
    }
    if outcome is not None:
        content["selection"] = _selection(job, network, outcome)
    seconds = time.perf_counter() - started
    write_checkpoint(folder / "checkpoint.safetensors", checkpoint)
    write_table(folder / "predictions.parquet", columns)
    write_json(folder / "evaluation.json", content)
    written = ("checkpoint.safetensors", "evaluation.json", "predictions.parquet")
    facts = provenance(
        job.settings,
        job.version,
        seconds,
        device_name(job.device),
        job.seed,
        data_hash,
        {name: sha256_of(folder / name) for name in written},
    )
    write_json(folder / "provenance.json", facts)


def _evaluated(job: Job, network: Architecture) -> tuple[dict[str, Any], dict[str, Any]]:
    splits = [path for name, path in sorted(job.splits.items())]
    return evaluate(network, splits, job.settings["evaluation_batch_size"], job.device)


def _selection(job: Job, network: Architecture, outcome: Outcome) -> dict[str, Any]:
    """Which epoch's network this is and why; where it is not the last epoch's, what that does."""
    facts = {"rule": outcome.rule, "epoch": outcome.epoch, "history": outcome.history}
    if outcome.last is None:
        return facts
    selected = state_of(network)
    network.load_state_dict(outcome.last)
    measured, _ = _evaluated(job, network)
    network.load_state_dict(selected)
    return {**facts, "last": {"epoch": outcome.history[-1]["epoch"], "splits": measured}}
