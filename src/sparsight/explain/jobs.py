"""The jobs that make explanations: of a checkpoint, and without any network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sparsight.explain.run import explain_family
from sparsight.io.device import choose_device
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
    """
    device = choose_device(gpu)
    network = load_network(checkpoint, device)
    dense = Path(dense_predictions) if dense_predictions else None
    explain_family(
        settings, Path(packed_test), Path(output), network, Path(predictions), dense, device
    )


def explain_without_network(
    settings: Settings, *, packed_test: Path | str, output: Path | str
) -> None:
    """Make the explanations of a family of controls, once for a data set."""
    device = torch.device("cpu")
    explain_family(settings, Path(packed_test), Path(output), None, None, None, device)
