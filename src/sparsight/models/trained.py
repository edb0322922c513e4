"""Networks from checkpoints."""

import json
from pathlib import Path

import torch

from sparsight.io.checkpoints import read_checkpoint
from sparsight.io.errors import InputError
from sparsight.models.base import Architecture, build_network
from sparsight.models.registry import MODELS

#: characters of another program's message in a sentence
LONGEST = 120


def load_network(path: Path | str, device: torch.device) -> Architecture:
    """The network of a checkpoint, in evaluation mode, on `device`.

    Raises
    ------
    InputError
        When the file is missing, corrupt, or no checkpoint of an architecture of this program.
    """
    checkpoint = read_checkpoint(path)
    facts = checkpoint.metadata
    try:
        # checkpoints written before architectures had options say nothing of them
        options = json.loads(facts.get("options", "{}"))
        architecture = MODELS.load(facts["architecture"])
        network = build_network(architecture, int(facts["class_count"]), 0, options)
        network.load_state_dict(checkpoint.weights)
    # RuntimeError: of torch, where weights lack, are unknown or have another shape
    except (KeyError, ValueError, RuntimeError) as error:
        what = _shortened(f"{type(error).__name__}: {error}")
        raise InputError(
            f"{path} is no checkpoint of a network that is known ({what}); delete it and run "
            "snakemake again"
        ) from error
    return network.to(device).eval()


def _shortened(text: str) -> str:
    """The beginning of a message of many lines, such as torch's about weights that do not fit."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
