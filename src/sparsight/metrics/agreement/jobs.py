"""The job that compares a checkpoint's explanations with those of its references."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsight.io.checkpoints import read_checkpoint
from sparsight.io.device import choose_device
from sparsight.io.entries import Wanted, present, with_items
from sparsight.metrics.agreement.compare import compare_family


def compare_checkpoint(
    settings: Mapping[str, Any],
    *,
    packed_test: Path | str,
    checkpoint: Path | str,
    predictions: Path | str,
    explanations: Path | str,
    references: Sequence[Path | str],
    output: Path | str,
    wildcards: Mapping[str, str],
    gpu: int,
    wanted: Wanted | None = None,
) -> None:
    """Compare one family of explanations of one checkpoint with those of other networks.

    Parameters
    ----------
    settings : see `compare_family`; and `study`.
    wildcards : dataset, model, pruner, seed and level of the checkpoint.
    gpu : how many GPUs the job was granted.
    wanted : see `compare_family`; its `items` are added to the settings.
    others : files, see `compare_family`; the checkpoint gives the density.
    """
    identity = {
        "study": settings["study"],
        **{name: wildcards[name] for name in ("dataset", "model", "pruner")},
        "seed": int(wildcards["seed"]),
        "level": int(wildcards["level"]),
        "density": read_checkpoint(checkpoint).density,
    }
    compare_family(
        with_items(settings, wanted),
        packed_test,
        explanations,
        predictions,
        references,
        output,
        identity,
        choose_device(gpu),
        wanted=wanted,
        inputs=present(test=packed_test, checkpoint=checkpoint, predictions=predictions),
    )
