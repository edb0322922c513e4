"""Networks from checkpoints, and how large a network is."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparsight.io.checkpoints import read_checkpoint
from sparsight.io.errors import InputError
from sparsight.models.base import Architecture, batch_norms, build_network
from sparsight.models.registry import MODELS
from sparsight.models.shapes import narrow

#: characters of another program's message in an error message
LONGEST = 120


def load_network(path: Path | str, device: torch.device) -> Architecture:
    """The network of a checkpoint, in evaluation mode, on `device`.

    Layers are as narrow as the file has them (`sparsight.models.shapes.narrow`). An `InputError`
    where the file is missing, corrupt, or of no architecture of this program.
    """
    checkpoint = read_checkpoint(path)
    facts = checkpoint.metadata
    try:
        # checkpoints written before architectures had options say nothing of them
        options = json.loads(facts.get("options", "{}"))
        traced = json.loads(facts["traced"]) if "traced" in facts else None
        architecture = MODELS.load(facts["architecture"])
        network = build_network(architecture, int(facts["class_count"]), 0, options, traced)
        # Only a level that was pruned elsewhere has layers narrower than its architecture's.
        narrow(network, checkpoint.weights)
        network.load_state_dict(checkpoint.weights)
    # RuntimeError: of torch, where weights are missing, unknown or have another shape
    except (KeyError, ValueError, RuntimeError) as error:
        what = _shortened(f"{type(error).__name__}: {error}")
        raise InputError(
            f"{path} is no checkpoint of a network that is known ({what}); delete it and run "
            "snakemake again"
        ) from error
    return network.to(device).eval()


def traced_metadata(network: Architecture) -> dict[str, str]:
    """What the checkpoint of a foreign network says of it besides its options: see `tracing`."""
    return {"traced": json.dumps(network.traced, sort_keys=True)} if network.traced else {}


def _shortened(text: str) -> str:
    """The beginning of a message of many lines, such as torch's about weights that do not fit."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of a network, for one image.

    Attributes
    ----------
    multiply_adds : of convolutions and linear layers, in a forward pass.
    elements : numbers that its layers put out.
    parameters : numbers of its state, buffers included.
    features : numbers of a pooled feature vector at the feature cut.
    """

    multiply_adds: int
    elements: int
    parameters: int
    features: int


def has_batch_norm(architecture: str, options: Mapping[str, Any]) -> bool:
    """Whether an architecture with these options has batch normalisation that keeps statistics."""
    with torch.device("meta"):
        network = build_network(MODELS.load(architecture), 2, 0, options)
    return bool(batch_norms(network))


def network_size(
    architecture: str, options: Mapping[str, Any], class_count: int, shape: tuple[int, int, int]
) -> NetworkSize:
    """Sizes of an architecture for images (C, H, W); its tensors have shapes and no content."""
    with torch.device("meta"):
        network = build_network(MODELS.load(architecture), class_count, 0, options).eval()
        return measured_size(network, torch.empty(1, *shape))


def measured_size(network: Architecture, image: torch.Tensor) -> NetworkSize:
    """Sizes of a network for an image [1, C, H, W]."""
    counted = {"multiply_adds": 0, "elements": 0, "features": 0}

    def count(module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, torch.Tensor):
            return
        counted["elements"] += output.numel()
        if isinstance(module, nn.Conv2d):
            counted["multiply_adds"] += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            counted["multiply_adds"] += output.numel() * module.in_features

    def cut(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        counted["features"] = output.shape[1]

    leaves = [module for module in network.modules() if not list(module.children())]
    with ExitStack() as hooks, torch.no_grad():
        for module in leaves:
            hooks.enter_context(module.register_forward_hook(count))
        if network.feature_cut:
            module = network.get_submodule(network.feature_cut)
            hooks.enter_context(module.register_forward_hook(cut))
        network(image)
    parameters = sum(tensor.numel() for tensor in network.state_dict().values())
    return NetworkSize(parameters=parameters, **counted)
