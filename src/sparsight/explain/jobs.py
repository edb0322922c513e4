"""The jobs that make explanations: of a checkpoint, and without any network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sparsight.explain.run import explain_family
from sparsight.io.device import choose_device
from sparsight.io.entries import Wanted, present, with_items
from sparsight.models.networks import load_network

Settings = Mapping[str, Any]


def explain_checkpoint(
    settings: Settings,
    *,
    packed_test: Path | str,
    checkpoint: Path | str,
    predictions: Path | str,
    dense_predictions: Path | str | None,
    output: Path | str,
    gpu: int,
    wanted: Wanted | None = None,
) -> None:
    """Explain the shared images of one checkpoint with all explainers of a family.

    Parameters
    ----------
    settings : see `explain_family`.
    packed_test : packed split that the images come from.
    checkpoint, predictions : the network and its predictions.
    dense_predictions : those of the dense parent, where its predictions are the targets.
    output : the file of explanations.
    gpu : how many GPUs the job was granted.
    wanted : see `explain_family`; its `items` are added to the settings.
    """
    device = choose_device(gpu)
    network = load_network(checkpoint, device)
    dense = Path(dense_predictions) if dense_predictions else None
    explain_family(
        with_items(settings, wanted),
        Path(packed_test),
        Path(output),
        network,
        Path(predictions),
        dense,
        device,
        wanted=wanted,
        inputs=present(
            test=packed_test,
            checkpoint=checkpoint,
            predictions=predictions,
            dense_predictions=dense_predictions,
        ),
    )


def explain_without_network(
    settings: Settings,
    *,
    packed_test: Path | str,
    output: Path | str,
    wanted: Wanted | None = None,
) -> None:
    """Make the explanations of a family of controls, once for a data set."""
    explain_family(
        with_items(settings, wanted),
        Path(packed_test),
        Path(output),
        None,
        None,
        None,
        torch.device("cpu"),
        wanted=wanted,
        inputs=present(test=packed_test),
    )
