"""A sample pruner as the configuration describes it: its solver, its sparsities, its sample."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.io.files import read_json, remedy
from sparsight.spade.layers import pruned_layers
from sparsight.spade.registry import SOLVERS
from sparsight.spade.solvers.base import SampleSolver
from sparsight.spade.sparsities import layer_sparsities

Settings = Mapping[str, Any]

#: settings of a sample pruner that say how a sample is made, and what it may cost
_SAMPLE = ("augmentations", "augment", "batch_size", "memory_mb")


def configured_solver(chosen: Settings) -> SampleSolver:
    """The solver of a sample pruner with `solver` and `parameters`."""
    solver: SampleSolver = SOLVERS.load(chosen["solver"])(**chosen["parameters"])
    return solver


def sample_settings(chosen: Settings) -> dict[str, Any]:
    """What `pruned_copies` and `search_sparsities` take as `settings`, of a sample pruner."""
    return {key: chosen[key] for key in _SAMPLE}


def configured_sparsities(
    network: nn.Module, image: Tensor, given: Settings, searched: Path | str | None
) -> dict[str, float]:
    """The sparsity of every layer, from where the configuration has it.

    Parameters
    ----------
    network : gives logits.
    image : float32 [1, C, H, W] in [0, 1], any one, on its device.
    given : see `layer_sparsities`; not looked at where a file has them.
    searched : file of `search_checkpoint`, where they were searched for.
    """
    if searched:
        try:
            shares: dict[str, Any] = read_json(searched)["sparsities"]
            return {layer: float(share) for layer, share in shares.items()}
        except (KeyError, AttributeError, TypeError) as error:
            raise InputError(f"{searched} holds no sparsities; {remedy(searched)}") from error
    return layer_sparsities(pruned_layers(network, image), given)
