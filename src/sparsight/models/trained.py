"""Networks from checkpoints."""

from pathlib import Path

import torch

from sparsight.io.checkpoints import read_checkpoint
from sparsight.models.base import Architecture, build_network
from sparsight.models.registry import MODELS


def load_network(path: Path | str, device: torch.device) -> Architecture:
    """The network of a checkpoint, in evaluation mode, on `device`."""
    checkpoint = read_checkpoint(path)
    facts = checkpoint.metadata
    network = build_network(MODELS.load(facts["architecture"]), int(facts["class_count"]), 0)
    network.load_state_dict(checkpoint.weights)
    return network.to(device).eval()
