"""Networks from checkpoints."""

import json
from pathlib import Path

import torch

from sparsight.io.checkpoints import read_checkpoint
from sparsight.models.base import Architecture, build_network
from sparsight.models.registry import MODELS


def load_network(path: Path | str, device: torch.device) -> Architecture:
    """The network of a checkpoint, in evaluation mode, on `device`."""
    checkpoint = read_checkpoint(path)
    facts = checkpoint.metadata
    # checkpoints written before architectures had options say nothing of them
    options = json.loads(facts.get("options", "{}"))
    architecture = MODELS.load(facts["architecture"])
    network = build_network(architecture, int(facts["class_count"]), 0, options)
    network.load_state_dict(checkpoint.weights)
    return network.to(device).eval()
