"""A pruned copy of a network for each image."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.parameters import checked_parameters, hint
from sparsight.spade.augmentation import PUBLISHED
from sparsight.spade.hessians import MEGABYTE, images_at_once, sample_hessians
from sparsight.spade.layers import PrunedLayer, named, pruned_layers
from sparsight.spade.solvers.base import SampleSolver
from sparsight.spade.solving import check_columns, set_weights, solved_weights
from sparsight.spade.sparsities import check_sparsity

#: of the stage `sample_pruning`: see `sparsight.study.versions`
VERSION = 1

#: how a sample is made, and what it may cost: augmented copies of an image, in the words of a
#: recipe's `augment`; copies in a forward pass; memory for Hessians and sparse weights. The schema
#: of the configuration says the same
DEFAULTS: dict[str, Any] = {
    "augmentations": 1024,
    "augment": PUBLISHED,
    "batch_size": 256,
    "memory_mb": 2000,
}


def pruned_copies(
    network: nn.Module,
    images: Tensor,
    image_ids: Tensor,
    solver: SampleSolver,
    sparsities: Mapping[str, float],
    settings: Mapping[str, Any],
    seed_name: str,
) -> Iterator[tuple[int, nn.Module]]:
    """Prune a copy of a network for every image.

    There is one copy, whose weights are overwritten for each image: use it before you ask for the
    next, and do not keep it. The network itself is neither run nor changed. All Hessians are those
    of the network as it is given, also where an earlier layer is pruned.

    A network may be pruned already. Its zeros stay, and count: sparsity is the share of all weights
    of a layer that is zero in the copy, so a layer that is sparser already keeps its weights.

    Parameters
    ----------
    network : gives logits [N, classes] for float32 images in [0, 1].
    images : float32 [B, C, H, W] in [0, 1], on the network's device.
    image_ids : int64 [B]. With `seed_name` they seed augmentation and solver, so that a copy does
        not depend on its batch.
    solver : how weights are chosen.
    sparsities : layer to sparsity, as `layer_sparsities` gives them; layers that are left out keep
        their weights.
    settings : `augmentations`, `augment`, `batch_size`, `memory_mb`; see `DEFAULTS` for those left
        out. `memory_mb` decides for how many images Hessians are held at once.
    seed_name : names the use, such as the configured sample pruner.

    Returns
    -------
    An iterator of places in the batch, 0 to B - 1 in order, each with its pruned copy, in
    evaluation mode and with frozen parameters. Of floor(sparsity * weights) zeros a layer has at
    least as many, and more only where a solver makes them.

    Raises
    ------
    InputError
        For settings or sparsities that cannot be used, and while iterating, when the solver fails
        on a layer, which is then named.

    Reference
    ---------
    Soltani Moakhar et al. 2024, arXiv 2310.04519.
    """
    chosen = checked_parameters("sample pruning", DEFAULTS, settings)
    if len(images) != len(image_ids):
        raise InputError(f"there are {len(images)} images but {len(image_ids)} image ids")
    copied = working_copy(network)
    layers = _sparse_layers(pruned_layers(copied, images), sparsities) if len(images) else []
    check_columns(solver, layers)
    together = images_at_once(layers, chosen["memory_mb"] * MEGABYTE, solver.needs_hessian)
    return _copies(
        network, copied, images, image_ids, solver, sparsities, layers, together, chosen, seed_name
    )


def _copies(
    network: nn.Module,
    copied: nn.Module,
    images: Tensor,
    image_ids: Tensor,
    solver: SampleSolver,
    sparsities: Mapping[str, float],
    layers: Sequence[PrunedLayer],
    together: int,
    settings: Mapping[str, Any],
    seed_name: str,
) -> Iterator[tuple[int, nn.Module]]:
    ids = image_ids.tolist()
    for start in range(0, len(images), together):
        rows = slice(start, start + together)
        restore(copied, network)
        hessians: dict[str, Tensor] = {}
        if solver.needs_hessian and layers:
            hessians = hessians_of(
                copied, images[rows], image_ids[rows], layers, settings, seed_name
            )
        weights = {
            layer.name: solved_weights(
                network.get_parameter(f"{layer.name}.weight"),
                layer,
                sparsities[layer.name],
                solver,
                # let go one by one, so that the sparse weights find room
                hessians.pop(layer.name, None),
                ids[rows],
                seed_name,
            )
            for layer in layers
        }
        for place in range(len(ids[rows])):
            restore(copied, network)
            set_weights(copied, {name: found[place] for name, found in weights.items()})
            yield start + place, copied


def hessians_of(
    network: nn.Module,
    images: Tensor,
    image_ids: Tensor,
    layers: Sequence[PrunedLayer],
    settings: Mapping[str, Any],
    seed_name: str,
) -> dict[str, Tensor]:
    """`sample_hessians` with settings as in `DEFAULTS`."""
    return sample_hessians(
        network,
        images,
        image_ids,
        layers,
        settings["augmentations"],
        seed_name,
        settings["augment"],
        settings["batch_size"],
    )


def _sparse_layers(
    layers: Sequence[PrunedLayer], sparsities: Mapping[str, float]
) -> list[PrunedLayer]:
    """Those that lose weights; InputError for a layer that is none of `layers`."""
    known = named(layers)
    for name, sparsity in sparsities.items():
        if name not in known:
            raise InputError(f"sparsities: '{name}' is no pruned layer{hint(name, known)}")
        check_sparsity(f"sparsities: '{name}'", sparsity)
    return [layer for layer in layers if sparsities.get(layer.name)]


def working_copy(network: nn.Module) -> nn.Module:
    """A deep copy in evaluation mode, with frozen parameters and without gradients."""
    copied = copy.deepcopy(network)
    copied.zero_grad(set_to_none=True)
    return copied.eval().requires_grad_(False)


def restore(copied: nn.Module, network: nn.Module) -> None:
    """Give a copy the network's weights and buffers again, and its own state of evaluation."""
    with torch.no_grad():
        copied.load_state_dict(network.state_dict())
    copied.eval().requires_grad_(False)
