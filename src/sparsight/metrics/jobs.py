"""The job that scores explanations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsight.io.checkpoints import read_checkpoint
from sparsight.io.device import choose_device
from sparsight.io.entries import Wanted, present, with_items
from sparsight.metrics.run import score_family
from sparsight.models.networks import load_network


def score_checkpoint(
    settings: Mapping[str, Any],
    *,
    packed_test: Path | str,
    checkpoint: Path | str,
    predictions: Path | str,
    dense_predictions: Path | str | None,
    explanations: Path | str,
    output: Path | str,
    wildcards: Mapping[str, str],
    gpu: int,
    wanted: Wanted | None = None,
) -> None:
    """Score one family of explanations of one checkpoint with all metrics.

    Parameters
    ----------
    settings : see `score_family`; and `study`.
    wildcards : dataset, model, pruner, seed and level of the checkpoint.
    gpu : how many GPUs the job was granted.
    wanted : see `score_family`; its `items` are added to the settings.
    others : files, see `score_family`.
    """
    device = choose_device(gpu)
    names = ("dataset", "model", "pruner")
    identity = {
        "study": settings["study"],
        **{name: wildcards[name] for name in names},
        "seed": int(wildcards["seed"]),
        "level": int(wildcards["level"]),
        "density": read_checkpoint(checkpoint).density,
    }
    score_family(
        with_items(settings, wanted),
        packed_test,
        explanations,
        predictions,
        output,
        load_network(checkpoint, device),
        identity,
        device,
        dense_predictions or None,
        wanted=wanted,
        inputs=present(
            test=packed_test,
            checkpoint=checkpoint,
            predictions=predictions,
            dense_predictions=dense_predictions,
        ),
    )
